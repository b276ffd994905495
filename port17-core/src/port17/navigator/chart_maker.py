"""How a chart is made of what verified bottles say and the charter allows, and kept current: only what has
changed is worked out again.

The result is the same as if all were drawn from scratch. When to draw is for whoever asks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import Final, TypeAlias

from port17.bottles.rack import BottleStore
from port17.navigator.agreement import (
    NOT_ALLOWED,
    NOT_SERVED,
    Agreement,
    agree,
    preference,
)
from port17.navigator.atlas import Atlas
from port17.navigator.chart import Chart, ChartNode, Fingerprint, Lane, LeftOut
from port17.navigator.said import Said
from port17.records.bottle import Bottle
from port17.records.identity import node_id
from port17.records.moderation import Action
from port17.records.revision import Revision

Claim: TypeAlias = tuple[Fingerprint, int, int]
"""Of a lane: the node at its other end as the bottle names it, latency in microseconds, bytes per second."""
LOOK_S: Final = 10.0
"""Seconds after which all of a rack is looked at, though somebody tells what changes: what he has missed is
not missed for ever."""


@dataclass(frozen=True)
class ChartTerms:
    """What counts beside the bottles.

    :param revision: the charter's revision in force: allowed suites, exits trusted for plain text.
    :param own: the suites that we can use and our configuration allows; None stands for all that the charter
        allows.
    :param why_not_own: of a suite that is not among them, the reason.
    :param heirs: old identity to its successor. Lanes that name the old one lead to the new one, and so does
        trust: who holds the old key could have given it away as well.
    :param barred: nodes that no route uses, with the reason. Also ones that have no bottle.
    :param unnamed: nodes whose PortName is another's; they go by their id.
    :param exits: trusted for plain text by the moderators, beside those that the charter names.
    :param verified: nodes whose PortName is their own by the moderators' word.
    :param owners: what the moderators call a node's owner, by the node's fingerprint.
    """

    revision: Revision
    own: Collection[str] | None = None
    why_not_own: Mapping[str, str] = field(default_factory=dict)
    heirs: Mapping[Fingerprint, Fingerprint] = field(default_factory=dict)
    barred: Mapping[Fingerprint, str] = field(default_factory=dict)
    unnamed: Collection[Fingerprint] = frozenset()
    exits: Collection[Fingerprint] = ()
    verified: Collection[Fingerprint] = ()
    owners: Mapping[Fingerprint, str] = field(default_factory=dict)

    @property
    def trusted(self) -> frozenset[Fingerprint]:
        """Exits that may have unencrypted connections."""
        named = (*self.revision.plain_text_exits, *self.exits)
        return frozenset(self.heirs.get(exit_, exit_) for exit_ in named)

    @property
    def owned(self) -> Mapping[Fingerprint, str]:
        """Whose each node is. An owner goes over to a node's successor: a new key makes nobody another."""
        inherited = {heir: self.owners[old] for old, heir in self.heirs.items() if old in self.owners}
        return {**inherited, **self.owners}

    @property
    def marks(self) -> Mapping[Fingerprint, frozenset[str]]:
        """What moderators say of each node that they say something good of."""
        found: dict[Fingerprint, frozenset[str]] = {}
        for mark, whose in ((_TRUSTED, self.exits), (_VERIFIED, self.verified)):
            for fingerprint in whose:
                heir = self.heirs.get(fingerprint, fingerprint)
                found[heir] = found.get(heir, frozenset()) | mark
        return found

    def same_for_all(self, other: ChartTerms) -> bool:
        """Whether what differs, if anything, is about single nodes."""
        return (
            self.revision == other.revision
            and (None if self.own is None else set(self.own))
            == (None if other.own is None else set(other.own))
            and self.why_not_own == other.why_not_own
            and self.heirs == other.heirs
        )


class ChartMaker:
    """Takes bottles one by one and draws the chart of those that it has."""

    def __init__(self, atlas: Atlas | None = None) -> None:
        """:param atlas: says where nodes are; without one nobody does."""
        self._atlas = atlas or Atlas()
        self._said: dict[Fingerprint, Said] = {}
        self._distrusted: dict[Fingerprint, str] = {}
        self._nodes: dict[Fingerprint, ChartNode] = {}
        """With their lanes; in the order of fingerprints."""
        self._left_out: dict[Fingerprint, LeftOut] = {}
        self._claims: dict[Fingerprint, dict[Fingerprint, Claim]] = {}
        """Of the nodes that are on the chart, by the node at the other end now."""
        self._expiries: dict[Fingerprint, int] = {}
        """Unix second at which a node's last prekey expires."""
        self._changed: set[Fingerprint] = set()
        self._terms: ChartTerms | None = None
        self._drawn_s = -math.inf
        self._chart: Chart | None = None

    @property
    def sequences(self) -> Iterable[tuple[Fingerprint, tuple[int, int]]]:
        """Which bottle it has of each node."""
        return ((fingerprint, said.sequence) for fingerprint, said in self._said.items())

    def sequence(self, fingerprint: Fingerprint) -> tuple[int, int] | None:
        """Which bottle it has of a node."""
        said = self._said.get(fingerprint)
        return None if said is None else said.sequence

    def take(self, bottle: Bottle) -> None:
        """Use a verified bottle, instead of any other of its node."""
        self._said[bottle.fingerprint] = Said.by(bottle, self._atlas)
        self._changed.add(bottle.fingerprint)

    def drop(self, fingerprint: Fingerprint) -> None:
        """Forget a node."""
        if self._said.pop(fingerprint, None) is not None:
            self._changed.add(fingerprint)

    def distrust(self, reasons: Mapping[Fingerprint, str]) -> None:
        """Leave these nodes out, and no others for that.

        :param reasons: for people.
        """
        self._changed |= _differing(self._distrusted, reasons)
        self._distrusted = dict(reasons)

    def mark(self, fingerprint: Fingerprint, reason: str) -> None:
        """The same for one node.

        :param reason: empty if it is not to be left out for that.
        """
        if self._distrusted.get(fingerprint, "") != reason:
            self._changed.add(fingerprint)
            self._distrusted[fingerprint] = reason

    def draw(self, terms: ChartTerms, now: float) -> Chart:
        """The chart of all bottles.

        :param now: Unix seconds; a node whose prekeys have all expired is left out.
        """
        before, self._terms = self._terms, terms
        if before is None or now < self._drawn_s or not before.same_for_all(terms):
            changed = {*self._said, *self._changed, *self._left_out, *terms.barred}
        else:
            changed = self._changed | self._moved(before, terms, now)
        self._changed, self._drawn_s = set(), now
        if changed or self._chart is None:
            self._redo(changed, terms, now)
            left_out = [self._left_out[one] for one in sorted(self._left_out)]
            self._chart = Chart.of_ordered(dict(self._nodes), left_out)
        return self._chart

    def _moved(self, before: ChartTerms, terms: ChartTerms, now: float) -> set[Fingerprint]:
        """The nodes of which something else is said now, and those whose time is over."""
        expired = {one for one, expiry in self._expiries.items() if expiry <= now}
        return (
            expired
            | _differing(before.barred, terms.barred)
            | (frozenset(before.unnamed) ^ frozenset(terms.unnamed))
            | (before.trusted ^ terms.trusted)
            | _differing(before.owned, terms.owned)
            | _differing(before.marks, terms.marks)
        )

    def _redo(self, changed: set[Fingerprint], terms: ChartTerms, now: float) -> None:
        trusted, order = terms.trusted, preference(terms.revision)
        owned, marks = terms.owned, terms.marks
        agreements: dict[tuple[str, ...], Agreement] = {}
        near: set[Fingerprint] = set()
        bare: dict[Fingerprint, ChartNode] = {}
        for fingerprint in changed:
            near.update(self._claims.pop(fingerprint, ()))
            self._expiries.pop(fingerprint, None)
            self._left_out.pop(fingerprint, None)
            said = self._said.get(fingerprint)
            reason = terms.barred.get(fingerprint, "")
            if said is None:
                if reason:
                    self._left_out[fingerprint] = LeftOut(node_id(fingerprint), reason)
                continue
            agreed = agreements.get(said.suites)
            if agreed is None:
                usable = order if terms.own is None else terms.own
                agreed = agree(terms.revision, said.suites, usable, why_not_own=terms.why_not_own)
                agreements[said.suites] = agreed
            reason = reason or self._distrusted.get(fingerprint, "") or _unusable(said, agreed, now)
            if reason:
                self._left_out[fingerprint] = LeftOut(said.name, reason)
                continue
            suite = agreed.suite or ""
            slots = said.slots[suite]
            bare[fingerprint] = ChartNode(
                fingerprint=fingerprint,
                node_id=said.node_id,
                name=said.node_id if fingerprint in terms.unnamed else said.name,
                group=said.group,
                owner=owned.get(fingerprint, ""),
                marks=marks.get(fingerprint, frozenset()),
                addresses=said.addresses,
                suites=tuple(name for name in order if name in said.suites),
                suite=suite,
                exit=said.exit,
                plain_text=fingerprint in trusted,
                slots=slots,
                load=said.load,
                places=said.places,
            )
            self._expiries[fingerprint] = max(slot.expiry for slot in slots)
            claims = _claims(said.lanes, terms.heirs)
            claims.pop(fingerprint, None)
            self._claims[fingerprint] = claims
            near.update(claims)
        self._place(changed, bare, near)

    def _place(
        self, changed: set[Fingerprint], bare: dict[Fingerprint, ChartNode], near: set[Fingerprint]
    ) -> None:
        """Put the nodes on the chart, and draw the lanes of all that are concerned."""
        known = self._nodes
        for fingerprint in changed:
            if fingerprint not in bare:
                known.pop(fingerprint, None)
        strangers = not bare.keys() <= known.keys()
        drawn: dict[Fingerprint, dict[Fingerprint, Lane]] = {}
        for fingerprint, node in bare.items():
            known[fingerprint] = replace(node, lanes=MappingProxyType(self._lanes(fingerprint, drawn)))
        for fingerprint in near:
            if fingerprint in known and fingerprint not in bare:
                node, lanes = known[fingerprint], self._lanes(fingerprint, drawn)
                if node.lanes != lanes:  # else it stays the same object, and what is known of it holds
                    known[fingerprint] = replace(node, lanes=MappingProxyType(lanes))
        if strangers:
            self._nodes = {fingerprint: known[fingerprint] for fingerprint in sorted(known)}

    def _lanes(
        self, fingerprint: Fingerprint, drawn: dict[Fingerprint, dict[Fingerprint, Lane]]
    ) -> dict[Fingerprint, Lane]:
        """Of a node, the lanes that both ends claim.

        :param drawn: those of other nodes: the two ends of a lane share it. Gets this node's.
        """
        lanes: dict[Fingerprint, Lane] = {}
        claims = self._claims
        for peer, (_, latency_us, capacity) in claims[fingerprint].items():
            others = drawn.get(peer)
            if others is not None:
                lane = others.get(fingerprint)
                if lane is not None:
                    lanes[peer] = lane
                continue
            back = claims.get(peer, _NO_CLAIMS).get(fingerprint)
            if back is not None:
                lanes[peer] = Lane(max(latency_us, back[1]), min(capacity, back[2]))
        drawn[fingerprint] = lanes
        return lanes


class ChartKeeper:
    """The chart of a rack, kept current."""

    def __init__(self, rack: BottleStore, atlas: Atlas | None = None) -> None:
        """:param atlas: says where nodes are."""
        self._rack = rack
        self._maker = ChartMaker(atlas)
        self._looked_s = -math.inf
        """When all of the rack was last looked at."""

    def draw(self, terms: ChartTerms, now: float, touched: Iterable[Fingerprint] | None = None) -> Chart:
        """The chart as it is now; reads only the bottles that have changed, and makes no other chart as long
        as nothing has.

        :param touched: the nodes of which something has changed in the rack since the last time, so that not
            all have to be looked at; None if that is not known.
        """
        if touched is None or not 0.0 <= now - self._looked_s < LOOK_S:
            self._look_at_all()
            self._looked_s = now
        else:
            for fingerprint in touched:
                self._look_at(fingerprint)
        return self._maker.draw(terms, now)

    def _look_at(self, fingerprint: Fingerprint) -> None:
        held = self._rack.held(fingerprint)
        if held is None:
            self._maker.drop(fingerprint)
        elif self._maker.sequence(fingerprint) != held.bottle.sequence:
            self._maker.take(held.bottle)
        self._maker.mark(fingerprint, "" if held is None else held.distrust)

    def _look_at_all(self) -> None:
        maker, rack = self._maker, self._rack
        held = {stamp[0]: stamp[1:] for stamp in rack.stamps()}
        gone = [fingerprint for fingerprint, _ in maker.sequences if fingerprint not in held]
        fresh = [one for one, sequence in held.items() if maker.sequence(one) != sequence]
        if 2 * len(fresh) > len(held):
            for bottle in rack:
                maker.take(bottle)
        else:
            for fingerprint in fresh:
                found = rack.get(fingerprint)
                if found is None:
                    gone.append(fingerprint)
                else:
                    maker.take(found)
        for fingerprint in gone:
            maker.drop(fingerprint)
        maker.distrust(rack.distrusted())


def chart_of(bottles: Iterable[Bottle], terms: ChartTerms, now: float, atlas: Atlas | None = None) -> Chart:
    """The chart of verified bottles that are all trusted, drawn once.

    :param now: Unix seconds.
    :param atlas: says where nodes are.
    """
    maker = ChartMaker(atlas)
    for bottle in bottles:
        maker.take(bottle)
    return maker.draw(terms, now)


def _claims(lanes: Iterable[Claim], heirs: Mapping[Fingerprint, Fingerprint]) -> dict[Fingerprint, Claim]:
    """What a node claims of its lanes, in the order of the other ends."""
    if not heirs:
        return {claim[0]: claim for claim in sorted(lanes)}
    return dict(sorted((heirs.get(claim[0], claim[0]), claim) for claim in lanes))


_NO_CLAIMS: Final[Mapping[Fingerprint, Claim]] = MappingProxyType({})


_TRUSTED: Final = frozenset({Action.TRUSTED_EXIT.value})
_VERIFIED: Final = frozenset({Action.OWNER_VERIFIED.value})


def _differing(one: Mapping[Fingerprint, object], other: Mapping[Fingerprint, object]) -> set[Fingerprint]:
    """Of whom something else is said."""
    return {who for who in chain(one, other) if one.get(who) != other.get(who)}


def _unusable(said: Said, agreed: Agreement, now: float) -> str:
    """Why a node cannot be used whoever asks; empty if it can."""
    if said.offline:
        return "it has said that it is going offline"
    if said.misplaced:
        return said.misplaced
    if agreed.suite is None:
        return _nothing_in_common(agreed)
    if all(slot.expiry <= now for slot in said.slots.get(agreed.suite, ())):
        return f"it names no unexpired prekey for {agreed.suite}, the suite to use with it"
    return ""


def _nothing_in_common(agreed: Agreement) -> str:
    """What stands against the best of what the node serves."""
    for verdict in agreed.verdicts:
        if verdict.reason not in (NOT_SERVED, NOT_ALLOWED):
            return f"serves no cipher suite that we can use; {verdict.name}: {verdict.reason}"
    return "serves no cipher suite that the charter allows"
