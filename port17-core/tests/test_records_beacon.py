"""Beacons: their size, and what is believed of them."""

from __future__ import annotations

from typing import Any

import pytest

from port17.errors import RecordError
from port17.records.beacon import BEACON_CAP, LIFE_S, Beacon, SignedBeacon
from port17.records.envelope import sign
from port17.records.identity import Identity
from port17.records.scheme import IdentityScheme, SigningKey
from port17_crypto.schemes import Ed25519, Ed25519MlDsa65

from .bottle_maker import NETWORK, NOW, SCHEME

SKEW_S = 120.0
WHOLE = 1232
"""Bytes that every IPv6 link carries in one datagram: 1280 without two headers."""


def beacon(key: SigningKey, scheme: IdentityScheme = SCHEME, **fields: Any) -> Beacon:
    usual = {
        "network_id": NETWORK,
        "identity": Identity.made(scheme=scheme.name, public=key.public).to_value(),
        "label": NOW,
        "contents": NOW,
        "suites": ["p17-1-xwing-aes256gcm-sha256"],
        "ports": {"tcp": 4717},
        "at": NOW,
    }
    return Beacon.made(**{**usual, **fields})


def sealed(scheme: IdentityScheme = SCHEME, **fields: Any) -> SignedBeacon:
    key = scheme.generate()
    return SignedBeacon.seal(scheme, key, beacon(key, scheme, **fields))


def verify(signed: SignedBeacon, now_s: float = NOW, network: bytes = NETWORK) -> None:
    signed.verify(network, {"ed25519": SCHEME}, now_s, skew_s=SKEW_S)


def test_what_is_sent_is_what_is_believed() -> None:
    signed = sealed()
    heard = SignedBeacon.parse(signed.encode())
    verify(heard)
    assert heard == signed
    assert heard.beacon.fingerprint == signed.beacon.identity.fingerprint


def test_with_classical_keys_it_fits_every_datagram_and_with_others_the_cap() -> None:
    assert len(sealed().encode()) < 500
    many = [f"p17-1-xwing-chacha20poly1305-blake2s-{number}" for number in range(8)]
    ports = {f"transport-{number}": 65535 for number in range(8)}
    assert len(sealed(label=2**62, suites=many, ports=ports).encode()) <= WHOLE
    ports = {f"transport-{number}-{'x' * 50}": 65535 for number in range(8)}
    many = [f"suite-{number}-{'x' * 55}" for number in range(8)]
    large = sealed(Ed25519MlDsa65(), label=2**62, suites=many, ports=ports).encode()
    assert WHOLE < len(large) <= BEACON_CAP
    assert SignedBeacon.parse(large).encode() == large


@pytest.mark.parametrize("at", [0, 1, 20, -1])
def test_a_changed_byte_is_not_believed(at: int) -> None:
    data = bytearray(sealed().encode())
    data[at] ^= 1
    with pytest.raises(RecordError):
        verify(SignedBeacon.parse(bytes(data)))


@pytest.mark.parametrize(
    "fields",
    [
        {"ports": {}},
        {"ports": {"tcp": 0}},
        {"ports": {"tcp": 65536}},
        {"ports": {f"t{number}": 1 for number in range(9)}},
        {"ports": {"TCP ": 1}},
        {"suites": []},
        {"suites": [f"s{number}" for number in range(9)]},
        {"label": -1},
        {"network_id": b"short"},
        {"more": 1},
    ],
)
def test_what_is_no_beacon_is_not_made(fields: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        beacon(SCHEME.generate(), **fields)


def test_one_over_the_cap_is_not_parsed() -> None:
    with pytest.raises(RecordError, match="at most"):
        SignedBeacon.parse(bytes(BEACON_CAP + 1))


def test_a_time_far_off_is_not_believed() -> None:
    signed = sealed()
    for now_s in (NOW - SKEW_S, NOW, NOW + SKEW_S + LIFE_S):
        verify(signed, now_s)
    with pytest.raises(RecordError, match="future"):
        verify(signed, NOW - SKEW_S - 1)
    with pytest.raises(RecordError, match="old"):
        verify(signed, NOW + SKEW_S + LIFE_S + 1)
    with pytest.raises(RecordError, match="future"):
        verify(sealed(contents=int(NOW + SKEW_S) + 1))


def test_neither_another_network_nor_another_use_of_a_signature_is_believed() -> None:
    with pytest.raises(RecordError, match="another network"):
        verify(sealed(), network=bytes(32))
    key = SCHEME.generate()
    said = beacon(key)
    for kind, network in (("contents", NETWORK), ("beacon", bytes(32))):
        forged = SignedBeacon(sign(kind, network, SCHEME, key, said.to_cbor()), said)
        with pytest.raises(RecordError, match="signature"):
            verify(SignedBeacon.parse(forged.encode()))


def test_a_scheme_that_is_not_allowed_is_not_believed() -> None:
    with pytest.raises(RecordError, match="not allowed"):
        verify(sealed(Ed25519MlDsa65()))


def test_nobody_announces_another() -> None:
    one, other = Ed25519().generate(), Ed25519().generate()
    with pytest.raises(RecordError, match="signature"):
        verify(SignedBeacon.seal(SCHEME, one, beacon(other)))
