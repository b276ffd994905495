"""A man who hands charters on, and edits, shortens or replays them: no suite becomes weaker by his hand.

The charter of these tests has two revisions: the first allowed the weak suite before the strong one, the
second allows the strong one alone. As it was signed it brings the strong suite: each test shows that first.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig.stage import COMPOSITE, SCHEMES, STRONG, WEAK, Person, Stage, used

from port17.errors import HandshakeFailed, Port17Error, RecordError
from port17.network import KnownNetwork
from port17.records import cbor
from port17.records.charter import Charter
from port17.records.envelope import signed_bytes
from port17.records.genesis import Genesis
from port17.records.revision import REVISION_KIND, Revision, SignedRevision
from port17.wire.handshake import Initiator, NodeSigner, respond
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.replay import ReplaySet
from port17.wire.setup import make, open_setup
from port17_crypto import ed25519

HALF = ed25519.SIGNATURE_SIZE
OVERLAP_S = 60


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A network that began with the weak suite, and has changed to the strong one two minutes ago."""
    made = Stage(tmp_path, overlap_s=OVERLAP_S)
    first = made.charter.revisions[0].revision
    terms = Revision.made(**{**first.to_value(), "suites": [WEAK.name, STRONG.name]})
    made.charter = Charter.found(made.charter.genesis, terms, made.signers())
    made.charter = made.amended(suites=[STRONG.name], not_before=int(made.now) - 2 * OVERLAP_S)
    return made


@pytest.fixture
def oak(stage: Stage) -> Person:
    """A node that serves both suites still, as one that has not been told may."""
    who = stage.person("oak")
    stage.put(stage.bottle(who))
    return who


def with_revisions(charter: Charter, revisions: Iterable[SignedRevision]) -> Charter:
    """A charter of other revisions, as a man puts them together."""
    return replace(charter, revisions=tuple(revisions))


def with_terms(charter: Charter, **changes: Any) -> Charter:
    """The second revision with other terms, under the signatures that were there."""
    first, second = charter.revisions
    terms = Revision.made(**{**second.revision.to_value(), **changes})
    return with_revisions(charter, (first, SignedRevision(terms, terms.to_cbor(), second.signatures)))


def with_signatures(charter: Charter, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Charter:
    """Terms that bring the weak suite back, under signatures of a man's choice."""
    first, second = charter.revisions
    return with_revisions(charter, (first, replace(second, signatures=change(second.signatures))))


def signed_by(stage: Stage, keys: Iterable[Any], **changes: Any) -> Charter:
    """A third revision, which would bring the weak suite back, signed by whoever signs."""
    last = stage.charter.revisions[-1]
    terms = Revision.made(
        **{
            **last.revision.to_value(),
            "seq": last.revision.seq + 1,
            "previous": last.hash,
            "suites": [WEAK.name, STRONG.name],
            "not_before": int(stage.now) - 1,
            **changes,
        }
    )
    payload = terms.to_cbor()
    message = signed_bytes(REVISION_KIND, stage.charter.network_id, COMPOSITE.name, payload)
    signatures = tuple((index, key(message)) for index, key in enumerate(keys))
    return with_revisions(
        stage.charter, (*stage.charter.revisions, SignedRevision(terms, payload, signatures))
    )


def whole(stage: Stage, index: int) -> Callable[[bytes], bytes]:
    """The signature of an update key."""
    return lambda message: COMPOSITE.sign(stage.update_keys[index], message)


def half(stage: Stage, index: int) -> Callable[[bytes], bytes]:
    """The same by a man who has broken Ed25519 alone: the second half is of what he had signed before."""
    (_, before), *_ = stage.charter.revisions[1].signatures
    return lambda message: whole(stage, index)(message)[:HALF] + before[HALF:]


def test_the_control(stage: Stage, oak: Person) -> None:
    """As signed it brings the strong suite; and who signs as he should can bring the weak one back."""
    assert used(stage.client(), oak) == STRONG.name
    charter = signed_by(stage, [whole(stage, 0), whole(stage, 1)])
    assert used(stage.client(charter), oak) == WEAK.name


EDITS: dict[str, Callable[[Stage], Charter]] = {
    "the suites are edited": lambda stage: with_terms(stage.charter, suites=[WEAK.name]),
    "a suite is added in front": lambda stage: with_terms(stage.charter, suites=[WEAK.name, STRONG.name]),
    "the second revision begins later": lambda stage: with_terms(
        stage.charter, not_before=int(stage.now) + 3600
    ),
    "the strong suite is deprecated": lambda stage: with_terms(
        stage.charter, suites=[WEAK.name, STRONG.name], deprecated=[STRONG.name]
    ),
    "the least level is lowered": lambda stage: with_terms(stage.charter, classical_bits=0),
    "the overlap is made longer": lambda stage: with_terms(stage.charter, overlap_s=24 * 3600),
    "a signature is taken away": lambda stage: with_signatures(stage.charter, lambda held: held[:1]),
    "all signatures are taken away": lambda stage: with_signatures(stage.charter, lambda held: ()),
    "one signature counts twice": lambda stage: with_signatures(
        stage.charter, lambda held: (held[0], held[0])
    ),
    "one signature under two numbers": lambda stage: with_signatures(
        stage.charter, lambda held: (held[0], (held[1][0], held[0][1]))
    ),
    "the post-quantum halves are cut off": lambda stage: with_signatures(
        stage.charter, lambda held: tuple((index, signature[:HALF]) for index, signature in held)
    ),
    "the post-quantum halves are zeros": lambda stage: with_signatures(
        stage.charter,
        lambda held: tuple(
            (index, signature[:HALF].ljust(len(signature), b"\0")) for index, signature in held
        ),
    ),
    "the classical halves are zeros": lambda stage: with_signatures(
        stage.charter,
        lambda held: tuple((index, bytes(HALF) + signature[HALF:]) for index, signature in held),
    ),
    "the revisions change places": lambda stage: with_revisions(
        stage.charter, reversed(stage.charter.revisions)
    ),
    "the first revision comes again": lambda stage: with_revisions(
        stage.charter, (*stage.charter.revisions, stage.charter.revisions[0])
    ),
    "the first revision is missing": lambda stage: with_revisions(stage.charter, stage.charter.revisions[1:]),
    "a third revision by one of two": lambda stage: signed_by(stage, [whole(stage, 0)]),
    "a third revision by half signatures": lambda stage: signed_by(stage, [half(stage, 0), half(stage, 1)]),
    "a third revision by one and a half": lambda stage: signed_by(stage, [whole(stage, 0), half(stage, 1)]),
    "a third revision by strangers": lambda stage: signed_by(
        stage, [lambda message: COMPOSITE.sign(COMPOSITE.generate(), message)] * 2
    ),
    "a third revision that follows another": lambda stage: signed_by(
        stage, [whole(stage, 0), whole(stage, 1)], previous=stage.charter.revisions[0].hash
    ),
    "a third revision that calls itself the second": lambda stage: signed_by(
        stage, [whole(stage, 0), whole(stage, 1)], seq=1
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_charter_is_refused(stage: Stage, oak: Person, edit: Callable[[Stage], Charter]) -> None:
    assert used(stage.client(), oak) == STRONG.name
    charter = edit(stage)
    with pytest.raises(RecordError):
        Charter.parse(charter.encode(), SCHEMES)
    with pytest.raises(Port17Error):
        stage.client(charter)


@pytest.mark.parametrize("field", ["threshold", "update_keys"])
def test_an_edited_genesis_is_another_network(stage: Stage, oak: Person, field: str) -> None:
    """A man who needs fewer or other signatures founds a network of his own: no bottle is of it."""
    assert used(stage.client(), oak) == STRONG.name
    his = COMPOSITE.generate()
    old = stage.charter.genesis.to_value()
    key = {"scheme": COMPOSITE.name, "public": his.public}
    changed = {"threshold": 1} if field == "threshold" else {"update_keys": [key], "threshold": 1}
    genesis = Genesis.made(**{**old, **changed})
    terms = stage.charter.revisions[0].revision
    signers = [(COMPOSITE, his)] if field == "update_keys" else stage.signers(1)
    founded = Charter.found(genesis, terms, signers)
    assert founded.network_id != stage.charter.network_id
    with pytest.raises(Port17Error, match="charter of the network"):
        stage.client(founded)
    assert used(stage.client(founded, memory="newcomer"), oak) is None
    moved = replace(founded, revisions=stage.charter.revisions)
    with pytest.raises(Port17Error):
        stage.client(moved, memory="newcomer")
    # Nor does a header for people make one network of two.
    armour = founded.to_armour().replace(founded.network_id.hex(), stage.charter.network_id.hex())
    with pytest.raises(RecordError, match="another network"):
        Charter.from_armour(armour.encode(), SCHEMES)


def shortened(stage: Stage) -> Charter:
    """The charter as it was before: every signature in it is good, only the last revision is missing."""
    return with_revisions(stage.charter, stage.charter.revisions[:1])


def test_who_has_seen_a_revision_goes_back_to_none_before_it(stage: Stage, oak: Person) -> None:
    """Not with another file, and not by a restart. Who has never seen it cannot know: the control."""
    assert used(stage.client(shortened(stage)), oak) == WEAK.name
    assert used(stage.client(), oak) == STRONG.name
    again = stage.client(shortened(stage))
    assert again.charter.revisions[-1].revision.seq == 1
    assert used(again, oak) == STRONG.name


@pytest.mark.anyio
async def test_a_running_process_takes_no_older_charter(stage: Stage, oak: Person) -> None:
    client = stage.client()
    path = stage.folder / "stage.charter"
    for charter in (shortened(stage), forked(stage)):
        charter.dump(path)
        await client.look_again()
        assert used(client, oak) == STRONG.name
        assert client.charter == stage.charter
    # The control: it does look, and takes a newer one.
    signed_by(stage, [whole(stage, 0), whole(stage, 1)]).dump(path)
    await client.look_again()
    assert used(client, oak) == WEAK.name


def forked(stage: Stage) -> Charter:
    """Another second revision, rightly signed, as two who don't talk to each other could sign."""
    first = with_revisions(stage.charter, stage.charter.revisions[:1])
    last = stage.charter.revisions[1].revision
    terms = Revision.made(**{**last.to_value(), "suites": [WEAK.name, STRONG.name]})
    return first.amended(terms, stage.signers())


def test_a_clock_that_is_set_back_brings_no_revision_back(stage: Stage, oak: Person) -> None:
    client = stage.client()
    assert used(client, oak) == STRONG.name
    stage.now -= 4 * OVERLAP_S  # before the second revision began
    assert used(client, oak) == STRONG.name


# -- between two ends of which one was given the older charter ---------------------------------------
def call(caller: KnownNetwork, answerer: Network, oak: Person, now_s: float) -> None:
    """A client calls a node.

    :raises HandshakeFailed: the node refuses.
    """
    dial = Initiator(caller.transcript(), address(caller, oak), now_s)
    signer = NodeSigner(oak.identity.fingerprint, lambda message: COMPOSITE.sign(oak.key, message))
    prekeys = [own for _, own in oak.prekeys]
    flight, _ = respond(answerer, signer, prekeys, ReplaySet(120), caller.verify, dial.flight, now_s)
    dial.finish(flight, caller.verify)


def open_circuit(caller: KnownNetwork, answerer: Network, oak: Person, now_s: float) -> None:
    """A client opens a circuit on a node.

    :raises HandshakeFailed: the node refuses.
    """
    to = address(caller, oak)
    content, _ = make(caller.transcript(), to, to.suite.generate(), now_s)
    found = {(own.suite.name, own.slot): own for _, own in oak.prekeys}

    def find(name: str, slot: int) -> OwnPrekey | None:
        return found.get((name, slot))

    open_setup(answerer, oak.identity.fingerprint, find, ReplaySet(120), content, now_s)


def address(caller: KnownNetwork, oak: Person) -> ResponderKey:
    """How a client addresses a node."""
    to = caller.responder(caller.chart().nodes[oak.identity.fingerprint])
    assert to is not None
    return to


def test_who_was_given_the_older_charter_is_refused_by_who_has_the_newer(stage: Stage, oak: Person) -> None:
    """The client believes that the weak suite is the network's best; the node knows better, once the time in
    which both revisions are accepted is over, even if it holds the weak prekey still."""
    client = stage.client()
    present = client.transcript()
    assert present.revisions == (1,)
    for act in (call, open_circuit):
        act(client, present, oak, stage.now)
    misled = stage.client(shortened(stage), memory="another")
    assert used(misled, oak) == WEAK.name
    for act in (call, open_circuit):
        with pytest.raises(HandshakeFailed):
            act(misled, present, oak, stage.now)
        # During the overlap it is answered: that is what the overlap is for.
        act(misled, replace(present, revisions=(1, 0)), oak, stage.now)


def test_the_flights_of_one_revision_are_worth_nothing_under_another(stage: Stage, oak: Person) -> None:
    """A man cannot say for the client which revision it meant: it stands in the box and in every key."""
    client = stage.client()
    content, _ = make(client.transcript(), address(client, oak), STRONG.generate(), stage.now)
    older = replace(client.transcript(), revisions=(0,))
    own = oak.own(STRONG)
    with pytest.raises(HandshakeFailed):
        open_setup(
            older, oak.identity.fingerprint, lambda name, slot: own, ReplaySet(120), content, stage.now
        )


def test_what_is_in_the_file_is_what_was_signed(stage: Stage) -> None:
    """The armour around it is no place to hide a second charter in."""
    armour = stage.charter.to_armour()
    assert Charter.from_armour(armour.encode(), SCHEMES) == stage.charter
    other = base64.b64encode(shortened(stage).encode()).decode()
    for text in (armour + shortened(stage).to_armour(), armour.replace("\n\n", f"\n\n{other}\n", 1)):
        with pytest.raises(RecordError):
            Charter.from_armour(text.encode(), SCHEMES)
    value = cbor.decode(stage.charter.encode(), cap=1 << 20)
    assert isinstance(value, dict)
    for extra in (
        {**value, "revision": value["revisions"]},
        {**value, "revisions": []},
        {"genesis": value["genesis"]},
    ):
        with pytest.raises(RecordError):
            Charter.parse(cbor.encode(extra), SCHEMES)
