"""What a process that carries traffic asks of its system: descriptors, and a heap that keeps buffers."""

from __future__ import annotations

import resource
from contextlib import suppress

WARM_UP = 16 * 1024 * 1024
"""Bytes of the block that is made and freed once. glibc gives memory at the heap's end back to the system as
soon as more than 128 KiB lie there, which under load is for every buffer, and each page is then cleared anew.
Freeing one large block raises that limit to twice its size (mallopt(3), M_MMAP_THRESHOLD: dynamic). It took
a third of an exit's system time on a fast download. Other C libraries do nothing with it."""


def keep_buffers() -> None:
    """Let the heap keep some megabytes for reuse. Once per process, before the first traffic."""
    bytearray(WARM_UP)


def allow_descriptors() -> None:
    """Raise the limit of open files to what the system lets us: the usual 1024 are few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS names no limit and then refuses to set none: the soft one stays.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
