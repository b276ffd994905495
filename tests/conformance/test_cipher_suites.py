"""What the cipher-suite contract promises, asked of every installed suite."""

from __future__ import annotations

import hashlib
import random

import pytest
from conformance.bits import edge_bits, flipped
from conformance.leaks import said, shows
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.wire.block import SETUP_SIZE
from port17.wire.setup import BOX_HEAD, PARAMETERS_HEAD, SLOT
from port17.wire.suite import (
    CIPHERTEXT_CAP,
    KEY_SIZE,
    NAME_CAP,
    NAME_PATTERN,
    PUBLIC_KEY_CAP,
    TAG_SIZE,
    CipherSuite,
    Status,
    nonce,
)

HASH_BLOCKS = 255
"""Most blocks of 32 bytes that HKDF expands to (RFC 5869, section 2.3)."""
HASH_SIZE = 32
INPUT_BLOCKS = (64, 128, 136)
"""Bytes that a hash takes at a time: SHA-256 and BLAKE2s, SHA-512 and BLAKE2b, SHA3-256."""
FEW = settings(max_examples=20, deadline=None)
"""A flipped bit is like another; a key exchange is not free."""


def test_is_named_as_its_entry_point(suite: CipherSuite, entry_point: str) -> None:
    assert suite.name == entry_point
    assert NAME_PATTERN.fullmatch(suite.name)
    assert len(suite.name) <= NAME_CAP


def test_says_what_it_claims(suite: CipherSuite) -> None:
    assert suite.status in Status
    assert suite.confidentiality.classical >= 128 or suite.status is Status.BROKEN
    assert suite.confidentiality.classical <= 256
    assert suite.confidentiality.quantum in {0, 1, 2, 3, 5}
    assert suite.source
    assert issubclass(suite.forged, Exception)
    assert not issubclass(suite.forged, ValueError | TypeError)  # those are a caller's mistake, not a peer's
    assert type(suite.stream_cipher) is bool


def test_fits_into_a_setup(suite: CipherSuite) -> None:
    assert suite.public_size <= PUBLIC_KEY_CAP
    assert suite.ciphertext_size <= CIPHERTEXT_CAP
    head = 1 + len(suite.name) + SLOT.size + suite.ciphertext_size
    box = BOX_HEAD.size + suite.public_size + PARAMETERS_HEAD.size + TAG_SIZE
    assert head + box <= SETUP_SIZE


def test_agrees_on_a_fresh_secret_each_time(suite: CipherSuite) -> None:
    key, other = suite.generate(), suite.generate()
    assert len(key.public) == suite.public_size
    assert key.public != other.public
    secret, ciphertext = suite.encapsulate(key.public)
    again, another = suite.encapsulate(key.public)
    assert len(ciphertext) == suite.ciphertext_size
    assert len(secret) == KEY_SIZE
    assert suite.decapsulate(key.private, ciphertext) == secret
    assert suite.decapsulate(key.private, another) == again
    assert secret != again
    assert ciphertext != another
    assert bytes(KEY_SIZE) not in (secret, again)


def test_sizes_are_those_of_every_key(suite: CipherSuite) -> None:
    for _ in range(8):
        key = suite.generate()
        secret, ciphertext = suite.encapsulate(key.public)
        sizes = (len(key.public), len(ciphertext), len(secret))
        assert sizes == (suite.public_size, suite.ciphertext_size, KEY_SIZE)
        assert type(key.public) is type(ciphertext) is type(secret) is bytes


def test_decapsulates_the_same_every_time(suite: CipherSuite) -> None:
    key = suite.generate()
    secret, ciphertext = suite.encapsulate(key.public)
    changed = flipped(ciphertext, 3)
    assert {suite.decapsulate(key.private, ciphertext) for _ in range(3)} == {secret}
    outcomes = set()
    for _ in range(3):
        try:
            outcomes.add(suite.decapsulate(key.private, changed))
        except ValueError:
            outcomes.add(b"refused")
    assert len(outcomes) == 1
    assert secret not in outcomes


def test_keeps_no_state(suite: CipherSuite) -> None:
    # One instance serves a whole process, and another process is another instance.
    before = dict(vars(suite))
    other = type(suite)()
    key = suite.generate()
    secret, ciphertext = other.encapsulate(key.public)
    assert other.decapsulate(key.private, ciphertext) == secret
    assert other.private_bytes(key.private) == suite.private_bytes(key.private)
    first, second = suite.aead(b"k" * KEY_SIZE), other.aead(b"k" * KEY_SIZE)
    sealed = [bytearray(10 + TAG_SIZE) for _ in range(3)]
    first.encrypt_into(nonce(9), b"p" * 10, b"", sealed[0])
    first.encrypt_into(nonce(1), b"q" * 10, b"", sealed[1])
    first.encrypt_into(nonce(9), b"p" * 10, b"", sealed[1])
    second.encrypt_into(nonce(9), b"p" * 10, None, sealed[2])
    assert sealed[0] == sealed[1] == sealed[2]
    assert vars(suite) == before


def test_takes_no_stranger_s_private_key(suite: CipherSuite) -> None:
    for stranger in (object(), None, bytes(32), "key"):
        with pytest.raises(TypeError):
            suite.decapsulate(stranger, bytes(suite.ciphertext_size))
        with pytest.raises(TypeError):
            suite.private_bytes(stranger)


def test_gives_nobody_else_the_secret(suite: CipherSuite) -> None:
    key, other = suite.generate(), suite.generate()
    secret, ciphertext = suite.encapsulate(key.public)
    try:
        assert suite.decapsulate(other.private, ciphertext) != secret
    except ValueError:
        pass  # as good: the KEM rejects openly


def test_refuses_malformed_keys_and_ciphertexts_in_one_way(suite: CipherSuite) -> None:
    key = suite.generate()
    _, ciphertext = suite.encapsulate(key.public)
    for public in (b"", key.public[:-1], key.public + b"\0"):
        with pytest.raises(ValueError):  # noqa: PT011  # the contract says no more
            suite.encapsulate(public)
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\0"):
        with pytest.raises(ValueError):  # noqa: PT011
            suite.decapsulate(key.private, wrong)


@pytest.mark.parametrize("byte", [0x00, 0x01, 0xFF])
def test_meets_degenerate_input_with_a_value_error_at_most(suite: CipherSuite, byte: int) -> None:
    key = suite.generate()
    try:
        secret, _ = suite.encapsulate(bytes([byte]) * suite.public_size)
        assert len(secret) == KEY_SIZE
    except ValueError:
        pass
    try:
        assert len(suite.decapsulate(key.private, bytes([byte]) * suite.ciphertext_size)) == KEY_SIZE
    except ValueError:
        pass


def test_every_bit_of_a_ciphertext_counts(suite: CipherSuite) -> None:
    key = suite.generate()
    secret, ciphertext = suite.encapsulate(key.public)

    def check(bit: int) -> None:
        try:
            assert suite.decapsulate(key.private, flipped(ciphertext, bit)) != secret
        except ValueError:
            pass

    for bit in edge_bits(ciphertext):
        check(bit)
    FEW(given(st.integers(0, len(ciphertext) * 8 - 1))(check))()


def test_keeps_a_private_key_at_rest(suite: CipherSuite) -> None:
    key = suite.generate()
    stored = suite.private_bytes(key.private)
    loaded = suite.load_private(stored)
    secret, ciphertext = suite.encapsulate(loaded.public)
    assert loaded.public == key.public
    assert suite.decapsulate(key.private, ciphertext) == secret
    assert suite.decapsulate(loaded.private, ciphertext) == secret
    assert suite.private_bytes(loaded.private) == stored
    assert suite.load_private(stored).public == loaded.public
    assert suite.load_private(suite.private_bytes(suite.generate().private)).public != key.public
    for wrong in (b"", stored[:-1], stored + b"\0"):
        with pytest.raises(ValueError):  # noqa: PT011
            suite.load_private(wrong)


def test_shows_no_secret(suite: CipherSuite) -> None:
    key = suite.generate()
    stored = suite.private_bytes(key.private)
    secret, _ = suite.encapsulate(key.public)
    aead = suite.aead(secret)
    for shown in (key, key.private, aead, suite, {"key": key}, [key.private]):
        for text in (repr(shown), str(shown), f"{shown}"):
            assert not shows(text, stored)
            assert not shows(text, secret)


def test_no_failure_tells_a_secret(suite: CipherSuite) -> None:
    key = suite.generate()
    stored = suite.private_bytes(key.private)
    secret, ciphertext = suite.encapsulate(key.public)
    sealed = bytearray(10 + TAG_SIZE)
    failures = [
        said(lambda: suite.load_private(stored[:-1])),
        said(lambda: suite.load_private(stored + stored)),
        said(lambda: suite.decapsulate(key.private, ciphertext[:-1])),
        said(lambda: suite.decapsulate(stored, ciphertext)),
        said(lambda: suite.private_bytes(stored)),
        said(lambda: suite.aead(secret[:-1])),
        said(lambda: suite.aead(stored + stored)),
        said(lambda: suite.keystreams(secret[:-1], 0, 1, 1)),
        said(lambda: suite.expand(secret, b"", HASH_BLOCKS * 32 + 1)),
        said(lambda: suite.aead(secret).decrypt_into(nonce(0), sealed, None, bytearray(10))),
    ]
    for text in failures:
        assert text
        assert not shows(text, stored)
        assert not shows(text, secret)


def test_hash_is_a_function_of_32_bytes(suite: CipherSuite) -> None:
    made = suite.hash(b"some text")
    assert len(made) == HASH_SIZE
    assert suite.hash(memoryview(bytearray(b"some text"))) == made
    assert len({suite.hash(data) for data in (b"", b"\0", b"some text", b"some texT", bytes(1000))}) == 5


def test_extract_is_hmac_with_that_hash(suite: CipherSuite) -> None:
    def hmac(block: int) -> bytes:
        pads = (bytes(b ^ pad for b in b"salt".ljust(block, b"\0")) for pad in (0x36, 0x5C))
        inner, outer = pads
        return suite.hash(outer + suite.hash(inner + b"secret"))

    assert suite.extract(b"salt", b"secret") in [hmac(block) for block in INPUT_BLOCKS]


def test_extract_depends_on_salt_and_secret(suite: CipherSuite) -> None:
    keys = {suite.extract(salt, secret) for salt in (b"a" * 32, b"b" * 32) for secret in (b"c", b"d" * 64)}
    assert {len(key) for key in keys} == {KEY_SIZE}
    assert len(keys) == 4
    assert suite.extract(b"a" * 32, b"c") in keys


def test_expand_is_a_stream_of_key_and_info(suite: CipherSuite) -> None:
    key = hashlib.sha256(suite.name.encode()).digest()
    longest = HASH_BLOCKS * 32
    whole = suite.expand(key, b"info", longest)
    assert len(whole) == longest
    for length in (1, 31, 32, 33, 64, 1000):
        assert suite.expand(key, b"info", length) == whole[:length]
    assert suite.expand(key, b"other", 32) != whole[:32]
    assert suite.expand(key[::-1], b"info", 32) != whole[:32]
    with pytest.raises(ValueError):  # noqa: PT011
        suite.expand(key, b"info", longest + 1)


def test_expand_and_extract_are_functions(suite: CipherSuite) -> None:
    key = bytes(range(KEY_SIZE))
    assert suite.extract(key, b"") == suite.extract(key, b"") != suite.extract(key, b"\0")
    assert len(suite.extract(key, b"s" * 5000)) == KEY_SIZE
    assert suite.expand(key, b"", 64) == suite.expand(key, b"", 64)
    assert suite.expand(key, b"i" * 3000, 32) != suite.expand(key, b"i" * 2999, 32)


@pytest.mark.parametrize("size", [0, 1, 4055, 65536])
@pytest.mark.parametrize("associated", [None, b"", b"associated"])
def test_aead_gives_back_what_was_sealed(suite: CipherSuite, size: int, associated: bytes | None) -> None:
    aead = suite.aead(b"k" * KEY_SIZE)
    plain = bytes(range(256)) * (size // 256 + 1)
    plain = plain[:size]
    sealed = bytearray(size + TAG_SIZE)
    assert aead.encrypt_into(nonce(7), memoryview(plain), associated, sealed) == size + TAG_SIZE
    opened = bytearray(size)
    assert aead.decrypt_into(nonce(7), memoryview(sealed), associated, memoryview(opened)) == size
    assert opened == plain


def test_aead_refuses_every_change(suite: CipherSuite) -> None:
    aead = suite.aead(b"k" * KEY_SIZE)
    sealed, opened = bytearray(100 + TAG_SIZE), bytearray(100)
    aead.encrypt_into(nonce(1), b"p" * 100, b"ad", sealed)

    def check(bit: int) -> None:
        with pytest.raises(suite.forged):
            aead.decrypt_into(nonce(1), flipped(bytes(sealed), bit), b"ad", opened)

    for bit in edge_bits(sealed):
        check(bit)
    FEW(given(st.integers(0, len(sealed) * 8 - 1))(check))()
    # What was refused left nothing behind: the true one still opens.
    aead.decrypt_into(nonce(1), sealed, b"ad", opened)
    assert opened == b"p" * 100
    for counter, associated, key in ((2, b"ad", b"k"), (1, b"Ad", b"k"), (1, None, b"k"), (1, b"ad", b"l")):
        with pytest.raises(suite.forged):
            suite.aead(key * KEY_SIZE).decrypt_into(nonce(counter), sealed, associated, opened)


def test_aead_refuses_keys_of_other_lengths(suite: CipherSuite) -> None:
    for size in (0, 16, 24, 31, 33, 64):
        with pytest.raises(ValueError):  # noqa: PT011
            suite.aead(bytes(size))


def test_aead_refuses_a_tag_alone(suite: CipherSuite) -> None:
    aead = suite.aead(b"k" * KEY_SIZE)
    for tag in (bytes(TAG_SIZE), b"\xff" * TAG_SIZE):
        with pytest.raises(suite.forged):
            aead.decrypt_into(nonce(1), tag, None, bytearray())


SHAPES = [
    (0, 1, 1),
    (0, 3, 17),
    (7, 8, 34),
    (1000, 40, 68),
    (127, 129, 51),
    (2**40, 2, 100),
    (2**64 - 3, 3, 17),
]
"""First counter, counters, bytes: fillers have 17, heads up to 68, and the last counter is a u64's."""


def test_keystreams_are_what_the_cipher_uses(suite: CipherSuite) -> None:
    # Sealed here, not by the contract's own way of doing it.
    rng = random.Random(17)
    shapes = SHAPES + [(rng.getrandbits(63), rng.randrange(1, 20), rng.randrange(1, 140)) for _ in range(20)]
    for first, count, length in shapes:
        key = rng.randbytes(KEY_SIZE)
        aead = suite.aead(key)
        sealed, expected = bytearray(length + TAG_SIZE), bytearray()
        for counter in range(first, first + count):
            aead.encrypt_into(nonce(counter), bytes(length), None, sealed)
            expected += sealed[:length]
        assert suite.keystreams(key, first, count, length) == expected, (first, count, length)
    assert suite.keystreams(key, 5, 0, 17) == b""
    for size in (0, 16, 31, 33):
        with pytest.raises(ValueError):  # noqa: PT011
            suite.keystreams(bytes(size), 0, 1, 17)


def test_is_a_stream_cipher_if_it_says_so(suite: CipherSuite) -> None:
    key, plain = b"k" * KEY_SIZE, bytes(range(200))
    sealed = bytearray(len(plain) + TAG_SIZE)
    suite.aead(key).encrypt_into(nonce(5), plain, b"any", sealed)
    stream = suite.keystreams(key, 5, 1, len(plain))
    combined = bytes(a ^ b for a, b in zip(plain, stream, strict=True))
    assert (combined == sealed[: len(plain)]) is suite.stream_cipher
