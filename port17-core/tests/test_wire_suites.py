"""Whole tunnels without I/O over every installed suite: circuits, conveyors and steps, alone and mixed."""

from __future__ import annotations

import random

import pytest

from port17.wire.conveyor import Conveyor
from port17.wire.suite import CipherSuite

from .wire_ends import take
from .wire_network import Net
from .wire_suites import SUITES

AMOUNT = 300_000
"""Bytes each way: several first windows, in 76 cells."""
CELLS_PER_STEP = 16
STEPS = 4
"""Symmetric steps that so many cells take at least."""


def carried(net: Net, source: Conveyor, sink: Conveyor, data: bytes) -> bytes:
    """What arrives of what is sent."""
    source.send(data)
    got = b""
    while len(got) < len(data):
        net.pump()
        piece = take(sink, net.clock.now_s)
        assert piece, "nothing moves"
        got += piece
    return got


def routes() -> list[list[CipherSuite]]:
    """Each suite alone, and all of them in one route, both ways round."""
    mixed = list(SUITES[:5])
    return [*([suite] * 3 for suite in SUITES), mixed, mixed[::-1]]


@pytest.mark.parametrize("suites", routes(), ids=lambda route: f"{route[0].name} to {route[-1].name}")
def test_a_tunnel_carries_both_ways_and_steps(suites: list[CipherSuite]) -> None:
    net = Net(suites)
    circuit = net.circuit(net.chain(), cells_per_step=CELLS_PER_STEP)
    near, far = net.converse(circuit, data=b"first")
    assert take(far) == b"first"
    out = random.Random(7).randbytes(AMOUNT)
    assert carried(net, near, far, out) == out
    assert carried(net, far, near, out[::-1]) == out[::-1]
    assert [hop.session.suite.name for hop in circuit.hops] == [suite.name for suite in suites]
    assert [wire.error for wire in net.wires] == [None] * len(suites)
    for hop in circuit.hops:
        assert hop.session.forward.steps >= STEPS
        assert hop.session.backward.steps >= STEPS
        assert hop.session.forward.rekeys >= 1
        assert hop.session.backward.rekeys >= 2
    for wire in net.wires:
        session = wire.near.keys.session
        assert session is not None
        assert session.forward.rekeys >= 1
        assert session.backward.rekeys >= 1
    near.finish()
    net.pump()
    assert far.finished
    assert not near.finished
    far.finish()
    net.pump()
    assert near.finished
