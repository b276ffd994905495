"""What the identity-scheme contract promises, asked of every installed scheme."""

from __future__ import annotations

import re

import pytest
from conformance.bits import edge_bits, flipped
from conformance.conftest import registry
from conformance.leaks import said, shows
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.records.identity import COMPONENTS_CAP, Identity
from port17.records.level import Status
from port17.records.record import DRIVER_NAME_PATTERN
from port17.records.scheme import (
    PUBLIC_KEY_CAP,
    SIGNATURE_CAP,
    IdentityScheme,
    SigningKey,
    fingerprint,
)

FEW = settings(max_examples=20, deadline=None)
"""A flipped bit is like another; a post-quantum signature is not free."""


def test_is_named_as_its_entry_point(scheme: IdentityScheme, entry_point: str) -> None:
    assert scheme.name == entry_point
    assert re.fullmatch(DRIVER_NAME_PATTERN, scheme.name)
    assert 0 < len(scheme.algorithms) <= COMPONENTS_CAP
    assert len(set(scheme.algorithms)) == len(scheme.algorithms)


def test_says_what_it_claims(scheme: IdentityScheme) -> None:
    assert isinstance(scheme.status, Status)
    assert 128 <= scheme.authentication.classical <= 256 or scheme.status is Status.BROKEN
    assert scheme.authentication.quantum in {0, 1, 2, 3, 5}
    assert scheme.source


def test_sizes_are_as_stated_and_capped(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    assert tuple(algorithm for algorithm, _ in key.public) == scheme.algorithms
    assert all(len(public) <= PUBLIC_KEY_CAP for _, public in key.public)
    assert len(scheme.sign(key, b"message")) == scheme.signature_size <= SIGNATURE_CAP
    Identity.made(scheme=scheme.name, public=key.public)  # keeps within what a bottle can hold


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
    strange: list[tuple[tuple[str, bytes], ...]] = [(), (*key.public, key.public[0]), key.public[:-1]]
    for index, (algorithm, public) in enumerate(key.public):
        wrong_parts = [(algorithm + "x", public), (algorithm, b""), ("", public), ("\xe9", public)]
        wrong_parts += [(algorithm, public[:-1]), (algorithm, public + b"\0")]
        wrong_parts += [(algorithm, bytes([byte]) * len(public)) for byte in (0, 1, 255)]
        strange += [(*key.public[:index], part, *key.public[index + 1 :]) for part in wrong_parts]
    if len(key.public) > 1:
        strange.append(key.public[::-1])
    for keys in strange:
        assert scheme.verify(keys, b"message", signature) is False
        assert scheme.verify(keys, b"message", bytes(len(signature))) is False


def test_no_component_can_be_stripped_or_moved(scheme: IdentityScheme) -> None:
    key, other = scheme.generate(), scheme.generate()
    signature = scheme.sign(key, b"message")
    for index in range(len(scheme.algorithms)):
        mixed = (*key.public[:index], other.public[index], *key.public[index + 1 :])
        assert scheme.verify(mixed, b"message", signature) is False
        less = (*key.public[:index], *key.public[index + 1 :])
        assert scheme.verify(less, b"message", signature) is False


def test_its_signatures_are_no_other_scheme_s(scheme: IdentityScheme) -> None:
    # Of a composite, no part that another scheme could take for its own; of a single one, none that a
    # composite could be filled with.
    key = scheme.generate()
    signature = scheme.sign(key, b"message")
    keys = dict(key.public)
    for name in registry.names("port17.identity_schemes"):
        other = registry.make("port17.identity_schemes", name)
        if other.name == scheme.name:
            continue
        spare = dict(other.generate().public)
        public = tuple((algorithm, keys.get(algorithm, spare[algorithm])) for algorithm in other.algorithms)
        padded = signature.ljust(other.signature_size, b"\0")
        for start in range(len(padded) - other.signature_size + 1):
            part = padded[start : start + other.signature_size]
            if start in (0, len(padded) - other.signature_size) or start % 64 == 0:
                assert other.verify(public, b"message", part) is False


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_any_bytes_for_a_message(scheme: IdentityScheme, kind: type) -> None:
    key = scheme.generate()
    assert scheme.verify(key.public, kind(b"message"), scheme.sign(key, b"message"))
    assert scheme.verify(key.public, b"message", scheme.sign(key, kind(b"message")))


def test_keeps_no_state(scheme: IdentityScheme) -> None:
    before = dict(vars(scheme))
    other = type(scheme)()
    key = scheme.generate()
    assert other.verify(key.public, b"message", scheme.sign(key, b"message"))
    assert scheme.verify(key.public, b"message", other.sign(key, b"message"))
    assert other.private_bytes(key) == scheme.private_bytes(key)
    assert vars(scheme) == before


def test_takes_no_stranger_s_private_key(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    for stranger in (object(), None, scheme.private_bytes(key)):
        with pytest.raises(TypeError):
            scheme.sign(SigningKey(stranger, key.public), b"message")
        with pytest.raises(TypeError):
            scheme.private_bytes(SigningKey(stranger, key.public))


def test_keeps_a_private_key_at_rest(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    stored = scheme.private_bytes(key)
    loaded = scheme.load_private(stored)
    assert loaded.public == key.public
    assert scheme.private_bytes(loaded) == stored
    assert scheme.verify(key.public, b"message", scheme.sign(loaded, b"message"))
    for wrong in (b"", stored[:-1], stored + b"\0"):
        with pytest.raises(ValueError):  # noqa: PT011  # the contract says no more
            scheme.load_private(wrong)


def test_shows_no_secret_and_no_failure_tells_one(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    stored = scheme.private_bytes(key)
    for shown in (key, key.private, {"key": key}, [key.private], scheme):
        for text in (repr(shown), str(shown), f"{shown}"):
            assert not shows(text, stored)
    failures = [
        said(lambda: scheme.load_private(stored[:-1])),
        said(lambda: scheme.load_private(stored + stored)),
        said(lambda: scheme.sign(SigningKey(stored, key.public), b"message")),
        said(lambda: scheme.private_bytes(SigningKey(stored, key.public))),
    ]
    for text in failures:
        assert text
        assert not shows(text, stored)
