"""What looks for secrets finds them."""

from __future__ import annotations

import base64

import pytest
from conformance.leaks import said, shows

SECRET = bytes(range(100, 132))


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        f"key={SECRET[3:15].hex()}",
        repr(SECRET),
        repr(bytearray(SECRET)),
        str(list(SECRET)),
        base64.b64encode(SECRET).decode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(text: str) -> None:
    assert shows(text, SECRET)


def test_what_is_no_secret_is_not_found() -> None:
    assert not shows("XWingPrivate(<secret>) at 0x7f0123456789", SECRET)


def test_causes_are_looked_through() -> None:
    def fail() -> None:
        try:
            raise ValueError(SECRET.hex())
        except ValueError:
            raise TypeError("nothing") from None

    assert shows(said(fail), SECRET)
    assert said(lambda: None) == ""
