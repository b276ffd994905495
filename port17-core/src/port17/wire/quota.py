"""Token buckets and the grant budget: what bounds a peer's demand on a node."""

from __future__ import annotations


class TokenBucket:
    """A rate with a burst."""

    __slots__ = ("_burst", "_level", "_rate", "_then_s")

    def __init__(self, rate: float, burst: float) -> None:
        """
        :param rate: tokens per second.
        :param burst: most tokens held; also the first level.
        """
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._then_s: float | None = None

    def level(self, now_s: float) -> float:
        """How many tokens there are."""
        if self._then_s is not None:
            self._level = min(self._burst, self._level + (now_s - self._then_s) * self._rate)
        self._then_s = now_s
        return self._level

    def take(self, now_s: float) -> bool:
        """One token, if there is one."""
        if self.level(now_s) < 1:
            return False
        self._level -= 1
        return True

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is a token; 0 if there is one now."""
        level = self.level(now_s)
        return 0.0 if level >= 1 else (1 - level) / self._rate

    def put(self, tokens: float) -> None:
        """Earn tokens otherwise than by time; past the burst they are lost."""
        self._level = min(self._burst, self._level + tokens)


class Budget:
    """An amount that many takers share: cells granted to peers, or bytes."""

    __slots__ = ("_total", "used")

    def __init__(self, total: int) -> None:
        self._total = total
        self.used = 0

    @property
    def left(self) -> int:
        """What can still be taken."""
        return self._total - self.used

    def take(self, amount: int) -> bool:
        """Take the amount, wholly or not at all."""
        if self.used + amount > self._total:
            return False
        self.used += amount
        return True

    def take_spare(self, amount: int) -> bool:
        """Take the amount if half of the budget is left after: growth never starves what is new."""
        return self.spares(amount) and self.take(amount)

    def spares(self, amount: int) -> bool:
        """Whether half of the budget is left after taking the amount."""
        return 2 * (self.used + amount) <= self._total

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.used -= amount
