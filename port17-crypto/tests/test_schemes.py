"""The schemes as wholes: Ed25519 over the message as it is, the composite whose halves are nothing apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given
from hypothesis import strategies as st

from port17 import Level, PluginError, SigningKey, Status, framed
from port17_crypto import ed25519, mldsa65
from port17_crypto.schemes import Ed25519, Ed25519MlDsa65

SINGLE = Ed25519()
COMPOSITE = Ed25519MlDsa65()
SCHEMES = (SINGLE, COMPOSITE)
KEY = COMPOSITE.generate()
OTHER = COMPOSITE.generate()
MESSAGE = b"message"
SPLIT = ed25519.SIGNATURE_SIZE


def halves(key: SigningKey, message: bytes) -> tuple[bytes, bytes]:
    signature = COMPOSITE.sign(key, message)
    return signature[:SPLIT], signature[SPLIT:]


def test_says_of_itself_what_is_so() -> None:
    told = {scheme.name: (scheme.status, scheme.authentication, scheme.algorithms) for scheme in SCHEMES}
    assert told == {
        "ed25519": (Status.RECOMMENDED, Level(128, 0), ("ed25519",)),
        "ed25519-mldsa65": (Status.RECOMMENDED, Level(128, 3), ("ed25519", "ml-dsa-65")),
    }
    assert [scheme.signature_size for scheme in SCHEMES] == [64, 64 + 3309]


def test_ed25519_signs_the_message_itself() -> None:
    key = SINGLE.generate()
    assert ed25519.verify(key.public[0][1], MESSAGE, SINGLE.sign(key, MESSAGE))


def test_each_half_signs_name_and_keys_too() -> None:
    # The input as the scheme's documentation says it, written another way.
    def field(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    (first_name, first), (second_name, second) = KEY.public
    parts = (b"port17/1", b"composite signature", b"ed25519-mldsa65")
    keys = (first_name.encode(), first, second_name.encode(), second)
    signed = b"".join(field(part) for part in (*parts, *keys, MESSAGE))
    classical, quantum = halves(KEY, MESSAGE)
    assert ed25519.verify(first, signed, classical)
    assert mldsa65.verify(second, signed, quantum)


def test_a_half_is_no_signature_over_the_message() -> None:
    classical, quantum = halves(KEY, MESSAGE)
    assert not ed25519.verify(KEY.public[0][1], MESSAGE, classical)
    assert not mldsa65.verify(KEY.public[1][1], MESSAGE, quantum)


def test_a_half_stripped_off_is_no_signature_of_the_single_scheme() -> None:
    classical, _ = halves(KEY, MESSAGE)
    assert not SINGLE.verify(KEY.public[:1], MESSAGE, classical)
    assert not COMPOSITE.verify(KEY.public[:1], MESSAGE, classical)
    assert not COMPOSITE.verify(KEY.public, MESSAGE, classical)


def test_signatures_over_the_bare_message_make_no_composite() -> None:
    # Who has the same Ed25519 key in the single scheme too, and an ML-DSA oracle, has no composite signature.
    seed = COMPOSITE.private_bytes(KEY)
    alone = SINGLE.load_private(seed[:32])
    assert alone.public == KEY.public[:1]
    private, _ = mldsa65.load(seed[32:])
    bare = SINGLE.sign(alone, MESSAGE), mldsa65.sign(private, MESSAGE)
    good = halves(KEY, MESSAGE)
    assert COMPOSITE.verify(KEY.public, MESSAGE, b"".join(good))
    for forged in ((bare[0], bare[1]), (good[0], bare[1]), (bare[0], good[1])):
        assert not COMPOSITE.verify(KEY.public, MESSAGE, b"".join(forged))


@pytest.mark.parametrize("classical_of_other", [False, True])
def test_halves_of_two_identities_do_not_mix(classical_of_other: bool) -> None:
    # Both sign the same message; an identity of one half of each has no signature from it.
    ours, theirs = halves(KEY, MESSAGE), halves(OTHER, MESSAGE)
    if classical_of_other:
        public, mixed = (OTHER.public[0], KEY.public[1]), theirs[0] + ours[1]
    else:
        public, mixed = (KEY.public[0], OTHER.public[1]), ours[0] + theirs[1]
    for keys in (public, KEY.public, OTHER.public):
        assert not COMPOSITE.verify(keys, MESSAGE, mixed)


def test_swapped_halves_and_keys_are_refused() -> None:
    classical, quantum = halves(KEY, MESSAGE)
    assert not COMPOSITE.verify(KEY.public, MESSAGE, quantum + classical)
    assert not COMPOSITE.verify(KEY.public[::-1], MESSAGE, classical + quantum)
    assert not COMPOSITE.verify(KEY.public[::-1], MESSAGE, quantum + classical)
    renamed = (("ml-dsa-65", KEY.public[0][1]), ("ed25519", KEY.public[1][1]))
    assert not COMPOSITE.verify(renamed, MESSAGE, classical + quantum)


@pytest.mark.parametrize(
    "change",
    [
        lambda one, two: bytes(SPLIT) + two,
        lambda one, two: one + bytes(len(two)),
        lambda one, two: one + two[:-1],
    ],
    ids=["no classical half", "no quantum half", "a short quantum half"],
)
def test_both_halves_must_verify(change: Callable[[bytes, bytes], bytes]) -> None:
    assert not COMPOSITE.verify(KEY.public, MESSAGE, change(*halves(KEY, MESSAGE)))


@given(message=st.binary(max_size=200), bit=st.integers(0, 64 * 8 - 1))
def test_a_changed_signature_is_not_valid(message: bytes, bit: int) -> None:
    key = SINGLE.load_private(bytes(32))
    signature = bytearray(SINGLE.sign(key, message))
    assert SINGLE.verify(key.public, message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not SINGLE.verify(key.public, message, bytes(signature))
    assert not SINGLE.verify(key.public, message + b"\x00", SINGLE.sign(key, message))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
@given(
    public=st.lists(
        st.tuples(st.sampled_from(["ed25519", "ml-dsa-65", "", "\xe9"]), st.binary(max_size=40)), max_size=3
    ),
    signature=st.binary(max_size=70),
)
def test_malformed_keys_are_false_and_never_raise(
    scheme: Ed25519, public: list[tuple[str, bytes]], signature: bytes
) -> None:
    assert scheme.verify(tuple(public), MESSAGE, signature) is False
    assert scheme.verify(tuple(public), MESSAGE, signature.ljust(scheme.signature_size, b"\0")) is False


def test_no_scheme_takes_another_s_keys() -> None:
    alone = SINGLE.generate()
    for scheme, key in ((SINGLE, KEY), (COMPOSITE, alone), (SINGLE, SigningKey(object(), alone.public))):
        with pytest.raises(TypeError):
            scheme.sign(key, MESSAGE)
        with pytest.raises(TypeError):
            scheme.private_bytes(key)
    assert not SINGLE.verify(KEY.public, MESSAGE, SINGLE.sign(alone, MESSAGE))


def test_seeds_are_all_that_is_stored() -> None:
    stored = COMPOSITE.private_bytes(KEY)
    assert len(stored) == 64
    loaded = COMPOSITE.load_private(stored)
    assert loaded.public == KEY.public
    assert COMPOSITE.verify(KEY.public, MESSAGE, COMPOSITE.sign(loaded, MESSAGE))
    assert COMPOSITE.load_private(stored[32:] + stored[:32]).public != KEY.public
    for size in (0, 32, 63, 65, 96):
        with pytest.raises(ValueError, match="64 bytes"):
            COMPOSITE.load_private(bytes(size))


def test_a_library_without_ml_dsa_is_a_plugin_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(seed: bytes) -> None:
        raise UnsupportedAlgorithm("no ML-DSA")

    monkeypatch.setattr(mldsa65, "load", unsupported)
    with pytest.raises(PluginError, match=r"port17-crypto: .*ed25519-mldsa65: no ML-DSA") as raised:
        Ed25519MlDsa65()
    assert "cryptography 48" in raised.value.cure


def test_what_frames_is_public() -> None:
    assert framed("label", b"part") == b"\0\0\0\x08port17/1\0\0\0\x05label\0\0\0\x04part"
