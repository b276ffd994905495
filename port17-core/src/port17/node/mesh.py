"""The mesh as one node sees to it: with whom it makes lanes, whose it grants, and which it retires.

Nothing is opened here; whoever calls :meth:`Mesh.tend` does what it says, and tells what came of it.
docs/mesh.md says why the rules are as they are.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from port17.node.backoff import STEADY_S, Backoff
from port17.node.candidates import Candidates, area_mark, no_objection
from port17.node.commands import Dial, Retire
from port17.node.diversity import Level
from port17.node.lane_book import Choice, LaneBook
from port17.node.lane_cost import LaneCost
from port17.node.lane_draw import LaneDraw
from port17.node.lane_need import LaneNeed
from port17.node.lane_trial import CHOICE_OF, LaneTrial

DIALS: Final = 8
"""Most lanes that are being made at a time."""
PATIENCE_S: Final = 3.0
"""Seconds that a node waits for the lanes that others begin before it begins more itself; drawn from half to
one and a half."""
PROMISE_S: Final = 30.0
"""Seconds within which a lane that was granted must stand."""
PINNED_PATIENCE_S: Final = 2.0
"""Seconds by which the end with the greater fingerprint is later to dial a lane that both may have pinned."""
PINNED_FIRST_S, PINNED_MOST_S = 0.25, 15.0
"""Seconds before a pinned lane is dialled again, at first and at most: it has no substitute."""
DRY_LEAST_S, DRY_MOST_S = 0.5, 60.0
"""Seconds before all candidates are looked at again after none would do, at first and at most; doubled each
time, since it costs a step for each of them."""
REACH_S: Final = 300.0
"""Seconds between two calls, by a node that has lanes enough, to one that did not answer before; drawn from
half to one and a half. Without them the sides of a partition, each content with itself, would stay apart."""
SHED_S: Final = 60.0
"""Seconds between two lanes that are retired because there are too many; drawn from half to one and a
half."""
REST_S: Final = 600.0
"""Seconds for which a node whose lane was retired is not asked for another."""


class Mesh:
    """The lanes of one node."""

    def __init__(
        self,
        own: bytes,
        known: Candidates,
        cost: LaneCost,
        rng: random.Random,
        *,
        pinned: Collection[bytes] = (),
        lanes: int | None = None,
        objection: Callable[[bytes], str] = no_objection,
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param known: who is there; kept current by whoever made it.
        :param pinned: lanes that are always wanted.
        :param lanes: how many to see to; None goes by the size of the network, 0 is the pinned alone.
        :param objection: why a node is not to be a neighbour; empty if it may.
        """
        self._own = own
        self._known = known
        self._cost = cost
        self._rng = rng
        self.need = LaneNeed(own, known, lanes)
        self._objection = objection
        self._pinned = frozenset(pinned) - {own}
        self._book = LaneBook(known)
        self._backoff = Backoff(rng)
        self._pinned_backoff = Backoff(rng, first_s=PINNED_FIRST_S, most_s=PINNED_MOST_S)
        self._draw = LaneDraw(own, known, self._book, self._backoff, objection, rng)
        self._retire: list[bytes] = []
        self._begun_s: float | None = None
        self._joining = False
        self._draw_s: float | None = None
        """When to draw again; None if nothing is lacking, or something is under way."""
        self._dry = False
        """Nobody would do, the last time."""
        self._dry_until_s = -math.inf
        self._dry_wait_s = DRY_LEAST_S
        self._reach_s = math.inf
        self._patience_until_s: float | None = None
        self._shed_s = -math.inf
        self._trial = LaneTrial(self._book, self._draw, cost, rng)

    # -- what there is and should be -------------------------------------------------------------------
    @property
    def standing(self) -> tuple[bytes, ...]:
        """The nodes to which a lane stands, in the order of fingerprints."""
        return tuple(sorted(self._book.standing))

    @property
    def dialling(self) -> tuple[bytes, ...]:
        """The nodes that are asked for a lane."""
        return tuple(sorted(self._book.dialling))

    @property
    def pinned(self) -> frozenset[bytes]:
        """The nodes to which a lane is always wanted."""
        return self._pinned

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._book.standing

    def choices(self) -> dict[str, int]:
        """How many lanes there are or are being made, by why."""
        found = self._book.count()
        return {str(choice): found[choice] for choice in Choice}

    # -- what happens ----------------------------------------------------------------------------------
    def pin(self, pinned: Iterable[bytes]) -> None:
        """Other lanes are pinned now; those that no longer are go on as any."""
        self._pinned = frozenset(pinned) - {self._own}
        for peer, held in self._book:
            if peer in self._pinned:
                held.choice = Choice.PINNED
            elif held.choice is Choice.PINNED:
                held.choice = Choice.EXTRA

    def asked(self, peer: bytes, now_s: float, areas: Iterable[str] = ()) -> str:
        """A node asks for a lane.

        :param areas: where it calls from; counts for a node that can't be called.
        :returns: why not; empty grants it.
        """
        if peer in self._book.standing:
            return ""
        candidate = self._known.get(peer)
        is_callable = candidate is not None and candidate.dialable
        marks = frozenset() if is_callable else frozenset(map(area_mark, areas))
        if peer not in self._pinned:
            refusal = self._refusal(peer, now_s, marks)
            if refusal:
                return refusal
        self._book.grant(peer, Choice.PINNED if peer in self._pinned else Choice.THEIRS, now_s, marks)
        return ""

    def _refusal(self, peer: bytes, now_s: float, marks: frozenset[str]) -> str:
        candidate = self._known.get(peer)
        if peer == self._own or candidate is None:
            return "no bottle of such a neighbour is known"
        objection = self._objection(peer)
        if objection or peer in self._book.dialling:  # which is our own choice
            return objection
        if self._backoff.flaps(peer, now_s):
            return "its lanes come and go"
        theirs = [one for one, held in self._book if held.choice is Choice.THEIRS]
        if len(theirs) >= self.need.most_granted:
            return "there is no room"
        if not candidate.dialable:
            # They need room at those who can be called, but must not take all of it.
            others = sum(1 for one in theirs if (known := self._known.get(one)) and known.dialable)
            if len(theirs) - others >= self.need.most_granted - self.need.share:
                return "there is no room for nodes that can't be called"
        if not self._book.diversity.fits(marks | candidate.marks, self.need.target, self._book.level):
            return "too many lanes go to its group or its area already"
        return ""

    def stands(self, peer: bytes, now_s: float, *, ours: bool) -> bool:
        """A lane stands.

        :param ours: we asked for it.
        :returns: False if it did before.
        """
        if peer in self._book.standing:
            return False
        self._book.stand(peer, Choice.EXTRA if ours else Choice.THEIRS, now_s)
        if peer in self._pinned:
            self._book.standing[peer].choice = Choice.PINNED
        self._trial.stands(peer, now_s)
        return True

    def failed(self, peer: bytes, now_s: float, *, refused: bool = False) -> None:
        """A lane that was dialled is not to be had.

        :param refused: the other end lives, and would not have it.
        """
        if peer in self._book.dialling:
            self._book.drop(peer)
            self._left_alone(peer).failed(peer, now_s, refused=refused)

    def lost(self, peer: bytes, now_s: float) -> None:
        """The link to a node is gone."""
        if peer in self._book.dialling:
            return  # its end is a failure, and will be told as one
        held = self._book.drop(peer)
        if held is None:
            return
        self._cost.forget(peer)
        self._dry = False
        if now_s - held.since_s >= STEADY_S:
            self._left_alone(peer).steady(peer)
        self._left_alone(peer).failed(peer, now_s)

    def retires(self, peer: bytes, now_s: float) -> None:
        """The other end retires the lane, or has left."""
        if peer in self._book.standing or peer in self._book.granted:
            self._book.drop(peer)
            self._cost.forget(peer)
            candidate = self._known.get(peer)
            if candidate is None or not candidate.offline:  # else it is called again once it is back
                rest_s = PINNED_MOST_S if peer in self._pinned else REST_S
                self._left_alone(peer).rest(peer, now_s, rest_s)

    def learned(self, peer: bytes | None, now_s: float) -> None:
        """Something has changed about a node, or about any."""
        for one in self.standing if peer is None else (peer,):
            self._reconsider(one, now_s)
        if peer is None:
            self._dry = False
            return
        for backoff in (self._backoff, self._pinned_backoff):
            backoff.alive(peer, now_s)
        if self._dry and self._draw.is_eligible(peer, self.need.target, self._book.level, now_s):
            self._dry = False

    def _reconsider(self, peer: bytes, now_s: float) -> None:
        """Whether somebody may stay a neighbour."""
        candidate = self._known.get(peer)
        if candidate is not None and candidate.offline:
            self.retires(peer, now_s)
            self._left_alone(peer).left(peer)
        elif peer in self._book.standing and peer not in self._pinned and self._objection(peer):
            self._end(peer, now_s)

    # -- what is to be done ----------------------------------------------------------------------------
    def tend(self, now_s: float, *, joining: bool = True) -> list[Dial | Retire]:
        """What is to be done now.

        :param joining: False makes no lanes but pinned ones: others don't know us yet.
        """
        if self._begun_s is None:
            self._begun_s = now_s
            self._trial.plan(now_s)
            self._plan_reaching(now_s)
        for peer in [one for one, held in self._book.granted.items() if now_s >= held.since_s + PROMISE_S]:
            self._book.drop(peer)
        dials = [peer for peer, due_s in self._pinned_dues() if due_s <= now_s]
        for peer in dials:
            self._book.begin(peer, Choice.PINNED, now_s)
        self._draw_s = None
        self._joining = joining
        if joining and self.need.target:
            loser = self._trial.loser(now_s)
            if loser is not None:
                self._end(loser, now_s)
            self._shed(now_s)
            dials += [*self._dial(now_s), *self._reach(now_s)]
            tried = self._trial.begin(now_s, self.need.target)
            if tried is not None:
                self._book.begin(tried[0], Choice.NEAR, now_s, tried[1])
                dials.append(tried[0])
        retired, self._retire = self._retire, []
        return [*map(Dial, dials), *map(Retire, retired)]

    def disband(self) -> list[Retire]:
        """The node leaves: every lane is retired."""
        retired = [*self._retire, *self.standing]
        self._retire = []
        for peer, _ in list(self._book):
            self._book.drop(peer)
        return [*map(Retire, retired)]

    @property
    def due_s(self) -> float:
        """When :meth:`tend` is to be called at the latest, if it was called after the last input."""
        moments = [held.since_s + PROMISE_S for held in self._book.granted.values()]
        moments += [due_s for _, due_s in self._pinned_dues()]
        if self._draw_s is not None:
            moments.append(self._draw_s)
        if self._joining and self.need.target:
            moments += [self._trial.due_s, self._reach_s]
            if self._has_surplus():
                moments.append(self._shed_s)
        return min(moments, default=math.inf)

    def _pinned_dues(self) -> Iterator[tuple[bytes, float]]:
        """The pinned lanes that are to be dialled, and when."""
        for peer in sorted(self._pinned):
            candidate = self._known.get(peer)
            if peer not in self._book and candidate is not None and candidate.dialable:
                later_s = PINNED_PATIENCE_S if self._own > peer else 0.0
                yield peer, max(self._begun_s or 0.0, self._pinned_backoff.until_s(peer)) + later_s

    # -- too few ---------------------------------------------------------------------------------------
    def _dial(self, now_s: float) -> list[bytes]:
        if len(self._book) >= self.need.target:
            self._patience_until_s = None
        elif self._patience_until_s is None:
            self._patience_until_s = now_s + PATIENCE_S * self._rng.uniform(0.5, 1.5)
        dials: list[bytes] = []
        while len(self._book.dialling) < DIALS:
            choice = self._lacking(now_s)
            if choice is None:
                if len(self._book) < self.need.target:
                    self._draw_s = self._patience_until_s
                break
            drawn = self._draw_some(CHOICE_OF if choice is Choice.NEAR else 1, now_s)
            if not drawn:
                break
            peer, level = self._trial.cheapest(drawn)
            self._book.begin(peer, choice, now_s, level)
            dials.append(peer)
        return dials

    def _draw_some(self, wanted: int, now_s: float) -> list[tuple[bytes, Level]]:
        if self._dry and now_s < self._dry_until_s:
            drawn = []
        else:
            drawn = self._draw.draw(wanted, self.need.target, now_s)
            self._dry_wait_s = min(DRY_MOST_S, 2 * self._dry_wait_s) if self._dry else DRY_LEAST_S
            self._dry = not drawn
            self._dry_until_s = now_s + self._dry_wait_s
        if not drawn:
            self._draw_s = self._dry_until_s
        return drawn

    def _lacking(self, now_s: float) -> Choice | None:
        """What kind of lane is to be made next."""
        if len(self._book) >= self.need.nodes - 1:
            return None
        need = self.need
        count = self._book.count()
        count[Choice.NEAR] -= self._trial.spare
        if count[Choice.RANDOM] < need.at_random:
            return Choice.RANDOM
        if count[Choice.NEAR] < need.share - need.at_random:
            return Choice.NEAR
        if len(self._book) < self.need.target and now_s >= (self._patience_until_s or 0.0):
            return Choice.EXTRA
        return None

    def _plan_reaching(self, now_s: float) -> None:
        self._reach_s = now_s + REACH_S * self._rng.uniform(0.5, 1.5)

    def _reach(self, now_s: float) -> list[bytes]:
        """Now and then, call somebody who was a neighbour or should have become one."""
        if now_s < self._reach_s:
            return []
        self._plan_reaching(now_s)
        missed = self._backoff.unanswered(now_s)
        for peer in self._rng.sample(missed, len(missed)):
            if self._draw.is_eligible(peer, self.need.target, Level.STRICT, now_s):
                self._book.begin(peer, Choice.EXTRA, now_s)
                return [peer]
        return []

    # -- too many, too dear ----------------------------------------------------------------------------
    def _has_surplus(self) -> bool:
        return len(self._book.standing) - len(self._pinned) > self.need.most_kept

    def _shed(self, now_s: float) -> None:
        """Retire one of too many lanes, if its other end has enough without it."""
        if not self._has_surplus() or now_s < self._shed_s:
            return
        self._shed_s = now_s + SHED_S * self._rng.uniform(0.5, 1.5)
        dispensable = [
            peer
            for peer, held in sorted(self._book.standing.items())
            if held.choice in (Choice.THEIRS, Choice.EXTRA)
            and now_s - held.since_s >= STEADY_S
            and (candidate := self._known.get(peer)) is not None
            and candidate.lanes > self.need.target
        ]
        if dispensable:
            self._end(self._rng.choice(dispensable), now_s)

    # -- the rest --------------------------------------------------------------------------------------
    def _left_alone(self, peer: bytes) -> Backoff:
        return self._pinned_backoff if peer in self._pinned else self._backoff

    def _end(self, peer: bytes, now_s: float) -> None:
        """Retire a lane that stands."""
        self.retires(peer, now_s)
        self._retire.append(peer)
