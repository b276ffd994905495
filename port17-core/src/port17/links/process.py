"""What a process that carries traffic asks of its system: descriptors, a heap that keeps buffers, no dump."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import suppress

WARM_UP = 4 * 1024 * 1024
"""Bytes of the block that is made and freed once. glibc gives memory at the heap's end back to the system as
soon as more than 128 KiB lie there, which under load is for every buffer, and each page is then cleared anew.
Freeing one large block raises that limit to twice its size (mallopt(3), M_MMAP_THRESHOLD: dynamic).
Without it an exit on a fast download asked the system for heap at every read. Other C libraries do nothing
with it."""

GARBAGE = 10_000
"""Objects made and not yet freed before the collector looks at them: a busy node makes 700, Python's own
limit, with every few connections, and hardly any of them is in a cycle."""


CORE_LIMIT = 1
"""Largest core dump, bytes. No system writes one that small; and to Linux this number, unlike zero, also says
not to hand the process's memory to a program that collects crashes (fs/coredump.c)."""
PR_SET_DUMPABLE = 4
"""prctl(2): whether the process is dumped at all."""


def forbid_core_dumps() -> None:
    """Let no crash write the process's memory, keys and all, to disk. Before the first key is read."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard == resource.RLIM_INFINITY or hard >= CORE_LIMIT:
        resource.setrlimit(resource.RLIMIT_CORE, (CORE_LIMIT, CORE_LIMIT))
        return
    # A hard limit of zero stays: then only this keeps Linux from handing a dump to a collector. Not always,
    # since it also hides the process's /proc from its owner.
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


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


def settle() -> None:
    """Once everything is loaded: the garbage collector need not look through it ever again.

    Modules, models and charts are some hundred thousand objects that stay; going through them takes
    10 ms and more, in the middle of somebody's cell.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)
