"""suites.json: each suite's parts, one by one, so that a mistake in one is not looked for in a handshake."""

from __future__ import annotations

from typing import Any

from ..framing import framed
from ..ratchet import nonce
from ..recorded import FROZEN, Recorded, fixed
from ..suites import SUITES


def parts(before: dict[str, Any]) -> dict[str, Any]:
    """suites.json."""
    cases = {}
    for name in FROZEN:
        suite = SUITES[name]
        seed, key = fixed(f"{name} seed", suite.kem.seed_size), fixed(f"{name} key")
        recorded = Recorded(before.get(name, {}).get("kem", {}))
        recorded.encapsulation(suite, "to the seed's key", seed)
        plaintext, associated = b"twenty bytes of text", b"associated"
        cases[name] = {
            "public": suite.kem.public(seed).hex(),
            "kem": recorded.now,
            "extract": {
                "salt": fixed("salt").hex(),
                "secret": fixed("secret", 64).hex(),
                "is": suite.extract(fixed("salt"), fixed("secret", 64)).hex(),
            },
            "expand": {
                "key": key.hex(),
                "info": framed("chain step").hex(),
                "is_32": suite.expand(key, "chain step").hex(),
                "is_100": suite.expand(key, "chain step", length=100).hex(),
            },
            "aead": [
                {
                    "key": key.hex(),
                    "counter": counter,
                    "nonce": nonce(counter).hex(),
                    "plaintext": plaintext.hex(),
                    "associated": associated.hex(),
                    "sealed": suite.aead.seal(key, nonce(counter), plaintext, associated).hex(),
                    "keystream_100": suite.aead.keystream(key, nonce(counter), 100).hex(),
                }
                for counter in (0, 1, 255, 2**32, 2**64 - 1)
            ],
        }
    return cases
