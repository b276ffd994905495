"""Unusable input in what is signed and travels: one typed error, whatever the record and what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from port17.bottles.keys import check_prekeys
from port17.errors import RecordError
from port17.plugins.loader import Registry
from port17.records import cbor, envelope
from port17.records.bottle import Bottle, Contents, Label, Lane, Slot
from port17.records.charter import Charter
from port17.records.envelope import Envelope
from port17.records.genesis import Genesis
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.record import Record
from port17.records.revision import REVISION_KIND, Revision, SignedRevision
from port17.records.scheme import IdentityScheme

from .wire_suites import SUITES, TOY
from .wire_unusable import named, publics

Value: TypeAlias = dict[str, Any]
SCHEMES_GROUP = "port17.identity_schemes"
registry = Registry()
SCHEMES: dict[str, IdentityScheme] = {
    name: registry.make(SCHEMES_GROUP, name) for name in sorted(registry.names(SCHEMES_GROUP))
}
ED25519 = SCHEMES["ed25519"]
KEY = ED25519.generate()
IDENTITY = Identity.made(scheme="ed25519", public=KEY.public)
NETWORK = bytes(range(32))
NOW = 1_800_000_000
PREKEY = PrekeyRecord.made(
    network_id=NETWORK,
    fingerprint=IDENTITY.fingerprint,
    suite=TOY.name,
    slot=5,
    expiry=NOW + 1000,
    public=TOY.generate().public,
)
GOOD: dict[type[Record], Record] = {
    PrekeyRecord: PREKEY,
    Identity: IDENTITY,
    Label: Label.made(
        identity=IDENTITY,
        name="oak",
        suites=[TOY.name],
        addresses={"tcp": ["127.0.0.1:4000"]},
        exit=["accept *:443"],
    ),
    Contents: Contents.made(
        fingerprint=IDENTITY.fingerprint,
        seq=NOW,
        slots={TOY.name: [Slot(5, NOW + 1000, PREKEY.hash)]},
        lanes=[Lane(b"\1" * 32, 1000, 0)],
    ),
    Envelope: envelope.sign("label", NETWORK, ED25519, KEY, b"payload"),
    Genesis: Genesis.made(name="net", created=NOW, update_keys=[IDENTITY], threshold=1),
    Revision: Revision.made(not_before=NOW, suites=[TOY.name], schemes=["ed25519"]),
}
KINDS = list(GOOD)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def values(kind: type[Record]) -> Value:
    """A good record as it travels."""
    value = cbor.decode(GOOD[kind].to_cbor(), cap=1 << 20)
    assert isinstance(value, dict)
    return value


def refuses(kind: type[Record], value: object) -> None:
    """A record is refused, and by its bytes as well as by its value."""
    with pytest.raises(RecordError):
        kind.from_value(copy.deepcopy(value))
    with pytest.raises(RecordError):
        kind.from_cbor(cbor.encode(value), cap=1 << 20)


# -- fields -----------------------------------------------------------------------------------------
@every_kind
def test_an_unknown_field_may_matter_unless_it_says_that_it_does_not(kind: type[Record]) -> None:
    for name in ("unknown", "Suites", "suites2", "critical", ""):
        refuses(kind, {**values(kind), name: 1})
    assert kind.from_value({**values(kind), "_remark": [1, {"deep": b"2"}]}) == GOOD[kind]


@every_kind
def test_no_map_at_all(kind: type[Record]) -> None:
    for wrong in (None, True, 7, b"", "", [], [values(kind)], {}):
        refuses(kind, wrong)


@every_kind
def test_every_field_of_another_type(kind: type[Record]) -> None:
    """What reads as the right type in a language that is not strict, too: 1 for True, text for bytes."""
    for name, held in values(kind).items():
        for wrong in (7, -1, True, b"\xff", "text", [7], [[7]], {"a": 7}, 1 << 63):
            if type(wrong) is type(held) or (wrong == 7 and isinstance(held, int)):
                continue
            with pytest.raises(RecordError):
                kind.from_value({**values(kind), name: wrong})


HASHES = [
    (kind, name)
    for kind in KINDS
    for name, held in values(kind).items()
    if isinstance(held, bytes) and len(held) == 32 and name != "public"
]


@pytest.mark.parametrize(("kind", "name"), HASHES, ids=lambda case: getattr(case, "__name__", case))
@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_hash_of_another_length(kind: type[Record], name: str, size: int) -> None:
    refuses(kind, {**values(kind), name: bytes(size)})


NESTED: dict[str, tuple[type[Record], Callable[[Value], object]]] = {
    "a commitment of 31 bytes": (
        Contents,
        lambda value: value["slots"][TOY.name][0].__setitem__(2, bytes(31)),
    ),
    "a slot of two entries": (Contents, lambda value: value["slots"][TOY.name][0].pop()),
    "a slot of four entries": (Contents, lambda value: value["slots"][TOY.name][0].append(1)),
    "a slot that is a map": (
        Contents,
        lambda value: value["slots"].__setitem__(
            TOY.name, [{"slot": 5, "expiry": NOW, "commitment": bytes(32)}]
        ),
    ),
    "a slot before the first": (
        Contents,
        lambda value: value["slots"][TOY.name][0].__setitem__(0, -1),
    ),
    "a slot twice": (
        Contents,
        lambda value: value["slots"][TOY.name].append(value["slots"][TOY.name][0]),
    ),
    "a suite's name in capitals": (Contents, lambda value: value["slots"].update({"P17": []})),
    "a suite that is served twice": (Label, lambda value: value["suites"].append(TOY.name)),
    "no suite that is served": (Label, lambda value: value["suites"].clear()),
    "a suite's name with a line end": (Label, lambda value: value["suites"].append("p17-1-x\n")),
    "a lane to 31 bytes": (Contents, lambda value: value["lanes"][0].__setitem__(0, bytes(31))),
    "a lane that is a map": (Contents, lambda value: value["lanes"].append({"fingerprint": bytes(32)})),
    "an address with a blank": (Label, lambda value: value["addresses"]["tcp"].append("a b")),
    "an exit rule that is none": (Label, lambda value: value["exit"].append("allow everything")),
    "an identity without keys": (Label, lambda value: value["identity"]["public"].clear()),
    "an identity whose key is empty": (
        Label,
        lambda value: value["identity"]["public"][0].__setitem__(1, b""),
    ),
    "an identity with an unknown field": (Label, lambda value: value["identity"].update(unknown=1)),
    "a key without its algorithm": (Identity, lambda value: value["public"][0].pop(0)),
    "five keys": (Identity, lambda value: value["public"].extend(value["public"] * 4)),
    "a prekey of no byte": (PrekeyRecord, lambda value: value.update(public=b"")),
    "a prekey of 1401 bytes": (PrekeyRecord, lambda value: value.update(public=bytes(1401))),
    "a prekey that never expires": (PrekeyRecord, lambda value: value.update(expiry=1 << 62)),
    "an update key twice": (Genesis, lambda value: value["update_keys"].append(value["update_keys"][0])),
    "a threshold of none": (Genesis, lambda value: value.update(threshold=0)),
    "a threshold above the keys": (Genesis, lambda value: value.update(threshold=2)),
    "cells of another size": (Genesis, lambda value: value.update(cell_size=512)),
    "a format to come": (Genesis, lambda value: value.update(format=2)),
    "flights of a hundred blocks": (Genesis, lambda value: value.update(flight_blocks=100)),
    "a suite that is allowed twice": (Revision, lambda value: value["suites"].append(TOY.name)),
    "no suite that is allowed": (Revision, lambda value: value["suites"].clear()),
    "a deprecated suite that is not allowed": (
        Revision,
        lambda value: value["deprecated"].append("p17-1-other-one"),
    ),
    "no scheme that is allowed": (Revision, lambda value: value["schemes"].clear()),
    "a level above all": (Revision, lambda value: value.update(quantum_category=6)),
    "a level below none": (Revision, lambda value: value.update(classical_bits=-1)),
    "a clock that may be anything": (Revision, lambda value: value.update(clock_skew_s=1 << 40)),
    "a prekey's life of a second": (Revision, lambda value: value.update(prekey_lifetime_s=1)),
}


@pytest.mark.parametrize(("kind", "spoil"), NESTED.values(), ids=NESTED)
def test_what_lies_deeper(kind: type[Record], spoil: Callable[[Value], object]) -> None:
    value = values(kind)
    spoil(value)
    refuses(kind, value)


# -- keys and signatures ----------------------------------------------------------------------------
SMALL_ORDER = {
    "y = 1": (1).to_bytes(32, "little"),
    "y = 0": bytes(32),
    "y = -1": (2**255 - 20).to_bytes(32, "little"),
    "order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
}
"""Ed25519 keys that a signature of anybody fits (RFC 8032, section 5.1; their order divides 8)."""


def bottle(scheme: IdentityScheme, **parts: Any) -> Bottle:
    """A bottle of a fresh node, with whatever a test puts in the place of a part of its envelopes."""
    key = scheme.generate()
    public = parts.get("public", key.public)
    identity = Identity.made(scheme=scheme.name, public=public)
    label = Label.made(identity=identity, name="oak", suites=[TOY.name])
    contents = Contents.made(fingerprint=identity.fingerprint, seq=NOW)
    signed = []
    for kind, record in (("label", label), ("contents", contents)):
        payload = record.to_cbor()
        made = envelope.sign(kind, NETWORK, scheme, key, payload)
        signature = parts.get("signature", lambda good: good)(made.signature)
        signed.append(Envelope.made(scheme=scheme.name, payload=payload, signature=signature))
    return Bottle.of(*signed)


def unverified(wrong: Bottle, why: str = "signature is not valid") -> None:
    """A bottle that is well-formed and nobody's."""
    with pytest.raises(RecordError, match=why) as failed:
        wrong.verify(NETWORK, SCHEMES, NOW)
    assert wrong.node_id in failed.value.message


every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


@every_scheme
def test_keys_that_are_none(scheme: IdentityScheme) -> None:
    bottle(scheme).verify(NETWORK, SCHEMES, NOW)
    good = scheme.generate().public
    for place, (algorithm, key) in enumerate(good):
        bad = [key[:-1], key + b"\0", b"\0", bytes(len(key))]
        bad += SMALL_ORDER.values() if algorithm == "ed25519" else []
        for wrong in bad:
            unverified(bottle(scheme, public=(*good[:place], (algorithm, wrong), *good[place + 1 :])))
        unverified(bottle(scheme, public=(*good[:place], ("rsa", key), *good[place + 1 :])))
    unverified(bottle(scheme, public=(*good, good[0])))
    unverified(bottle(scheme, public=tuple(reversed((*good, ("ed25519", bytes(32)))))))


def test_a_key_that_everybody_can_sign_for() -> None:
    """R = A = the neutral point and S = 0 verify any message, by the equation alone."""
    neutral = SMALL_ORDER["y = 1"]
    unverified(bottle(ED25519, public=(("ed25519", neutral),), signature=lambda good: neutral + bytes(32)))


@every_scheme
def test_signatures_that_are_none(scheme: IdentityScheme) -> None:
    for spoil in (
        lambda good: b"",
        lambda good: good[:-1],
        lambda good: good + b"\0",
        lambda good: bytes(len(good)),
        lambda good: b"\xff" * len(good),
        lambda good: good[::-1],
        lambda good: good[:32] + (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little"),
    ):
        unverified(bottle(scheme, signature=spoil))


@every_scheme
def test_a_revision_whose_signature_is_none(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    identity = Identity.made(scheme=scheme.name, public=key.public)
    genesis = Genesis.made(name="net", created=NOW, update_keys=[identity], threshold=1)
    terms = Revision.made(not_before=NOW, suites=[TOY.name], schemes=[scheme.name])
    charter = Charter.found(genesis, terms, [(scheme, key)])
    (signed,) = charter.revisions
    ((index, good),) = signed.signatures
    for signatures in (
        ((index, b""),),
        ((index, good[:-1]),),
        ((index, bytes(len(good))),),
        ((1, good),),
        (),
    ):
        forged = SignedRevision(signed.revision, signed.payload, signatures)
        data = cbor.encode({"genesis": charter.genesis_payload, "revisions": [forged.to_value()]})
        with pytest.raises(RecordError):
            Charter.parse(data, SCHEMES)
    message = envelope.signed_bytes(REVISION_KIND, charter.network_id, scheme.name, signed.payload)
    assert scheme.verify(key.public, message, good)
    assert Charter.parse(charter.encode(), SCHEMES) == charter


def test_a_charter_that_is_none() -> None:
    genesis = Genesis.made(name="net", created=NOW, update_keys=[IDENTITY], threshold=1)
    terms = Revision.made(not_before=NOW, suites=[TOY.name], schemes=["ed25519"])
    value = cbor.decode(Charter.found(genesis, terms, [(ED25519, KEY)]).encode(), cap=1 << 20)
    assert isinstance(value, dict)
    revision = value["revisions"][0]
    for wrong in (
        None,
        [],
        {},
        {**value, "unknown": 1},
        {**value, "genesis": "text"},
        {**value, "genesis": b""},
        {**value, "genesis": b"\xa0"},
        {**value, "revisions": {}},
        {**value, "revisions": [7]},
        {**value, "revisions": [{**revision, "unknown": 1}]},
        {**value, "revisions": [{**revision, "payload": b"\xff"}]},
        {**value, "revisions": [{**revision, "signatures": [[0]]}]},
        {**value, "revisions": [{**revision, "signatures": [[-1, b""]]}]},
    ):
        with pytest.raises(RecordError):
            Charter.parse(cbor.encode(wrong), SCHEMES)


def test_a_bottle_that_is_none() -> None:
    value = cbor.decode(bottle(ED25519).encode(), cap=1 << 20)
    assert isinstance(value, list)
    label, contents, _ = value
    for wrong in (
        None,
        {},
        [],
        value[:2],
        [*value, []],
        [label, contents, {}],
        [label, contents, [7]],
        [label, contents, [{"unknown": 1}]],
        [label, {**contents, "unknown": 1}, []],
        [{**label, "payload": b"\xff"}, contents, []],
        [{**label, "payload": contents["payload"]}, contents, []],
        [{**label, "signature": bytes(9999)}, contents, []],
    ):
        with pytest.raises(RecordError):
            Bottle.parse(cbor.encode(wrong))


# -- prekeys ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("suite", SUITES, ids=named)
def test_a_prekey_that_a_node_committed_to_and_that_is_no_key(suite: Any) -> None:
    """Signatures and hashes are right; that nothing can be agreed on with it shows when it is taken in."""
    good = {"good": suite.generate().public}
    for what, public in (good | publics(suite)).items():
        if not public:
            continue  # no record at all: see above
        record = PrekeyRecord.made(**{**PREKEY.to_value(), "suite": suite.name, "public": public})
        label = Label.made(identity=IDENTITY, name="oak", suites=[suite.name])
        slots = {suite.name: [Slot(record.slot, record.expiry, record.hash)]}
        contents = Contents.made(fingerprint=IDENTITY.fingerprint, seq=NOW, slots=slots)
        made = Bottle.seal(NETWORK, ED25519, KEY, label, contents, [record])
        Bottle.parse(made.encode()).verify(NETWORK, SCHEMES, NOW)
        check_prekeys(made, {})  # a suite that is not ours: nothing can be said
        if what == "good":
            check_prekeys(made, {suite.name: suite})
            continue
        with pytest.raises(RecordError, match="is no key of") as failed:
            check_prekeys(made, {suite.name: suite})
        assert made.node_id in failed.value.message
