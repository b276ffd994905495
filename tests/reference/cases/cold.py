"""cold.json: both flights of a link's cold handshake, with every key between."""

from __future__ import annotations

from typing import Any

from .. import cold
from ..recorded import FROZEN, Recorded, fixed, long
from ..suites import SUITES, Suite

REVISION, STAMP = 3, 30_000_000
FLIGHT_BLOCKS = 2
WANTS = {"prekeys": 0, "label": 1}


def flights(before: dict[str, Any]) -> dict[str, Any]:
    """cold.json."""
    return {
        name: {
            wanted: _case(SUITES[name], wanted, want, before.get(name, {}).get(wanted, {}))
            for wanted, want in WANTS.items()
        }
        for name in FROZEN
    }


def _case(suite: Suite, wanted: str, want: int, before: dict[str, Any]) -> dict[str, Any]:
    recorded = Recorded(before.get("kem", {}))
    own = f"{suite.name} cold {wanted}"
    to = cold.Responder(fixed("network"), FLIGHT_BLOCKS, suite, fixed(f"{own} responder"))
    ephemeral_seed = fixed(f"{own} ephemeral", suite.kem.seed_size)
    ephemeral = suite.kem.public(ephemeral_seed)
    secret, ciphertext = recorded.encapsulation(suite, "to the ephemeral key", ephemeral_seed)
    salt = fixed(f"{own} salt", 16)
    hello = cold.Hello(STAMP, REVISION, want, ephemeral)
    flight_1 = cold.make_flight_one(to, salt, hello)
    first = cold.first(to, REVISION, ephemeral)
    transcript = cold.transcript(to, first, flight_1, ciphertext)
    # Any bytes do: what a signature is over is known, and what is said is not the handshake's.
    signature, answer = fixed("signature of the responder", 64), fixed(f"{own} answer", 300)
    box_key_2 = cold.box_key_two(to, transcript, secret)
    flight_2 = cold.make_flight_two(to, salt, ciphertext, box_key_2, signature, answer)
    assert cold.open_flight_one(to, flight_1) == hello
    assert cold.open_flight_two(to, box_key_2, flight_2) == (signature, answer)
    return {
        "network_id": to.network_id.hex(),
        "flight_blocks": FLIGHT_BLOCKS,
        "revision": REVISION,
        "stamp": STAMP,
        "want": want,
        "responder": to.fingerprint.hex(),
        "salt": salt.hex(),
        "kem": recorded.now,
        "cold_key": to.cold_key().hex(),
        "tag": cold.tag(to, salt).hex(),
        "mask_key": cold.mask_key(to, salt).hex(),
        "box_key_1": cold.box_key_one(to, salt).hex(),
        "first": first.hex(),
        "transcript": transcript.hex(),
        "box_key_2": box_key_2.hex(),
        "answer": answer.hex(),
        "signature": signature.hex(),
        "responder_signs": cold.responder_signs(to, transcript, answer).hex(),
        "flight_1": long(suite, flight_1),
        "flight_2": long(suite, flight_2),
    }
