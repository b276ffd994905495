"""What a process outlives: bottles that lie, clocks that jump."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from port17.bottles.rack import save_bottle
from port17.network import KnownNetwork
from port17.records.bottle import Bottle
from port17.records.level import Status
from port17.records.succession import Predecessor
from port17_crypto.schemes import Ed25519, Ed25519MlDsa65

from .amended_network import BEGUN, SCHEME, XWING, Amended

COMPOSITE = Ed25519MlDsa65()
BOTH = [Ed25519.name, COMPOSITE.name]


@pytest.fixture
def net(tmp_path: Path) -> Amended:
    return Amended(tmp_path)


def look(known: KnownNetwork) -> None:
    anyio.run(known.look_again)


def names(known: KnownNetwork) -> list[str]:
    return [node.name for node in known.chart()]


def liar(net: Amended) -> Bottle:
    """A node that names a predecessor who never said so, under a scheme that nobody can check yet."""
    keyring, honest = net.node("liar")
    word = Predecessor.made(
        identity={"scheme": COMPOSITE.name, "public": COMPOSITE.generate().public},
        signature=bytes(COMPOSITE.signature_size),
    )
    label = honest.label.model_copy(update={"predecessors": (word,), "seq": honest.label.seq + 1})
    contents = honest.contents.model_copy(update={"seq": honest.contents.seq + 1})
    made = Bottle.seal(net.charter.network_id, SCHEME, keyring.signing_key, label, contents, honest.bundle)
    save_bottle(net.bottles, made)
    return made


def test_a_lie_that_a_new_scheme_brings_to_light_costs_the_liar_only(net: Amended) -> None:
    bottle = liar(net)
    net.node("ash")
    known = net.known()
    assert sorted(names(known)) == ["ash", "liar"], (
        "the word of a scheme that is not allowed is not looked at"
    )
    net.amend(schemes=BOTH, not_before=int(net.now) + 100)
    look(known)
    net.now += 101
    # By the clock alone, as a node's answering task asks it.
    assert known.transcript().revisions == (1, 0)
    assert list(known.schemes) == BOTH
    assert known.rack.get(bottle.fingerprint) is None
    before = known.version
    net.node("oak")
    look(known)
    assert known.version != before
    assert sorted(names(known)) == ["ash", "oak"]


def test_a_lie_is_no_word_for_anybody(net: Amended) -> None:
    bottle = liar(net)
    known = net.known()
    net.amend(schemes=BOTH)
    look(known)
    look(known)
    assert not known.successors.superseded
    assert known.rack.get(bottle.fingerprint) is None
    keyring, _ = net.node("ash")
    net.now += 1
    net.publish(keyring, "liar", ())
    look(known)
    assert names(known) == ["liar"], "its name is free again"


@pytest.mark.parametrize("amendments", [0, 1])
def test_a_clock_set_back_to_before_the_network_began_ends_nothing(net: Amended, amendments: int) -> None:
    for _ in range(amendments):
        net.amend()
    known = net.known()
    net.now = BEGUN - 1.0
    assert known.transcript().revisions[0] == amendments
    assert known.until_change_s() >= 0
    look(known)
    assert known.revision.seq == amendments


def test_nothing_is_believed_that_a_broken_scheme_signs(
    net: Amended, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net.amend(schemes=BOTH)
    _, bottle = net.node("ash")
    assert names(net.known()) == ["ash"]
    monkeypatch.setattr(Ed25519, "status", Status.BROKEN)
    known = net.known()
    assert (list(known.schemes), names(known)) == ([COMPOSITE.name], [])
    assert not known.verify(bottle.fingerprint, b"", b"")
    assert "the identity scheme ed25519 is broken" in caplog.text
    known.close()


def test_no_charter_grows_by_what_a_broken_scheme_signs(
    net: Amended, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = net.known()
    monkeypatch.setattr(Ed25519, "status", Status.BROKEN)
    net.amend(suites=[XWING])
    look(known)
    assert known.revision.seq == 0
    assert net.known().revision.seq == 0, "nor with a restart"
    (net.folder / "elsewhere").mkdir()
    strangers = Amended(net.folder / "elsewhere")
    assert strangers.known().revision.seq == 0, "who knows nothing better takes the file's word"


@pytest.mark.parametrize("suffix", [".bottle", ".proof", ".moderation"])
@pytest.mark.parametrize("strange", [os.mkfifo, lambda file: file.symlink_to(file.name)])
def test_what_is_no_file_keeps_nobody_from_starting_or_looking(
    net: Amended, suffix: str, strange: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = net.bottles / f"a{suffix}"
    known = net.known()
    strange(file)
    net.node("ash")
    look(known)
    look(known)
    assert names(known) == ["ash"]
    assert caplog.text.count(file.name) >= 1
    with closing(net.known()) as started:
        assert names(started) == ["ash"]
