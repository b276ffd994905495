"""The manager of a node: what it does next, from who is known, which lanes stand, and the time.

Composes the node's life, its introductions and its mesh; it opens nothing and calls nobody. The shell does
what it commands and tells it what came of that.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable
from typing import Final

from port17.node.area import areas_of, public_area
from port17.node.cadence import Cadence
from port17.node.candidates import OFFLINE, Candidates, Nodes, has_address, no_objection
from port17.node.commands import Command, Dial, Follow, Introduce, Retire, Sign, Stop
from port17.node.introductions import Introductions
from port17.node.lane_cost import LaneCost
from port17.node.life import Life, State
from port17.node.mesh import Mesh
from port17.records.bottle import LANES_CAP, LOAD_CAP, Label, Lane

__all__ = [
    "Command",
    "Dial",
    "Follow",
    "Introduce",
    "Manager",
    "Retire",
    "Sign",
    "State",
    "Stop",
]

FAREWELL_S: Final = 2.0
"""Seconds for which a leaving node's last contents travel over its lanes before it retires them."""
FOLLOW_AGAIN_S: Final = 5.0
"""Seconds before SYNC is opened again over a lane on which it ended."""
LOAD_STEP: Final = 100
"""Change of load that is worth new contents, permille."""
LATENCY_STEP: Final = 1.5
"""Change of a lane's latency that is worth new contents, as a factor; routes compare lanes coarsely."""
LATENCY_STEP_US: Final = 5_000
"""The least that counts as one, microseconds."""
INTRODUCE_PINNED_S: Final = 60.0
"""Seconds between introductions to pinned nodes that don't have us: they may not know us yet."""


class Manager:
    """The deciding half of a node. After every input, and at :attr:`due_s`, :meth:`wake` says what to do."""

    def __init__(
        self,
        own: bytes,
        nodes: Nodes,
        rng: random.Random,
        *,
        pinned: Collection[bytes] = (),
        lanes: int | None = None,
        drain_s: float = 30.0,
        flavour: str = "public",
        dialable: Callable[[Label], bool] = has_address,
        objection: Callable[[bytes], str] = no_objection,
        areas: Callable[[Label], Iterable[str]] = areas_of,
        caller_areas: Callable[[str], Iterable[str]] = public_area,
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param nodes: whoever is known; a rack, for one.
        :param rng: draws neighbours and jitter. Unpredictable in earnest (``random.SystemRandom``).
        :param pinned: fingerprints of the nodes to have lanes with whatever the mesh needs.
        :param lanes: how many to see to; None takes what the size of the network asks for, 0 only the pinned.
        :param drain_s: most seconds between the last contents and :class:`Stop`.
        :param flavour: of the own label. Lanes are made within a flavour.
        :param dialable: whether a label names an address that this node may and can call.
        :param objection: why a node is not to be a neighbour now (blocked, distrusted, not at its address);
            empty if it may. Asked when one is about to be chosen or granted a lane, and when something is
            learned of it.
        :param areas: what the nodes of one hand are likely to have in common by their addresses.
        :param caller_areas: the same by the address that a node without any calls from.
        """
        self._rng = rng
        self._drain_s = drain_s
        self._lanes = lanes
        self._caller_areas = caller_areas
        self._known = Candidates(nodes, flavour=flavour, dialable=dialable, areas=areas)
        self._cost = LaneCost(nodes, rng)
        self._mesh = Mesh(own, self._known, self._cost, rng, pinned=pinned, lanes=lanes, objection=objection)
        self._introductions = Introductions(own, self._known, objection, rng)
        self._life = Life()
        self._cadence = Cadence(rng)
        self._load = 0
        self._signed: Sign | None = None
        self._follow: dict[bytes, float] = {}
        """When to follow whom."""
        self._missed: set[bytes] = set()
        """Pinned nodes that would not have us, until we are introduced to them."""
        self._introduce_pinned_s = -math.inf
        self._drained = False
        self._stopped = False

    # -- inputs ------------------------------------------------------------------------------------
    def start(self, now_s: float) -> None:
        """The node listens, and has signed what it begins with: no lanes, no load."""
        self._known.read()
        self._life.start(now_s)
        self._cadence.start(now_s)
        self._introductions.begin(now_s)
        self._signed = Sign((), 0, ())

    def pin(self, pinned: Iterable[bytes]) -> None:
        """Other lanes are pinned now, for one because somebody has handed over to a successor."""
        self._mesh.pin(pinned)

    def introduced(self, peer: bytes, now_s: float) -> None:
        """A node has our bottle, and we have what it holds."""
        self._introductions.introduced(peer)
        self._missed.discard(peer)

    def failed(self, peer: bytes, now_s: float, *, refused: bool = False) -> None:
        """An introduction or a dial came to nothing.

        :param refused: the node answered, and would not have the lane.
        """
        if not self._introductions.failed(peer, now_s):
            if peer in self._mesh.pinned:
                self._missed.add(peer)
            self._mesh.failed(peer, now_s, refused=refused)

    def asked(self, peer: bytes, now_s: float, *, address: str = "") -> str:
        """A node asks for a lane.

        :param address: where its ship comes from, if that is known. Counts for a node without addresses only:
            others' are in their bottles, and a proxy in front of this node would make all callers one.
        :returns: empty grants it, and :meth:`stands` or :meth:`lost` is to follow; else why not.
        """
        if self._life.state in (State.STARTING, State.LEAVING):
            return f"the node is {self._life.state}"
        return self._mesh.asked(peer, now_s, self._caller_areas(address))

    def stands(self, peer: bytes, now_s: float, *, ours: bool) -> None:
        """A lane was granted: it stands. Again for one that stands is no error.

        :param ours: we asked for it.
        """
        if self._mesh.stands(peer, now_s, ours=ours):
            self._follow[peer] = now_s
            self._missed.discard(peer)

    def lost(self, peer: bytes, now_s: float) -> None:
        """The last link to a node is gone, a lane or not."""
        self._mesh.lost(peer, now_s)
        self._follow.pop(peer, None)

    def unfollowed(self, peer: bytes, now_s: float) -> None:
        """SYNC over a lane has ended though the lane stands."""
        if peer in self._mesh:
            self._follow[peer] = now_s + FOLLOW_AGAIN_S

    def retires(self, peer: bytes, now_s: float) -> None:
        """The node at the other end of a lane retires it. The shell answers RETIRE if it has not sent one."""
        self._mesh.retires(peer, now_s)
        self._follow.pop(peer, None)

    def learned(self, fingerprint: bytes | None, now_s: float) -> None:
        """What is known of a node has changed, or it was forgotten.

        :param fingerprint: None if it may be any.
        """
        if self._life.state is not State.STARTING:
            self._known.read(fingerprint)
            self._mesh.learned(fingerprint, now_s)

    def measured(self, peer: bytes, round_trip_s: float, capacity: int = 0) -> None:
        """What a lane was found to be like.

        :param capacity: bytes per second; 0 says nothing.
        """
        if peer in self._mesh:
            self._cost.measured(peer, round_trip_s, capacity)

    def loaded(self, permille: int) -> None:
        """How much of what it can do the node does."""
        self._load = max(0, min(LOAD_CAP, permille))

    def leave(self, now_s: float) -> None:
        """The node is to go."""
        if self._life.state is State.STARTING:
            self._drained = True  # nobody has heard of it yet
        self._life.leave(now_s)

    def drained(self, now_s: float) -> None:
        """Nobody's circuits use the node any more. Of no effect before :meth:`leave`."""
        self._drained = self._life.state is State.LEAVING

    # -- outputs -----------------------------------------------------------------------------------
    def wake(self, now_s: float) -> list[Command]:
        """What is to be done now."""
        if self._life.state is State.STARTING:
            return []
        if self._life.state is State.LEAVING:
            return self._leaving(now_s)
        commands: list[Command] = []
        self._look(now_s)
        commands += map(Introduce, self._to_be_introduced(now_s))
        commands += self._mesh.tend(now_s, joining=self._life.state is not State.BOOTSTRAPPING)
        for peer in [one for one, due_s in sorted(self._follow.items()) if due_s <= now_s]:
            del self._follow[peer]
            if peer in self._mesh:
                commands.append(Follow(peer))
        self._look(now_s)  # a lane may have been ended
        contents = self._contents()
        self._cadence.look(now_s, changed=self._differs(contents))
        due_s = self._cadence.due_s
        if due_s is not None and due_s <= now_s:
            commands.append(self._sign(contents, now_s))
        return commands

    @property
    def due_s(self) -> float:
        """When :meth:`wake` is to be called at the latest; infinite if only an input changes anything."""
        state = self._life.state
        if state is State.STARTING:
            return math.inf
        if state is State.LEAVING:
            return self._leaving_due_s
        moments = [self._life.due_s, self._cadence.due_s, self._mesh.due_s, *self._follow.values()]
        if state is State.BOOTSTRAPPING:
            moments.append(self._introductions.due_s)
        if self._missed:
            moments.append(self._introduce_pinned_s)
        return min((moment for moment in moments if moment is not None), default=math.inf)

    @property
    def state(self) -> State:
        """Where the node stands in its life."""
        return self._life.state

    @property
    def load(self) -> int:
        """How much of what it can do the node does, permille."""
        return self._load

    @property
    def lanes(self) -> tuple[bytes, ...]:
        """The nodes to which a lane stands, in the order of fingerprints."""
        return self._mesh.standing

    def status(self) -> dict[str, object]:
        """For people: state, how many lanes there are and why, how many are wanted, how many nodes known."""
        return {
            "state": str(self.state),
            "nodes": self._mesh.need.nodes,
            "wanted": max(self._mesh.need.target, len(self._mesh.pinned)),
            "standing": len(self._mesh.standing),
            "dialling": len(self._mesh.dialling),
            "choices": self._mesh.choices(),
            "introduced": len(self._introductions),
            "load": self._load,
        }

    # -- how it goes on ----------------------------------------------------------------------------
    def _look(self, now_s: float) -> None:
        """Where the node stands in its life now."""
        before = self._life.state
        target = self._mesh.need.target
        pinned_only = self._lanes == 0
        self._life.look(
            now_s,
            introduced=pinned_only or self._introductions.suffice(now_s),
            lanes=len(self._mesh.standing),
            enough=min(1, len(self._mesh.pinned)) if pinned_only else max(1, math.ceil(target / 2)),
        )
        if self._life.state is State.BOOTSTRAPPING and before is not State.BOOTSTRAPPING:
            self._introductions.begin(now_s)

    def _to_be_introduced(self, now_s: float) -> list[bytes]:
        is_newcomer = self._life.state is State.BOOTSTRAPPING and self._lanes != 0
        peers = self._introductions.tend(now_s) if is_newcomer else []
        if self._missed and now_s >= self._introduce_pinned_s:
            self._introduce_pinned_s = now_s + INTRODUCE_PINNED_S
            missed = sorted(peer for peer in self._missed if peer not in self._mesh)
            self._missed.clear()
            peers += [peer for peer in missed if self._introductions.ask(peer)]
        return peers

    def _contents(self) -> Sign:
        lanes = [Lane(peer, *self._cost.found(peer)) for peer in self._mesh.standing]
        return Sign(tuple(lanes[:LANES_CAP]), self._load, ())

    def _differs(self, contents: Sign) -> bool:
        """Whether something has changed that is worth telling everybody."""
        signed = self._signed
        if signed is None or len(signed.lanes) != len(contents.lanes):
            return True
        if abs(signed.load - contents.load) >= LOAD_STEP:
            return True
        return any(
            old.fingerprint != new.fingerprint
            or (
                abs(old.latency_us - new.latency_us) >= LATENCY_STEP_US
                and not 1 / LATENCY_STEP < new.latency_us / max(1, old.latency_us) < LATENCY_STEP
            )
            for old, new in zip(signed.lanes, contents.lanes, strict=True)
        )

    def _sign(self, contents: Sign, now_s: float) -> Sign:
        self._cadence.signed(now_s)
        self._signed = contents
        return contents

    # -- how it ends -------------------------------------------------------------------------------
    def _leaving(self, now_s: float) -> list[Command]:
        commands: list[Command] = []
        if self._stopped:
            return commands
        if self._signed is not None and OFFLINE not in self._signed.flags:
            commands.append(self._sign(Sign((), self._load, (OFFLINE,)), now_s))
        if now_s >= self._farewell_s:
            commands += self._mesh.disband()
        if now_s >= self._leaving_due_s and not self._mesh.standing:
            self._stopped = True
            commands.append(Stop())
        return commands

    @property
    def _farewell_s(self) -> float:
        return self._life.since_s + min(FAREWELL_S, self._drain_s)

    @property
    def _leaving_due_s(self) -> float:
        """When the next thing is to be done; never, once the node has stopped."""
        if self._stopped:
            return math.inf
        if self._signed is not None and OFFLINE not in self._signed.flags:
            return self._life.since_s
        if self._mesh.standing:
            return self._farewell_s
        return self._life.since_s if self._drained else self._life.since_s + self._drain_s
