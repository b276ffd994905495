"""What the charter means to one process at one moment: whose word counts, and which suites are used,
with whom and how.

What follows when another revision begins to hold is :mod:`port17.network`'s to say.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from port17.bottles import buckets
from port17.errors import PluginError
from port17.navigator.agreement import agree
from port17.plugins.families import IDENTITY_SCHEMES
from port17.plugins.loader import Registry
from port17.plugins.own_suites import OwnSuites
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17.records.level import Status
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme, usable
from port17.wire.prekey import Network, ResponderKey
from port17.wire.suite import CipherSuite

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InForce:
    """Changes as a whole, when another revision holds or one is accepted no longer.

    :param accepted: the revisions that peers may speak of, the one that holds first.
    :param terms: the one that holds, as our suites stand: with what their authors deprecate.
    :param suites: what we can use, by name, best first.
    :param refused: of every other suite that the charter allows, why we can't use it.
    :param served: what can be used under any revision that a peer may speak of.
    :param prepared: the same, and what can be used under revisions that will hold.
    :param schemes: the identity schemes that the charter allows and we have.
    """

    accepted: tuple[Revision, ...]
    terms: Revision
    suites: dict[str, CipherSuite]
    refused: dict[str, str]
    served: dict[str, CipherSuite]
    prepared: dict[str, CipherSuite]
    schemes: dict[str, IdentityScheme]

    @classmethod
    def of(
        cls,
        charter: Charter,
        accepted: tuple[Revision, ...],
        own: OwnSuites,
        schemes: Mapping[str, IdentityScheme],
    ) -> InForce:
        """What a charter means to an end.

        :param accepted: of its revisions, those that peers may speak of, the one that holds first.
        :param own: the suites of this end.
        :param schemes: every identity scheme that is installed.
        """
        revision = accepted[0]
        choice = own.under(revision)
        return cls(
            accepted,
            choice.terms,
            choice.suites,
            choice.refused,
            served=own.across(accepted),
            prepared=own.across((*accepted, *charter.coming(revision.not_before))),
            schemes=usable(revision.schemes, schemes),
        )

    def transcript(self, charter: Charter) -> Network:
        """What the wire binds.

        :param charter: the one that this is of.
        """
        return Network(
            network_id=charter.network_id,
            revisions=tuple(revision.seq for revision in self.accepted),
            flight_blocks=charter.genesis.flight_blocks,
            skew_s=self.accepted[0].clock_skew_s,
        )

    def responder(self, bottle: Bottle, now: float) -> ResponderKey | None:
        """How to address a node: by its prekey of the suite to use with it; None if there is none of that,
        whatever others there are.

        :param bottle: the node's.
        :param now: Unix time, seconds.
        """
        suite = self.suites.get(agree(self.terms, bottle.label.suites, self.suites).suite or "")
        if suite is None:
            return None
        bundle = [one for one in bottle.bundle if one.suite == suite.name]
        for record in buckets.usable(bundle, now, self.terms.prekey_lifetime_s):
            if len(record.public) == suite.public_size:
                return ResponderKey(suite, bottle.fingerprint, record.hash, record.slot, record.public)
        return None


def installed_schemes(registry: Registry) -> dict[str, IdentityScheme]:
    """Every installed scheme that works: which one signed the charter is known only once it is read."""
    schemes: dict[str, IdentityScheme] = {}
    for name in registry.names(IDENTITY_SCHEMES):
        try:
            schemes[name] = registry.make(IDENTITY_SCHEMES, name)
        except PluginError as error:
            _log.warning("an identity scheme is left out: %s", error)
            continue
        if schemes[name].status is Status.BROKEN:
            _log.warning("the identity scheme %s is broken: nothing that it signs is believed", name)
    return schemes


class CharterClock:
    """Which revision of a charter holds, as time passes and revisions come."""

    def __init__(
        self,
        charter: Charter,
        own: OwnSuites,
        schemes: Mapping[str, IdentityScheme],
        wall: Callable[[], float],
    ) -> None:
        """
        :param own: the suites of this end.
        :param schemes: every identity scheme that is installed.
        :param wall: Unix time, seconds.
        """
        self.charter = charter
        self._own = own
        self._installed = schemes
        self._wall = wall
        self._floor = 0
        """The newest revision that ever held here: a clock that is set back takes none back."""
        self.held = self._interpret()
        """What holds, as of the last look."""

    def _accepted(self) -> tuple[Revision, ...]:
        floor = self.charter.revisions[self._floor].revision
        return self.charter.accepted(max(self._wall(), floor.not_before))

    def _interpret(self) -> InForce:
        held = InForce.of(self.charter, self._accepted(), self._own, self._installed)
        self._floor = held.accepted[0].seq
        return held

    def turn(self, charter: Charter | None = None) -> InForce | None:
        """Look again.

        :param charter: with more revisions than before.
        :returns: what held before, if that has changed.
        """
        if charter is not None:
            self.charter = charter
        elif self._accepted() == self.held.accepted:
            return None
        before, self.held = self.held, self._interpret()
        self._tell(before)
        return before

    def _tell(self, before: InForce) -> None:
        revision = self.held.accepted[0]
        if revision != before.accepted[0]:
            names = ", ".join(self.held.suites) or "none"
            _log.info(
                "revision %d of the charter holds now; cipher suites, best first: %s", revision.seq, names
            )
        if not self.held.suites and before.suites:
            error = self._own.nothing_left(revision, self._own.under(revision))
            _log.error("nothing can be begun: %s. %s", error.message, error.cure)

    def until_change_s(self) -> float:
        """Seconds until another revision holds, or one is no longer accepted; infinite if none is known."""
        now_s, (current, *others) = self._wall(), self.held.accepted
        moments = [one.not_before for one in self.charter.coming(now_s)]
        moments += [
            self.charter.accepted_until(one.seq, current.seq) for one in others if one.seq < current.seq
        ]
        return min((moment - now_s for moment in moments if moment > now_s), default=math.inf)
