"""The batch: what one event makes many links send goes out together when the event has been dealt with.

A cell that comes in wakes the link that it leaves by. Waking a task for that costs several times the cell,
so as long as a batch is open links only put themselves on its list, and are flushed at its end.
"""

from __future__ import annotations

from typing import Protocol

from port17.wire.block import BLOCK_SIZE

BLOCKS_AT_ONCE = 64
"""Blocks of one send, 256 KiB: a call's cost shared by many cells, and 1.5 ms of a link at 160 MB/s, which
is what a cell that comes next has to wait for."""


class Flushed(Protocol):
    """What has something to send."""

    def flush(self) -> None:
        """Send what can be sent without waiting. Never raises."""


class Batch:
    """The batch of one event loop, and the buffer that its links seal into: one, so it stays in the cache.

    The buffer is used up before any other link's turn; nobody keeps a view of it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(BLOCKS_AT_ONCE * BLOCK_SIZE)
        self.view = memoryview(self._buffer)
        self.blocks = [self.view[at : at + BLOCK_SIZE] for at in range(0, len(self._buffer), BLOCK_SIZE)]
        self.is_open = False
        """An event is being dealt with."""
        self._depth = 0
        self._waiting: list[Flushed] = []

    def add(self, link: Flushed) -> None:
        """A link has something to send. Only while the batch is open."""
        self._waiting.append(link)

    def __enter__(self) -> None:
        """Begin to deal with one event; nothing waits until its end."""
        self._depth += 1
        self.is_open = True

    def __exit__(self, *raised: object) -> None:
        if self._depth == 1:
            failed: Exception | None = None
            # What a flush wakes is added while the list is gone through, and has its turn in it.
            for link in self._waiting:
                try:
                    link.flush()
                except Exception as error:  # noqa: BLE001 - a bug, and the others still have to have their turn
                    failed = failed or error
            self._waiting.clear()
            self.is_open = False
            if failed is not None:
                self._depth -= 1
                raise failed
        self._depth -= 1


BATCH = Batch()
"""The process's own: it has one event loop, and nothing here waits."""
