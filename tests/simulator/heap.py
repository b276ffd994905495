"""The events to come, in their order, and the clock that they move. Who does what then is not said here."""

from __future__ import annotations

import gc
import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any, Final

Call = Callable[..., None]

MOMENT_CAP: Final = 100_000
"""Most events of one moment: who is told that something is due, and does not do it, is told for ever."""


class Event:
    """Something that is going to happen, unless it is cancelled."""

    __slots__ = ("arguments", "call")

    def __init__(self, call: Call, arguments: tuple[Any, ...]) -> None:
        self.call: Call | None = call
        self.arguments = arguments

    def cancel(self) -> None:
        """It does not happen. It may have happened already."""
        self.call = None
        self.arguments = ()


class Heap:
    """One world's time: what happens at one moment happens in the order in which it was planned."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        """
        :param seed: of all that is left to chance.
        :param traced: write down what happens, which takes time.
        """
        self.now_s = 0.0
        self.random = random.Random(seed)
        self.happened = 0
        """Events so far."""
        self._coming: list[tuple[float, int, Event]] = []
        self._planned = 0
        self._moment = 0
        self.traced = traced
        self._trace = hashlib.sha256()

    def at(self, when_s: float, call: Call, *arguments: Any) -> Event:
        """Plan something.

        :param when_s: on this clock, seconds; what is past happens next.
        """
        event = Event(call, arguments)
        self._planned += 1
        heapq.heappush(self._coming, (max(when_s, self.now_s), self._planned, event))
        return event

    def after(self, delay_s: float, call: Call, *arguments: Any) -> Event:
        """The same, so many seconds from now."""
        return self.at(self.now_s + delay_s, call, *arguments)

    def note(self, what: str, *parts: object) -> None:
        """Write down what happens, for :attr:`trace`; of no effect in a world that is not traced.

        :param parts: numbers, text and bytes, whose text is the same in every process.
        """
        if self.traced:
            self._trace.update(f"{self.now_s!r} {what} {parts!r}\n".encode())

    @property
    def trace(self) -> str:
        """Stands for all that was noted, and its order."""
        return self._trace.hexdigest()

    def run(self, until_s: float, stop: Callable[[], bool] | None = None, every_s: float = 1.0) -> bool:
        """Let things happen until a moment, which is now afterwards.

        :param stop: asked every so often; ends the run if it is true.
        :returns: whether ``stop`` ended it.
        """
        collecting = gc.isenabled()
        gc.disable()  # it would look through some million objects again and again, and find nothing
        try:
            return self._run_until(until_s, stop, every_s)
        finally:
            if collecting:
                gc.enable()

    def _run_until(self, until_s: float, stop: Callable[[], bool] | None, every_s: float) -> bool:
        asked_s = self.now_s
        while True:
            if stop is not None and self.now_s >= asked_s:
                if stop():
                    return True
                asked_s = self.now_s + every_s
            limit_s = until_s if stop is None else min(until_s, asked_s)
            self._run(limit_s)
            self.now_s = limit_s
            if limit_s >= until_s:
                return stop is not None and stop()

    def _run(self, until_s: float) -> None:
        coming, pop = self._coming, heapq.heappop
        while coming and coming[0][0] <= until_s:
            when_s, _, event = pop(coming)
            if event.call is not None:
                if when_s > self.now_s:
                    self._moment = self.happened
                elif self.happened - self._moment > MOMENT_CAP:
                    raise AssertionError(f"time stands still at {when_s} s: {event.call.__qualname__}")
                self.now_s = when_s
                self.happened += 1
                event.call(*event.arguments)
