"""The points of X25519 whose exchange gives zeros, whoever's key it is (RFC 7748, section 6.1)."""

from __future__ import annotations

FIELD = 2**255 - 19
_U = {
    "0": 0,
    "1": 1,
    "order 8": 0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    "order 8, the other": 0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    "-1": FIELD - 1,
    "p": FIELD,
    "p + 1": FIELD + 1,
}
_U |= {f"{name}, top bit set": u | 1 << 255 for name, u in _U.items()}
LOW_ORDER = {name: u.to_bytes(32, "little") for name, u in _U.items()}
"""By name: every point whose order divides 8, on the curve and its twist, however written in 32 bytes."""
