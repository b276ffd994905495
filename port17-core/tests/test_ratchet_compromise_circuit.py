"""State stolen from a real circuit's client or from one of its nodes, with cells under way everywhere.

The same thief and the same table as in the tests of a bare session; here he stands at each hop's edge, sees
every body on it, and reads what the layer says of the hop that he robbed, or that the client talks with.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from port17.wire.block import SETUP_SIZE
from port17.wire.leg import Leg
from port17.wire.pace import StepTerms
from port17.wire.replay import ReplaySet
from port17.wire.setup import open_setup

from .ratchet_thief import Loot, Thief, copied, stolen
from .ratchet_watch import BACKWARD, FORWARD, FRAME_OF_LAYER, Place, Watched
from .wire_bench import BenchLink
from .wire_network import Clock, Host
from .wire_suites import TOY

OTHERS = (Leg, Host, BenchLink, Clock)
"""What is of other ends, or of nobody."""


@dataclass
class Theft:
    """What was taken from the client, or from one node.

    :param loot: by hop whose session it opens.
    :param cells: how many of each direction the robbed end had counted.
    """

    client: bool
    move: int
    loot: dict[int, Loot]
    cells: dict[Place, int]


def rob(bench: Watched, victim: int) -> Theft:
    """:param victim: the client at 0, or hop ``victim - 1``."""
    client = victim == 0
    loot: dict[int, Loot] = {}
    if client:
        for index, hop in enumerate(bench.circuit.hops):
            loot[index] = stolen(hop.ratchet, bench.circuit, without=OTHERS)
    else:
        (relay,) = bench.hosts[victim - 1].relays
        loot[victim - 1] = stolen(relay._ratchet, relay, bench.spare[victim - 1], without=OTHERS)
    cells = {
        (hop, way): bench.chain((hop, way), client).counter for hop in loot for way in (FORWARD, BACKWARD)
    }
    return Theft(client, bench.moves, loot, cells)


def heals(bench: Watched, hop: int, theft: Theft) -> dict[bool, int]:
    """Per direction, the last cell that the thief opens."""
    requests, responses = bench.steps[hop, FORWARD], bench.steps[hop, BACKWARD]

    def after(way: bool, cell: int) -> bool:
        return bench.sealed_at[hop, way][cell] > theft.move

    if theft.client:
        forward = next(step for step in requests if after(FORWARD, step.cell))
        backward = next(step for step in responses if step.epoch == forward.epoch)
    else:
        backward = next(step for step in responses if after(BACKWARD, step.cell))
        # REQ n encapsulates to the key of RSP n - 1; RSP 0's lay ready.
        made = max(backward.epoch, 1)
        forward = next(step for step in requests if step.epoch == made + 1)
    return {FORWARD: forward.cell, BACKWARD: backward.cell}


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(1, 3),
    cells_per_step=st.sampled_from([1, 2, 3, 128]),
    seed=st.integers(0, 2**32),
    victim=st.integers(0, 3),
)
def test_a_copy_of_a_circuit_opens_what_the_table_says_and_no_more(
    count: int, cells_per_step: int, seed: int, victim: int
) -> None:
    # What moves when is a seed's and not a list's: a list's short ones never get to a second step.
    rng = random.Random(seed)
    bench = Watched([TOY] * count, StepTerms(cells_per_step, step_s=1.0))
    victim %= count + 1
    theft: Theft | None = None
    place = rng.randrange(40 * count)
    for number in range(50 * count):
        if theft is None and number >= place and (victim == 0 or len(bench.relays) >= victim):
            theft = rob(bench, victim)
            ratchet = bench.circuit.hops[victim - 1 if victim else 0].ratchet
            event(f"{'node' if victim else 'client'}, epoch {ratchet.epoch}, waiting: {ratchet.waiting}")
        move = rng.random()
        if move < 0.1:
            bench.chatter()
        elif move < 0.2:
            bench.clock.pass_s(1.5)
            bench.circuit.tend(bench.clock.now_s)
        else:
            bench.carry(rng.randrange(count), rng.random() < 0.5)
    if theft is None:
        bench.settle()
        theft = rob(bench, victim)
    for _ in range(4):
        bench.step()
    assert bench.circuit.closed is None
    for hop, loot in theft.loot.items():
        last = heals(bench, hop, theft)
        for way in (FORWARD, BACKWARD):
            wire = bench.wire[hop, way]
            opened = Thief(TOY, loot, way, FRAME_OF_LAYER).read(wire)
            assert opened == set(range(bench.began((hop, way), theft.cells[hop, way]), last[way] + 1))
            assert len(wire) > last[way] + 1, "nothing came after it"


@pytest.mark.parametrize("hop", [0, 2])
@pytest.mark.parametrize("spare_known", [False, True])
def test_a_stolen_prekey_opens_early_data_and_nothing_after_the_first_step(
    hop: int, spare_known: bool
) -> None:
    bench = Watched([TOY] * 3, StepTerms())
    spare = [key.private for key in bench.spare[hop]]
    bench.near[hop].send(b"early data")
    for _ in range(4):
        bench.step()
    host, setup = bench.hosts[hop], bench.edges[hop].setup
    assert setup is not None
    opened = open_setup(
        host.network, host.fingerprint, host.find, ReplaySet(60), setup[:SETUP_SIZE], bench.clock.wall_s - 500
    )
    loot = Loot(copied(opened.session.forward), copied(opened.session.backward))
    requests = [step.cell for step in bench.steps[hop, FORWARD]]
    read = {
        way: Thief(TOY, loot, way, FRAME_OF_LAYER).read(bench.wire[hop, way]) for way in (FORWARD, BACKWARD)
    }
    # All that went forward before REQ 1, and backward RSP 0 alone.
    assert read == {FORWARD: set(range(requests[0] + 1)), BACKWARD: {0}}
    if spare_known:
        # RSP 0's key lay ready: who had taken it, too, follows for one step more.
        loot.privates += spare
        assert Thief(TOY, loot, FORWARD, FRAME_OF_LAYER).read(bench.wire[hop, FORWARD]) == set(
            range(requests[1] + 1)
        )
        assert Thief(TOY, loot, BACKWARD, FRAME_OF_LAYER).read(bench.wire[hop, BACKWARD]) == {0}
