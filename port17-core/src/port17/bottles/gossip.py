"""The gossip: how one process and those that it is connected with keep each other's racks alike.

It decides about bytes and the time and opens nothing: whoever moves the bytes calls :meth:`Gossip.heard`,
:meth:`Gossip.step` and :meth:`Gossip.pull`. What becomes of a bottle is the intake's to say.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from port17.bottles.address_checks import Check
from port17.bottles.gossip_events import Event, Key
from port17.bottles.intake import Intake, Sender
from port17.bottles.marks import Marks
from port17.bottles.outcome import Outcome
from port17.bottles.sync import Scope
from port17.bottles.validation import Terms
from port17.records.bottle import Bottle
from port17.records.mark import SignedMark
from port17.records.moderation import SignedModeration
from port17.records.proof import Proof


class Gossip:
    """See the module. One for each process."""

    def __init__(
        self,
        intake: Intake,
        terms: Callable[[], Terms],
        *,
        moderate: Callable[[SignedModeration], bool],
        tell: Callable[[Event], None],
        rng: random.Random,
        parse: Callable[[bytes], Bottle] = Bottle.parse,
    ) -> None:
        """
        :param terms: what holds in the network now, with the wall clock.
        :param moderate: takes over a moderators' list if it is newer than the one held; raises
            :class:`~port17.errors.RecordError` if it is not signed well enough.
        :param tell: called with each event, while a method of this runs: it notes it, and calls nothing here.
        :param rng: decides about times alone.
        :param parse: what makes a bottle of bytes; many gossips in one process may share what was parsed.
        """
        self.own: bytes | None = None
        """Fingerprint of the node that this is."""
        self.marks = Marks()
        self.due_s = math.inf
        """When :meth:`tick` is to be called next."""
        self._intake = intake
        self._terms = terms
        self._moderate = moderate
        self._tell = tell
        self._rng = rng
        self._parse = parse
        self._last = 0

    # -- who is connected ----------------------------------------------------------------------------
    def serve(self, sender: Sender, ready: Callable[[], None]) -> Key:
        """Somebody has opened SYNC on us.

        :param sender: the link that he came over.
        :param ready: called when :meth:`pull` would give something; it notes that, and calls nothing here.
        """
        self._last += 1
        return Key(self._last)

    def follow(
        self,
        source: bytes,
        ready: Callable[[], None],
        *,
        scope: Scope = Scope.ALL,
        bundles: bool = True,
        local: bool = False,
        trusted: bool = False,
        standing: bool = True,
    ) -> Key:
        """We have opened SYNC on a node.

        :param source: its fingerprint.
        :param scope: of which nodes contents are wanted.
        :param bundles: prekey records are wanted too.
        :param local: it is on our local network: local bottles are wanted, and taken.
        :param trusted: as :class:`~port17.bottles.intake.Sender`.
        :param standing: to be told of news; else only what is there now is fetched.
        """
        self._last += 1
        return Key(self._last)

    def gone(self, key: Key) -> None:
        """A SYNC has ended; what it was asked for, others are."""

    # -- bytes ---------------------------------------------------------------------------------------
    def heard(self, key: Key, data: bytes) -> None:
        """Bytes have come.

        :raises PeerViolation: more than may lie unread.
        """

    def step(self, key: Key, now_s: float) -> bool:
        """Deal with one message.

        :param now_s: of any clock that never goes back, the same for all calls.
        :returns: True if more wait.
        :raises PeerViolation: the peer has broken the protocol, or used up its patience; the SYNC is over.
        """
        return False

    def pull(self, key: Key, now_s: float) -> bytes:
        """What is to be sent now, at most 64 KiB; empty if nothing is due."""
        return b""

    # -- as a follower -------------------------------------------------------------------------------
    def offer(self, key: Key, bottle: Bottle) -> None:
        """Give a source our own bottle, as a newcomer does; :class:`OfferAnswered` follows."""

    def synced(self, key: Key) -> bool:
        """Whether a source has nothing more that we lack, as far as was compared."""
        return False

    def ask_prekeys(self, key: Key, suite: str, slot: int, bits: int, prefix: int) -> None:
        """Ask a source for the prekey records of a bucket; :class:`PrekeysCame` follows."""

    def ask_commitments(self, key: Key, suite: str, slot: int, bits: int, prefix: int) -> None:
        """Ask a source what the nodes of a bucket commit to; :class:`CommitmentsCame` follows."""

    def doubt(self, key: Key, fingerprint: bytes) -> None:
        """Ask a source for the whole bottle that it holds of a node, though ours is as new: what it says of the
        node's prekeys contradicts what the node has signed. If it shows other contents, they go through the
        intake, which finds the equivocation; if it shows none, whoever asked draws its own conclusions."""

    # -- what comes in otherwise ---------------------------------------------------------------------
    def take(self, bottle: bytes | Bottle, sender: Sender, now_s: float) -> Outcome:
        """A bottle from elsewhere: a folder, a bootstrap list, our own publication."""
        return self._intake.take(bottle, sender, self._terms()).outcome

    def convict(self, proof: Proof, now_s: float) -> None:
        """A proof from elsewhere.

        :raises RecordError: it proves nothing.
        """

    def consider(self, moderation: SignedModeration, now_s: float) -> bool:
        """A moderators' list from elsewhere.

        :returns: False if it is no news.
        :raises RecordError: it is not signed well enough.
        """
        return self._moderate(moderation)

    def mark(self, mark: SignedMark, now_s: float) -> bool:
        """A mark that this node has signed, to be passed on; False if it is no news."""
        return False

    def checked(self, check: Check, failure: str, now_s: float) -> None:
        """The result of a :class:`CheckDue`.

        :param failure: what is wrong; empty if the same identity answered at every address.
        """

    def forget(self, *fingerprints: bytes) -> None:
        """Nodes have left the rack otherwise than by this."""

    # -- time ----------------------------------------------------------------------------------------
    def tick(self, now_s: float) -> None:
        """Time has passed; to be called when ``due_s`` is reached."""
