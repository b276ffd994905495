"""handshake.json: both flights of a link's warm handshake, with every key between."""

from __future__ import annotations

from typing import Any

from .. import handshake
from ..recorded import FROZEN, Recorded, fixed, long
from ..suites import SUITES, Suite

REVISION, STAMP = 3, 30_000_000
FLIGHT_BLOCKS = 2


def flights(before: dict[str, Any]) -> dict[str, Any]:
    """handshake.json."""
    return {
        name: {
            caller: _case(SUITES[name], caller, before.get(name, {}).get(caller, {}))
            for caller in ("client", "node")
        }
        for name in FROZEN
    }


def _case(suite: Suite, caller: str, before: dict[str, Any]) -> dict[str, Any]:
    recorded = Recorded(before.get("kem", {}))
    own = f"{suite.name} {caller}"
    to = handshake.Responder(
        fixed("network"), FLIGHT_BLOCKS, suite, fixed(f"{own} responder"), fixed(f"{own} record")
    )
    secret, ciphertext = recorded.encapsulation(
        suite, "to the prekey", fixed(f"{own} prekey", suite.kem.seed_size)
    )
    ephemeral_seed = fixed(f"{own} ephemeral", suite.kem.seed_size)
    ephemeral = suite.kem.public(ephemeral_seed)
    second_secret, second_ciphertext = recorded.encapsulation(suite, "to the ephemeral key", ephemeral_seed)
    initiator = fixed(f"{own} initiator") if caller == "node" else b""
    first = handshake.first(to, REVISION, ciphertext, ephemeral, initiator)
    # Any bytes do: what a signature is over is known, and who may sign is not the handshake's.
    signature = fixed("signature of the initiator", 64) if caller == "node" else b""
    answer_signature = fixed("signature of the responder", 64)
    hello = handshake.Hello(STAMP, REVISION, ephemeral, initiator, signature)
    salt = fixed(f"{own} salt", 16)
    flight_1 = handshake.make_flight_one(to, salt, ciphertext, secret, hello)
    k = handshake.key_one(to, ciphertext, secret)
    early = handshake.early_key(suite, first, k)
    transcript = handshake.transcript(suite, first, second_ciphertext)
    flight_2 = handshake.make_flight_two(suite, FLIGHT_BLOCKS, early, second_ciphertext, answer_signature)
    forward, backward = handshake.final_chains(suite, transcript, early, second_secret)
    assert handshake.open_flight_one(to, flight_1, secret) == hello
    assert handshake.open_flight_two(suite, early, flight_2) == (second_ciphertext, answer_signature)
    return {
        "network_id": to.network_id.hex(),
        "flight_blocks": FLIGHT_BLOCKS,
        "revision": REVISION,
        "stamp": STAMP,
        "responder": to.fingerprint.hex(),
        "record_hash": to.record_hash.hex(),
        "initiator": initiator.hex(),
        "signature_1": signature.hex(),
        "signature_2": answer_signature.hex(),
        "salt": salt.hex(),
        "kem": recorded.now,
        "tag": handshake.tag(suite, to.record_hash, salt).hex(),
        "k": k.hex(),
        "first": first.hex(),
        "initiator_signs": handshake.initiator_signs(suite, first).hex(),
        "early": early.hex(),
        "early_root": handshake.early_chain(suite, early).root.hex(),
        "transcript": transcript.hex(),
        "responder_signs": handshake.responder_signs(suite, transcript).hex(),
        "root_forward": forward.root.hex(),
        "root_backward": backward.root.hex(),
        "flight_1": long(suite, flight_1),
        "flight_2": long(suite, flight_2),
    }
