"""What tells a file from what stood in its place before, without reading it."""

from __future__ import annotations

import os
from typing import TypeAlias

FileMark: TypeAlias = tuple[int, int, int]
"""Time of its last change in nanoseconds, size in bytes, number in its file system: a file that was replaced
has another number, one that was written in place another time."""


def mark(status: os.stat_result) -> FileMark:
    """The mark of a file's status."""
    return status.st_mtime_ns, status.st_size, status.st_ino
