"""Noise handshakes over a suite's own KDF and AEAD, against published vectors of another implementation.

Noise's key schedule is HKDF and its messages are AEAD boxes, so a suite that passes wires both as others do.
The exchange is X25519 as the library has it, since a KEM is something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from port17.wire.suite import KEY_SIZE, TAG_SIZE, CipherSuite
from port17_crypto.suites import XWingAes256GcmSha256, XWingChaCha20Poly1305Blake2s

FILE = Path(__file__).parent / "interop/noise.txt"
PATTERNS = {
    "NN": ("", ["e", "e ee"]),
    "XX": ("", ["e", "e ee s es", "s se"]),
    "IK": ("rs", ["e es s ss", "e ee se"]),
    "X": ("rs", ["e es s ss"]),
}
"""What both know before, and each message's tokens (Noise, revision 34, section 7)."""
SUITES: dict[str, tuple[CipherSuite, Callable[[bytes], bytes], str]] = {
    "ChaChaPoly_BLAKE2s": (
        XWingChaCha20Poly1305Blake2s(),
        lambda data: hashlib.blake2s(data).digest(),
        "little",
    ),
    "AESGCM_SHA256": (XWingAes256GcmSha256(), lambda data: hashlib.sha256(data).digest(), "big"),
}


class Symmetric:
    """Noise's SymmetricState and CipherState (sections 5.1 and 5.2)."""

    def __init__(self, name: str, key: bytes | None = None) -> None:
        self._suite, self._hash, self._order = SUITES[name.split("_25519_")[1]]
        padded = name.encode()
        self.chain = self.hash = padded.ljust(32, b"\0") if len(padded) <= 32 else self._hash(padded)
        self._name = name
        self._key = key
        self._count = 0

    def mix_hash(self, data: bytes) -> None:
        self.hash = self._hash(self.hash + data)

    def mix_key(self, secret: bytes) -> None:
        self.chain, self._key = self._derive(secret, 2)
        self._count = 0

    def mix_key_and_hash(self, secret: bytes) -> None:
        self.chain, hashed, self._key = self._derive(secret, 3)
        self.mix_hash(hashed)
        self._count = 0

    def _derive(self, secret: bytes, outputs: int) -> list[bytes]:
        stream = self._suite.expand(self._suite.extract(self.chain, secret), b"", outputs * KEY_SIZE)
        return [stream[at : at + KEY_SIZE] for at in range(0, len(stream), KEY_SIZE)]

    def box(self, plain: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Seal, see that the published bytes open to the same, and that changed ones do not."""
        assert self._key is not None
        number = b"\0\0\0\0" + self._count.to_bytes(8, self._order)  # type: ignore[arg-type]
        self._count += 1
        aead = self._suite.aead(self._key)
        made, opened = bytearray(len(plain) + TAG_SIZE), bytearray(len(plain))
        aead.encrypt_into(number, plain, associated, made)
        aead.decrypt_into(number, sealed, associated, opened)
        assert opened == plain
        with pytest.raises(self._suite.forged):
            aead.decrypt_into(number, sealed, associated + b"!", opened)
        return bytes(made)

    def seal_and_hash(self, plain: bytes, sealed: bytes) -> bytes:
        made = plain if self._key is None else self.box(plain, sealed, self.hash)
        self.mix_hash(made)
        return made

    def split(self) -> list[Symmetric]:
        return [Symmetric(self._name, key) for key in self._derive(b"", 2)]


def cases() -> list[dict[str, str]]:
    text = "\n".join(line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]


def exchanged(ours: X25519PrivateKey, theirs: X25519PrivateKey) -> bytes:
    return ours.exchange(X25519PublicKey.from_public_bytes(theirs.public_key().public_bytes_raw()))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["handshake"])
def test_both_ends_say_what_is_published(case: dict[str, str]) -> None:
    name = case["handshake"]
    pattern, _, place = name.split("_")[1].partition("psk")
    known, messages = PATTERNS[pattern]
    psk = bytes.fromhex(case.get("preshared_key", ""))
    if place:  # psk0 stands before the first message's tokens, pskN behind the Nth's (section 9.4)
        messages = [
            " ".join(["psk"] * (place == "0" and at == 0) + [tokens] + ["psk"] * (place == str(at + 1)))
            for at, tokens in enumerate(messages)
        ]
    fields = {
        "is": "init_static",
        "rs": "resp_static",
        "ie": "gen_init_ephemeral",
        "re": "gen_resp_ephemeral",
    }
    keys = {
        role: X25519PrivateKey.from_private_bytes(bytes.fromhex(case[field]))
        for role, field in fields.items()
        if field in case
    }
    state = Symmetric(name)
    state.mix_hash(bytes.fromhex(case.get("prologue", "")))
    if known:
        state.mix_hash(keys[known].public_key().public_bytes_raw())
    keyed = False
    for at, tokens in enumerate(messages):
        published = bytes.fromhex(case[f"msg_{at}_ciphertext"])
        said = b""
        for token in tokens.split():
            if token == "e":
                public = keys["ir"[at % 2] + "e"].public_key().public_bytes_raw()
                said += public
                state.mix_hash(public)
                if psk:
                    state.mix_key(public)
                    keyed = True
            elif token == "s":
                public = keys["ir"[at % 2] + "s"].public_key().public_bytes_raw()
                size = len(public) + TAG_SIZE * keyed
                said += state.seal_and_hash(public, published[len(said) : len(said) + size])
            elif token == "psk":
                state.mix_key_and_hash(psk)
                keyed = True
            else:  # the initiator's key, then the responder's
                state.mix_key(exchanged(keys["i" + token[0]], keys["r" + token[1]]))
                keyed = True
        said += state.seal_and_hash(bytes.fromhex(case[f"msg_{at}_payload"]), published[len(said) :])
        assert said == published
    ends = state.split()
    later = range(len(messages), len(messages) + 2)
    for at in later:
        plain, published = (bytes.fromhex(case[f"msg_{at}_{what}"]) for what in ("payload", "ciphertext"))
        assert ends[(at - len(messages)) % 2].box(plain, published, b"") == published
    assert f"msg_{later[-1] + 1}_payload" not in case


def test_the_excerpt_is_of_both_suites() -> None:
    assert {case["handshake"].split("_25519_")[1] for case in cases()} == set(SUITES)
    assert len(cases()) == 14
