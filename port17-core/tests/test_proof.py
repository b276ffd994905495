"""Proofs of equivocation: what convicts, what does not, and that nobody is convicted by another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles import bans as banning
from port17.bottles.bans import Bans
from port17.errors import RecordError
from port17.records import envelope
from port17.records.bottle import CONTENTS_CAP, Bottle
from port17.records.envelope import Envelope
from port17.records.proof import PROOF_CAP, Kind, Proof

from .bottle_maker import NETWORK, NOW, SCHEME, TERMS, Maker

ALICE, BOB = Maker(), Maker()
HONEST = ALICE.bottle(prekeys=[ALICE.prekey(5), ALICE.prekey(6)])


def found(one: Bottle, other: Bottle) -> Proof:
    proof = Proof.between(one, other)
    assert proof is not None
    return proof


LABELS = found(ALICE.bottle(), ALICE.bottle(name="bob", seq=NOW + 1))
CONTENTS = found(ALICE.bottle(), ALICE.bottle(load=3, label_seq=1))
PREKEYS = found(
    ALICE.bottle(prekeys=[ALICE.prekey(5)]),
    ALICE.bottle(seq=NOW + 9, prekeys=[ALICE.prekey(5, filler=2)], label_seq=1),
)
ALL = [LABELS, CONTENTS, PREKEYS]


@pytest.mark.parametrize(
    ("proof", "kind"), list(zip(ALL, Kind, strict=True)), ids=[str(kind) for kind in Kind]
)
def test_a_proof_convinces_whoever_holds_nothing_else(proof: Proof, kind: Kind) -> None:
    data = proof.to_cbor()
    received = Proof.parse(data)
    assert received == proof
    assert received.to_cbor() == data
    assert received.kind is kind
    received.verify(NETWORK, TERMS.schemes)
    assert received.fingerprint == ALICE.fingerprint
    assert len(data) < 2000, "compact: two payloads and their signatures"


def test_the_same_proof_whichever_came_first() -> None:
    one, other = ALICE.bottle(), ALICE.bottle(load=3)
    assert found(one, other).to_cbor() == found(other, one).to_cbor()


@pytest.mark.parametrize(
    "other",
    [
        HONEST,
        Bottle.of(
            HONEST.label_envelope.model_copy(update={"signature": b"another"}), HONEST.contents_envelope
        ),
        ALICE.bottle(prekeys=[ALICE.prekey(5), ALICE.prekey(6)], bundle=[ALICE.prekey(5)]),
        ALICE.bottle(prekeys=[ALICE.prekey(6), ALICE.prekey(7)], seq=NOW + 1),
        ALICE.bottle(prekeys=[ALICE.prekey(5), ALICE.prekey(6)], name="carol", label_seq=1),
        BOB.bottle(load=9, before=ALICE),
    ],
    ids=["itself", "another signature", "another bundle", "later slots", "renamed", "successor"],
)
def test_what_an_honest_node_does_is_no_equivocation(other: Bottle) -> None:
    assert Proof.between(HONEST, other) is None
    assert Proof.between(other, HONEST) is None


def test_who_forges_a_proof_convicts_nobody() -> None:
    one, other = CONTENTS.one, CONTENTS.other
    payload = ALICE.bottle(load=99).contents_envelope.payload
    bob = envelope.sign("contents", NETWORK, SCHEME, BOB.key, payload)
    foreign = ALICE.bottle(load=4, network=bytes(32)).contents_envelope
    later = ALICE.bottle(load=4, seq=NOW + 1).contents_envelope
    for field, forged, said in [
        ("identity", BOB.identity, "another's"),
        ("other", one, "two payloads"),
        ("one", other, "two payloads"),
        ("kind", Kind.LABEL, "not a valid Label"),
        ("kind", Kind.PREKEY, "nothing that contradicts"),
    ]:
        with pytest.raises(RecordError, match=said):
            CONTENTS.model_copy(update={field: forged}).verify(NETWORK, TERMS.schemes)
    for stranger, said in [
        (bob, "signature is not valid"),
        (foreign, "not valid"),
        (later, "different numbers"),
    ]:
        first, second = sorted((one, stranger), key=lambda held: held.payload)
        with pytest.raises(RecordError, match=said):
            CONTENTS.model_copy(update={"one": first, "other": second}).verify(NETWORK, TERMS.schemes)
    with pytest.raises(RecordError, match="not valid"):
        CONTENTS.verify(bytes(32), TERMS.schemes)
    with pytest.raises(RecordError, match="not allowed"):
        CONTENTS.verify(NETWORK, {})


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 3000), st.integers(1, 255))
def test_no_changed_byte_convicts(proof: Proof, at: int, change: int) -> None:
    data = bytearray(proof.to_cbor())
    data[at % len(data)] ^= change
    with pytest.raises(RecordError):
        Proof.parse(bytes(data)).verify(NETWORK, TERMS.schemes)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        Proof.parse(data)


def test_sizes_are_bounded() -> None:
    with pytest.raises(RecordError, match="at most"):
        Proof.parse(bytes(PROOF_CAP + 1))
    fat = Envelope.made(scheme="ed25519", payload=bytes(CONTENTS_CAP + 1), signature=b"")
    with pytest.raises(RecordError, match="at most"):
        CONTENTS.model_copy(update={"one": fat, "other": CONTENTS.other}).verify(NETWORK, TERMS.schemes)


def test_who_was_never_met_takes_no_place_of_those_who_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banning, "BANS_CAP", 4)
    bans, made = Bans(), [Maker() for _ in range(6)]
    proofs = [found(maker.bottle(), maker.bottle(load=1)) for maker in made]
    assert [bans.add(proof, met=False) for proof in proofs[:3]] == [True, True, False]
    assert (bans.has_room(met=False), bans.has_room(met=True)) == (False, True)
    assert [bans.add(proof, met=True) for proof in proofs[3:]] == [True, True, False]
    monkeypatch.setattr(banning, "PROOFS_SIZE_CAP", 2 * len(proofs[0].one.payload + proofs[0].other.payload))
    kept = Bans()
    assert kept.add(proofs[0], met=False)
    assert kept.add(proofs[1], met=False)
    assert kept.add(proofs[2])
    assert list(kept) == [proofs[0], proofs[2]]


def test_bans_are_counted_once_kept_for_good_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bans = Bans()
    assert bans.add(LABELS)
    assert not bans.add(CONTENTS), "one proof is as good as many"
    assert bans.reasons[ALICE.fingerprint] == "it has signed two labels for one sequence number"
    bob = found(BOB.bottle(), BOB.bottle(load=1))
    monkeypatch.setattr(banning, "PROOFS_SIZE_CAP", 0)
    assert bans.add(bob), "a ban without its proof is a ban"
    assert BOB.fingerprint in bans
    assert list(bans) == [LABELS]
    monkeypatch.setattr(banning, "BANS_CAP", 2)
    carol = Maker()
    assert not bans.add(found(carol.bottle(), carol.bottle(load=1)))
    assert len(bans) == 2
