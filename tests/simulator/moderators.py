"""The moderators of a simulated network: each list is signed by two of three, under terms that all know."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

from port17.bottles.reputation import Reputation
from port17.records.identity import Identity
from port17.records.moderation import Entry, Moderation, SignedModeration
from port17.records.revision import Revision
from simulator.author import EPOCH_S, NETWORK, SCHEME, SUITES

MODERATORS: Final = 3
THRESHOLD: Final = 2


class Moderators:
    """Who they are, and what nodes make of their lists."""

    def __init__(self, chance: random.Random) -> None:
        self._keys = [SCHEME.load_private(chance.randbytes(32)) for _ in range(MODERATORS)]
        self.schemes = {SCHEME.name: SCHEME}
        self.revision = Revision.made(
            not_before=EPOCH_S,
            suites=list(SUITES),
            schemes=[SCHEME.name],
            moderators=[
                Identity.made(scheme=SCHEME.name, public=key.public).model_dump() for key in self._keys
            ],
            moderators_threshold=THRESHOLD,
        )

    def sign(self, entries: Iterable[Entry], now_s: float) -> SignedModeration:
        """A list that holds."""
        unsigned = SignedModeration.of(
            Moderation.made(seq=int(now_s), entries=[one.to_value() for one in entries])
        )
        return unsigned.signed(NETWORK, self.revision, [(SCHEME, key) for key in self._keys[:THRESHOLD]])

    def consider(self, reputation: Reputation, offered: SignedModeration, now_s: float) -> bool:
        """Whether a list is news to a node, which then obeys it.

        :raises RecordError: it is not signed well enough.
        """
        if not reputation.moderated.consider(offered, self.revision, self.schemes, now_s):
            return False
        reputation.renew(now_s)
        return True
