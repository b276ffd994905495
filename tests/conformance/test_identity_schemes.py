"""What the identity-scheme contract promises, asked of every installed scheme."""

from __future__ import annotations

import pytest
from conformance.bits import edge_bits, flipped
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.records.scheme import PUBLIC_KEY_CAP, SIGNATURE_CAP, IdentityScheme, fingerprint
from port17.wire.suite import Status

FEW = settings(max_examples=20, deadline=None)
"""A flipped bit is like another; a post-quantum signature is not free."""


def test_is_named_as_its_entry_point(scheme: IdentityScheme, entry_point: str) -> None:
    assert scheme.name == entry_point
    assert scheme.name.isascii()
    assert scheme.status in set(Status)
    assert scheme.algorithms


def test_sizes_are_as_stated_and_capped(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    assert tuple(algorithm for algorithm, _ in key.public) == scheme.algorithms
    assert all(len(public) <= PUBLIC_KEY_CAP for _, public in key.public)
    assert (
        len(scheme.sign(key, b"message")) == scheme.signature_size <= SIGNATURE_CAP * len(scheme.algorithms)
    )


def test_keys_are_fresh(scheme: IdentityScheme) -> None:
    assert len({fingerprint(scheme.generate().public) for _ in range(4)}) == 4


@pytest.mark.parametrize("message", [b"", b"m", b"m" * 100_000])
def test_verifies_what_was_signed_and_nothing_else(scheme: IdentityScheme, message: bytes) -> None:
    key, other = scheme.generate(), scheme.generate()
    signature = scheme.sign(key, memoryview(message))
    assert scheme.verify(key.public, message, signature) is True
    assert scheme.verify(key.public, message + b"!", signature) is False
    assert scheme.verify(other.public, message, signature) is False


def test_every_bit_of_a_signature_counts(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    signature = scheme.sign(key, b"message")

    def check(bit: int) -> None:
        assert scheme.verify(key.public, b"message", flipped(signature, bit)) is False

    for bit in edge_bits(signature):
        check(bit)
    FEW(given(st.integers(0, len(signature) * 8 - 1))(check))()


def test_malformed_input_is_false_and_never_raises(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    signature = scheme.sign(key, b"message")
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature))):
        assert scheme.verify(key.public, b"message", wrong) is False
    first = key.public[0]
    for public in (
        (),
        (*key.public, first),
        ((first[0] + "x", first[1]), *key.public[1:]),
        ((first[0], b""), *key.public[1:]),
        ((first[0], first[1] + b"\0"), *key.public[1:]),
        ((first[0], bytes(len(first[1]))), *key.public[1:]),
    ):
        assert scheme.verify(public, b"message", signature) is False


def test_no_component_can_be_stripped_or_moved(scheme: IdentityScheme) -> None:
    key, other = scheme.generate(), scheme.generate()
    signature = scheme.sign(key, b"message")
    for index in range(len(scheme.algorithms)):
        mixed = (*key.public[:index], other.public[index], *key.public[index + 1 :])
        assert scheme.verify(mixed, b"message", signature) is False
        less = (*key.public[:index], *key.public[index + 1 :])
        assert scheme.verify(less, b"message", signature) is False


def test_keeps_a_private_key_at_rest(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    stored = scheme.private_bytes(key)
    loaded = scheme.load_private(stored)
    assert loaded.public == key.public
    assert scheme.verify(key.public, b"message", scheme.sign(loaded, b"message"))
    for wrong in (b"", stored[:-1], stored + b"\0"):
        with pytest.raises(ValueError):  # noqa: PT011  # the contract says no more
            scheme.load_private(wrong)
    for shown in (repr(key), repr(key.private)):
        assert stored.hex() not in shown
        assert repr(stored) not in shown
