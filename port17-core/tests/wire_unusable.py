"""Keys, ciphertexts and steps that no honest peer sends: of a wrong length, of low order, out of turn."""

from __future__ import annotations

from typing import Any

from port17.wire.ratchet import RATCHET_HEAD, REQUEST, RESPONSE
from port17.wire.suite import CipherSuite, KemKey

from .wire_suites import SUITES

FIELD = 2**255 - 19
LOW_ORDER = {
    name: u.to_bytes(32, "little")
    for name, u in {
        "point 0": 0,
        "point 1": 1,
        "point of order 8": 0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        "point p - 1": FIELD - 1,
        "point p + 1": FIELD + 1,
    }.items()
}
"""X25519 gives zeros for these, whoever's key it is (RFC 7748, section 6.1)."""
MLKEM_SIZE = 1184
"""Bytes of an ML-KEM-768 public key; two of its coefficients are in three bytes, each below 3329."""


def publics(suite: CipherSuite, *, right_length: bool = False) -> dict[str, bytes]:
    """Public keys that a suite can agree on nothing with, by what is wrong with them."""
    good = suite.generate().public
    found = {} if right_length else {"empty": b"", "a byte short": good[:-1], "a byte long": good + b"\0"}
    if "25519" in suite.name or "xwing" in suite.name:
        found |= {name: good[:-32] + point for name, point in LOW_ORDER.items()}
    if "xwing" in suite.name or "mlkem" in suite.name:
        found["coefficients too large"] = b"\xff" * MLKEM_SIZE + good[MLKEM_SIZE:]
        found["one coefficient too large"] = b"\x01\x0d" + good[2:]
    return found


def ciphertexts(suite: CipherSuite) -> dict[str, bytes]:
    """Ciphertexts of the right length that give no secret. ML-KEM has none: it gives one that nobody has."""
    if "25519" not in suite.name and "xwing" not in suite.name:
        return {}
    _, good = suite.encapsulate(suite.generate().public)
    return {name: good[:-32] + point for name, point in LOW_ORDER.items()}


def liar(suite: CipherSuite, **lies: Any) -> CipherSuite:
    """A suite whose methods answer what a test wants; all else is as it was, its name too."""
    answers = {name: (lambda self, *given, answer=answer: answer) for name, answer in lies.items()}
    return type("Liar", (type(suite),), answers)()  # type: ignore[no-any-return]


def key_that_is_none(suite: CipherSuite, public: bytes) -> KemKey:
    """A key pair whose public half is as bad as a test wants."""
    return KemKey(suite.generate().private, public)


def frames(suite: CipherSuite, good: bytes, kind: int) -> dict[str, bytes]:
    """What a REQ or an RSP must not be, by what is wrong with it, made of one that is good."""
    head, body = good[: RATCHET_HEAD.size], good[RATCHET_HEAD.size :]
    _, epoch = RATCHET_HEAD.unpack(head)
    public = body[suite.ciphertext_size :]
    found = {
        "empty": b"",
        "its head alone": head,
        "a byte short": good[:-1],
        "a byte long": good + b"\0",
        "without its key": good[: -suite.public_size],
        "of the other kind": RATCHET_HEAD.pack(RESPONSE if kind == REQUEST else REQUEST, epoch) + body,
        "of a third kind": RATCHET_HEAD.pack(2, epoch) + body,
        "of the epoch before": RATCHET_HEAD.pack(kind, max(0, epoch - 1) if epoch else 7) + body,
        "of the epoch after": RATCHET_HEAD.pack(kind, epoch + 1) + body,
        "of the last epoch": RATCHET_HEAD.pack(kind, 2**32 - 1) + body,
    }
    return found | {what: head + bad + public for what, bad in ciphertexts(suite).items()}


BAD_PUBLICS = [(suite, what) for suite in SUITES for what in publics(suite, right_length=True)]
BAD_CIPHERTEXTS = [(suite, what) for suite in SUITES for what in ciphertexts(suite)]


def named(value: object) -> str:
    """How a test's case is called."""
    return value.name.removeprefix("p17-") if isinstance(value, CipherSuite) else str(value)
