"""A client's Seagulls: what sources lack comes through circuits, and nobody learns which node it was for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from port17.bottles.gossip_events import Key
from port17.bottles.sync import Scope
from port17.client.seagulls import AGAIN_S, PAUSE_S, WAITING_CAP, WANTED_SHARE, Seagulls
from port17.client.sources import Source
from port17.client.words import Place, Witness, Words, group_of
from port17.navigator.chart import ChartNode
from port17.node import seagull
from port17.records.bottle import Bottle
from port17.records.seagull import BATCH, Asked

from .links_network import on_virtual_clock
from .node_world import one_thread, town
from .seagull_person import STAY, Person, current

__all__ = ["one_thread"]


async def built(person: Person, route: list[ChartNode]) -> Any:
    """A circuit, as the client's own have it."""
    return SimpleNamespace(circuit=await person.circuit(route), route=SimpleNamespace(nodes=tuple(route)))


def rows(person: Person, but: bytes) -> list[list[ChartNode]]:
    """Routes of three with different nodes in the middle, none of them a certain one."""
    nodes = person.known.chart().nodes
    found: dict[bytes, list[ChartNode]] = {}
    for first in person.tunnel._entries.standing & nodes.keys():
        for second in nodes[first].lanes.keys() - {but}:
            for third in nodes[second].lanes.keys() - {first, but}:
                if first != but:
                    found[second] = [nodes[first], nodes[second], nodes[third]]
    return list(found.values())


def test_two_carriers_agree_on_what_no_source_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Asked] = []
    parse = Asked.parse

    def watch(data: bytes) -> Asked:
        asked.append(parse(data))
        return asked[-1]

    monkeypatch.setattr(seagull, "Asked", SimpleNamespace(parse=watch))

    async def run() -> None:
        async with town(tmp_path) as made:
            for name in STAY:
                made.home(name)
            await made.start(STAY, STAY[:3])
            await made.until(lambda: all(current(made, home) for home in made.running), 60)
            person, over = Person(made), anyio.Event()
            await made.tasks.start(
                lambda task_status: person.run(known=STAY[:3], until=over, task_status=task_status)
            )
            await made.until(lambda: person.ready, 90)
            held = person.tunnel._prekeys
            target = next(
                node
                for node in person.known.chart()
                if node.fingerprint not in person.tunnel._entries.standing
                and len(rows(person, node.fingerprint)) >= 2
            )
            circuits = [await built(person, row) for row in rows(person, target.fingerprint)[:2]]

            # What sources have said of it, and its records, are not there.
            words, rack = held._inquiry.words, person.known.rack
            for place in [one for one in words._named if one.fingerprint == target.fingerprint]:
                del words._named[place]
            racked = rack.held(target.fingerprint)
            assert racked is not None
            rack.write([replace(racked, bottle=replace(racked.bottle, bundle=()))])
            assert not held.holds(target)

            seagulls = Seagulls(person.known, lambda: circuits, held.vouch, rng=Random(17))
            made.tasks.start_soon(seagulls.run)
            seagulls.want(target)
            await made.until(lambda: held.holds(target), 30, "no Seagull came back")
            assert len(asked) == 2
            assert asked[0] == asked[1], "of two batches, what is in both would be what is wanted"
            assert set(asked[0].nodes) == set(person.known.chart().nodes), "all of a small network"
            # One carrier's word alone is not enough.
            for place in [one for one in words._named if one.fingerprint == target.fingerprint]:
                del words._named[place]
            bottle = rack.get(target.fingerprint)
            assert bottle is not None
            held.vouch(bottle, Witness(b"1" * 32, "one group"))
            held.vouch(bottle, Witness(b"2" * 32, "one group"))
            assert not held.holds(target)
            held.vouch(bottle, Witness(b"3" * 32, "another"))
            assert held.holds(target)
            over.set()
            await anyio.sleep(1)

    on_virtual_clock(run)


class Map:
    """A network of which there is nothing but a chart."""

    def __init__(self, count: int) -> None:
        self.nodes = [
            ChartNode(n.to_bytes(32, "big"), f"id{n}", f"n{n}", group=f"g{n % 7}", suite="s")
            for n in range(count)
        ]

    def chart(self) -> list[ChartNode]:
        return self.nodes


def build(nodes: list[ChartNode], *, closed: bool = False) -> Any:
    hops = [SimpleNamespace(mux=SimpleNamespace(full=False)) for _ in nodes]
    made = SimpleNamespace(closed=closed or None, confirmed_s=1.0, hops=hops)
    return SimpleNamespace(circuit=made, route=SimpleNamespace(nodes=tuple(nodes)))


def ignore(bottle: Bottle, by: Witness) -> None:
    """Nobody counts words here."""


def test_a_batch_hides_what_is_wanted() -> None:
    nodes = Map(200)
    seagulls = Seagulls(nodes, list, ignore, rng=Random(1))  # type: ignore[arg-type]
    wanted = nodes.nodes[5].fingerprint
    places: Counter[int] = Counter()
    decoys: Counter[bytes] = Counter()
    for _ in range(800):
        batch = seagulls.batch([wanted])
        assert len(batch) == len(set(batch)) == BATCH
        places[batch.index(wanted)] += 1
        decoys.update(one for one in batch if one != wanted)
    assert len(places) == BATCH
    assert max(places.values()) < 100, "50 are expected"
    assert len(decoys) == 199
    assert max(decoys.values()) < 110, "60 are expected"
    assert len(seagulls.batch([node.fingerprint for node in Map(3).nodes])) == BATCH


def test_carriers_are_middles_of_different_groups_and_never_the_one_that_is_wanted() -> None:
    async def run() -> None:
        nodes = Map(40)
        one, two, three, four, five = nodes.nodes[:5]
        same = replace(two, fingerprint=b"s" * 32)
        there = [build([one, two, three]), build([one, same, three]), build([one, four, two])]
        there.append(build([one, five, two], closed=True))
        seagulls = Seagulls(nodes, lambda: there, ignore, rng=Random(1))  # type: ignore[arg-type]
        assert {carrier.group for carrier in seagulls._carriers()} == {two.group, four.group}
        assert all(carrier.hop == 1 for carrier in seagulls._carriers())
        seagulls.want(four)
        assert {carrier.group for carrier in seagulls._carriers()} == {two.group}

    on_virtual_clock(run)


def test_one_node_is_not_two_groups_as_source_and_as_carrier() -> None:
    async def run() -> None:
        nodes = Map(40)
        alone = replace(nodes.nodes[1], group="")
        there = [build([nodes.nodes[0], alone, nodes.nodes[2]])]
        seagulls = Seagulls(nodes, lambda: there, ignore, rng=Random(1))  # type: ignore[arg-type]
        (carrier,) = seagulls._carriers()
        group = group_of(alone.group, alone.fingerprint)
        source = Source(alone.fingerprint, alone.name, group, Scope.ALL, Key(1), anyio.CancelScope())
        assert source.witness == Witness(carrier.fingerprint, carrier.group)

    on_virtual_clock(run)


def test_one_node_that_changes_its_group_is_one() -> None:
    words, place = Words(), Place(b"n" * 32, "s", 1)
    for group in ("one", "another", "a third"):
        words.add(place, b"c", 2, Witness(b"1" * 32, group))
    assert not words.agree(place, b"c")
    words.add(place, b"c", 2, Witness(b"2" * 32, "one"))
    assert words.agree(place, b"c")


def test_nobody_is_asked_for_in_a_loop_and_what_waits_is_bounded() -> None:
    async def run() -> None:
        nodes = Map(200)
        sent: list[list[bytes]] = []
        there = [build(nodes.nodes[:3]), build(nodes.nodes[3:6])]
        seagulls = Seagulls(nodes, lambda: there, ignore, rng=Random(1))  # type: ignore[arg-type]

        async def send(suite: str, wanted: list[bytes], carriers: list[Any]) -> None:
            sent.append(wanted)

        seagulls._send = send  # type: ignore[method-assign, assignment]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seagulls.run)
            for node in nodes.nodes[10:]:
                seagulls.want(node)
            assert len(seagulls._wanted) == WAITING_CAP
            begun_s = anyio.current_time()
            while seagulls._wanted:
                await anyio.sleep(1)
                assert anyio.current_time() - begun_s < 600
            assert max(map(len, sent)) == BATCH // WANTED_SHARE
            assert len(sent) == WAITING_CAP * WANTED_SHARE // BATCH
            assert anyio.current_time() - begun_s > (len(sent) - 1) * PAUSE_S
            seagulls.want(nodes.nodes[10])
            assert not seagulls._wanted
            await anyio.sleep(AGAIN_S)
            seagulls.want(nodes.nodes[10])
            assert seagulls._wanted
            tasks.cancel_scope.cancel()

    on_virtual_clock(run)
