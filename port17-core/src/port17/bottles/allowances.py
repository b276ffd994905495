"""A token bucket for each of many names, and not too many of them: what one origin may do, however often it
comes back.
"""

from __future__ import annotations

from collections import OrderedDict

from port17.wire.quota import TokenBucket


class Allowances:
    """See the module."""

    def __init__(self, rate: float, burst: float, most: int) -> None:
        """
        :param rate: tokens per second, for each name.
        :param burst: most tokens held; also what a name begins with.
        :param most: names that are remembered; of more, who has longest done nothing begins anew.
        """
        self._rate = rate
        self._burst = burst
        self._most = most
        self._of: OrderedDict[str, TokenBucket] = OrderedDict()

    def level(self, name: str, now_s: float) -> float:
        """How many tokens one has."""
        bucket = self._of.get(name)
        return self._burst if bucket is None else bucket.level(now_s)

    def take(self, name: str, now_s: float) -> bool:
        """One token, if there is one."""
        bucket = self._of.get(name)
        if bucket is None:
            while len(self._of) >= self._most:
                self._of.popitem(last=False)
            bucket = self._of[name] = TokenBucket(self._rate, self._burst)
        self._of.move_to_end(name)
        return bucket.take(now_s)

    def __len__(self) -> int:
        """Names that are remembered."""
        return len(self._of)
