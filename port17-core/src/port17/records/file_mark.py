"""What tells a file from what stood in its place before, without reading it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

FileMark: TypeAlias = tuple[int, int, int]
"""Time of its last change in nanoseconds, size in bytes, number in its file system: a file that was replaced
has another number, one that was written in place another time."""
UNKNOWN: FileMark = (0, -1, 0)
"""Of a file that can't be asked, like a link to itself: like no other, for as long as that lasts."""


def mark(status: os.stat_result) -> FileMark:
    """The mark of a file's status."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def mark_of(file: Path) -> FileMark | None:
    """The mark of a file; None if it is not there, :data:`UNKNOWN` if even that can't be told."""
    try:
        return mark(os.stat(file))
    except FileNotFoundError:
        return None
    except OSError:
        return UNKNOWN
