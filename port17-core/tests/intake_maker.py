"""Intakes for tests, who sends to them and whose bottles, and what became of these."""

from __future__ import annotations

from dataclasses import replace

from port17.bottles.intake import (
    ForwardProof,
    Intake,
    Sender,
    Taken,
)
from port17.bottles.outcome import Aborted, Outcome, Why
from port17.bottles.rack import MemoryRack
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle

from .bottle_maker import NETWORK, NOW, TERMS, Maker

PANEL = Registry().panel
LANE = Sender("lane")
OTHER_LANE = Sender("another lane")
NEIGHBOUR = Sender("neighbour", local=True)
AT = {"tcp": ["192.0.2.1:4000"]}
ALICE, BOB, CAROL = Maker(), Maker(), Maker()


def intake(capacity: int = 100, checker: bytes | None = None) -> Intake:
    rack = MemoryRack(MemoryRack.Config(capacity=capacity))
    return Intake(rack, PANEL, NETWORK, checker=checker)


def why(taken: Taken) -> Why:
    assert isinstance(taken.outcome, Aborted), taken.outcome
    assert taken.next == () or all(isinstance(action, ForwardProof) for action in taken.next)
    return taken.outcome.why


def take(into: Intake, *bottles: Bottle, sender: Sender = LANE, now: float = NOW) -> Outcome:
    for bottle in bottles:
        outcome = into.take(bottle.encode(), sender, replace(TERMS, now_s=now)).outcome
    return outcome
