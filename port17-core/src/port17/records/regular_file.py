"""Reading a file that others may have put there: at most so much of it, and never something to wait for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a pipe would keep us until somebody writes


def read_regular(file: Path, cap: int) -> bytes:
    """A file's first bytes.

    :param cap: longest file that is wanted, bytes; of a longer one, one byte more is read.
    :raises OSError: it can't be read, or is a pipe, a device or a folder.
    """
    return read_with_mode(file, cap)[0]


def read_with_mode(file: Path, cap: int) -> tuple[bytes, int]:
    """The same, and the mode of that very file.

    :raises OSError: as of :func:`read_regular`.
    """
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | _NONBLOCK)) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return stream.read(cap + 1), mode
