"""What becomes of a client's circuits and links when charter and bottles change, on a virtual clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import anyio
import pytest
from trio.testing import MockClock

from port17.client.builder import Builder
from port17.client.built import Built
from port17.client.circuits import REPLACE_S, Circuits
from port17.client.draws import Draws
from port17.client.guard_keeper import GuardKeeper
from port17.client.guards_file import GuardsFile
from port17.client.prekeys import Prekeys
from port17.client.sources import Source
from port17.client.turnover import SETTLE_S
from port17.dialling import LINGER_S, Turnover
from port17.errors import NetworkError
from port17.links.spare_keys import SpareKeys
from port17.navigator.agreement import Standing
from port17.navigator.chart import ChartNode
from port17.navigator.compiled import Compiled
from port17.navigator.policy import NoPolicies, Request
from port17.wire.pace import USUAL
from port17.wire.quota import Budget
from port17.wire.reasons import Reason
from port17_crypto.suites import X25519ChaCha20Poly1305Blake2s

from .amended_network import X25519, XWING, Amended

NAMES = ("ash", "elm", "oak")
OVERLAP_S = 50
POLICIES = NoPolicies()
REQUEST = Request("192.0.2.1", 443)


class Leg:
    """What a circuit asks of its link."""

    def wake(self) -> None:
        """Nothing is sent."""

    def destroy(self, reason: Reason) -> None:
        """Nobody is told."""


class Link:
    """A link that takes any circuit."""

    def __init__(self) -> None:
        self.legs = self.background = 0
        self.control = SimpleNamespace(round_trip_s=0.01)

    def open(self, circuit: object) -> Leg:
        return Leg()


class Crane:
    """A link under a suite, to a node."""

    def __init__(self, peer: bytes, suite: str) -> None:
        self.peer, self.suite = peer, suite
        self.link = Link()
        self.lost = False


class NoSources:
    """Of a client who has all bottles from its user."""

    def __iter__(self) -> Iterator[Source]:
        return iter(())

    def lose(self, source: Source, why: str) -> None:
        """There is none."""

    def replace(self, source: Source) -> None:
        """There is none."""

    def tell(self, listener: Callable[[], None]) -> None:
        """None comes."""


class Client:
    """A client's circuits over links that are always there."""

    def __init__(self, folder: Path) -> None:
        self.net = Amended(folder, [X25519, XWING], overlap_s=OVERLAP_S)
        rings = {name: self.net.node(name, exit={"enabled": True})[0] for name in NAMES}
        self.rings = rings
        for name, ring in rings.items():
            self.net.now += 1
            lanes = [other.identity.fingerprint for other in rings.values() if other is not ring]
            self.net.publish(ring, name, lanes, exit={"enabled": True})
        self.known = self.net.known()
        self.dialled: Callable[[], Awaitable[None]] | None = None
        compiled = Compiled(POLICIES)
        file = GuardsFile(folder / "client-state", self.known.charter.network_id)
        cranes: Any = self
        self.keeper = GuardKeeper(self.known, cranes, compiled, ["tcp"], file, whole=lambda: True)
        self.draws = Draws(self.known, compiled, ["tcp"], self.keeper)
        self.prekeys = Prekeys(self.known, NoSources())
        self.builder = Builder(
            self.known,
            self.keeper,
            cranes,
            self.prekeys,
            self.draws,
            Budget(1 << 20),
            SpareKeys(self.known.suites.values()),
            USUAL,
        )
        self.circuits = Circuits(self.known, self.keeper, cranes, self.draws, self.builder)

    @property
    def standing(self) -> frozenset[bytes]:
        """As of the client's entries."""
        return frozenset()

    async def crane(self, node: ChartNode) -> Crane:
        """As of the client's entries."""
        if self.dialled is not None:
            await self.dialled()
        return Crane(node.fingerprint, node.suite)

    def tend(self, now_s: float, keep: Collection[bytes] = ()) -> None:
        """As of the client's entries."""

    async def amend(self, **changes: Any) -> None:
        """The charter changes, and the client sees it."""
        self.net.amend(**changes)
        await self.known.look_again()
        self.circuits.changed()


def suites(built: Built) -> set[str]:
    return {hop.key.suite.name for hop in built.circuit.hops}


def use(built: Built) -> Any:
    """A stream over a circuit."""
    return built.circuit.last.mux.open("TUNNEL", b"", 0.0)


def on_virtual_clock(folder: Path, test: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        client = Client(folder)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.circuits.tidy)
            await test(client)
            tasks.cancel_scope.cancel()

    # While a thread is at work the clock would run on.
    with patch("anyio.to_thread.run_sync", at_once):
        anyio.run(run, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


async def at_once(work: Callable[..., Any], *args: Any) -> Any:
    """What a thread would do, without one."""
    return work(*args)


def end(built: Built) -> None:
    """The streams over a circuit end."""
    built.circuit.last.mux.conveyors.clear()


def test_a_better_suite_is_for_new_connections(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy, idle = await client.circuits.get(REQUEST), await client.circuits.build(REQUEST)
        use(busy)
        assert suites(busy) == suites(idle) == {X25519}
        assert await client.circuits.get(REQUEST) is busy
        await client.amend(suites=[XWING, X25519])
        fresh = await client.circuits.get(REQUEST)
        assert fresh is not busy
        assert (suites(fresh), busy.standing) == ({XWING}, Standing.SUPERSEDED)
        await anyio.sleep(1)
        assert idle.circuit.closed is Reason.DONE, "nobody uses it"
        await anyio.sleep(OVERLAP_S + 600)
        assert busy.circuit.closed is None, "what is allowed may go on for as long as it is used"
        end(busy)
        await anyio.sleep(1)
        assert busy.circuit.closed is Reason.DONE

    on_virtual_clock(tmp_path, test)


@pytest.mark.parametrize("broken", ["generate", "expand"])
def test_a_suite_that_fails_costs_a_circuit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    def fail(self: object, *args: object) -> None:
        raise OSError("the card was pulled out")

    async def test(client: Client) -> None:
        await client.circuits.get(REQUEST)
        with monkeypatch.context() as patched:
            patched.setattr(X25519ChaCha20Poly1305Blake2s, broken, fail)
            with pytest.raises(NetworkError, match="fails here"):
                await client.circuits.build(REQUEST)
        await client.circuits.build(REQUEST)

    on_virtual_clock(tmp_path, test)
    assert "a cipher suite fails: OSError" in caplog.text
    assert "card" not in caplog.text


def test_a_circuit_whose_keys_cannot_step_ends_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(client: Client) -> None:
        one, other = await client.circuits.build(REQUEST), await client.circuits.build(REQUEST)
        monkeypatch.setattr(one.circuit, "tend", lambda now_s: 1 / 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.circuits.tend)
            await anyio.sleep(5)
            tasks.cancel_scope.cancel()
        assert (one.circuit.closed, other.circuit.closed) == (Reason.DONE, None)

    on_virtual_clock(tmp_path, test)
    assert "a circuit was ended by a fault: ZeroDivisionError" in caplog.text


def test_a_forbidden_suite_ends_with_the_grace(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy, done = await client.circuits.get(REQUEST), await client.circuits.build(REQUEST)
        use(busy)
        use(done)
        await client.amend(suites=[XWING], overlap_s=20)
        assert suites(await client.circuits.get(REQUEST)) == {XWING}
        assert busy.standing is Standing.FORBIDDEN
        await anyio.sleep(18)
        assert (busy.circuit.closed, done.circuit.closed) == (None, None)
        end(done)
        await anyio.sleep(1)
        assert (busy.circuit.closed, done.circuit.closed) == (None, Reason.DONE)
        await anyio.sleep(3)
        assert busy.circuit.closed is Reason.GENERIC

    on_virtual_clock(tmp_path, test)


def test_a_circuit_over_lanes_of_before_gives_way_once_they_are_remade(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await client.amend(suites=[XWING, X25519])
        early = await client.circuits.get(REQUEST)
        use(early)
        await anyio.sleep(SETTLE_S - 1)
        assert await client.circuits.get(REQUEST) is early
        await anyio.sleep(2)
        late = await client.circuits.get(REQUEST)
        assert late is not early
        await anyio.sleep(3 * SETTLE_S)
        assert await client.circuits.get(REQUEST) is late
        assert early.circuit.closed is None

    on_virtual_clock(tmp_path, test)


def test_a_successor_is_ready_before_it_is_asked_for(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy = await client.circuits.get(REQUEST)
        use(busy)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.circuits.replace)
            await client.amend(suites=[XWING])
            await anyio.sleep(2 * REPLACE_S[1])
            (fresh,) = [built for built in client.circuits if built is not busy]
            assert suites(fresh) == {XWING}
            assert await client.circuits.get(REQUEST) is fresh
            tasks.cancel_scope.cancel()

    on_virtual_clock(tmp_path, test)


def test_a_node_that_is_gone_for_a_moment_costs_no_stream(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy = await client.circuits.get(REQUEST)
        use(busy)
        bottle = client.net.bottles / f"{busy.route.exit.node_id}.bottle"
        data = bottle.read_bytes()
        bottle.unlink()
        await client.known.look_again()
        client.circuits.changed()
        with pytest.raises(NetworkError):
            await client.circuits.get(REQUEST)
        assert busy.standing is Standing.FORBIDDEN
        await anyio.sleep(OVERLAP_S - 5)
        bottle.write_bytes(data)
        await client.known.look_again()
        client.circuits.changed()
        await anyio.sleep(OVERLAP_S)
        assert (busy.standing, busy.circuit.closed) == (Standing.GOOD, None)

    on_virtual_clock(tmp_path, test)


def test_an_exit_that_is_trusted_no_longer_takes_no_plain_text(tmp_path: Path) -> None:
    plain = Request("192.0.2.1", 80)

    async def test(client: Client) -> None:
        trusted = [bottle.fingerprint for bottle in client.known.rack]
        await client.amend(plain_text_exits=trusted)
        built = await client.circuits.get(plain)
        use(built)
        assert await client.circuits.get(plain) is built
        await client.amend(plain_text_exits=[])
        with pytest.raises(NetworkError):
            await client.circuits.get(plain)
        assert await client.circuits.get(REQUEST) is built, "for the rest it is as good as before"

    on_virtual_clock(tmp_path, test)


def test_what_changes_while_a_circuit_is_made_is_not_missed(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async def forbid() -> None:
            client.dialled = None
            await client.amend(suites=[XWING])

        client.dialled = forbid
        with pytest.raises(NetworkError, match="has changed"):
            await client.circuits.get(REQUEST)
        assert suites(await client.circuits.get(REQUEST)) == {XWING}

    on_virtual_clock(tmp_path, test)


def test_when_a_link_ends(tmp_path: Path) -> None:
    async def made() -> Client:
        return Client(tmp_path)

    client = anyio.run(made)
    (ash, *_) = [bottle.fingerprint for bottle in client.known.rack]
    turnover = Turnover(client.known)
    crane = Crane(ash, X25519)

    def is_over(now_s: float, replaced: bool = True) -> bool:
        return turnover.is_over(crane, now_s, replaced=replaced)  # type: ignore[arg-type]

    def amend(**changes: Any) -> None:
        anyio.run(lambda: client.amend(**changes))

    assert not is_over(0.0)
    assert not is_over(1e6), "it is what would be dialled today"
    amend(suites=[XWING, X25519])
    crane.link.legs = 1
    assert not is_over(1e6)
    assert not is_over(2e6), "circuits use it, and it is allowed"
    crane.link.legs = 0
    assert not is_over(2e6, replaced=False), "nothing else stands"
    assert is_over(2e6)
    amend(suites=[X25519])
    assert not is_over(3e6)
    amend(suites=[XWING])
    crane.link.legs = 1
    assert not is_over(4e6), "the grace begins"
    assert not is_over(4e6 + OVERLAP_S - 1, replaced=False)
    assert is_over(4e6 + OVERLAP_S, replaced=False)
    crane = Crane(ash, X25519)
    assert not is_over(5e6)
    assert not is_over(5e6 + LINGER_S / 2), "what is on its way to it gets there"
    assert is_over(5e6 + LINGER_S)
