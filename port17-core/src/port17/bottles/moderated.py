"""The moderators' list that is in force here, and what is left of it after the user's own objections."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from port17.errors import RecordError
from port17.records.identity import node_id
from port17.records.moderation import Action, SignedModeration, moderators
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Appeal:
    """The user's own word, which stands above the moderators': node ids, or fingerprints in hex.

    :param trust: nodes of which nothing that moderators say against them counts.
    :param distrust: nodes that no route of ours uses.
    :param ignore_moderator: moderators whose signatures don't count.
    """

    trust: frozenset[str] = frozenset()
    distrust: frozenset[str] = frozenset()
    ignore_moderator: frozenset[str] = frozenset()


def means(texts: frozenset[str], fingerprint: bytes) -> bool:
    """Whether one of some ids or fingerprints is this one's."""
    return bool(texts) and (fingerprint.hex() in texts or node_id(fingerprint) in texts)


@dataclass(frozen=True)
class Said:
    """What moderators and user say at one moment.

    :param blocked: why, by fingerprint: no lanes, and the bottle is not passed on.
    :param distrusted: why, by fingerprint: no route of ours.
    :param trusted_exits: may have unencrypted connections.
    :param owners: PortNames in lower case to whose they are.
    :param same_owner: what a node's owner is called, in lower case, by the node's fingerprint: nodes of one
        owner are not to be in one route.
    :param until: Unix second at which that changes, if no newer list comes.
    """

    blocked: Mapping[bytes, str] = field(default_factory=dict)
    distrusted: Mapping[bytes, str] = field(default_factory=dict)
    trusted_exits: frozenset[bytes] = frozenset()
    owners: Mapping[str, bytes] = field(default_factory=dict)
    same_owner: Mapping[bytes, str] = field(default_factory=dict)
    until: float = math.inf


class Moderated:
    """The newest valid list that was seen."""

    def __init__(self, network_id: bytes, appeal: Appeal | None = None) -> None:
        self._network_id = network_id
        self._appeal = appeal or Appeal()
        self._list: SignedModeration | None = None

    def consider(
        self,
        offered: SignedModeration,
        revision: Revision,
        schemes: Mapping[str, IdentityScheme],
        now_s: float,
    ) -> bool:
        """Take over a list if it is newer than the one held, whoever sent it.

        :returns: False if it is not.
        :raises RecordError: it is not signed by enough moderators that the user listens to.
        """
        if self._list is not None and offered.order <= self._list.order:
            return False
        ignored = {one for one in moderators(revision) if means(self._appeal.ignore_moderator, one)}
        offered.verify(self._network_id, revision, schemes, now_s, ignored=ignored)
        self._list = offered
        return True

    def reconsider(self, revision: Revision, schemes: Mapping[str, IdentityScheme], now_s: float) -> None:
        """Other moderators may hold office: what they would not have signed is in force no longer."""
        held, self._list = self._list, None
        if held is None:
            return
        try:
            self.consider(held, revision, schemes, now_s)
        except RecordError as error:
            _log.warning("the moderators' list is in force no longer: %s", error.message)

    def said(self, now_s: float, known: Iterable[bytes]) -> Said:
        """What holds now.

        :param known: fingerprints of the nodes that there are, of which the user may have said something.
        """
        blocked: dict[bytes, str] = {}
        distrusted: dict[bytes, str] = {}
        exits: set[bytes] = set()
        owners: dict[str, bytes] = {}
        same_owner: dict[bytes, str] = {}
        until = math.inf
        for entry in self._list.moderation.entries if self._list is not None else ():
            if entry.expiry <= now_s:
                continue
            until = min(until, entry.expiry)
            match entry.action:
                case Action.BLOCK:
                    blocked[entry.fingerprint] = f"blocked by the moderators: {entry.reason}"
                case Action.DISTRUST:
                    distrusted[entry.fingerprint] = f"distrusted by the moderators: {entry.reason}"
                case Action.TRUSTED_EXIT:
                    exits.add(entry.fingerprint)
                case Action.OWNER_VERIFIED:
                    owners[entry.name.lower()] = entry.fingerprint
                case Action.SAME_OWNER:
                    same_owner[entry.fingerprint] = entry.name.lower()
        for against in (blocked, distrusted, same_owner):
            for fingerprint in [one for one in against if means(self._appeal.trust, one)]:
                del against[fingerprint]
        for fingerprint in known:
            if means(self._appeal.distrust, fingerprint):
                distrusted[fingerprint] = "you distrust it"
        return Said(
            MappingProxyType(blocked),
            MappingProxyType(distrusted),
            frozenset(one for one in exits if not means(self._appeal.distrust, one)),
            MappingProxyType(owners),
            MappingProxyType(same_owner),
            until,
        )
