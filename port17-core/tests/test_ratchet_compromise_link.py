"""State stolen from either end of a link: the table of circuits, where no key lies ready for anybody."""

from __future__ import annotations

import random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from port17.wire.pace import StepTerms

from .ratchet_links import BACKWARD, FORWARD, Ends, frame_of_cell
from .ratchet_thief import Loot, Thief
from .wire_suites import TOY


def heals(ends: Ends, near: bool, moment: int) -> dict[bool, int]:
    """Per direction, the last block that the thief opens."""
    made, cell = ends.made, {way: {s.epoch: s.cell for s in ends.steps[way]} for way in (FORWARD, BACKWARD)}
    if near:
        epoch = min(e for e, move in made[FORWARD].items() if move > moment)
        return {FORWARD: cell[FORWARD][epoch], BACKWARD: cell[BACKWARD][epoch]}
    epoch = min(e for e, move in made[BACKWARD].items() if move > moment)
    return {FORWARD: cell[FORWARD][epoch + 1], BACKWARD: cell[BACKWARD][epoch]}


@settings(deadline=None, max_examples=40)
@given(cells_per_step=st.sampled_from([1, 2, 3, 128]), seed=st.integers(0, 2**32), near=st.booleans())
def test_a_copy_of_a_link_opens_what_the_table_says_and_no_more(
    cells_per_step: int, seed: int, near: bool
) -> None:
    rng = random.Random(seed)
    ends = Ends(StepTerms(step_s=1.0), cells_per_step)
    loot: Loot | None = None
    place = rng.randrange(60)
    moment, counted = 0, {FORWARD: 0, BACKWARD: 0}
    for number in range(200):
        if loot is None and number >= place:
            loot = ends.steal(near)
            if loot is not None:
                moment = ends.moves
                counted = {way: ends.chain(way, near).counter for way in (FORWARD, BACKWARD)}
                keys = ends.near.keys if near else ends.far.keys
                event(f"{'initiator' if near else 'responder'}: {len(loot.privates)} keys, {keys.due=}")
        move = rng.random()
        if move < 0.1:
            ends.talk(rng.randrange(3))
        elif move < 0.2:
            ends.clock.pass_s(rng.choice([0.1, 1.0]))
            ends.tend()
        elif move < 0.6:
            ends.send(rng.random() < 0.5, rng.randrange(1, 5))
        else:
            ends.arrive(rng.random() < 0.5)
    assert loot is not None
    for _ in range(4):
        ends.talk(2)
        ends.settle()
        ends.clock.pass_s(2.0)
        ends.tend()
        ends.settle()
        ends.talk(2)
        ends.settle()
    last = heals(ends, near, moment)
    for way in (FORWARD, BACKWARD):
        opened = Thief(TOY, loot, way, frame_of_cell).read(ends.wire[way])
        assert opened == set(range(ends.began(way, counted[way]), last[way] + 1))
        assert len(ends.wire[way]) > last[way] + 1, "nothing came after it"
