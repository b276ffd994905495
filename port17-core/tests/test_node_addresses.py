"""Whole nodes look whether others are where they say, and all of them end up with the same opinion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from port17.asking import SYNC, Bell, ask
from port17.bottles.address_checks import LOST
from port17.links.crane import Crane, Terms
from port17.links.transport import Ship
from port17.node import verification
from port17.wire.prekey import ResponderKey
from port17_transports.memory import Memory

from .links_network import on_virtual_clock
from .node_world import Client, Home, Town, one_thread, town

__all__ = ["one_thread"]
NAMES = ("n0", "n1", "n2", "n3", "n4")
NOWHERE = "20.99.0.1:9000"


def distrusted(by: Home, who: Home) -> str:
    held = by.known.rack.held(who.fingerprint)
    return "" if held is None else held.distrust


async def begin(made: Town, claimed: str) -> Home:
    """A network that stands, one of whose nodes says that it is somewhere else."""
    for name in NAMES:
        made.home(name)
    await made.start(NAMES, NAMES[:3])
    await made.until(lambda: all(len(home.rack) == len(NAMES) for home in made.running), 60)
    await made.until(lambda: all(met(home, other) for home in made.running for other in made.running), 120)
    liar = made.home("liar", advertise={"memory": [claimed]})
    await liar.start(NAMES[:3])
    return liar


def met(home: Home, other: Home) -> bool:
    checks, bottle = home.known.intake.checks, home.known.rack.get(other.fingerprint)
    return home is other or (bottle is not None and checks.is_met(bottle))


def by_all(home: Home, others: list[Home]) -> bool:
    return {mark.mark.by for mark in home.known.gossip.marks} == {one.fingerprint for one in others}


def others(made: Town, liar: Home) -> list[Home]:
    return [home for home in made.running if home is not liar]


async def at(made: Town, address: str, take: Callable[[Ship], Awaitable[None]]) -> None:
    """Let somebody listen at an address, until the network ends."""
    options = {"network": made.name, "endpoint": address, "delay_s": made.delay_s}
    transport = Memory(Memory.Config.model_validate(options))

    async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with transport.listen(address) as listener, anyio.create_task_group() as tasks:
            task_status.started()
            async for ship in listener.ships():
                tasks.start_soon(take, ship)

    await made.tasks.start(run)


async def follow(client: Client, crane: Crane, home: Home) -> None:
    """Be told all that a node knows, for a while."""
    to = client.known.responder_of(home.fingerprint)
    assert to is not None
    bell = Bell()
    async with ask(crane, to, client.known, SYNC, budget=client.budget) as stream:
        key = client.known.gossip.follow(home.fingerprint, bell.ring)
        with anyio.move_on_after(5):
            await client.exchanges.move(key, stream, bell)


def test_an_address_that_is_claimed_and_not_held_is_distrusted_by_everybody_until_it_is(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            liar = await begin(made, NOWHERE)
            await made.until(lambda: all(distrusted(home, liar) for home in others(made, liar)), 180)
            for home in others(made, liar):
                assert distrusted(home, liar) == f"basic: {LOST}"
                assert liar.fingerprint not in home.known.chart().nodes
                assert not any(distrusted(home, other) for other in others(made, liar))
            honest = others(made, liar)
            await made.until(lambda: all(by_all(home, honest) for home in honest), 60, "all have said so")

            client = Client(made)
            crane = await client.call(made.homes["n0"])
            await follow(client, crane, made.homes["n0"])
            assert len(client.known.gossip.marks) == len(NAMES)
            held = client.known.rack.held(liar.fingerprint)
            assert held is not None
            assert "most of those who look" in held.distrust, "a client never dials, and believes a quorum"

            await at(made, NOWHERE, lambda ship: liar.running._reception._receive(ship))
            await made.until(lambda: not any(distrusted(home, liar) for home in others(made, liar)), 900)
            assert all(liar.fingerprint in home.known.chart().nodes for home in others(made, liar))
            marks = made.homes["n0"].known.gossip.marks
            await made.until(lambda: not any(mark.mark.failure for mark in marks), 60)
            assert len(marks) == len(NAMES), "what was taken back is remembered, or it would come again"

    on_virtual_clock(run)


def test_who_names_another_s_address_is_distrusted_and_the_other_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            victim = "20.2.0.1:9000"
            hijacker = await begin(made, victim)
            assert made.homes["n1"].endpoint == victim
            await made.until(lambda: all(distrusted(home, hijacker) for home in others(made, hijacker)), 180)
            assert not any(distrusted(home, made.homes["n1"]) for home in made.running)
            assert made.homes["n1"].lanes, "it is as good as before"

    on_virtual_clock(run)


def test_who_passes_calls_on_to_another_node_is_not_that_node(tmp_path: Path) -> None:
    """The proof names the responder and binds this link's keys: it cannot be fetched elsewhere."""

    async def run() -> None:
        async with town(tmp_path) as made:
            relayed = 0

            async def relay(ship: Ship) -> None:
                nonlocal relayed
                relayed += 1
                options = {"network": made.name, "endpoint": NOWHERE, "delay_s": made.delay_s}
                onward = await Memory(Memory.Config.model_validate(options)).dial(made.homes["n1"].endpoint)

                async def copy(one: Ship, other: Ship) -> None:
                    try:
                        while True:
                            await other.send(await one.receive())
                    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                        await other.aclose()

                async with anyio.create_task_group() as both:
                    both.start_soon(copy, ship, onward)
                    both.start_soon(copy, onward, ship)

            await at(made, NOWHERE, relay)
            liar = await begin(made, NOWHERE)
            await made.until(lambda: all(distrusted(home, liar) for home in others(made, liar)), 180)
            assert relayed >= 2 * len(NAMES), "they were called, and got what another node answers to that"

    on_virtual_clock(run)


def test_a_call_ends_with_the_proof_and_tells_the_other_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Terms] = []
    dial = verification.dial

    async def watched(ship: Ship, terms: Terms, to: ResponderKey) -> Crane:
        called.append(terms)
        return await dial(ship, terms, to)

    monkeypatch.setattr(verification, "dial", watched)

    async def run() -> None:
        async with town(tmp_path) as made:
            one, other = made.home("one"), made.home("other")
            await made.start(["one", "other"], ["one", "other"])
            taken: list[bytes | None] = []
            keep = one.running._take

            async def watch(crane: object, remote: str) -> None:
                taken.append(crane.peer)  # type: ignore[attr-defined]
                await keep(crane, remote)  # type: ignore[arg-type]

            one.running._reception._take = watch
            await made.until(lambda: met(one, other) and met(other, one), 120)
            await anyio.sleep(60)
            assert set(taken) <= {None, other.fingerprint}
            assert all(crane.peer is not None for crane in one.running._cranes), "no call of nobody's is left"
            assert len(called) == 2, "each has looked at the other once"
            assert all(terms.signer is None and terms.on_setup is None for terms in called)

    on_virtual_clock(run)


def test_silent_hosts_are_given_up_together_and_hold_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is at an address, a call without a proof takes the same time."""
    ends: dict[str, list[float]] = {}
    check = verification.Verification._check

    async def watch(self: verification.Verification, due: verification.CheckDial) -> None:
        begun_s = anyio.current_time()
        await check(self, due)
        ends.setdefault(due.address, []).append(anyio.current_time() - begun_s)

    monkeypatch.setattr(verification.Verification, "_check", watch)

    async def run() -> None:
        async with town(tmp_path) as made:

            async def silent(ship: Ship) -> None:
                await anyio.sleep_forever()

            async def rude(ship: Ship) -> None:
                await ship.aclose()

            async def chatty(ship: Ship) -> None:
                await ship.send(bytes(8192))
                await anyio.sleep_forever()

            await at(made, "20.90.0.1:1", silent)
            await at(made, "20.91.0.1:1", rude)
            await at(made, "20.92.0.1:1", chatty)
            liar = await begin(made, NOWHERE)
            for number in range(3):
                more = made.home(f"liar{number}", advertise={"memory": [f"20.9{number}.0.1:1"]})
                await more.start(NAMES[:3])
            honest = [made.homes[name] for name in NAMES]
            liars = [liar, *(made.homes[f"liar{number}"] for number in range(3))]
            await made.until(lambda: all(distrusted(home, one) for home in honest for one in liars), 400)
            for address in (NOWHERE, "20.90.0.1:1", "20.91.0.1:1", "20.92.0.1:1"):
                assert ends[address] == pytest.approx([verification.PROOF_S] * len(ends[address])), address

    on_virtual_clock(run)
