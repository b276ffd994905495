"""No address reaches the log, whoever forgets the rule."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from port17_cli import logs


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def written(root: logging.Logger, level: str) -> io.StringIO:
    logs.set_up(level)
    stream = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


@pytest.mark.parametrize(
    "address",
    ["192.0.2.7", "192.0.2.7:443", "2001:db8::7", "[2001:db8::7]:443", "::1", "fe80::1", "::ffff:192.0.2.7",
     "2001:db8:1:2:3:4:5:6"],
)  # fmt: skip
def test_addresses_are_redacted(root: logging.Logger, address: str) -> None:
    stream = written(root, "info")
    logging.getLogger("port17.node").warning(
        "cannot reach %s now, %s: refused by %s.", address, address, address
    )
    text = stream.getvalue()
    assert text.endswith(f"cannot reach {logs.REDACTED} now, {logs.REDACTED}: refused by {logs.REDACTED}.\n")


@pytest.mark.parametrize(
    "text", ["version 1.2.3", "12:30:45", "port17.node.manager: 3 lanes", "a.b.c.d", "10 %"]
)
def test_what_is_no_address_stays(root: logging.Logger, text: str) -> None:
    stream = written(root, "info")
    logging.getLogger("port17").info("%s", text)
    assert stream.getvalue().endswith(f"{text}\n")
    assert logs.REDACTED not in stream.getvalue()


def test_tracebacks_are_for_debug(root: logging.Logger) -> None:
    for level, shown in (("info", False), ("debug", True)):
        stream = written(root, level)
        try:
            raise ConnectionRefusedError("192.0.2.7 at secret.example")
        except ConnectionRefusedError:
            logging.getLogger("port17").exception("failed")
        assert ("secret.example" in stream.getvalue()) is shown
        assert "ConnectionRefusedError" in stream.getvalue()
        assert "192.0.2.7" not in stream.getvalue()


def test_the_level_is_obeyed(root: logging.Logger) -> None:
    stream = written(root, "warning")
    logging.getLogger("port17").info("quiet")
    assert stream.getvalue() == ""
