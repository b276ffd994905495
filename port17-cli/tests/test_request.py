"""What DEST means, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import UsageError
from port17_cli.request import destination


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("example.com", ("example.com", 443)),
        ("example.com:8080", ("example.com", 8080)),
        ("192.0.2.7", ("192.0.2.7", 443)),
        ("192.0.2.7:80", ("192.0.2.7", 80)),
        ("2001:db8::7", ("2001:db8::7", 443)),
        ("[2001:db8::7]", ("2001:db8::7", 443)),
        ("[2001:db8::7]:22", ("2001:db8::7", 22)),
        ("https://example.com/a?b#c", ("example.com", 443)),
        ("http://Example.com", ("example.com", 80)),
        ("http://user:word@example.com:81/", ("example.com", 81)),
        ("https://[2001:db8::7]:8443/", ("2001:db8::7", 8443)),
        ("WSS://example.com", ("example.com", 443)),
        ("mine://example.com:7", ("example.com", 7)),
        ("bücher.example", ("bücher.example", 443)),
    ],
)
def test_forms(text: str, meant: tuple[str, int]) -> None:
    assert destination(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":443",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:https",
        "example.com:443:1",
        "example.com:٤٤٣",
        "example.com/path",
        "two words",
        "me@example.com",
        "[example.com]:443",
        "[2001:db8::7",
        "[2001:db8::7]443",
        "2001:db8::g",
        "https://",
        "https:///path",
        "https://example.com:0",
        "https://example.com:99999",
        "https://[2001:db8::7/",
        "mine://example.com",
        "a" * 254,
        "line\nbreak",
    ],
)
def test_what_is_none_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        destination(text)
    assert raised.value.cure


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_whatever_is_typed_is_a_destination_or_refused(text: str) -> None:
    try:
        host, port = destination(text)
    except UsageError:
        return
    assert host
    assert 0 < port < 65536
