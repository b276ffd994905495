"""The product's links send the vectors' blocks, and take them: early keys, END_EARLY, and the first step."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any

import pytest
from reference import generate
from reference.cases.link import PING_TOKEN
from reference.link import BLOCK, DESTROY, EARLY, LINK, RELAY, SETUP
from reference.recorded import FROZEN
from scripted_suite import Scripted

from port17.wire.block import BODY_SIZE, SETUP_SIZE
from port17.wire.conveyor import nothing
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.link import Link
from port17.wire.quota import Budget
from port17.wire.ratchet import Chain, Session
from port17.wire.reasons import Reason

VECTORS = generate.read()["link"]
GRANTS = 1000
NOW_S = 1.0
"""The clock's time; a PING's token is that in microseconds."""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


class End:
    """A circuit's end that sends what it is told to, and keeps what comes."""

    def __init__(self) -> None:
        self.ahead: deque[tuple[int, bytes]] = deque()
        self.came: list[tuple[int, bytes]] = []
        self.reason: Reason | None = None

    def deliver(self, leg: Leg, command: int) -> None:
        self.came.append((command, bytes(leg.link.body)))

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        if not self.ahead:
            return None
        command, body = self.ahead.popleft()
        out[:] = body.ljust(BODY_SIZE, b"\0")
        return command

    def pending(self, leg: Leg) -> bool:
        return bool(self.ahead)

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        self.reason = reason


class Ends:
    """Both ends of a vector's link."""

    def __init__(self, name: str) -> None:
        self.case = VECTORS[name]
        self.suite = Scripted(name)
        early, key, transcript = (unhex(self.case[it]) for it in ("early_root", "key", "transcript"))
        near, far = (Session(self.suite, key, transcript) for _ in range(2))
        self.near = Link(
            initiator=True,
            send=Chain(self.suite, early),
            receive=None,
            grants=Budget(GRANTS),
            wake=nothing,
            on_setup=None,
        )
        self.far = Link(
            initiator=False,
            send=far.backward,
            receive=Chain(self.suite, early),
            grants=Budget(GRANTS),
            wake=nothing,
            on_setup=self._on_setup,
        )
        self._near_session = near
        self.far.expect_final(far)
        self.circuits: dict[str, End] = {"near": End(), "far": End()}
        self.legs: dict[str, Leg] = {}
        self.setups: list[bytes] = []

    def _on_setup(self, leg: Leg, content: bytes) -> CircuitEnd:
        self.setups.append(content)
        self.legs["far"] = leg
        return self.circuits["far"]

    def say(self, event: dict[str, Any]) -> None:
        """Have the product send an event's cell next."""
        near = event["way"] != "backward"
        if event["command"] in (SETUP, EARLY, RELAY):
            if event["command"] == SETUP:
                leg = self.near.open(self.circuits["near"])
                assert leg is not None
                self.legs["near"] = leg
            end = "near" if near else "far"
            self.circuits[end].ahead.append((event["command"], unhex(event["body"])))
            self.legs[end].owed = event["credit"]
            self.legs[end].wake()
        elif event["is"] == "PING":
            self.near.control.ping(NOW_S, token=PING_TOKEN)
        elif event["is"] == "END_EARLY":
            self.suite.will_generate(self.case["seeds"]["initiator 0"])
            self.near.confirm(self._near_session, NOW_S)
        elif event["command"] == DESTROY:
            self.legs["near"].destroy(Reason(int(event["body"], 16)))

    def expect_steps(self) -> None:
        """What both ends draw for their steps, in the order in which they do."""
        seeds, kem = self.case["seeds"], self.case["kem"]
        for new, outcome in (("responder 0", "RSP 0"), ("initiator 1", "REQ 1"), ("responder 1", "RSP 1")):
            self.suite.will_generate(seeds[new])
            self.suite.will_encapsulate(kem[outcome])


def pull(link: Link) -> bytes:
    """The one block that a link sends next."""
    block = bytearray(BLOCK)
    assert link.pull([memoryview(block)], NOW_S) == 1
    return bytes(block)


@pytest.mark.parametrize("name", FROZEN)
def test_both_ends_are_the_vectors(name: str) -> None:
    ends = Ends(name)
    for event in ends.case["blocks"]:
        ends.say(event)
        if event["is"] == "END_EARLY":
            ends.expect_steps()
        source, sink = (ends.far, ends.near) if event["way"] == "backward" else (ends.near, ends.far)
        block, written = pull(source), event["block"]
        assert (len(block), hashlib.sha256(block).hexdigest()) == (written["size"], written["sha256"])
        assert block.hex() == written.get("hex", block.hex())
        sink.receive(block, NOW_S)
        _check_arrival(ends, event)
    assert ends.suite.used_up
    assert not ends.near.failure
    assert not ends.far.failure


def _check_arrival(ends: Ends, event: dict[str, Any]) -> None:
    """What a cell said has come."""
    match event["is"]:
        case "SETUP":
            assert ends.setups == [unhex(event["body"]).ljust(SETUP_SIZE, b"\0")]
            assert ends.legs["far"].ident == event["circuit"]
        case "EARLY" | "RELAY":
            end = "near" if event["way"] == "backward" else "far"
            body = unhex(event["body"]).ljust(BODY_SIZE, b"\0")
            assert ends.circuits[end].came[-1] == (event["command"], body)
            if event["credit"]:
                assert ends.legs[end].credit == 32 - 1 - 1 + event["credit"]
        case "DESTROY":
            assert ends.circuits["far"].reason is not None
        case _:
            assert event["command"] == LINK
