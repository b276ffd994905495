"""Rotation: who may name a successor, who follows, and that nobody can be made to follow a thief in doubt."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles.rack import MemoryRack
from port17.bottles.successors import CHAIN_CAP, Successors, supersede
from port17.errors import RecordError
from port17.navigator.chart_maker import ChartTerms, chart_of
from port17.network import KnownNetwork
from port17.node.identity_file import IDENTITY_FILE, IdentityFile
from port17.node.keyring import Keyring
from port17.node.lanes_file import read_lanes
from port17.records import succession
from port17.records.bottle import LABEL_CAP, Bottle, Contents, Label, Lane, Slot
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme, SigningKey
from port17.records.succession import PREDECESSORS_CAP, Predecessor, hand_over
from port17_crypto.schemes import Ed25519, Ed25519MlDsa65

SCHEME, COMPOSITE = Ed25519(), Ed25519MlDsa65()
SCHEMES: dict[str, IdentityScheme] = {SCHEME.name: SCHEME, COMPOSITE.name: COMPOSITE}
NETWORK = bytes(range(32))
SUITE = "p17-1-test"
NOW = 1_800_000_000
KEYS = [SCHEME.generate() for _ in range(6)]


def identity(key: SigningKey, scheme: IdentityScheme = SCHEME) -> Identity:
    return Identity.made(scheme=scheme.name, public=key.public)


def prints(*keys: SigningKey) -> tuple[bytes, ...]:
    return tuple(identity(key).fingerprint for key in keys)


def chain(*keys: SigningKey, network_id: bytes = NETWORK) -> list[Predecessor]:
    """The predecessors of the last of some keys, each of which handed over to the next."""
    words = [hand_over(network_id, SCHEME, old, identity(new)) for old, new in itertools.pairwise(keys)]
    return words[::-1]


def bottle(
    key: SigningKey,
    predecessors: Sequence[Predecessor] = (),
    lanes: Sequence[bytes] = (),
    scheme: IdentityScheme = SCHEME,
) -> Bottle:
    who = identity(key, scheme)
    record = PrekeyRecord.made(
        network_id=NETWORK, fingerprint=who.fingerprint, suite=SUITE, slot=5, expiry=NOW + 99, public=b"k"
    )
    label = Label.made(
        identity=who,
        name="oak",
        suites=[SUITE],
        predecessors=list(predecessors),
        addresses={"tcp": ["127.0.0.1:1"]},
        exit=["accept *:*"],
    )
    contents = Contents.made(
        fingerprint=who.fingerprint,
        seq=NOW,
        slots={SUITE: [Slot(5, NOW + 99, record.hash)]},
        lanes=[Lane(one, 0, 0) for one in lanes],
    )
    return Bottle.seal(NETWORK, scheme, key, label, contents, [record])


def verified(*args: Any, **changed: Any) -> Bottle:
    made = Bottle.parse(bottle(*args, **changed).encode())
    made.verify(NETWORK, SCHEMES, NOW)
    return made


# -- one label -----------------------------------------------------------------------------------------


def test_a_successor_is_signed_by_both() -> None:
    old, new = KEYS[:2]
    made = verified(new, chain(old, new))
    assert made.succeeds(NETWORK, SCHEMES) == prints(old)


def test_a_chain_is_followed_back() -> None:
    one, two, three = KEYS[:3]
    assert verified(three, chain(one, two, three)).succeeds(NETWORK, SCHEMES) == prints(two, one)


def refuses(made: Bottle, why: str, schemes: dict[str, IdentityScheme] = SCHEMES) -> None:
    with pytest.raises(RecordError, match=why):
        made.verify(NETWORK, schemes, NOW)


def test_nobody_names_himself_a_successor() -> None:
    old, new, thief = KEYS[:3]
    (word,) = chain(old, new)
    refuses(bottle(thief, [word]), "predecessor's signature")
    (own,) = chain(thief, new)
    refuses(bottle(new, [Predecessor.made(identity=identity(old), signature=own.signature)]), "predecessor's")
    refuses(bottle(new, chain(old, new, network_id=bytes(32))), "predecessor's signature")


def test_the_links_of_a_chain_can_t_be_changed() -> None:
    one, two, three, four = KEYS[:4]
    good = chain(one, two, three, four)
    refuses(bottle(four, good[::-1]), "predecessor's signature")
    refuses(bottle(four, [good[0], good[2]]), "predecessor's signature")
    assert verified(four, good[:2]).succeeds(NETWORK, SCHEMES) == prints(three, two)


def test_a_signature_of_a_label_is_no_word_for_a_successor() -> None:
    old, new = KEYS[:2]
    made = bottle(old)
    word = Predecessor.made(identity=identity(old), signature=made.label_envelope.signature)
    refuses(bottle(new, [word]), "predecessor's signature")


def test_every_bit_of_the_word_counts() -> None:
    old, new = KEYS[:2]
    (word,) = chain(old, new)
    for at in range(0, len(word.signature), 7):
        changed = bytearray(word.signature)
        changed[at] ^= 1
        forged = Predecessor.made(identity=word.identity, signature=bytes(changed))
        refuses(bottle(new, [forged]), "predecessor's signature")


def test_nobody_is_his_own_predecessor() -> None:
    one, two = KEYS[:2]
    refuses(bottle(one, chain(one, one)), "its own predecessor")
    refuses(bottle(one, chain(one, two, one)), "its own predecessor")


def test_a_label_names_only_so_many() -> None:
    with pytest.raises(RecordError, match="predecessors"):
        bottle(KEYS[4], chain(*KEYS[:5]))
    assert len(verified(KEYS[3], chain(*KEYS[:4])).succeeds(NETWORK, SCHEMES)) == PREDECESSORS_CAP


def test_the_longest_chain_fits_a_label() -> None:
    keys = [COMPOSITE.generate() for _ in range(PREDECESSORS_CAP + 1)]
    words = [
        hand_over(NETWORK, COMPOSITE, old, identity(new, COMPOSITE)) for old, new in itertools.pairwise(keys)
    ]
    made = verified(keys[-1], words[::-1], scheme=COMPOSITE)
    assert len(made.label_envelope.payload) < LABEL_CAP // 2


def test_the_word_of_a_scheme_that_is_not_allowed_is_not_believed() -> None:
    """Who broke a scheme could name himself anybody's successor: the bottle stands, but for itself alone."""
    old, middle = KEYS[0], COMPOSITE.generate()
    newest = COMPOSITE.generate()
    words = [
        hand_over(NETWORK, COMPOSITE, middle, identity(newest, COMPOSITE)),
        hand_over(NETWORK, SCHEME, old, identity(middle, COMPOSITE)),
    ]
    made = bottle(newest, words, scheme=COMPOSITE)
    only = {COMPOSITE.name: COMPOSITE}
    made.verify(NETWORK, only, NOW)
    assert made.succeeds(NETWORK, only) == (identity(middle, COMPOSITE).fingerprint,)
    assert made.succeeds(NETWORK, SCHEMES) == (identity(middle, COMPOSITE).fingerprint, *prints(old))


# -- all bottles together ------------------------------------------------------------------------------


def rack(*bottles: Bottle) -> MemoryRack:
    made = MemoryRack()
    for one in bottles:
        made.put(one)
    return made


def test_the_old_bottle_is_dropped_and_its_name_leads_on() -> None:
    old, new, other = KEYS[:3]
    held = rack(bottle(old), bottle(new, chain(old, new)), bottle(other))
    found = supersede(held, NETWORK, SCHEMES)
    assert {one.fingerprint for one in held} == set(prints(new, other))
    assert found.heirs == {prints(old)[0]: prints(new)[0]}
    assert found.resolve(prints(old)[0]) == prints(new)[0]
    assert found.resolve(prints(other)[0]) == prints(other)[0]


def test_a_chain_over_several_bottles_is_followed_to_its_end() -> None:
    one, two, three = KEYS[:3]
    held = rack(bottle(one), bottle(two, chain(one, two)), bottle(three, chain(two, three)))
    found = supersede(held, NETWORK, SCHEMES)
    assert [found.resolve(each) for each in prints(one, two, three)] == [prints(three)[0]] * 3
    assert len(held) == 1


def test_a_key_that_names_two_successors_has_none(caplog: pytest.LogCaptureFixture) -> None:
    """The thief of an old key can stop its trust from being handed on; he can never have it."""
    old, owner, thief, later = KEYS[:4]
    held = rack(
        bottle(old),
        bottle(owner, chain(old, owner)),
        bottle(thief, chain(old, thief)),
        bottle(later, chain(owner, later)),
    )
    found = supersede(held, NETWORK, SCHEMES)
    assert found.disputed == set(prints(old))
    assert found.resolve(prints(old)[0]) == prints(old)[0]
    assert held.get(prints(old)[0]) is None
    assert found.resolve(prints(owner)[0]) == prints(later)[0]
    assert held.get(prints(thief)[0]) is not None  # a node like any newcomer, heir of nobody
    assert "two successors" in caplog.text


def test_those_who_name_each_other_end_nowhere() -> None:
    one, two, three = KEYS[:3]
    held = rack(
        bottle(one, chain(three, one)), bottle(two, chain(one, two)), bottle(three, chain(two, three))
    )
    found = supersede(held, NETWORK, SCHEMES)
    assert found.heirs == {}
    assert len(held) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
@settings(max_examples=150)
def test_any_graph_is_resolved(pairs: list[tuple[int, int]]) -> None:
    found = Successors((bytes([old]), bytes([new])) for old, new in pairs)
    for old, heir in found.heirs.items():
        assert heir not in found.superseded
        assert old in found.superseded - found.disputed
        assert found.resolve(found.resolve(old)) == heir


def test_a_chain_is_followed_only_so_far() -> None:
    steps = [(bytes([at]), bytes([at + 1])) for at in range(CHAIN_CAP + 5)]
    found = Successors(steps)
    assert found.resolve(bytes([0])) == bytes([0])
    assert found.resolve(bytes([10])) == bytes([CHAIN_CAP + 5])


def test_lanes_and_trust_lead_to_the_successor() -> None:
    old, new, neighbour = KEYS[:3]
    before, after, other = (prints(key)[0] for key in (old, new, neighbour))
    held = rack(
        bottle(new, chain(old, new), lanes=[other]),
        bottle(neighbour, lanes=[before]),
    )
    found = supersede(held, NETWORK, SCHEMES)
    revision = Revision.made(not_before=0, suites=[SUITE], schemes=[SCHEME.name], plain_text_exits=[before])
    chart = chart_of(held, ChartTerms(revision, heirs=found.heirs), NOW)
    assert set(chart.nodes[after].lanes) == {other}
    assert set(chart.nodes[other].lanes) == {after}
    assert [node.plain_text for node in (chart.nodes[after], chart.nodes[other])] == [True, False]
    alone = chart_of(held, ChartTerms(revision), NOW)
    assert not alone.nodes[after].lanes
    assert not alone.nodes[after].plain_text


def test_a_lanes_file_names_the_old_one_for_ever(tmp_path: Path) -> None:
    old, new, other = KEYS[:3]
    held = rack(bottle(old), bottle(new, chain(old, new)), bottle(other))
    found = supersede(held, NETWORK, SCHEMES)
    network = cast(KnownNetwork, SimpleNamespace(rack=held, successors=found))
    file = tmp_path / "lanes.json"
    names = [identity(old).node_id, prints(old)[0].hex(), identity(new).node_id, identity(other).node_id]
    file.write_text(json.dumps(names))
    assert read_lanes(file, network) == list(prints(new, other))


def test_a_neighbour_in_doubt_keeps_nobody_from_starting(tmp_path: Path) -> None:
    old, owner, thief, other = KEYS[:4]
    held = rack(bottle(owner, chain(old, owner)), bottle(thief, chain(old, thief)), bottle(other))
    network = cast(KnownNetwork, SimpleNamespace(rack=held, successors=supersede(held, NETWORK, SCHEMES)))
    file = tmp_path / "lanes.json"
    file.write_text(json.dumps([identity(old).node_id, identity(other).node_id]))
    assert read_lanes(file, network) == list(prints(other))


# -- keyrings ------------------------------------------------------------------------------------------


def test_a_keyring_hands_over_and_forgets(tmp_path: Path) -> None:
    first = Keyring.create(tmp_path, SCHEME, [], NETWORK, 0, 0, 1)
    keyring = first
    for _ in range(PREDECESSORS_CAP + 1):
        keyring = keyring.succeed(COMPOSITE, {}, NETWORK)
    read = Keyring.load(tmp_path, SCHEMES, {}, NETWORK)
    assert read.identity == keyring.identity
    assert read.identity.scheme == COMPOSITE.name
    assert len(read.predecessors) == PREDECESSORS_CAP
    assert first.identity not in [one.identity for one in read.predecessors]
    held = IdentityFile.read(tmp_path / IDENTITY_FILE)
    believed = succession.believed(held.predecessors, held.identity, NETWORK, SCHEMES)
    assert len(believed) == PREDECESSORS_CAP
