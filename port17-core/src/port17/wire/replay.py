"""The replay set: what opened once never opens again within the window of its timestamp."""

from __future__ import annotations

from collections.abc import Callable

from port17.errors import PeerViolation

STAMP_UNIT_S = 60
"""A stamp counts minutes since the epoch: fine enough to bound the set, coarse enough to tell no clock."""
REPLAY_CAP = 1_000_000
"""Most entries kept, 16 bytes each and a set's overhead: some 100 MB at the very worst. At the cap
everything new is refused, nothing is evicted [else flooding would make room for a replay]."""
REPLAY_KEY_SIZE = 16
"""Bytes of a digest kept for each entry."""


class ReplaySet:
    """Entries in two rotating generations, each as long as a stamp can stay acceptable.

    Look up before decapsulation, insert after the box opens and before any effect.
    """

    def __init__(
        self,
        skew_s: float,
        *,
        refuse_until_s: float = 0.0,
        cap: int = REPLAY_CAP,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        """
        :param skew_s: how far a peer's clock may be off, seconds.
        :param refuse_until_s: after an unclean start (the set was lost): stamps up to this Unix second
            are refused.
        :param elapsed: seconds since any moment, by a clock that nobody sets: generations turn by it, so that
            one that jumps ahead empties no set. None goes by the time that is given.
        """
        self._skew_s = skew_s
        self._refuse_until_s = refuse_until_s
        self._cap = cap
        self._elapsed = elapsed
        self._period_s = 2 * skew_s + STAMP_UNIT_S
        """From the earliest to the latest moment at which one stamp is accepted."""
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn_s: float | None = None

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def seen(self, key: bytes) -> bool:
        """True if the key (``REPLAY_KEY_SIZE`` bytes) is in the set."""
        return key in self._young or key in self._old

    def admit(self, key: bytes, stamp: int, now_s: float) -> None:
        """Take a fresh entry in.

        :param stamp: minutes since the epoch, as the peer wrote it.
        :raises PeerViolation: it is a replay, too old, too new, or the set is full.
        """
        self.check(key, stamp, now_s)
        if len(self) >= self._cap:
            raise PeerViolation("the replay set is full")
        self._young.add(key)

    def check(self, key: bytes, stamp: int, now_s: float) -> None:
        """What :meth:`admit` asks before it takes an entry in.

        :raises PeerViolation: it is a replay, too old or too new.
        """
        self._rotate(now_s if self._elapsed is None else self._elapsed())
        begins_s = stamp * STAMP_UNIT_S
        if begins_s + STAMP_UNIT_S + self._skew_s < now_s or begins_s - self._skew_s > now_s:
            raise PeerViolation("a timestamp is outside the window: check both clocks")
        if begins_s <= self._refuse_until_s:
            raise PeerViolation("after an unclean start, older timestamps are refused for a while")
        if self.seen(key):
            raise PeerViolation("a replay")

    def refuses(self, now_s: float) -> bool:
        """Whether stamps of before an unclean start could still come, and so have to be refused."""
        return now_s <= self._refuse_until_s + STAMP_UNIT_S + self._skew_s

    def entries(self) -> list[bytes]:
        """All keys, to be stored by a clean stop and given to :meth:`restore`."""
        return sorted(self._young | self._old)

    def restore(self, keys: list[bytes]) -> None:
        """Take stored entries back in; they are kept for one more period."""
        self._young.update(keys)

    def _rotate(self, now_s: float) -> None:
        if self._turn_s is None:
            self._turn_s = now_s + self._period_s
        elif now_s >= self._turn_s:
            # Two periods without a call: both generations are past their time.
            self._old = self._young if now_s < self._turn_s + self._period_s else set()
            self._young = set()
            self._turn_s = now_s + self._period_s


def stamp(now_s: float) -> int:
    """The stamp of a Unix time."""
    return int(now_s) // STAMP_UNIT_S
