"""Whole nodes on a local network: beacons lead to bottles, and bottles to lanes, and no farther."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import anyio
import pytest

from port17 import neighbourhood
from port17.bottles.neighbours import AT_ONCE_CAP
from port17.bottles.outcome import Aborted, Why
from port17.config.settings import LocalNetworkConfig
from port17.links.local_network import LocalNetwork
from port17.node import node as nodes
from port17.records.beacon import Beacon, SignedBeacon
from port17.records.identity import Identity
from port17_crypto.schemes import Ed25519
from port17_transports.memory import Memory

from .links_network import on_virtual_clock
from .node_world import Client, Home, Town, one_thread, town

__all__ = ["one_thread"]
FOUND_S = 40.0
"""Virtual seconds in which neighbours find each other: two rounds of beacons, and what follows."""


class Wire:
    """A link that carries beacons."""

    def __init__(self) -> None:
        self.ends: list[Wired] = []
        self.lost: set[tuple[str, str]] = set()
        """From whom to whom nothing gets."""

    def send(self, data: bytes, host: str) -> None:
        for end in self.ends:
            if (host, end.host) not in self.lost:
                end.heard(data, host, "wire0")


class Wired(LocalNetwork):
    """A driver with one link, that is a wire of the test's."""

    name: ClassVar[str] = "wired"

    def __init__(self, wire: Wire, host: str) -> None:
        super().__init__()
        self._wire, self.host = wire, host
        self._due = anyio.Event()
        self.heard: Callable[[bytes, str, str], None] = lambda data, host, link: None

    @property
    def links(self) -> Collection[str]:
        return ()  # who is no beacon's sender is nobody's neighbour here

    async def run(
        self, announce: Callable[[], bytes | None], heard: Callable[[bytes, str, str], None]
    ) -> NoReturn:
        self.heard = heard
        self._wire.ends.append(self)
        try:
            while True:
                beacon = announce()
                if beacon is not None:
                    self._wire.send(beacon, self.host)
                with anyio.move_on_after(10 * random.Random(self.host).uniform(0.5, 1.5)):
                    await self._due.wait()
                    await anyio.sleep(1)
                self._due = anyio.Event()
        finally:
            self._wire.ends.remove(self)

    def changed(self) -> None:
        self._due.set()


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> dict[str, Wire]:
    """Wires by name; a node is on that which its options name, at the host that they name."""
    held: dict[str, Wire] = {}

    def chosen(config: LocalNetworkConfig, registry: object) -> Wired | None:
        if not config.driver:
            return None
        wire = held.setdefault(config.options["wire"], Wire())
        return Wired(wire, config.options["host"])

    monkeypatch.setattr(neighbourhood, "chosen", chosen)
    monkeypatch.setattr(nodes, "chosen", chosen)
    return held


def on_wire(made: Town, name: str, host: str, wire: str = "one", **config: Any) -> Home:
    """A node that listens at a private address, and is on a wire."""
    place = f"{host}:9000"
    options = {"network": made.name, "endpoint": place, "delay_s": made.delay_s}
    usual: dict[str, Any] = {
        "flavour": "local",
        "listen": {"memory": place},
        "transports": {"memory": options},
        "addresses": {"allow_private": False},
        "local_network": {"driver": "wired", "options": {"wire": wire, "host": host}},
    }
    home = made.home(name, **{**usual, **config})
    home.endpoint = place
    return home


def known(home: Home) -> set[str]:
    return {bottle.label.name for bottle in home.known.rack}


def test_neighbours_need_nothing_but_the_charter(tmp_path: Path, wires: dict[str, Wire]) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = [f"n{number}" for number in range(4)]
            for number, name in enumerate(names):
                on_wire(made, name, f"10.0.0.{number + 1}")
            await made.start(names, ())
            await made.until(lambda: all(len(home.lanes) == 3 for home in made.running), FOUND_S)
            assert all(known(home) == set(names) for home in made.running)
            assert all(not home.known.rack.held(one).distrust for home in made.running for one in home.rack)

    on_virtual_clock(run)


def test_local_bottles_go_to_neighbours_and_public_ones_to_all(
    tmp_path: Path, wires: dict[str, Wire]
) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            on_wire(made, "ash", "10.0.0.1")
            on_wire(made, "elm", "10.0.0.2")
            public = {"flavour": "public", "addresses": {"allow_private": True}}
            on_wire(made, "oak", "10.0.0.3", **public)
            made.home("fir")
            on_wire(made, "yew", "10.0.1.1", "other")
            await made.start(["ash", "elm", "oak", "yew"], ())
            await made.start(["fir"], ["oak"])
            near, afar = {"ash", "elm", "oak", "fir"}, {"oak", "fir"}
            await made.until(
                lambda: (
                    all(known(made.homes[name]) == near for name in ("ash", "elm", "oak"))
                    and known(made.homes["fir"]) == afar
                ),
                FOUND_S,
            )
            await anyio.sleep(700)  # longer than a comparison is apart from the next
            assert known(made.homes["fir"]) == afar
            assert known(made.homes["yew"]) == {"yew"}
            ash, elm, oak = (made.homes[name] for name in ("ash", "elm", "oak"))
            assert ash.lanes == {elm.fingerprint}, "a lane with a public node would show who is local"
            assert {lane.fingerprint for lane in oak.bottle.contents.lanes} == {made.homes["fir"].fingerprint}

    on_virtual_clock(run)


def test_what_a_neighbour_holds_is_fetched_with_it(tmp_path: Path, wires: dict[str, Wire]) -> None:
    """One node's beacons do not get through; others know it."""

    async def run() -> None:
        async with town(tmp_path) as made:
            wires["one"] = Wire()
            wires["one"].lost.add(("10.0.0.2", "10.0.0.3"))
            for number, name in enumerate(("ash", "elm")):
                on_wire(made, name, f"10.0.0.{number + 1}")
            oak = on_wire(made, "oak", "10.0.0.3", flavour="public", addresses={"allow_private": True})
            await made.start(["ash", "elm", "oak"], ())
            await made.until(lambda: known(oak) == {"ash", "elm", "oak"}, FOUND_S)

    on_virtual_clock(run)


def test_a_neighbour_that_gives_local_bottles_away_is_not_believed_from_afar(
    tmp_path: Path, wires: dict[str, Wire]
) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            on_wire(made, "ash", "10.0.0.1")
            oak = on_wire(made, "oak", "10.0.0.3", flavour="public", addresses={"allow_private": True})
            fir = made.home("fir")
            await made.start(["ash", "oak"], ())
            oak.running.is_local = lambda origin: True  # type: ignore[method-assign]
            await made.until(lambda: known(oak) == {"ash", "oak"}, FOUND_S)
            await made.start(["fir"], ["oak"])
            await made.until(lambda: fir.lanes == {oak.fingerprint}, FOUND_S)
            await anyio.sleep(20)
            assert known(fir) == {"oak", "fir"}

    on_virtual_clock(run)


def test_from_afar_a_local_bottle_is_neither_given_nor_taken(tmp_path: Path, wires: dict[str, Wire]) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash = on_wire(made, "ash", "10.0.0.1")
            oak = on_wire(made, "oak", "10.0.0.3", flavour="public", addresses={"allow_private": True})
            stray = on_wire(made, "stray", "10.0.9.9", "other")
            await made.start(["ash", "oak"], ())
            await made.until(lambda: known(oak) == known(ash) == {"ash", "oak"}, FOUND_S)
            client = Client(made)
            crane = await client.call(oak)
            found = await client.fetch(crane, oak, local=True, offered=stray.first)
            assert found == [oak.fingerprint]
            await anyio.sleep(1)
            assert known(oak) == {"ash", "oak"}
            for somebody in (ash, oak):
                outcome = (await somebody.known.offer([stray.first.encode()], Client.trusted))[0]
                assert isinstance(outcome, Aborted)
                assert outcome.why is Why.STRAY

    on_virtual_clock(run)


def test_a_beacon_that_leads_nowhere_costs_little(tmp_path: Path, wires: dict[str, Wire]) -> None:
    """Somebody invents nodes; of each it says that it is at the address of one that stands."""

    async def run() -> None:
        async with town(tmp_path) as made:
            ash, elm = on_wire(made, "ash", "10.0.0.1"), on_wire(made, "elm", "10.0.0.2")
            await made.start(["ash", "elm"], ())
            await made.until(lambda: ash.lanes == {elm.fingerprint}, FOUND_S)
            asked: list[str] = []
            most = 0
            transport = ash.running._transports["memory"]
            dial = transport.dial

            async def counted(address: str) -> Any:
                nonlocal most
                asked.append(address)
                most = max(most, sum(one.asked for one in ash.known.neighbours.present(made.wall())))
                return await dial(address)

            transport.dial = counted  # type: ignore[method-assign]
            begun_s = anyio.current_time()
            for _ in range(60):
                for _ in range(20):
                    wires["one"].send(invented(made, "10.0.0.2"), "10.0.0.2")
                await anyio.sleep(5)
            assert anyio.current_time() - begun_s >= 300
            assert 0 < len(asked) < 120, "eight at a time, each again ever more seldom"
            assert most <= AT_ONCE_CAP
            assert known(ash) == {"ash", "elm"}
            assert ash.lanes == {elm.fingerprint}

    on_virtual_clock(run)


def invented(made: Town, host: str) -> bytes:
    scheme = Ed25519()
    key = scheme.generate()
    now = int(made.wall())
    said = Beacon.made(
        network_id=made.net.charter.network_id,
        identity=Identity.made(scheme="ed25519", public=key.public).to_value(),
        label=now,
        contents=now,
        suites=list(made.net.charter.current(now).suites),
        ports={"memory": 9000},
        at=now,
    )
    return SignedBeacon.seal(scheme, key, said).encode()


def test_a_node_that_leaves_falls_silent(tmp_path: Path, wires: dict[str, Wire]) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, elm = on_wire(made, "ash", "10.0.0.1"), on_wire(made, "elm", "10.0.0.2")
            await made.start(["ash", "elm"], ())
            await made.until(lambda: ash.lanes == {elm.fingerprint}, FOUND_S)
            await elm.leave()
            assert ash.known.neighbours.is_local("10.0.0.2", anyio.current_time())
            await anyio.sleep(130)
            assert not ash.known.neighbours.is_local("10.0.0.2", anyio.current_time())

    on_virtual_clock(run)


def test_a_beacon_that_is_sent_again_from_elsewhere_keeps_nobody_out(
    tmp_path: Path, wires: dict[str, Wire]
) -> None:
    """A neighbour repeats every beacon at once as its own machine's, and takes all calls."""

    async def run() -> None:
        async with town(tmp_path) as made:
            ash, elm = on_wire(made, "ash", "10.0.0.1"), on_wire(made, "elm", "10.0.0.2")
            oak = on_wire(made, "oak", "10.0.0.3", flavour="public", addresses={"allow_private": True})
            parrot = "10.0.0.9"
            wire = wires["one"] = Wire()
            wire.lost |= {("10.0.0.2", "10.0.0.3"), (parrot, "10.0.0.1"), (parrot, "10.0.0.2")}
            send = wire.send

            def echoed(data: bytes, host: str) -> None:
                send(data, host)
                send(data, parrot)

            wire.send = echoed  # type: ignore[method-assign]
            options = {"network": made.name, "endpoint": f"{parrot}:9000"}
            transport = Memory(Memory.Config.model_validate(options))
            async with transport.listen(f"{parrot}:9000"):
                await made.start(["ash", "elm", "oak"], ())
                await made.until(lambda: known(oak) == {"ash", "elm", "oak"}, 2 * FOUND_S)
                await anyio.sleep(60)
                before = oak.rack[ash.fingerprint]
                await elm.kill()
                # A lane less: that is in ash's contents, of which oak hears by beacons alone.
                await made.until(lambda: oak.rack[ash.fingerprint] > before, 60)

    on_virtual_clock(run)
