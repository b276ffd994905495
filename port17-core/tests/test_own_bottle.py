"""What a running node says of itself: at once, with what its manager decides, and again if it could not."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from port17.bottles.gossip_events import Learned
from port17.bottles.intake import OURSELVES
from port17.bottles.outcome import Aborted, Why
from port17.bottles.rack import load_bottle
from port17.errors import ConfigError
from port17.network import KnownNetwork
from port17.node.commands import Sign
from port17.node.own_bottle import RETRY_S, OwnBottle
from port17.records.bottle import Bottle, Lane

from .amended_network import Amended

DAY = 24 * 3600
SAID = Sign((Lane(b"\1" * 32, 1500, 64),), 150, ("offline",))


class Running:
    """A node's bottle, and everything around it that it needs."""

    def __init__(self, folder: Path, *, kept: bool = True) -> None:
        self.net = Amended(folder)
        self.keyring, self.first = self.net.node(lanes=[b"\2" * 32])
        if not kept:
            (self.net.bottles / f"{self.first.node_id}.bottle").unlink()
        self.known: KnownNetwork = self.net.known(self.net.config())
        self.own = OwnBottle(self.net.config(), self.known, self.keyring)
        self.told: list[bytes] = []
        self.known.listen(
            lambda event: self.told.append(event.fingerprint) if isinstance(event, Learned) else None
        )

    @property
    def held(self) -> Bottle | None:
        return self.known.rack.get(self.keyring.identity.fingerprint)

    @property
    def file(self) -> Bottle:
        return load_bottle(self.net.bottles / f"{self.first.node_id}.bottle")


@pytest.mark.parametrize("kept", [True, False])
def test_a_node_that_starts_says_that_it_is_there_and_has_no_lane(kept: bool, tmp_path: Path) -> None:
    node = Running(tmp_path, kept=kept)
    node.net.now += 60
    anyio.run(node.own.begin)
    held = node.held
    assert held is not None
    assert (held.contents.lanes, held.contents.load, held.contents.flags) == ((), 0, ())
    assert held.contents.seq > node.first.contents.seq
    assert (held.label_envelope == node.first.label_envelope) is kept
    assert node.file == held == node.own.bottle
    assert node.told == [held.fingerprint], "others are told without a look at the folder"


def test_what_the_manager_decides_is_said_at_once(tmp_path: Path) -> None:
    node = Running(tmp_path)
    anyio.run(node.own.sign, SAID)
    held = node.held
    assert held is not None
    assert Sign(held.contents.lanes, held.contents.load, held.contents.flags) == SAID
    assert held.contents.slots == node.first.contents.slots
    assert held.bundle == node.first.bundle
    assert node.told == [held.fingerprint]


def test_a_renewal_says_what_was_said_before(tmp_path: Path) -> None:
    node = Running(tmp_path)
    anyio.run(node.own.sign, SAID)
    node.net.now += 5 * DAY
    anyio.run(node.own.renew, 1e6)
    held = node.held
    assert held is not None
    assert held.contents.slots != node.first.contents.slots
    assert Sign(held.contents.lanes, held.contents.load, held.contents.flags) == SAID


def test_a_node_that_was_away_for_long_has_prekeys_again(tmp_path: Path) -> None:
    node = Running(tmp_path)
    node.net.now += 30 * DAY
    node.keyring.burn(node.net.now)
    assert not node.keyring.prekeys
    anyio.run(node.own.begin)
    held = node.held
    assert held is not None
    assert all(record.expiry > node.net.now for record in held.bundle)
    assert len(held.bundle) >= 7


def test_what_could_not_be_said_is_said_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Running(tmp_path)

    def refuse(*names: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        patch.setattr(os, "replace", refuse)
        anyio.run(node.own.sign, SAID)
        assert not node.told
        with pytest.raises(ConfigError):
            anyio.run(node.own.begin)
    anyio.run(node.own.renew, 1e6)
    assert node.held is not None
    assert node.held.contents.load == SAID.load
    node.told.clear()
    anyio.run(node.own.renew, 1e6 + 2 * RETRY_S)
    assert not node.told


def test_whoever_has_taken_a_name_that_is_anothers_is_told_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Running(tmp_path)
    node.net.now -= 60
    rival = node.net.node("elm")[0]
    claim = node.net.publish(rival, "ash", ())
    node.net.now += 60
    assert not node.own.trouble()
    anyio.run(node.known.offer, [claim.encode()], OURSELVES)
    for _ in range(3):
        node.own.warn()
    assert claim.node_id in node.own.trouble()
    assert "set another name" in node.own.trouble()
    told = [record.getMessage() for record in caplog.records if claim.node_id in record.getMessage()]
    assert len(told) == 1, "once"
    node.known.forget(claim.fingerprint)
    assert not node.own.trouble()


def test_whoever_refuses_his_own_bottle_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Running(tmp_path)

    def refuse(*what: object) -> Aborted:
        return Aborted(Why.REFUSED, "a plugin says so")

    with monkeypatch.context() as patch:
        patch.setattr(node.known.gossip, "take", refuse)
        anyio.run(node.own.begin)
    assert node.own.trouble() == "a plugin says so"
    anyio.run(node.own.sign, SAID)
    assert not node.own.trouble()
