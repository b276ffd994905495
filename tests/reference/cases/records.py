"""framing.json: H, and what records are known by. signatures.json: the identity schemes."""

from __future__ import annotations

import hashlib
from typing import Any

from .. import records, signatures
from ..framing import framed, h
from ..recorded import fixed

FRAMED = (
    ("empty", ()),
    ("one", (b"",)),
    ("two", (b"", b"")),
    ("split", (b"ab", b"c")),
    ("split", (b"a", b"bc")),
    ("long", (bytes(range(256)) * 2,)),
)


def framing() -> dict[str, Any]:
    """framing.json."""
    network = records.network_id(b"genesis payload")
    components = [("ed25519", fixed("ed25519 key")), ("ml-dsa-65", fixed("ml-dsa-65 key", 1952))]
    prekey = {
        "network_id": network.hex(),
        "fingerprint": fixed("node").hex(),
        "suite": "p17-1-x25519-chacha20poly1305-blake2s",
        "slot": 20_833,
        "expiry": 1_800_003_600,
        "public": fixed("prekey").hex(),
    }
    return {
        "framed": [
            {
                "label": label,
                "parts": [part.hex() for part in parts],
                "framed": framed(label, *parts).hex(),
                "h": h(label, *parts).hex(),
            }
            for label, parts in FRAMED
        ],
        "network_id": {"genesis": b"genesis payload".hex(), "is": network.hex()},
        "revision_hash": {
            "payload": b"revision payload".hex(),
            "is": records.revision_hash(b"revision payload").hex(),
        },
        "fingerprint": [
            {
                "components": [[algorithm, key.hex()] for algorithm, key in some],
                "is": records.fingerprint(some).hex(),
            }
            for some in (components[:1], components)
        ],
        "prekey_hash": {
            **prekey,
            "is": records.prekey_hash(
                network,
                fixed("node"),
                str(prekey["suite"]),
                20_833,
                1_800_003_600,
                fixed("prekey"),
            ).hex(),
        },
        "signed": {
            "kind": "label",
            "network_id": network.hex(),
            "scheme": "ed25519",
            "payload": b"label payload".hex(),
            "is": records.signed("label", network, "ed25519", b"label payload").hex(),
        },
    }


def identities(before: dict[str, Any]) -> dict[str, Any]:
    """signatures.json. ML-DSA's signatures are randomised: that of before is kept if it is good."""
    cases = {}
    for scheme, algorithms in signatures.SCHEMES.items():
        seed = fixed(f"identity {scheme}", 32 * len(algorithms))
        message = records.signed("contents", fixed("network"), scheme, b"contents payload")
        components = signatures.public(scheme, seed)
        signature = bytes.fromhex(before.get(scheme, {}).get("signature", ""))
        if not signature or not signatures.verify(scheme, components, message, signature):
            signature = signatures.sign(scheme, seed, message)
        case: dict[str, Any] = {
            "seed": seed.hex(),
            "public": [[algorithm, key.hex()] for algorithm, key in components],
            "fingerprint": records.fingerprint(components).hex(),
            "message": message.hex(),
            "signature": signature.hex(),
        }
        if len(components) > 1:
            each = records.composite_signed(scheme, components, message)
            case["each_signs_sha256"] = hashlib.sha256(each).hexdigest()
        cases[scheme] = case
    return cases
