"""A man who hands bottles on, and edits them first: no suite and no signature becomes weaker by his hand.

Each test first shows that the bottle as it was made brings the strong suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig.stage import (
    BOTH,
    COMPOSITE,
    SCHEMES,
    SINGLE,
    STRONG,
    WEAK,
    Person,
    Stage,
    aimed_at,
    told,
    used,
    without,
)

from port17.errors import RecordError
from port17.records import cbor, envelope
from port17.records.bottle import CONTENTS_KIND, LABEL_KIND, Bottle, Contents, Label
from port17.records.framing import framed
from port17.records.identity import Identity
from port17.records.record import Record
from port17.records.scheme import SigningKey
from port17.records.succession import SUCCESSOR_KIND, Predecessor
from port17_crypto import ed25519, mldsa65

HALF = ed25519.SIGNATURE_SIZE
"""Where the post-quantum half of a composite signature begins."""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def oak(stage: Stage) -> Person:
    return stage.person("oak")


def refused(stage: Stage, bottle: Bottle) -> str:
    """Why a bottle is refused; that it is one at all is not questioned."""
    with pytest.raises(RecordError) as failed:
        Bottle.parse(bottle.encode()).verify(stage.charter.network_id, SCHEMES, stage.now)
    return failed.value.message


def edited(bottle: Bottle, part: str, **changes: Any) -> Bottle:
    """A bottle with fields of its label or contents changed under the signatures that were there."""
    kind: type[Record] = Label if part == "label" else Contents
    old = getattr(bottle, f"{part}_envelope")
    payload = kind.made(**{**getattr(bottle, part).to_value(), **changes}).to_cbor()
    envelopes = {
        "label": bottle.label_envelope,
        "contents": bottle.contents_envelope,
        part: old.made(scheme=old.scheme, payload=payload, signature=old.signature),
    }
    return Bottle.of(envelopes["label"], envelopes["contents"], bottle.bundle)


# -- suites -----------------------------------------------------------------------------------------
def relabelled_records(bottle: Bottle) -> Bottle:
    """The strong prekey under the weak suite's name."""
    strong, weak = bottle.bundle
    named = type(strong).made(**{**strong.to_value(), "suite": WEAK.name})
    return replace(bottle, bundle=(named, weak))


def exchanged_records(bottle: Bottle) -> Bottle:
    """The man's own prekey in the strong one's place."""
    strong, weak = bottle.bundle
    return replace(
        bottle, bundle=(type(strong).made(**{**strong.to_value(), "public": STRONG.generate().public}), weak)
    )


def expired_records(bottle: Bottle) -> Bottle:
    """The strong prekey as if it had expired."""
    strong, weak = bottle.bundle
    return replace(bottle, bundle=(type(strong).made(**{**strong.to_value(), "expiry": 1}), weak))


ATTACKS: dict[str, Callable[[Bottle], Bottle]] = {
    "the label serves the weak suite alone": lambda bottle: edited(bottle, "label", suites=[WEAK.name]),
    "the label names the weak suite first": lambda bottle: edited(
        bottle, "label", suites=[WEAK.name, STRONG.name]
    ),
    "label and contents without the strong suite": lambda bottle: edited(
        edited(bottle, "label", suites=[WEAK.name]),
        "contents",
        slots={WEAK.name: bottle.contents.slots[WEAK.name]},
    ),
    "the contents have no slot of the strong suite": lambda bottle: edited(
        bottle, "contents", slots={WEAK.name: bottle.contents.slots[WEAK.name]}
    ),
    "the slots are swapped": lambda bottle: edited(
        bottle,
        "contents",
        slots={
            STRONG.name: bottle.contents.slots[WEAK.name],
            WEAK.name: bottle.contents.slots[STRONG.name],
        },
    ),
    "the strong prekey under the weak suite's name": relabelled_records,
    "the man's own prekey": exchanged_records,
    "the strong prekey as if expired": expired_records,
    "the strong prekey is gone": lambda bottle: without(bottle, STRONG),
    "no prekey is left": lambda bottle: replace(bottle, bundle=()),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_suites_removed_from_a_bottle(stage: Stage, oak: Person, attack: Callable[[Bottle], Bottle]) -> None:
    """Who begins anew has no suite with the node; who remembers it has what it had."""
    bottle = stage.bottle(oak)
    stage.put(bottle)
    assert used(stage.client(), oak) == STRONG.name
    stage.put(attack(bottle))
    newcomer = stage.client(memory="newcomer")
    assert used(newcomer, oak) is None
    assert aimed_at(newcomer, oak) in (None, STRONG.name)
    assert used(stage.client(), oak) == STRONG.name


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_suites_removed_in_gossip(stage: Stage, oak: Person, attack: Callable[[Bottle], Bottle]) -> None:
    """A source edits what it passes on: no file says otherwise."""
    bottle = stage.bottle(oak)
    newcomer, knower = stage.client(memory="newcomer"), stage.client()
    told(knower, bottle)
    assert used(knower, oak) == STRONG.name
    for client in (newcomer, knower):
        told(client, attack(bottle))
    assert used(newcomer, oak) is None
    assert aimed_at(newcomer, oak) in (None, STRONG.name)
    assert used(knower, oak) == STRONG.name
    # He has spoiled nothing for others: an honest source is believed.
    told(newcomer, bottle)
    assert used(newcomer, oak) == STRONG.name


def test_contents_without_the_strong_suite_for_the_label_that_has_it(stage: Stage, oak: Person) -> None:
    """The node's own of yesterday, when it served the weak suite alone: held for want of newer ones, it names
    no prekey that would be used; and never does it take the place of newer ones."""
    network_id, earlier = stage.charter.network_id, int(stage.now) - 3600
    label, contents = stage.label(oak, (WEAK,), seq=earlier), stage.contents(oak, (WEAK,), seq=earlier)
    old = Bottle.seal(network_id, COMPOSITE, oak.key, label, contents, oak.records[1:])
    new = stage.bottle(oak)
    mixed = Bottle.of(new.label_envelope, old.contents_envelope, old.bundle)
    newcomer, knower = stage.client(memory="newcomer"), stage.client()
    told(knower, new)
    for client in (newcomer, knower):
        told(client, mixed)
    assert used(newcomer, oak) is None
    assert aimed_at(newcomer, oak) in (None, STRONG.name)
    told(knower, old)
    assert used(knower, oak) == STRONG.name
    # The control: who was never told of the new label believes the old one.
    believer = stage.client(memory="believer")
    told(believer, old)
    assert used(believer, oak) == WEAK.name
    for client in (newcomer, believer):
        told(client, new)
        assert used(client, oak) == STRONG.name


def test_a_node_cannot_prefer_for_others(stage: Stage, oak: Person) -> None:
    """The order in a label, signed by the node itself, says nothing: the charter's holds."""
    label = stage.label(oak, (WEAK, STRONG))
    network_id = stage.charter.network_id
    stage.put(Bottle.seal(network_id, COMPOSITE, oak.key, label, stage.contents(oak), oak.records))
    assert used(stage.client(), oak) == STRONG.name


def test_a_configuration_that_asks_for_the_strong_suite_gets_it_or_nothing(stage: Stage, oak: Person) -> None:
    bottle = stage.bottle(oak)
    stage.put(bottle)
    assert used(stage.client(suites=[STRONG.name]), oak) == STRONG.name
    stage.put(without(bottle, STRONG))
    assert used(stage.client(suites=[STRONG.name], memory="newcomer"), oak) is None
    assert used(stage.client(suites=[STRONG.name]), oak) == STRONG.name
    # Who asks for the weak one by name has chosen it: that is the control, and no attack.
    assert used(stage.client(suites=[WEAK.name], memory="newcomer"), oak) == WEAK.name


def test_parts_of_different_ages_don_t_make_a_weaker_bottle(stage: Stage, oak: Person) -> None:
    """Yesterday the node served the weak suite alone; the man holds that bottle, and today's."""
    network_id = stage.charter.network_id
    earlier = int(stage.now) - 3600
    label = stage.label(oak, (WEAK,), seq=earlier)
    contents = stage.contents(oak, (WEAK,), seq=earlier)
    old = Bottle.seal(network_id, COMPOSITE, oak.key, label, contents, oak.records[1:])
    new = stage.bottle(oak)
    assert "does not serve" in refused(
        stage, Bottle.of(old.label_envelope, new.contents_envelope, new.bundle)
    )
    stage.put(Bottle.of(new.label_envelope, old.contents_envelope, old.bundle))
    assert used(stage.client(), oak) is None
    stage.put(new)
    assert used(stage.client(), oak) == STRONG.name


def test_an_old_bottle_lives_no_longer_than_its_prekeys(stage: Stage, oak: Person) -> None:
    """Who starts anew and is given a bottle of yesterday's alone believes it: nobody can know of what he was
    never shown. Its prekeys bound that, and the charter can forbid the suite at once."""
    earlier = int(stage.now) - 3600
    label = stage.label(oak, (WEAK,), seq=earlier)
    contents = stage.contents(oak, (WEAK,), seq=earlier)
    network_id = stage.charter.network_id
    stage.put(Bottle.seal(network_id, COMPOSITE, oak.key, label, contents, oak.records[1:]))
    assert used(stage.client(), oak) == WEAK.name
    assert used(stage.client(stage.amended(suites=[STRONG.name]), memory="told"), oak) is None
    stage.now = max(record.expiry for record in oak.records)
    assert used(stage.client(memory="later"), oak) is None


@pytest.mark.anyio
async def test_an_older_bottle_does_not_take_the_place_of_a_newer_one(stage: Stage, oak: Person) -> None:
    network_id = stage.charter.network_id
    stage.put(stage.bottle(oak))
    client = stage.client()
    assert used(client, oak) == STRONG.name
    for label_s, contents_s in ((3600, 3600), (3600, 0), (0, 3600)):
        label = stage.label(oak, (WEAK,), seq=int(stage.now) - label_s)
        contents = stage.contents(oak, (WEAK,), seq=int(stage.now) - contents_s)
        old = Bottle.seal(network_id, COMPOSITE, oak.key, label, contents, oak.records[1:])
        old.verify(network_id, SCHEMES, stage.now)  # it is the node's own, and nothing is wrong with it
        stage.put(old)
        await client.look_again()
        assert used(client, oak) == STRONG.name
    # The control: a newer one does.
    seq = int(stage.now) + 1
    label, contents = stage.label(oak, (WEAK,), seq=seq), stage.contents(oak, (WEAK,), seq=seq)
    stage.put(Bottle.seal(network_id, COMPOSITE, oak.key, label, contents, oak.records[1:]))
    await client.look_again()
    assert used(client, oak) == WEAK.name


@pytest.mark.parametrize(("label_s", "contents_s"), [(3600, 3600), (3600, 0), (0, 3600)])
def test_an_older_bottle_in_gossip(stage: Stage, oak: Person, label_s: int, contents_s: int) -> None:
    """It changes nothing; and who has signed two things under one number is nobody's node any more."""
    client = stage.client()
    told(client, stage.bottle(oak))
    assert used(client, oak) == STRONG.name
    label = stage.label(oak, (WEAK,), seq=int(stage.now) - label_s)
    contents = stage.contents(oak, (WEAK,), seq=int(stage.now) - contents_s)
    told(client, Bottle.seal(stage.charter.network_id, COMPOSITE, oak.key, label, contents, oak.records[1:]))
    assert used(client, oak) == (STRONG.name if label_s and contents_s else None)


# -- schemes ----------------------------------------------------------------------------------------
def half_signed(who: Person, message: bytes) -> bytes:
    """What a man can sign who has broken Ed25519 and nothing else: the first half, as it should be."""
    keys = [part for algorithm, key in who.identity.public for part in (algorithm.encode("ascii"), key)]
    signed = framed("composite signature", COMPOSITE.name.encode("ascii"), *keys, message)
    return ed25519.sign(stolen(who), signed)


def stolen(who: Person) -> object:
    """The Ed25519 half of a node's private key."""
    private: Any = who.key.private
    return private.components[0]


def forged(
    stage: Stage, who: Person, sign: Callable[[str, bytes], bytes], scheme: str, label: Label
) -> Bottle:
    """A bottle under a man's signatures."""
    contents = stage.contents(who, fingerprint=label.identity.fingerprint, slots={})
    envelopes = [
        envelope.Envelope.made(scheme=scheme, payload=payload, signature=sign(kind, payload))
        for kind, payload in ((LABEL_KIND, label.to_cbor()), (CONTENTS_KIND, contents.to_cbor()))
    ]
    return Bottle.of(*envelopes)


def test_the_forger_forges_well(stage: Stage, oak: Person) -> None:
    """The control of what follows: with both halves of the key, his bottle is the node's."""

    def sign(kind: str, payload: bytes) -> bytes:
        message = envelope.signed_bytes(kind, stage.charter.network_id, COMPOSITE.name, payload)
        whole = COMPOSITE.sign(oak.key, message)
        assert COMPOSITE.verify(oak.identity.public, message, half_signed(oak, message) + whole[HALF:])
        return half_signed(oak, message) + whole[HALF:]

    bottle = forged(stage, oak, sign, COMPOSITE.name, stage.label(oak))
    bottle.verify(stage.charter.network_id, SCHEMES, stage.now)


def other_halves(stage: Stage, oak: Person) -> dict[str, Callable[[bytes], bytes]]:
    """What can stand in the place of the second half that a man has not got."""
    stranger = COMPOSITE.generate()
    elsewhere = COMPOSITE.sign(oak.key, b"another message")[HALF:]
    return {
        "nothing": lambda message: b"",
        "zeros": lambda message: bytes(mldsa65.SIGNATURE_SIZE),
        "the first half again": lambda message: half_signed(oak, message).ljust(
            mldsa65.SIGNATURE_SIZE, b"\0"
        ),
        "a stranger's": lambda message: COMPOSITE.sign(stranger, message)[HALF:],
        "of another message": lambda message: elsewhere,
    }


@pytest.mark.parametrize(
    "half", ["nothing", "zeros", "the first half again", "a stranger's", "of another message"]
)
def test_half_of_a_composite_signature_is_stripped(stage: Stage, oak: Person, half: str) -> None:
    second = other_halves(stage, oak)[half]

    def sign(kind: str, payload: bytes) -> bytes:
        message = envelope.signed_bytes(kind, stage.charter.network_id, COMPOSITE.name, payload)
        return half_signed(oak, message) + second(message)

    assert "signature is not valid" in refused(
        stage, forged(stage, oak, sign, COMPOSITE.name, stage.label(oak))
    )


def test_the_other_half_alone_is_not_enough_either(stage: Stage, oak: Person) -> None:
    bottle = stage.bottle(oak)
    for first in (bytes(HALF), ed25519.sign(ed25519.load(bytes(32))[0], b"")):
        altered = bottle.label_envelope.made(
            scheme=COMPOSITE.name,
            payload=bottle.label_envelope.payload,
            signature=first + bottle.label_envelope.signature[HALF:],
        )
        assert "label whose signature" in refused(stage, Bottle.of(altered, bottle.contents_envelope))


@pytest.mark.parametrize("size", [HALF, COMPOSITE.signature_size], ids=["half", "whole"])
@pytest.mark.parametrize(
    "parts", [(LABEL_KIND,), (CONTENTS_KIND,), (LABEL_KIND, CONTENTS_KIND)], ids="+".join
)
def test_an_envelope_is_relabelled(stage: Stage, oak: Person, parts: tuple[str, ...], size: int) -> None:
    """The same payload under the weaker scheme's name, with as much of the signature as that would have."""
    bottle = stage.bottle(oak)
    bottle.verify(stage.charter.network_id, SCHEMES, stage.now)
    envelopes = {LABEL_KIND: bottle.label_envelope, CONTENTS_KIND: bottle.contents_envelope}
    for part in parts:
        one = envelopes[part]
        envelopes[part] = one.made(scheme=SINGLE.name, payload=one.payload, signature=one.signature[:size])
    altered = Bottle.of(*envelopes.values(), bottle.bundle)
    assert "signed under ed25519" in refused(stage, altered)


def signed_alone(stage: Stage, who: Person) -> Callable[[str, bytes], bytes]:
    """Signatures of the scheme Ed25519 by a man who has broken it."""

    def sign(kind: str, payload: bytes) -> bytes:
        message = envelope.signed_bytes(kind, stage.charter.network_id, SINGLE.name, payload)
        return ed25519.sign(stolen(who), message)

    return sign


def test_a_broken_ed25519_takes_over_no_composite_identity(stage: Stage, oak: Person) -> None:
    """He relabels label and envelope, and signs both as the weaker scheme would: under the fingerprint of the
    node nothing is believed, and with a subset of its algorithms it is another node's."""
    sign = signed_alone(stage, oak)
    both = Identity.made(scheme=SINGLE.name, public=oak.identity.public)
    assert both.fingerprint == oak.identity.fingerprint  # the scheme's name is no part of it, its keys are
    whole = forged(stage, oak, sign, SINGLE.name, stage.label(oak, identity=both))
    assert "signature is not valid" in refused(stage, whole)
    subset = Identity.made(scheme=SINGLE.name, public=oak.identity.public[:1])
    alone = forged(stage, oak, sign, SINGLE.name, stage.label(oak, identity=subset))
    alone.verify(stage.charter.network_id, SCHEMES, stage.now)  # as anybody's new node would be
    assert alone.fingerprint != oak.identity.fingerprint
    named = Identity.made(scheme=COMPOSITE.name, public=oak.identity.public[:1])
    assert "signature is not valid" in refused(
        stage, forged(stage, oak, sign, COMPOSITE.name, stage.label(oak, identity=named))
    )
    # And beside it, the node stays what it was.
    stage.put(stage.bottle(oak))
    stage.put(alone)
    client = stage.client()
    assert used(client, oak) == STRONG.name
    message = b"a link's transcript"
    assert not client.verify(oak.identity.fingerprint, message, ed25519.sign(stolen(oak), message))
    assert client.verify(oak.identity.fingerprint, message, COMPOSITE.sign(oak.key, message))


def test_a_single_signature_does_not_become_half_of_a_composite(stage: Stage) -> None:
    """The way back: a node of the single scheme, to whose key a man adds a post-quantum one of his own."""
    key = SINGLE.generate()
    identity = Identity.made(scheme=SINGLE.name, public=key.public)
    fir = Person("fir", key, identity, ())
    label = stage.label(fir)
    good = Bottle.seal(
        stage.charter.network_id, SINGLE, key, label, stage.contents(fir, fingerprint=identity.fingerprint)
    )
    good.verify(stage.charter.network_id, SCHEMES, stage.now)
    his = COMPOSITE.generate()
    joined = SigningKey(his.private, (key.public[0], his.public[1]))
    grown = Identity.made(scheme=COMPOSITE.name, public=joined.public)
    assert grown.fingerprint != identity.fingerprint

    def sign(kind: str, payload: bytes) -> bytes:
        message = envelope.signed_bytes(kind, stage.charter.network_id, COMPOSITE.name, payload)
        return good.label_envelope.signature + COMPOSITE.sign(joined, message)[HALF:]

    for claimed in (grown, Identity.made(scheme=COMPOSITE.name, public=key.public)):
        assert "signature is not valid" in refused(
            stage, forged(stage, fir, sign, COMPOSITE.name, stage.label(fir, identity=claimed))
        )


def test_a_post_quantum_key_is_exchanged(stage: Stage, oak: Person) -> None:
    """Each half signs both keys: a broken Ed25519 cannot take another second half on board."""
    his = COMPOSITE.generate()
    joined = SigningKey(his.private, (oak.identity.public[0], his.public[1]))
    mixed = Identity.made(scheme=COMPOSITE.name, public=joined.public)
    assert mixed.fingerprint != oak.identity.fingerprint

    def sign(kind: str, payload: bytes) -> bytes:
        message = envelope.signed_bytes(kind, stage.charter.network_id, COMPOSITE.name, payload)
        return half_signed(oak, message) + COMPOSITE.sign(joined, message)[HALF:]

    assert "signature is not valid" in refused(
        stage, forged(stage, oak, sign, COMPOSITE.name, stage.label(oak, identity=mixed))
    )


@pytest.mark.parametrize("suites", [BOTH, (STRONG,), (WEAK,)], ids=["both", "strong", "weak"])
def test_a_scheme_that_the_charter_does_not_allow_proves_nothing(stage: Stage, suites: Any) -> None:
    """The charter narrows to the composite scheme: a bottle of the single one is nobody's."""
    key = SINGLE.generate()
    fir = Person("fir", key, Identity.made(scheme=SINGLE.name, public=key.public), ())
    label = stage.label(fir, suites)
    bottle = Bottle.seal(stage.charter.network_id, SINGLE, key, label, stage.contents(fir))
    stage.put(bottle)
    assert stage.client().rack.get(fir.identity.fingerprint) is not None
    narrowed = stage.amended(schemes=[COMPOSITE.name])
    assert stage.client(narrowed).rack.get(fir.identity.fingerprint) is None


# -- rotations --------------------------------------------------------------------------------------
def heir(stage: Stage, oak: Person, sign: Callable[[bytes], bytes], old: Identity) -> Bottle:
    """A man's own node, which says that it has taken the place of another."""
    key = COMPOSITE.generate()
    his = Person("oak", key, Identity.made(scheme=COMPOSITE.name, public=key.public), ())
    word = cbor.encode({"predecessor": old.fingerprint, "successor": his.identity.fingerprint})
    message = envelope.signed_bytes(SUCCESSOR_KIND, stage.charter.network_id, old.scheme, word)
    predecessor = Predecessor.made(identity=old.to_value(), signature=sign(message))
    label = stage.label(his, predecessors=[predecessor.to_value()])
    return Bottle.seal(stage.charter.network_id, COMPOSITE, key, label, stage.contents(his, slots={}))


def test_a_broken_ed25519_takes_no_composite_nodes_place(stage: Stage, oak: Person) -> None:
    """Half a word of the node's is none, and a word under the weaker scheme is not the node's."""
    stage.put(stage.bottle(oak))
    both = Identity.made(scheme=SINGLE.name, public=oak.identity.public)
    assert both.fingerprint == oak.identity.fingerprint
    for old, sign in (
        (oak.identity, lambda message: half_signed(oak, message)),
        (oak.identity, lambda message: half_signed(oak, message).ljust(COMPOSITE.signature_size, b"\0")),
        (both, lambda message: ed25519.sign(stolen(oak), message)),
    ):
        assert "predecessor" in refused(stage, heir(stage, oak, sign, old))
    subset = Identity.made(scheme=SINGLE.name, public=oak.identity.public[:1])
    stage.put(heir(stage, oak, lambda message: ed25519.sign(stolen(oak), message), subset))
    assert used(stage.client(), oak) == STRONG.name
    # The control: with the whole key he can, for then he is the node.
    stage.put(heir(stage, oak, lambda message: COMPOSITE.sign(oak.key, message), oak.identity))
    assert used(stage.client(), oak) is None
