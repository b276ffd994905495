"""What the C library's heap does with the buffers that traffic makes and drops all the time."""

from __future__ import annotations

WARM_UP = 16 * 1024 * 1024
"""Bytes of the block that is made and freed once. glibc gives memory at the heap's end back to the system as
soon as more than 128 KiB lie there, which under load is for every buffer, and each page is then cleared anew.
Freeing one large block raises that limit to twice its size (mallopt(3), M_MMAP_THRESHOLD: dynamic). It took
a third of an exit's system time on a fast download. Other C libraries do nothing with it."""


def keep_buffers() -> None:
    """Let the heap keep some megabytes for reuse. Once per process, before the first traffic."""
    bytearray(WARM_UP)
