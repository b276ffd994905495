"""Logging to stderr: a last net under the rule that no destination, client address or circuit is logged."""

from __future__ import annotations

import logging
import re

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
REDACTED = "<address>"

_IPV4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.])"
_IPV6 = r"(?<![\w:.])\[?(?:[0-9a-fA-F]{1,4}:(?=[0-9a-fA-F:.]*:)|::)[0-9a-fA-F:.]*\]?(?::\d{1,5})?(?![\w:])"
_ADDRESS = re.compile(f"{_IPV4}|{_IPV6}")


class Redacting(logging.Formatter):
    """Takes IP addresses out of the whole record, and tracebacks out of all but debug output.

    An exception's text often names what could not be reached.
    """

    def __init__(self, *, tracebacks: bool) -> None:
        super().__init__(FORMAT)
        self._tracebacks = tracebacks

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        if self._tracebacks:
            return super().formatException(ei)  # type: ignore[arg-type]
        kind = ei[0] if isinstance(ei, tuple) else None
        return f'({getattr(kind, "__name__", "an error")}; log.level = "debug" shows where)'

    def format(self, record: logging.LogRecord) -> str:
        if not self._tracebacks:
            record.exc_text = None  # another handler may have cached one with its details
            record.stack_info = None
        return redact(super().format(record))


def redact(text: str) -> str:
    """The text without IP addresses and the ports behind them."""
    head, separator, tail = text.partition(" ")  # the date
    time, gap, rest = tail.partition(" ")
    if not (head[:4].isdigit() and separator and gap):
        return _ADDRESS.sub(REDACTED, text)
    return f"{head} {time} {_ADDRESS.sub(REDACTED, rest)}"


def set_up(level: str) -> None:
    """Log to stderr from a level on.

    :param level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Redacting(tracebacks=level == "debug"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
