"""What is said of nodes by others than themselves, put together: proofs, moderators, the user, and who holds
which name. What follows for routes and lanes is the chart's and the network's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from port17.bottles.intake import Intake
from port17.bottles.moderated import Appeal, Moderated, Said
from port17.bottles.rack import BottleStore
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme

HANDED_OVER: Final = "it has handed over to another identity"


class Reputation:
    """See the module."""

    def __init__(
        self, rack: BottleStore, network_id: bytes, intake: Intake | None = None, appeal: Appeal | None = None
    ) -> None:
        """:param intake: what fills the rack, and is told whom moderators block."""
        self.moderated = Moderated(network_id, appeal)
        self.said = Said()
        """What moderators and user say now."""
        self._rack = rack
        self._intake = intake

    def renew(self, now_s: float, superseded: Iterable[bytes] = ()) -> None:
        """What is said has changed, or time has passed.

        :param now_s: Unix time, seconds.
        :param superseded: who has handed over to another identity, and is not to come back.
        """
        self.said = self.moderated.said(now_s, (stamp.fingerprint for stamp in self._rack.stamps()))
        if self._intake is not None:
            self._intake.blocked = {**dict.fromkeys(superseded, HANDED_OVER), **self.said.blocked}
            self._intake.settled = self.said.owners

    def reconsider(self, revision: Revision, installed: Mapping[str, IdentityScheme], now_s: float) -> None:
        """Another revision of the charter may name other moderators; :meth:`renew` is to follow."""
        self.moderated.reconsider(revision, installed, now_s)

    def bottles(self) -> dict[str, object]:
        """How many bottles are held, how many nodes barred, and what became of every bottle that came."""
        outcomes = self._intake.tally.counts if self._intake is not None else {}
        return {
            "held": len(self._rack),
            "barred": len(self.barred()),
            "outcomes": dict(sorted(outcomes.items())),
        }

    def barred(self) -> dict[bytes, str]:
        """Why no route uses a node, by fingerprint."""
        bans: Mapping[bytes, str] = self._intake.bans.reasons if self._intake is not None else {}
        banned = {one: f"banned: {reason}" for one, reason in bans.items()}
        return {**self.said.distrusted, **self.said.blocked, **banned}

    def unnamed(self, now_s: float) -> frozenset[bytes]:
        """The nodes whose PortName is another's."""
        if self._intake is None:
            return frozenset()
        return self._intake.names.unnamed(now_s, self.said.owners)
