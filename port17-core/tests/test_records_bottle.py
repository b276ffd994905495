"""Bottles: what makes one valid, and that every single change makes it invalid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.records import bottle as bottles
from port17.records import cbor, envelope
from port17.records.bottle import Bottle, Contents, Label, Lane, Slot
from port17.records.envelope import Envelope
from port17.records.exit_rules import RULES_CAP
from port17.records.identity import Identity
from port17.records.prekey import PUBLIC_CAP, PrekeyRecord
from port17.records.scheme import SigningKey
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
SCHEMES = {"ed25519": SCHEME}
KEY = SCHEME.generate()
OTHER = SCHEME.generate()
NETWORK = bytes(range(32))
SUITE = "p17-1-test"
NOW = 1_800_000_000


def identity(key: SigningKey = KEY) -> Identity:
    return Identity.made(scheme="ed25519", public=key.public)


def prekey(slot: int = 5, **changed: Any) -> PrekeyRecord:
    fields = {
        "network_id": NETWORK,
        "fingerprint": identity().fingerprint,
        "suite": SUITE,
        "slot": slot,
        "expiry": NOW + 1000,
        "public": bytes([slot]) * 100,
    }
    return PrekeyRecord.made(**{**fields, **changed})


def commitments(*records: PrekeyRecord) -> dict[str, list[Slot]]:
    slots: dict[str, list[Slot]] = {}
    for record in records:
        slots.setdefault(record.suite, []).append(Slot(record.slot, record.expiry, record.hash))
    return slots


def label(**changed: Any) -> Label:
    fields = {
        "identity": identity(),
        "name": "north",
        "group": "owner",
        "addresses": {"tcp": ["127.0.0.1:4000", "[::1]:4000"]},
        "suites": [SUITE],
        "exit": ["accept *:443"],
    }
    return Label.made(**{**fields, **changed})


def contents(**changed: Any) -> Contents:
    fields = {
        "fingerprint": identity().fingerprint,
        "seq": NOW,
        "slots": commitments(prekey()),
        "lanes": [(b"\x01" * 32, 1000, 5)],
    }
    return Contents.made(**{**fields, **changed})


def sealed(
    *,
    bundle: Iterable[PrekeyRecord] = (),
    key: SigningKey = KEY,
    network_id: bytes = NETWORK,
    label: Label | None = None,
    contents: Contents | None = None,
) -> Bottle:
    held_label = label if label is not None else globals()["label"]()
    held_contents = contents if contents is not None else globals()["contents"]()
    return Bottle.seal(network_id, SCHEME, key, held_label, held_contents, bundle)


def refuses(bottle: Bottle, why: str, now: float = NOW, **schemes: Any) -> None:
    with pytest.raises(RecordError, match=why) as raised:
        bottle.verify(NETWORK, schemes.get("schemes", SCHEMES), now)
    assert bottle.node_id in str(raised.value)


def test_a_bottle_travels_and_verifies() -> None:
    bottle = sealed(bundle=[prekey()])
    data = bottle.encode()
    received = Bottle.parse(data)
    received.verify(NETWORK, SCHEMES, NOW)
    assert received == bottle
    assert received.encode() == data
    assert received.fingerprint == identity().fingerprint
    assert received.contents.lanes == (Lane(b"\x01" * 32, 1000, 5),)
    assert received.contents.slots[SUITE] == (Slot(5, NOW + 1000, prekey().hash),)
    assert received.label.addresses == {"tcp": ("127.0.0.1:4000", "[::1]:4000")}


def test_without_a_bundle_and_with_expired_keys_it_is_still_a_bottle() -> None:
    sealed().verify(NETWORK, SCHEMES, NOW + 10 * 365 * 86400)


def test_signatures_bind_network_kind_and_signer() -> None:
    good = sealed()
    refuses(sealed(network_id=bytes(32)), "label whose signature")
    refuses(sealed(key=OTHER), "label whose signature")
    swapped = Bottle.of(good.label_envelope, sealed(key=OTHER).contents_envelope)
    refuses(swapped, "contents whose signature")
    as_label = envelope.sign("label", NETWORK, SCHEME, KEY, contents().to_cbor())
    refuses(Bottle.of(good.label_envelope, as_label), "contents whose signature")
    refuses(good, "ed25519 is not allowed", schemes={})


def test_contents_of_another_node_are_refused() -> None:
    refuses(sealed(contents=contents(fingerprint=bytes(32))), "another node's")


def test_contents_from_the_future_are_refused_beyond_the_skew() -> None:
    bottle = sealed(contents=contents(seq=NOW + 120))
    bottle.verify(NETWORK, SCHEMES, NOW)
    refuses(bottle, "in the future", now=NOW - 1)
    bottle.verify(NETWORK, SCHEMES, NOW - 1, skew_s=121)


def test_a_bundle_must_be_what_was_committed_to() -> None:
    refuses(sealed(bundle=[prekey(public=b"another")]), "do not commit")
    refuses(sealed(bundle=[prekey(), prekey()]), "twice")
    foreign = prekey(fingerprint=bytes(32))
    refuses(
        sealed(contents=contents(slots=commitments(foreign)), bundle=[foreign]), "another node or network"
    )
    foreign = prekey(network_id=bytes(32))
    refuses(
        sealed(contents=contents(slots=commitments(foreign)), bundle=[foreign]), "another node or network"
    )
    record = prekey()
    for slot in (Slot(6, record.expiry, record.hash), Slot(5, record.expiry + 1, record.hash)):
        refuses(sealed(contents=contents(slots={SUITE: [slot]}), bundle=[record]), "another slot")
    two = label(suites=[SUITE, "p17-1-other"])
    moved = contents(slots={"p17-1-other": [Slot(5, record.expiry, record.hash)]})
    refuses(sealed(label=two, contents=moved, bundle=[record]), "another slot")


def test_slots_of_suites_that_are_not_served_are_refused() -> None:
    refuses(sealed(contents=contents(slots=commitments(prekey(suite="p17-1-other")))), "does not serve")


def test_a_prekey_that_lives_too_long_is_refused() -> None:
    late = prekey(expiry=NOW + bottles.PREKEY_AHEAD_CAP_S + 1)
    refuses(sealed(contents=contents(slots=commitments(late))), "live longer")


@given(at=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(at: int, bit: int) -> None:
    data = bytearray(BOTTLE)
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(RecordError):
        Bottle.parse(bytes(data)).verify(NETWORK, SCHEMES, NOW)


BOTTLE = sealed(bundle=[prekey()]).encode()


@given(
    st.binary(max_size=300) | st.binary(max_size=20).map(lambda cut: BOTTLE[: len(BOTTLE) - len(cut)] + cut)
)
def test_any_bytes_are_a_bottle_or_an_error(data: bytes) -> None:
    try:
        bottle = Bottle.parse(data)
    except RecordError:
        return
    assert bottle.encode() == data


@given(
    value=st.recursive(
        st.none() | st.integers(0, 9) | st.binary(max_size=4) | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["scheme", "payload", "signature", "public"]), inner)
        ),
    )
)
def test_any_value_is_a_bottle_or_an_error(value: object) -> None:
    with pytest.raises(RecordError):
        Bottle.parse(cbor.encode(value))
    for payload in (cbor.encode(value), cbor.encode({"identity": value, "seq": value, "slots": value})):
        held = Envelope.made(scheme="ed25519", payload=payload, signature=b"")
        with pytest.raises(RecordError):
            Bottle.of(held, held)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a" * 65),
        ("name", "two words"),
        ("name", "\x1b[2J"),
        ("name", "north\n"),
        ("name", "-north"),
        ("name", "n\u00f6rth"),
        ("group", "a b"),
        ("addresses", {"tcp": ["x"] * (bottles.ADDRESSES_CAP + 1)}),
        ("addresses", {"tcp": ["x" * (bottles.ADDRESS_LENGTH_CAP + 1)]}),
        ("addresses", {"tcp": [""]}),
        ("addresses", {"tcp": ["a b"]}),
        ("addresses", {"tcp": ["\x00"]}),
        ("addresses", {"tcp": "127.0.0.1:1"}),
        ("addresses", {"TCP": ["x"]}),
        ("addresses", {f"t{number}": [] for number in range(bottles.TRANSPORTS_CAP + 1)}),
        ("suites", []),
        ("suites", [SUITE, SUITE]),
        ("suites", [f"s{number}" for number in range(bottles.SUITES_CAP + 1)]),
        ("exit", ["accept"]),
        ("exit", ["accept *:443"] * (RULES_CAP + 1)),
        ("exit", "accept *:443"),
        ("flavour", "secret"),
        ("seq", -1),
        ("seq", 2**63),
        ("seq", False),
        ("identity", {"scheme": "ed25519"}),
        ("identity", None),
    ],
)
def test_labels_over_a_cap_are_refused(field: str, value: object) -> None:
    with pytest.raises(RecordError, match=f"Label: {field}"):
        label(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fingerprint", bytes(20)),
        ("seq", -1),
        ("seq", 1.0),
        ("seq", 2**41),
        ("slots", {SUITE: [(1, 2)]}),
        ("slots", {SUITE: [(1, 2, bytes(31))]}),
        ("slots", {SUITE: [(1, 2, bytes(32), 4)]}),
        ("slots", {SUITE: [{"slot": 1, "expiry": 2, "commitment": bytes(32)}]}),
        ("slots", {SUITE: [(1, 2, bytes(32)), (1, 2, b"\x01" * 32)]}),
        ("slots", {SUITE: [(number, 2, bytes(32)) for number in range(bottles.SLOTS_CAP + 1)]}),
        ("slots", {f"s{number}": [] for number in range(bottles.SUITES_CAP + 1)}),
        ("lanes", [(bytes(32), -1, 0)]),
        ("lanes", [(bytes(32), bottles.LATENCY_CAP_US + 1, 0)]),
        ("lanes", [(bytes(32), 0, bottles.CAPACITY_CAP + 1)]),
        ("lanes", [(bytes(32), 0, 0), (bytes(32), 1, 1)]),
        ("lanes", [(number.to_bytes(32, "big"), 0, 0) for number in range(bottles.LANES_CAP + 1)]),
        ("load", bottles.LOAD_CAP + 1),
        ("flags", ["a"] * (bottles.FLAGS_CAP + 1)),
        ("flags", ["A flag"]),
    ],
)
def test_contents_over_a_cap_are_refused(field: str, value: object) -> None:
    with pytest.raises(RecordError, match=f"Contents: {field}"):
        contents(**{field: value})


def test_a_full_bottle_keeps_within_its_caps() -> None:
    suites = [f"p17-1-{'s' * 57}{number}" for number in range(bottles.SUITES_CAP)]
    bundle = [
        prekey(slot, suite=suite, public=bytes([slot]) * PUBLIC_CAP)
        for suite in suites
        for slot in range(bottles.SLOTS_CAP)
    ]
    full_label = label(
        suites=suites,
        addresses={
            f"transport{number}": [f"{index}" + "a" * 299 for index in range(bottles.ADDRESSES_CAP)]
            for number in range(bottles.TRANSPORTS_CAP)
        },
        exit=["accept *:443"] * 100,
    )
    full_contents = contents(
        slots=commitments(*bundle),
        lanes=[
            (number.to_bytes(32, "big"), bottles.LATENCY_CAP_US, bottles.CAPACITY_CAP)
            for number in range(bottles.LANES_CAP)
        ],
        load=1000,
        flags=["f" * 64] * bottles.FLAGS_CAP,
    )
    bottle = sealed(label=full_label, contents=full_contents, bundle=bundle)
    assert len(bottle.encode()) <= bottles.BOTTLE_CAP
    Bottle.parse(bottle.encode()).verify(NETWORK, SCHEMES, NOW)


def test_too_many_prekeys_are_refused_before_they_are_read() -> None:
    value = [{}, {}, [0] * (bottles.BUNDLE_CAP + 1)]
    with pytest.raises(RecordError, match="at most 64"):
        Bottle.parse(cbor.encode(value))


def test_a_parts_cap_holds_for_a_signed_part_too() -> None:
    padded = {**label().to_value(), "_padding": bytes(bottles.LABEL_CAP)}
    held = envelope.sign("label", NETWORK, SCHEME, KEY, cbor.encode(padded))
    with pytest.raises(RecordError, match="at most 49152"):
        Bottle.of(held, sealed().contents_envelope)

    padded = {**contents().to_value(), "_padding": bytes(bottles.CONTENTS_CAP)}
    held = envelope.sign("contents", NETWORK, SCHEME, KEY, cbor.encode(padded))
    with pytest.raises(RecordError, match="at most 16384"):
        Bottle.of(sealed().label_envelope, held)


def test_a_field_that_may_be_ignored_stays_in_what_is_passed_on() -> None:
    payload = cbor.encode({**label().to_value(), "_motto": "hello"})
    held = envelope.sign("label", NETWORK, SCHEME, KEY, payload)
    bottle = Bottle.parse(Bottle.of(held, sealed().contents_envelope).encode())
    bottle.verify(NETWORK, SCHEMES, NOW)
    assert bottle.label == label()
    assert bottle.label_envelope.payload == payload
