"""Credits between a link's two ends, whose turn it is, and the budgets behind both."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.wire.block import (
    BLOCK_SIZE,
    BODY_SIZE,
    CREDIT_CAP,
    LINK_CIRCUIT,
    Command,
)
from port17.wire.leg import CREDIT_MAX, FIRST_CREDIT
from port17.wire.message import TOKEN, LinkMessage
from port17.wire.quota import Budget, TokenBucket
from port17.wire.reasons import Reason

from .wire_forger import called_forger, forger
from .wire_network import Net, pull
from .wire_quiet import Client, Quiet, carry, one_node, opened, quiet_pair, setup_for
from .wire_suites import TOY

MIB = 1 << 20
TURN_MOST = 16
"""Cells that one circuit may send while another waits: 0.4 ms of a fast link."""


# -- credits ------------------------------------------------------------------------------------------
def test_a_cell_beyond_its_credit_destroys_that_circuit_alone() -> None:
    net, host, peer = one_node()
    one, other = Client(net, peer, 1), Client(net, peer, 3)
    for _ in range(FIRST_CREDIT):
        one.relay()
    assert peer.link.legs == 2
    one.relay()
    assert peer.link.legs == 1
    other.relay()
    cells = peer.read()
    assert [c.ident for c in cells if c.command == Command.DESTROY] == [1]
    assert host.grants.used == FIRST_CREDIT
    assert len(host.relays) == 1


def test_credit_comes_back_as_cells_leave_the_queue() -> None:
    net, host, peer = one_node()
    client = Client(net, peer, 1)
    peer.read()
    credit = FIRST_CREDIT
    for _ in range(40):
        net.clock.pass_s(1)
        for _ in range(credit):
            client.relay()
        credit = sum(cell.credit for cell in peer.read() if cell.ident == 1)
        assert credit == FIRST_CREDIT
    assert host.grants.used == FIRST_CREDIT


def test_credit_is_not_returned_for_cells_that_still_wait() -> None:
    net = Net([TOY, TOY])
    wire = net.chain(room=8 * BLOCK_SIZE)
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    lane = net.wires[0]
    lane.there.stopped = True
    near.send(bytes(MIB))
    net.pump()
    leg = next(iter(wire.far._legs.values()))
    waiting = len(net.hosts[0].relays[0]._onward)
    assert waiting
    assert leg.allowance + waiting + leg.owed == leg.window
    assert waiting <= leg.window <= CREDIT_MAX
    lane.there.stopped = False
    got = b""
    for _ in range(1000):
        net.pump()
        piece = far.take()
        far.consumed(len(piece), net.clock.now_s)
        got += piece
    assert len(got) == MIB


@pytest.mark.parametrize(
    ("grants", "most"), [(1 << 20, CREDIT_MAX), (512, 256), (FIRST_CREDIT, FIRST_CREDIT)]
)
def test_windows_grow_with_the_drain_and_stay_within_the_budget(grants: int, most: int) -> None:
    net = Net([TOY])
    net.hosts[0].grants = net.client_grants = Budget(grants)
    net.hosts[0].grants = Budget(grants)
    wire = net.chain()
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    for way, (source, sink) in enumerate(((near, far), (far, near))):
        for _ in range(60):
            source.send(bytes(300_000))
            net.pump()
            while piece := sink.take():
                sink.consumed(len(piece), net.clock.now_s)
                net.pump()
        link = wire.near if way else wire.far
        leg = next(iter(link._legs.values()))
        assert leg.window == most
        assert link.grants.used == leg.window
        assert leg.allowance <= leg.window


def test_slow_drains_do_not_grow_a_window() -> None:
    net = Net([TOY])
    wire = net.chain()
    near, far = net.converse(net.circuit(wire))
    for _ in range(100):
        near.send(bytes(100_000))
        net.clock.pass_s(1)
        net.pump()
        piece = far.take()
        far.consumed(len(piece), net.clock.now_s)
    assert next(iter(wire.far._legs.values())).window == FIRST_CREDIT


def test_credit_adds_up_to_a_most() -> None:
    net = Net([TOY])
    peer = called_forger(net)
    leg = opened(peer.link, Quiet(100))
    for _ in range(5):
        peer.write(1, Command.PADDING, credit=CREDIT_CAP)
    assert leg.credit == CREDIT_CAP
    assert len(peer.read(128)) == 101


def test_destroy_link_and_padding_cells_are_free() -> None:
    net, _, peer = one_node()
    client = Client(net, peer, 1)
    for _ in range(3 * FIRST_CREDIT):
        peer.write(1, Command.PADDING, os.urandom(BODY_SIZE))
        peer.write(LINK_CIRCUIT, Command.PADDING)
        peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PING, 5))
    for _ in range(FIRST_CREDIT):
        client.relay()
    assert peer.link.legs == 1


def test_setup_is_refused_when_the_grants_are_spent() -> None:
    net = Net([TOY], grants=3 * FIRST_CREDIT + 5)
    host = net.hosts[0]
    peer = forger(host)
    for ident in (1, 3, 5, 7):
        peer.write(ident, Command.SETUP, setup_for(host))
    refused = [cell for cell in peer.read() if cell.command == Command.DESTROY]
    assert [(cell.ident, cell.body[:2]) for cell in refused] == [(7, Reason.RESOURCES.to_bytes(2, "big"))]
    assert (peer.link.legs, host.grants.left) == (3, 5)
    peer.write(1, Command.DESTROY)
    peer.write(9, Command.SETUP, setup_for(host))
    assert not [cell for cell in peer.read() if cell.command == Command.DESTROY]
    assert peer.link.open(Quiet()) is None


def test_everything_is_given_back_however_circuits_end() -> None:
    net = Net()
    wire = net.chain()
    circuits = [net.circuit(wire) for _ in range(6)]
    pairs = [net.converse(circuit) for circuit in circuits]
    for near, far in pairs:
        near.send(bytes(500_000))
        far.send(bytes(500_000))
    for turn in range(50):
        net.pump()
        for near, far in pairs:
            for end in (near, far):
                piece = end.take() if turn < 45 else b""
                end.consumed(len(piece), net.clock.now_s)
    circuits[0].close(Reason.DONE)
    net.hosts[2].relays[1].end(Reason.RESOURCES)
    net.hosts[1].relays[2].end(Reason.RESOURCES)
    net.hosts[0].relays[3].end(Reason.RESOURCES)
    pairs[4][0].reset(Reason.DONE)
    net.pump()
    assert sum(circuit.closed is None for circuit in circuits) == 2
    net.wires[1].lose()
    net.pump()
    wire.lose()
    net.pump()
    for host in net.hosts:
        assert host.relays == []
        assert host.grants.used == 0
    assert net.client_grants.used == 0
    assert all(circuit.closed is not None for circuit in circuits)
    for near, far in pairs:
        near.take()
        far.take()
    assert [budget.used for budget in (net.budget, *(host.budget for host in net.hosts))] == [0] * 4


def test_a_lost_link_ends_its_circuits_and_opens_none() -> None:
    here, there, circuits = quiet_pair()
    ours = [Quiet() for _ in range(3)]
    for circuit in ours:
        opened(here, circuit)
    carry(here, there)
    for link in (here, there):
        link.lost(Reason.LINK_LOST)
        assert (link.legs, link.grants.used, link.pending) == (0, 0, False)
        assert link.open(Quiet()) is None
    assert [circuit.ended for circuit in (*ours, *circuits)] == [Reason.LINK_LOST] * 6


# -- whose turn it is -----------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [2, 3, 7])
def test_busy_circuits_share_a_link_alike(count: int) -> None:
    here, _, _ = quiet_pair()
    legs = [opened(here, Quiet(10_000)) for _ in range(count)]
    for leg in legs:
        leg.credit = CREDIT_CAP
    sent: Counter[int] = Counter()
    for _ in range(30):
        pull(here)
        sent = Counter({leg.ident: CREDIT_CAP - leg.credit for leg in legs})
        assert max(sent.values()) - min(sent.values()) <= TURN_MOST
    assert sum(sent.values()) == 30 * 64 - count


@pytest.mark.parametrize("busy", [1, 5, 20])
def test_a_new_cell_waits_for_one_turn_of_each_other_at_most(busy: int) -> None:
    here, _, _ = quiet_pair()
    for leg in [opened(here, Quiet(100_000)) for _ in range(busy)]:
        leg.credit = CREDIT_CAP
    pull(here, blocks=3 * busy * TURN_MOST)
    late = Quiet(1)
    late.begun = True
    leg = opened(here, late)
    pull(here, blocks=busy * TURN_MOST + 1)
    assert late.say == 0
    assert leg.credit == FIRST_CREDIT - 1


def test_one_circuit_with_many_conveyors_gets_no_more_than_another() -> None:
    net = Net([TOY])
    wire = net.chain()
    greedy, modest = net.circuit(wire), net.circuit(wire)
    many = [net.converse(greedy) for _ in range(10)]
    one = net.converse(modest)
    wire.back.room = 4 * BLOCK_SIZE
    ends = [*many, one]
    for _ in range(1500):
        for near, far in ends:
            if far.waiting < 100_000:
                far.send(bytes(100_000))
            wire.move(net.clock)
            near.consumed(len(near.take()), net.clock.now_s)
    share = modest.last.mux.got / (modest.last.mux.got + greedy.last.mux.got)
    assert 0.45 < share < 0.55


def test_credit_comes_back_while_another_circuit_fills_the_link() -> None:
    """One downloads as fast as the link goes, the other uploads: neither stands still."""
    net = Net([TOY])
    wire = net.chain()
    loads, uploads = net.circuit(wire), net.circuit(wire)
    down, up = net.converse(loads), net.converse(uploads)
    moved = []
    for turn in range(500):
        while down[1].waiting < MIB:
            down[1].send(bytes(MIB))
        if turn >= 250 and up[0].waiting < MIB:
            up[0].send(bytes(MIB))
        wire.move(net.clock)
        for end in (down[0], up[1]):
            end.consumed(len(end.take()), net.clock.now_s)
        moved.append((loads.last.mux.got, net.hosts[0].relays[1].mux.got))
    window = next(iter(wire.near._legs.values())).window
    assert window > 64
    for before, after in ((300, 400), (400, 499)):
        assert moved[after][0] - moved[before][0] > 5 * MIB
        assert moved[after][1] - moved[before][1] > 5 * MIB


# -- quotas ---------------------------------------------------------------------------------------------
@settings(max_examples=100)
@given(
    rate=st.floats(0.1, 100),
    burst=st.floats(1, 50),
    waits=st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_a_bucket_gives_no_more_than_its_rate_and_burst(
    rate: float, burst: float, waits: list[float]
) -> None:
    bucket, now_s, taken = TokenBucket(rate, burst), 100.0, 0
    for wait_s in waits:
        now_s += wait_s
        taken += bucket.take(now_s)
        assert taken <= burst + rate * sum(waits) + 1e-6
    assert bucket.take(now_s + 1 + 1 / rate)


def test_a_bucket_saves_up_no_more_than_its_burst() -> None:
    bucket = TokenBucket(10, 5)
    assert [bucket.take(1.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.take(1_000_000.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.take(1_000_000.25) for _ in range(3)] == [True] * 2 + [False]


@given(st.lists(st.tuples(st.sampled_from(["take", "spare"]), st.integers(0, 60)), max_size=50))
def test_a_budget_is_never_overdrawn_and_growth_leaves_half(moves: list[tuple[str, int]]) -> None:
    budget, held = Budget(100), []
    for kind, amount in moves:
        before = budget.used
        took = budget.take(amount) if kind == "take" else budget.take_spare(amount)
        fits = before + amount <= (100 if kind == "take" else 50)
        assert took == fits
        held += [amount] * took
        assert budget.used == sum(held) <= 100
        assert budget.left == 100 - budget.used
    for amount in held:
        budget.give(amount)
    assert budget.used == 0
