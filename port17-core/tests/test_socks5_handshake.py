"""The SOCKS5 handshake as bytes: every form of it, in pieces of any size, and whatever is none."""

from __future__ import annotations

import socket
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from port17.client.ingress.socks5_handshake import Asked, Code, Handshake, Refused, code_of, reply
from port17.wire.reasons import Reason

LONGEST_MESSAGE = 513
"""Bytes of RFC 1929's longest, which is the longest of all."""

NO_AUTH = b"\x05\x01\x00"
NO_AUTH_TAKEN = b"\x05\x00"


def domain(name: bytes, port: int = 443, command: int = 1) -> bytes:
    return bytes((5, command, 0, 3, len(name))) + name + port.to_bytes(2, "big")


def credentials(user: bytes, password: bytes) -> bytes:
    return bytes((1, len(user))) + user + bytes((len(password),)) + password


def run(*pieces: bytes) -> tuple[bytes, Asked | None]:
    handshake = Handshake()
    answers = b"".join(handshake.receive(piece) for piece in pieces)
    return answers, handshake.asked


def refused(*pieces: bytes) -> bytes:
    """All that was answered to a handshake that is refused."""
    handshake = Handshake()
    answers = b""
    with pytest.raises(Refused) as raised:
        for piece in pieces:
            answers += handshake.receive(piece)
    assert handshake.asked is None
    return answers + raised.value.answer


@pytest.mark.parametrize(
    ("request_bytes", "host", "port"),
    [
        (b"\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50", "192.0.2.7", 80),
        (
            b"\x05\x01\x00\x04" + socket.inet_pton(socket.AF_INET6, "2001:db8::17") + b"\x01\xbb",
            "2001:db8::17",
            443,
        ),
        (domain(b"example.org", 65535), "example.org", 65535),
        (domain(b"x" * 255), "x" * 255, 443),
        (domain("bücher.example".encode()), "bücher.example", 443),
        (domain(b"127.1"), "127.1", 443),
        (domain(b"a.onion.example."), "a.onion.example.", 443),
    ],
)
def test_a_destination_is_passed_on_as_text(request_bytes: bytes, host: str, port: int) -> None:
    answers, asked = run(NO_AUTH, request_bytes)
    assert answers == NO_AUTH_TAKEN
    assert asked == Asked(host, port, b"", b"")


def test_early_data_stays_behind_the_request() -> None:
    _, asked = run(NO_AUTH + domain(b"example.org") + b"GET / HTTP/1.0\r\n\r\n")
    assert asked == Asked("example.org", 443, b"", b"GET / HTTP/1.0\r\n\r\n")


def test_credentials_are_always_accepted_and_isolate() -> None:
    keys = set()
    for user, password in [
        (b"", b""),
        (b"ab", b"c"),
        (b"a", b"bc"),
        (b"\x00" * 255, b"\xff" * 255),
        (b"ab", b""),
    ]:
        answers, asked = run(b"\x05\x02\x00\x02", credentials(user, password), domain(b"example.org"))
        assert answers == b"\x05\x02\x01\x00"
        assert asked is not None
        keys.add(asked.isolation)
        assert not password or password not in asked.isolation, "it is a digest, and no secret"
    assert len(keys) == 5
    assert b"" not in keys


def test_credentials_are_taken_whatever_else_is_offered() -> None:
    for methods in (b"\x02", b"\x00\x02", b"\x02\x00", b"\x01\x80\x02\xfe"):
        assert run(bytes((5, len(methods))) + methods)[0] == b"\x05\x02"


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ([b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00"], b""),
        ([b"GET / HTTP/1.1\r\n"], b""),
        ([b"\x05\x00"], b"\x05\xff"),
        ([b"\x05\x01\x01"], b"\x05\xff"),
        ([b"\x05\x01\x02", b"\x05"], b"\x05\x02\x01\x01"),
        ([NO_AUTH, b"\x04"], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"h", command=2)], NO_AUTH_TAKEN + reply(Code.COMMAND_NOT_SUPPORTED)),
        ([NO_AUTH, domain(b"h", command=3)], NO_AUTH_TAKEN + reply(Code.COMMAND_NOT_SUPPORTED)),
        ([NO_AUTH, domain(b"h", command=0xF0)], NO_AUTH_TAKEN + reply(Code.COMMAND_NOT_SUPPORTED)),
        ([NO_AUTH, b"\x05\x01\x00\x02\x00"], NO_AUTH_TAKEN + reply(Code.ADDRESS_TYPE_NOT_SUPPORTED)),
        ([NO_AUTH, domain(b"h", port=0)], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"")], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"a\x00b")], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"a b")], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"\\101xample.org")], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"a\nb")], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        ([NO_AUTH, domain(b"\xff\xfe")], NO_AUTH_TAKEN + reply(Code.FAILURE)),
        # Answers that are due before the refusal are not lost when all comes at once.
        ([NO_AUTH + domain(b"h", command=2)], NO_AUTH_TAKEN + reply(Code.COMMAND_NOT_SUPPORTED)),
    ],
)
def test_what_cannot_be_served_gets_its_proper_answer(pieces: list[bytes], answer: bytes) -> None:
    assert refused(*pieces) == answer


@given(
    user=st.none() | st.binary(max_size=255),
    name=st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=255),
    port=st.integers(1, 65535),
    ahead=st.binary(max_size=50),
    cuts=st.lists(st.integers(0, 900), max_size=12),
)
def test_where_it_is_cut_does_not_matter(
    user: bytes | None, name: str, port: int, ahead: bytes, cuts: list[int]
) -> None:
    hello = NO_AUTH if user is None else b"\x05\x02\x00\x02" + credentials(user, b"secret")
    whole = hello + domain(name.encode(), port) + ahead
    cuts = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    handshake = Handshake()
    answers = b""
    left = whole
    for start, end in pairwise(cuts):
        if handshake.asked is not None:
            break
        answers += handshake.receive(whole[start:end])
        left = whole[end:]
    assert answers == (NO_AUTH_TAKEN if user is None else b"\x05\x02\x01\x00")
    asked = handshake.asked
    assert asked is not None
    assert (asked.host, asked.port, asked.ahead + left) == (name, port, ahead)
    assert (asked.isolation == b"") == (user is None)


@given(st.lists(st.binary(max_size=300), max_size=20))
@example([b"\x05", b"\xff"] + [b"\x01" * 255] * 3)
def test_no_bytes_do_harm(pieces: list[bytes]) -> None:
    handshake = Handshake()
    last_words = b""
    for piece in pieces:
        if handshake.asked is not None:
            break
        try:
            handshake.receive(piece)
        except Refused as error:
            last_words = error.answer
            break
        # What waits is always one unfinished message.
        assert len(handshake._buffer) < LONGEST_MESSAGE
    assert len(last_words) <= 2 + 2 + len(reply(Code.FAILURE))


def test_every_reason_has_a_true_code() -> None:
    told = {reason: code_of(reason) for reason in Reason}
    assert {reason.name: code for reason, code in told.items() if code != Code.FAILURE} == {
        "POLICY": 2,
        "NETWORK_UNREACHABLE": 3,
        "HOST_UNREACHABLE": 4,
        "RESOLVE_FAILED": 4,
        "REFUSED": 5,
        "TIMEOUT": 6,
    }
    assert code_of(60000) == Code.FAILURE


def test_nothing_shows_the_destination() -> None:
    _, asked = run(NO_AUTH, domain(b"secret.example"))
    assert "secret" not in repr(asked)
