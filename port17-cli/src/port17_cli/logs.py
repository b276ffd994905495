"""Logging to stderr: a last net under the rule that no destination, client address or circuit is logged."""

from __future__ import annotations

import ipaddress
import logging
import re

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
REDACTED = "<address>"

_CANDIDATE = re.compile(r"(?<!\w)(?:\[[0-9A-Fa-f:.]+\](?::\d+)?|[0-9A-Fa-f:.]{2,})(?!\w)")
"""Whatever could be an address, with or without a port; the address parser decides."""


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
    return _CANDIDATE.sub(_replaced, text)


def _replaced(match: re.Match[str]) -> str:
    text = match[0]
    for address in (text, text.rstrip(".:")):  # the end of a sentence, or what a colon introduces
        if _is_address(address):
            return REDACTED + text[len(address) :]
    return text


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return _parses(text) or (port.isdigit() and _parses(host))


def _parses(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def set_up(level: str) -> None:
    """Log to stderr from a level on.

    :param level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Redacting(tracebacks=level == "debug"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)  # they log every request, and whole headers
