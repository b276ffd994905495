"""LANE messages: who may say which verb when, and that nobody else may say any."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import LINK_CIRCUIT, Command
from port17.wire.control_cells import ANNOUNCED_CAP
from port17.wire.handshake import Initiator, respond
from port17.wire.lane import SAY, TAKE, LaneState, LaneTalk, LaneVerb
from port17.wire.leg import Leg
from port17.wire.link import Link, OnSetup
from port17.wire.message import LANE, TOKEN, LinkMessage

from .wire_forger import called_forger
from .wire_network import Host, Net, network, pull, verify
from .wire_quiet import Quiet, carry, one_node
from .wire_suites import TOY

ASK, GRANT, REFUSE, RETIRE = LaneVerb


class Pair:
    """Both ends, and the verbs between them."""

    def __init__(self) -> None:
        self.there: deque[LaneVerb] = deque()
        self.back: deque[LaneVerb] = deque()
        self.told: tuple[list[LaneVerb], list[LaneVerb]] = [], []
        self.near = LaneTalk(caller=True, send=self.there.append, told=self.told[0].append)
        self.far = LaneTalk(caller=False, send=self.back.append, told=self.told[1].append)

    def arrive(self, forward: bool) -> None:
        way, end = (self.there, self.far) if forward else (self.back, self.near)
        if way:
            end.take(way.popleft())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.booleans(), st.sampled_from(LaneVerb)),
            st.tuples(st.just("arrive"), st.booleans(), st.none()),
        ),
        max_size=25,
    )
)
def test_two_honest_ends_never_accuse_each_other_and_end_up_of_one_mind(
    steps: list[tuple[str, bool, LaneVerb | None]],
) -> None:
    pair = Pair()
    for what, near, verb in steps:
        if what == "arrive":
            pair.arrive(near)
        else:
            end = pair.near if near else pair.far
            if verb is not None and end.may(verb):
                end.say(verb)
    for _ in range(8):
        pair.arrive(True)
        pair.arrive(False)
    stands = LaneState.STANDS
    assert (pair.near.state is stands) == (pair.far.state is stands)
    over = LaneState.OVER
    assert (pair.near.state is over) == (pair.far.state is over)
    assert LaneState.RETIRING not in (pair.near.state, pair.far.state)
    assert max(map(len, pair.told)) <= 3


@pytest.mark.parametrize("state", LaneState)
@pytest.mark.parametrize("verb", LaneVerb)
def test_whatever_is_out_of_turn_is_refused_on_both_sides(state: LaneState, verb: LaneVerb) -> None:
    pair = Pair()
    pair.near.state = state
    if (state, verb) not in SAY:
        assert not pair.near.may(verb)
        with pytest.raises(LocalViolation):
            pair.near.say(verb)
    if (state, verb) not in TAKE:
        with pytest.raises(PeerViolation):
            pair.near.take(verb)
        assert pair.near.state is state


def test_retiring_is_answered_once_also_when_both_ends_do_it() -> None:
    for both in (False, True):
        pair = Pair()
        pair.near.say(ASK)
        pair.arrive(True)
        pair.far.say(GRANT)
        pair.arrive(False)
        pair.near.say(RETIRE)
        if both:
            pair.far.say(RETIRE)
        pair.arrive(True)
        pair.arrive(False)
        assert (pair.near.state, pair.far.state) == (LaneState.OVER, LaneState.OVER)
        assert not pair.there
        assert not pair.back


# -- on links -----------------------------------------------------------------------------------------
def write(peer: object, verb: int) -> None:
    peer.write(LINK_CIRCUIT, Command.LINK, LANE.pack(LinkMessage.LANE, verb))  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", [0, 1, 2, 3, 4, 5, 255])
def test_a_client_knows_no_lanes_and_none_is_made_with_one(verb: int) -> None:
    _, _, calls = one_node()
    for peer in (called_forger(Net([TOY])), calls):
        with pytest.raises(PeerViolation):
            write(peer, verb)


def handshake(
    host: Host, caller: Host, on_setup: OnSetup | None = None
) -> tuple[Link, Link, list[LaneVerb], list[LaneVerb]]:
    """Two nodes' ends of one link, of which the caller has flight 2 and has not said so yet."""
    dial = Initiator(network(), host.public, host.clock.wall_s, signer=caller.signer)
    flight, there = respond(
        network(), host.signer, [host.prekey], host.link_replays, verify, dial.flight, host.clock.wall_s
    )

    def link(initiator: bool) -> Link:
        return Link(
            initiator=initiator,
            send=dial.early if initiator else there.session.backward,
            receive=None if initiator else there.early,
            grants=host.grants,
            wake=lambda: None,
            on_setup=on_setup or host.setup,
        )

    near, far = link(True), link(False)
    far.expect_final(there.session)
    near.confirm(dial.finish(flight, verify).session, 0.0)
    told: tuple[list[LaneVerb], list[LaneVerb]] = [], []
    near.between_nodes(told[0].append)
    far.between_nodes(told[1].append)
    return near, far, *told


def test_a_lane_is_asked_for_granted_and_retired() -> None:
    net = Net([TOY, TOY])
    near, far, told_near, told_far = handshake(net.hosts[0], net.hosts[1])
    assert near.lane is not None
    assert far.lane is not None
    near.lane.say(ASK)  # before END_EARLY is on its way: it must not overtake it
    carry(near, far)
    assert told_far == [ASK]
    far.lane.say(GRANT)
    carry(far, near)
    assert (told_near, near.lane.state) == ([GRANT], LaneState.STANDS)
    far.lane.say(RETIRE)
    carry(far, near)
    carry(near, far)
    assert (told_near, told_far) == ([GRANT, RETIRE], [ASK, RETIRE])
    assert not near.pending
    # Nothing of it counts as use of the link, by which its keys step.
    assert (near.keys.used, far.keys.used) == (0, 0)


def test_a_node_says_which_circuits_are_its_own() -> None:
    begun: list[Leg] = []

    def setup(leg: Leg, content: bytes) -> Quiet:
        begun.append(leg)
        return Quiet()

    net = Net([TOY, TOY])
    near, far, _, _ = handshake(net.hosts[0], net.hosts[1], setup)
    carry(near, far)
    legs = [near.open(Quiet(), own=own) for own in (False, True, False, True)]
    for leg in legs:
        assert leg is not None
        leg.wake()
    carry(near, far)
    assert [leg.own for leg in begun] == [False, True, False, True]
    for _ in range(3 * ANNOUNCED_CAP):  # announced, and never begun
        near.open(Quiet(), own=True)
    carry(near, far)
    assert len(far.control.announced) == ANNOUNCED_CAP
    last = near.open(Quiet(), own=True)
    assert last is not None
    last.wake()
    carry(near, far)
    assert begun[-1].own


def test_no_client_says_that_a_circuit_is_a_node_s_own() -> None:
    _, _, calls = one_node()
    for peer in (called_forger(Net([TOY])), calls):
        with pytest.raises(PeerViolation):
            peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.OWN, 1))
    net = Net([TOY, TOY])
    near, far, _, _ = handshake(net.hosts[0], net.hosts[1])
    near.control.announce(1)  # under early keys
    with pytest.raises(PeerViolation):
        far.receive(pull(near), 0.0)


@pytest.mark.parametrize("verb", [0, 1, 2, 3, 4, 5, 255])
def test_what_is_out_of_turn_costs_the_link(verb: int) -> None:
    net = Net([TOY, TOY])
    near, far, _, told = handshake(net.hosts[0], net.hosts[1])
    assert near.lane is not None
    near.lane.say(ASK)
    carry(near, far)
    near.control._urge(LINK_CIRCUIT, Command.LINK, LANE.pack(LinkMessage.LANE, verb))
    with pytest.raises(PeerViolation):
        carry(near, far)
    assert told == [ASK]


def test_under_early_keys_which_anybody_could_send_again_no_lane_is_asked_for() -> None:
    net = Net([TOY, TOY])
    near, far, _, told = handshake(net.hosts[0], net.hosts[1])
    near.control._urge(LINK_CIRCUIT, Command.LINK, LANE.pack(LinkMessage.LANE, ASK))
    with pytest.raises(PeerViolation):
        far.receive(pull(near), 0.0)
    assert told == []
