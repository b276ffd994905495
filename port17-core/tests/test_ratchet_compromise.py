"""Stolen state: what it opens, and after which step it opens nothing more, exactly.

The thief of :mod:`.ratchet_thief` is as strong as the keys that he has: what these tests say he reads he
does read, up to the very cell that heals.

Robbed of its state, a *client* heals forward with the next REQ it begins and backward with the RSP to
that REQ: one whole step. A *node* heals backward with the next RSP it makes, and forward with the REQ that
answers a key made after the theft: RSP 0's lay ready before it, so that two steps begun after the theft do.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from port17.wire.suite import CipherSuite

from .ratchet_talk import BACKWARD, CLIENT, FORWARD, NODE, Sent, Talk, frame_of
from .ratchet_thief import Loot, Thief
from .wire_suites import SUITES, TOY

MOVES = ["say", "reply", "reach", "return", "ask", "answer", "turn"]


@dataclass
class Theft:
    """When it was, and what was taken."""

    loot: Loot
    moment: int
    name: str
    began: dict[bool, int]
    """Per direction, the first cell of the keys in force at the robbed end."""


def rob(talk: Talk, end: bool, name: str = "at rest") -> Theft:
    """Copy all that one end has."""
    began = {way: talk.accounts[end, way].began for way in (FORWARD, BACKWARD)}
    return Theft(talk.steal(end), talk.moments, name, began)


def healing(talk: Talk, end: bool, theft: Theft) -> dict[bool, Sent]:
    """Per direction the frame whose cell is the last that the thief opens: the table of the protocol."""
    requests, responses = talk.ways[FORWARD].frames, talk.ways[BACKWARD].frames
    if end is CLIENT:
        forward = next(sent for sent in requests if sent.begun >= theft.moment)
        backward = next(sent for sent in responses if sent.epoch == forward.epoch)
    else:
        backward = next(sent for sent in responses if sent.begun >= theft.moment)
        forward = next(
            sent for sent in requests if sent.begun >= theft.moment and sent.key_made >= theft.moment
        )
    return {FORWARD: forward, BACKWARD: backward}


def check(talk: Talk, end: bool, theft: Theft) -> dict[bool, Sent]:
    """The thief reads what the table says, and nothing else."""
    heals = healing(talk, end, theft)
    for way in (FORWARD, BACKWARD):
        wire = talk.ways[way].wire
        opened = Thief(talk.suite, theft.loot, way, frame_of).read(wire)
        assert opened == set(range(theft.began[way], heals[way].cell + 1))
        assert len(wire) > heals[way].cell + 1, "nothing came after it"
    return heals


def act(talk: Talk, move: str) -> None:
    if move in ("say", "reply"):
        talk.say(move == "say")
    elif move in ("reach", "return"):
        talk.arrive(move == "reach")
    elif move == "ask":
        talk.ask()
    elif move == "answer":
        talk.answer()
    else:
        talk.step()


@settings(deadline=None, max_examples=120)
@given(
    cells_per_step=st.sampled_from([1, 2, 3, 128]),
    spare=st.integers(0, 2),
    moves=st.lists(st.sampled_from(MOVES), max_size=40),
    place=st.integers(0, 90),
    end=st.booleans(),
)
def test_a_copy_opens_what_the_table_says_and_no_more(
    cells_per_step: int, spare: int, moves: list[str], place: int, end: bool
) -> None:
    talk = Talk(TOY, cells_per_step, spare)
    thefts: list[Theft] = []

    def moment(name: str) -> None:
        if talk.moments == place:
            thefts.append(rob(talk, end, name))

    talk.moment = moment
    moment("SETUP opened")
    for move in [*moves, "turn", "turn"]:
        act(talk, move)
    if not thefts:
        thefts.append(rob(talk, end))
    talk.moment = lambda name: None
    before = talk.asks.epoch
    for _ in range(3):
        talk.step(2)
        talk.check()
    (theft,) = thefts
    event(f"{'client' if end is CLIENT else 'node'}: {theft.name}")
    heals = check(talk, end, theft)
    begun = [sent.epoch for sent in talk.ways[FORWARD].frames if sent.begun >= theft.moment]
    assert talk.asks.epoch == before + 3
    # One step begun after a client's theft; two, and often one, after a node's.
    needed = begun.index(heals[FORWARD].epoch) + 1
    assert needed == 1 if end is CLIENT else needed in (1, 2)
    assert heals[BACKWARD].epoch <= begun[needed - 1]


TABLE = [
    # who was robbed, when; the last frames that the thief opens, forward and backward
    (CLIENT, "SETUP", "REQ 1", "RSP 1"),
    (CLIENT, "RSP 0 made", "REQ 1", "RSP 1"),
    (CLIENT, "RSP 0 sent", "REQ 1", "RSP 1"),
    (CLIENT, "RSP 0 taken", "REQ 1", "RSP 1"),
    (CLIENT, "REQ 1 made", "REQ 2", "RSP 2"),
    (CLIENT, "REQ 1 sealed", "REQ 2", "RSP 2"),
    (CLIENT, "REQ 1 sent", "REQ 2", "RSP 2"),
    (CLIENT, "REQ 1 taken", "REQ 2", "RSP 2"),
    (CLIENT, "RSP 1 sent", "REQ 2", "RSP 2"),
    (CLIENT, "RSP 1 taken", "REQ 2", "RSP 2"),
    (NODE, "SETUP", "REQ 2", "RSP 0"),
    (NODE, "RSP 0 made", "REQ 2", "RSP 1"),
    (NODE, "RSP 0 sealed", "REQ 2", "RSP 1"),
    (NODE, "RSP 0 sent", "REQ 2", "RSP 1"),
    (NODE, "RSP 0 taken", "REQ 2", "RSP 1"),
    (NODE, "REQ 1 sent", "REQ 2", "RSP 1"),
    (NODE, "REQ 1 taken", "REQ 2", "RSP 1"),
    (NODE, "RSP 1 made", "REQ 3", "RSP 2"),
    (NODE, "RSP 1 sealed", "REQ 3", "RSP 2"),
    (NODE, "RSP 1 sent", "REQ 3", "RSP 2"),
    (NODE, "RSP 1 taken", "REQ 3", "RSP 2"),
    (NODE, "REQ 2 sent", "REQ 3", "RSP 2"),
]


@pytest.mark.parametrize("cells_per_step", [1, 128])
@pytest.mark.parametrize(("end", "when", "forward", "backward"), TABLE)
def test_which_frame_heals(end: bool, when: str, forward: str, backward: str, cells_per_step: int) -> None:
    talk = Talk(TOY, cells_per_step)
    thefts: list[Theft] = []

    def moment(name: str) -> None:
        if name == when:
            thefts.append(rob(talk, end, name))

    talk.moment = moment
    moment("SETUP")
    for _ in range(4):
        talk.step(2)
    (theft,) = thefts
    heals = check(talk, end, theft)
    assert (f"REQ {heals[FORWARD].epoch}", f"RSP {heals[BACKWARD].epoch}") == (forward, backward)


@pytest.mark.parametrize("end", [CLIENT, NODE])
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_every_suite_heals(suite: CipherSuite, end: bool) -> None:
    talk = Talk(suite, 128)
    talk.step()
    theft = rob(talk, end)
    for _ in range(3):
        talk.step()
    check(talk, end, theft)
