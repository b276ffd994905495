"""setup.json: SETUP's content, and the session that comes of it."""

from __future__ import annotations

from typing import Any

from .. import setup
from ..recorded import FROZEN, Recorded, fixed, long
from ..suites import SUITES, Suite

REVISION, STAMP, SLOT = 3, 30_000_000, 2**33 + 5
CELLS_PER_STEP = 70_000


def contents(before: dict[str, Any]) -> dict[str, Any]:
    """setup.json."""
    return {name: _case(SUITES[name], before.get(name, {})) for name in FROZEN}


def _case(suite: Suite, before: dict[str, Any]) -> dict[str, Any]:
    recorded = Recorded(before.get("kem", {}))
    own = f"{suite.name} setup"
    hop = setup.Hop(fixed("network"), REVISION, suite, fixed(f"{own} node"), fixed(f"{own} record"), SLOT)
    secret, ciphertext = recorded.encapsulation(
        suite, "to the prekey", fixed(f"{own} prekey", suite.kem.seed_size)
    )
    ratchet_seed = fixed(f"{own} ratchet key", suite.kem.seed_size)
    ratchet_public = suite.kem.public(ratchet_seed)
    content = setup.make(hop, ciphertext, secret, STAMP, ratchet_public, CELLS_PER_STEP)
    assert setup.open_box(hop, content, secret) == (STAMP, ratchet_public, CELLS_PER_STEP)
    forward, backward = setup.directions(hop, ciphertext, secret, content, CELLS_PER_STEP)
    return {
        "network_id": hop.network_id.hex(),
        "revision": REVISION,
        "fingerprint": hop.fingerprint.hex(),
        "record_hash": hop.record_hash.hex(),
        "slot": SLOT,
        "stamp": STAMP,
        "cells_per_step": CELLS_PER_STEP,
        "ratchet_seed": ratchet_seed.hex(),
        "kem": recorded.now,
        "key": setup.key(hop, ciphertext, secret).hex(),
        "content": long(suite, content),
        "root_forward": forward.root.hex(),
        "root_backward": backward.root.hex(),
    }
