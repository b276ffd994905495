"""Identities, envelopes and prekeys: what a fingerprint, a signature and a commitment bind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.records import cbor, envelope
from port17.records.envelope import PAYLOAD_CAP, Envelope
from port17.records.framing import framed
from port17.records.identity import Identity, node_id, parse_node_id
from port17.records.prekey import PREKEY_CAP, PUBLIC_CAP, PrekeyRecord
from port17.records.scheme import PUBLIC_KEY_CAP
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
KEY = SCHEME.generate()
NETWORK = bytes(range(32))
PUBLICS = st.lists(
    st.tuples(st.sampled_from(["ed25519", "ml-dsa-65", "x"]), st.binary(min_size=1, max_size=50)),
    min_size=1,
    max_size=4,
).map(tuple)


def identity(**changed: Any) -> Identity:
    return Identity.made(**{"scheme": "ed25519", "public": KEY.public, **changed})


def prekey(**changed: Any) -> PrekeyRecord:
    fields = {
        "network_id": NETWORK,
        "fingerprint": bytes(32),
        "suite": "p17-1-test",
        "slot": 7,
        "expiry": 800,
        "public": b"public",
    }
    return PrekeyRecord.made(**{**fields, **changed})


@given(PUBLICS, PUBLICS)
def test_two_identities_have_two_fingerprints(one: Any, two: Any) -> None:
    a, b = identity(public=one), identity(public=two)
    assert len(a.fingerprint) == 32
    assert (a.fingerprint == b.fingerprint) == (one == two)


def test_a_node_id_is_32_letters_that_read_back() -> None:
    text = identity().node_id
    assert len(text) == 32
    assert text == text.lower()
    assert parse_node_id(text) == parse_node_id(f" {text.upper()}\n") == identity().fingerprint[:20]
    assert text == node_id(identity().fingerprint)


@pytest.mark.parametrize("text", ["", "a", "a" * 31, "a" * 40, "0" * 32, "\u00e9" * 32, "aaaa aaaa"])
def test_what_is_no_node_id_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="32 letters"):
        parse_node_id(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"public": ()},
        {"public": (("ed25519", b""),)},
        {"public": (("ed25519", b"x" * (PUBLIC_KEY_CAP + 1)),)},
        {"public": (("ed25519", b"x"),) * 5},
        {"public": (("ed25519", "text"),)},
        {"public": (("ed25519", b"x", b"y"),)},
        {"scheme": ""},
        {"scheme": "Ed25519"},
        {"scheme": "a" * 65},
        {"scheme": "ed25519\n"},
        {"scheme": b"ed25519"},
        {"more": 1},
    ],
)
def test_identities_over_a_cap_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="not a valid Identity"):
        identity(**changed)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_record_or_an_error(data: bytes) -> None:
    for model in (Identity, Envelope, PrekeyRecord):
        try:
            read = model.from_cbor(data, cap=400)
        except RecordError:
            continue
        assert model.from_cbor(read.to_cbor(), cap=400) == read


@given(
    value=st.dictionaries(
        st.sampled_from(["scheme", "public", "payload", "signature", "suite", "slot", "expiry", "_x", "x"]),
        st.integers() | st.text() | st.binary() | st.lists(st.lists(st.binary() | st.text())) | st.none(),
    )
)
def test_any_map_is_a_record_or_an_error(value: dict[str, object]) -> None:
    for model in (Identity, Envelope, PrekeyRecord):
        try:
            model.from_value(value)
        except RecordError:
            continue


def test_a_field_that_may_matter_is_refused_and_one_that_cannot_is_ignored() -> None:
    value = identity().to_value()
    assert Identity.from_value({**value, "_comment": "hello"}) == identity()
    with pytest.raises(RecordError, match="critical"):
        Identity.from_value({**value, "critical": 1})


# -- envelopes ------------------------------------------------------------------------------------
@given(payload=st.binary(max_size=300), kind=st.sampled_from(["label", "contents"]))
def test_a_signed_payload_verifies_and_travels(payload: bytes, kind: str) -> None:
    signed = envelope.sign(kind, NETWORK, SCHEME, KEY, payload)
    received = Envelope.from_cbor(signed.to_cbor(), cap=1000)
    assert received == signed
    received.verify(kind, NETWORK, SCHEME, KEY.public)


def _verify(
    signed: Envelope, kind: str = "label", network: bytes = NETWORK, public: Any = KEY.public
) -> None:
    signed.verify(kind, network, SCHEME, public)


def test_a_signature_is_worth_nothing_elsewhere() -> None:
    signed = envelope.sign("label", NETWORK, SCHEME, KEY, b"payload")
    with pytest.raises(RecordError, match="not valid"):
        _verify(signed, kind="contents")
    with pytest.raises(RecordError, match="not valid"):
        _verify(signed, network=bytes(32))
    with pytest.raises(RecordError, match="not valid"):
        _verify(signed, public=SCHEME.generate().public)
    with pytest.raises(RecordError, match="not valid"):
        _verify(signed.model_copy(update={"payload": b"payloae"}))
    with pytest.raises(RecordError, match="signed under other"):
        _verify(signed.model_copy(update={"scheme": "other"}))


@given(data=st.data())
def test_no_two_signed_messages_are_alike(data: st.DataObject) -> None:
    parts = st.tuples(
        st.sampled_from(["a", "ab", "b"]),
        st.binary(max_size=3),
        st.sampled_from(["a", "ba"]),
        st.binary(max_size=3),
    )
    one, two = data.draw(parts), data.draw(parts)
    assert (envelope.signed_bytes(*one) == envelope.signed_bytes(*two)) == (one == two)
    assert envelope.signed_bytes(*one).startswith(framed("signed"))


def test_a_payload_over_its_cap_is_refused() -> None:
    with pytest.raises(RecordError, match="payload"):
        envelope.sign("label", NETWORK, SCHEME, KEY, bytes(PAYLOAD_CAP + 1))


def test_an_envelope_s_hash_names_its_payload() -> None:
    one = envelope.sign("label", NETWORK, SCHEME, KEY, b"one")
    two = envelope.sign("label", NETWORK, SCHEME, KEY, b"two")
    assert one.hash("label") == one.model_copy(update={"signature": b"other"}).hash("label")
    assert len({one.hash("label"), two.hash("label"), one.hash("contents")}) == 3


# -- prekeys --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changed",
    [
        {"network_id": bytes(32)},
        {"fingerprint": b"\x01" * 32},
        {"suite": "p17-1-test2"},
        {"slot": 8},
        {"expiry": 801},
        {"public": b"Public"},
    ],
)
def test_the_commitment_binds_every_field(changed: dict[str, Any]) -> None:
    assert prekey().hash != prekey(**changed).hash
    assert prekey().hash == prekey().hash
    assert len(prekey().hash) == 32


def test_a_prekey_travels() -> None:
    largest = prekey(suite="s" * 64, slot=2**63 - 1, expiry=2**40, public=bytes(PUBLIC_CAP))
    data = largest.to_cbor()
    assert len(data) <= PREKEY_CAP
    assert PrekeyRecord.from_cbor(data, cap=PREKEY_CAP) == largest
    with pytest.raises(RecordError, match="at most"):
        PrekeyRecord.from_cbor(data + bytes(PREKEY_CAP), cap=PREKEY_CAP)


@pytest.mark.parametrize(
    "changed",
    [
        {"network_id": bytes(31)},
        {"fingerprint": bytes(33)},
        {"slot": -1},
        {"slot": 2**63},
        {"slot": True},
        {"slot": "7"},
        {"expiry": 2**40 + 1},
        {"public": b""},
        {"public": bytes(PUBLIC_CAP + 1)},
        {"suite": None},
    ],
)
def test_prekeys_over_a_cap_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=next(iter(changed))):
        prekey(**changed)


def test_a_long_value_is_not_repeated_in_the_error() -> None:
    with pytest.raises(RecordError) as raised:
        Identity.from_cbor(cbor.encode({"scheme": "S" * 5000, "y" * 5000: 1}), cap=20_000)
    assert len(str(raised.value)) < 300
