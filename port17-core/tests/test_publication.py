"""A node's own bottle: signed anew when what it serves changes, with prekeys that last."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from port17.bottles.rack import load_bottle, save_bottle
from port17.errors import ConfigError
from port17.network import KnownNetwork
from port17.node import own_bottle, publication
from port17.node.identity_file import IDENTITY_FILE, IdentityFile
from port17.node.keyring import Keyring, restore
from port17.node.own_bottle import RETRY_S, OwnBottle
from port17.node.publication import Numbers, publish, seal, span
from port17.records.bottle import Bottle
from port17.records.proof import Proof
from port17_crypto.suites import XWingAes256GcmSha256

from .amended_network import SCHEME, X25519, XWING, Amended

DAY = 24 * 3600


class Running:
    """What of a running node concerns its bottle."""

    def __init__(self, net: Amended, **config: object) -> None:
        self.net = net
        self.keyring, self.first = net.node()
        self.known: KnownNetwork = net.known(net.config(**config))
        self.publication = OwnBottle(net.config(**config), self.known, self.keyring)
        self.clock_s = 1000.0

    def tend(self, wait_s: float = 0.0) -> Bottle:
        """A look at the files, a renewal if one is due, another look; the bottle that others have then."""
        self.clock_s += wait_s

        async def once() -> None:
            await self.known.look_again()
            await self.publication.renew(self.clock_s)
            await self.known.look_again()

        anyio.run(once)
        bottle = self.known.rack.get(self.keyring.identity.fingerprint)
        assert bottle is not None
        return bottle


@pytest.fixture
def node(tmp_path: Path) -> Running:
    return Running(Amended(tmp_path))


def slots(bottle: Bottle, suite: str) -> list[int]:
    return [slot.slot for slot in bottle.contents.slots.get(suite, ())]


def loaded(node: Running) -> Keyring:
    """What a restart would find on disk."""
    suites = {name: node.net.registry.make("port17.cipher_suites", name) for name in (X25519, XWING)}
    network_id = node.net.charter.network_id
    return Keyring.load(node.keyring.folder, {"ed25519": SCHEME}, suites, network_id)


def test_nothing_is_signed_while_nothing_changes(node: Running) -> None:
    assert node.tend() == node.first
    assert node.tend(RETRY_S + 1) == node.first


def test_a_suite_that_becomes_allowed_gets_prekeys_and_a_new_bottle(node: Running) -> None:
    node.net.amend(suites=[XWING, X25519])
    fresh = node.tend()
    assert fresh.label.suites == (XWING, X25519)
    assert slots(fresh, XWING) == slots(fresh, X25519) == slots(node.first, X25519)
    assert fresh.label.seq > node.first.label.seq
    assert fresh.contents.seq > node.first.contents.seq
    same = {"suites": node.first.label.suites, "seq": node.first.label.seq}
    assert fresh.label.model_copy(update=same) == node.first.label, "what else it says stays"
    assert fresh.contents.lanes == node.first.contents.lanes
    assert fresh.contents.slots[X25519] == node.first.contents.slots[X25519], "no slot gets another key"
    held = loaded(node).prekeys
    for record in fresh.bundle:
        assert held[record.suite, record.slot][0] == record, "the key was on disk before"
    assert list(node.net.bottles.iterdir()) == [node.net.bottles / f"{fresh.node_id}.bottle"]
    (seen,) = node.known.chart()
    assert seen.suite == XWING
    assert node.tend(RETRY_S + 1) == fresh, "and that is that"


def test_prekeys_are_made_before_their_revision_holds(node: Running) -> None:
    node.net.amend(suites=[XWING], not_before=int(node.net.now) + 500, overlap_s=100)
    fresh = node.tend()
    assert set(fresh.label.suites) == {X25519, XWING}
    (seen,) = node.known.chart()
    assert seen.suite == X25519
    node.net.now += 500
    assert node.tend() == fresh
    (seen,) = node.known.chart()
    assert seen.suite == XWING
    node.net.now += 100
    after = node.tend()
    assert after.label.suites == (XWING,), "once nobody may ask for it any more, it goes"
    assert after.label.seq > fresh.label.seq


def test_prekeys_are_made_in_time(node: Running) -> None:
    lifetime = node.known.revision.prekey_lifetime_s
    assert lifetime == DAY
    node.net.now += 3 * DAY
    assert node.tend() == node.first
    node.net.now += DAY
    fresh = node.tend()
    present = int(node.net.now) // DAY
    assert slots(fresh, X25519) == list(range(present, present + 8))
    assert fresh.label_envelope == node.first.label_envelope, "the slow part has nothing new to say"
    held = dict(zip(slots(node.first, X25519), node.first.contents.slots[X25519], strict=True))
    for slot in fresh.contents.slots[X25519]:
        assert held.get(slot.slot, slot) == slot
    for _ in range(12):
        node.net.now += DAY
        node.tend(DAY)
        (seen,) = node.known.chart()
        to = node.known.responder(seen)
        assert to is not None
        assert to.slot == int(node.net.now) // DAY


@pytest.mark.parametrize(("before", "after"), [(3600, DAY), (DAY, 3600)])
def test_another_prekey_lifetime_leaves_no_node_without_prekeys(
    before: int, after: int, tmp_path: Path
) -> None:
    node = Running(Amended(tmp_path, prekey_lifetime_s=before))
    node.net.amend(prekey_lifetime_s=after)
    fresh = node.tend()
    present = int(node.net.now) // after
    assert slots(fresh, X25519)[0] == present
    assert max(slot.expiry for slot in fresh.contents.slots[X25519]) >= (present + 8) * after
    for _ in range(20):
        node.net.now += after
        node.keyring.burn(node.net.now)
        node.tend(RETRY_S + 1)
        (seen,) = node.known.chart()
        to = node.known.responder(seen)
        assert to is not None
        assert to.slot == int(node.net.now) // after


def test_a_suite_that_makes_no_keys_any_more_leaves_the_others_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = Running(Amended(tmp_path, [X25519, XWING]))
    monkeypatch.setattr(XWingAes256GcmSha256, "generate", _broken)
    node.net.now += 4 * DAY
    fresh = node.tend()
    present = int(node.net.now) // DAY
    assert slots(fresh, X25519) == list(range(present, present + 8))
    assert max(slots(fresh, XWING)) < present + 7
    assert f"{XWING} makes no prekeys: OSError" in caplog.text
    monkeypatch.setattr(node.keyring, "stock", _broken)
    node.net.now += 4 * DAY
    assert node.tend(RETRY_S + 1) == fresh
    assert "not published: OSError" in caplog.text
    assert "card" not in caplog.text


def _broken(*args: object, **named: object) -> None:
    raise OSError("a card was pulled out")


def test_a_node_that_may_not_serve_a_suite_does_not(tmp_path: Path) -> None:
    node = Running(Amended(tmp_path), suites=[X25519])
    node.net.amend(suites=[XWING, X25519])
    assert node.tend() == node.first


def test_what_a_command_has_signed_is_read_and_kept(node: Running) -> None:
    other = loaded(node)
    node.net.now += 2 * DAY
    first, count = span(node.known.revision, node.net.now, 7)
    other.stock(node.net.charter.network_id, first, count, DAY, overlap=3600)
    other.save()
    signed = seal(
        node.net.config(group="other-owner"),
        node.known.revision,
        node.net.charter.network_id,
        other,
        [X25519],
        [],
        node.net.now,
        node.first,
    )
    (node.net.bottles / f"{signed.node_id}.bottle").write_bytes(signed.encode())
    missing = {(X25519, slot) for slot in slots(signed, X25519)} - node.keyring.prekeys.keys()
    assert missing
    assert node.tend() == signed
    assert not {(X25519, slot) for slot in slots(signed, X25519)} - node.keyring.prekeys.keys()
    node.net.amend(suites=[XWING, X25519])
    fresh = node.tend()
    assert (fresh.label.group, fresh.contents.lanes) == ("other-owner", ())
    assert fresh.contents.slots[X25519] == signed.contents.slots[X25519]


def test_a_folder_that_cannot_be_written_is_said_once_with_the_command(
    node: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: object) -> None:
        raise PermissionError(13, os.strerror(13))

    node.net.amend(suites=[XWING, X25519])
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Path, "replace", _only_keys(refuse))
        assert node.tend() == node.first
        node.tend(RETRY_S + 1)
    (record,) = [one for one in caplog.records if one.name == own_bottle.__name__]
    assert "can't be written: Permission denied" in record.getMessage()
    assert "port17 node bottle --config FILE" in record.getMessage()
    before = loaded(node).records()
    fresh = node.tend(RETRY_S + 1)
    assert fresh.label.suites == (XWING, X25519)
    assert loaded(node).records() == before, "the keys of the first attempt are used"


def _only_keys(refuse: object) -> object:
    replace = Path.replace

    def selective(self: Path, target: Path) -> object:
        if str(target).endswith(".bottle"):
            return refuse(self, target)  # type: ignore[operator]
        return replace(self, target)

    return selective


def test_a_bottle_that_was_taken_away_is_not_put_back(node: Running) -> None:
    (node.net.bottles / f"{node.first.node_id}.bottle").unlink()
    node.net.amend(suites=[XWING, X25519])

    async def once() -> None:
        await node.known.look_again()
        await node.publication.renew(0.0)

    anyio.run(once)
    assert not list(node.net.bottles.iterdir())


def test_two_bottles_of_one_second_differ_in_number(node: Running) -> None:
    config, revision = node.net.config(), node.known.revision
    network_id = node.net.charter.network_id
    again = seal(config, revision, network_id, node.keyring, [X25519], [], node.net.now, node.first)
    assert again.contents.seq == node.first.contents.seq + 1
    assert again.label_envelope == node.first.label_envelope
    moved = seal(
        node.net.config(advertise={"tcp": ["192.0.2.1:7"]}),
        revision,
        network_id,
        node.keyring,
        [X25519],
        [],
        node.net.now,
        again,
    )
    assert moved.label.seq == again.label.seq + 1
    moved.verify(network_id, {"ed25519": SCHEME}, node.net.now)


def test_without_any_prekey_there_is_no_bottle(node: Running) -> None:
    with pytest.raises(ConfigError, match="has no prekey of a cipher suite") as refused:
        seal(
            node.net.config(),
            node.known.revision,
            node.net.charter.network_id,
            node.keyring,
            [XWING],
            [],
            node.net.now,
        )
    assert "port17 node bottle" in refused.value.cure


def command(node: Running, keyring: Keyring, **config: object) -> Bottle:
    """What `port17 node bottle` signs and saves."""
    net, revision = node.net, node.known.revision
    first, count = span(revision, net.now, 7)
    keyring.stock(
        net.charter.network_id, first, count, revision.prekey_lifetime_s, overlap=revision.overlap_s
    )
    keyring.save()

    def make(previous: Bottle | None, signed: Numbers) -> Bottle:
        lanes = [bytes([1]) * 32, bytes([2]) * 32]
        values = net.config(**config), revision, net.charter.network_id, keyring, [X25519], lanes
        return seal(*values, net.now, previous, signed=signed)

    done = publish(net.bottles, revision, net.charter.network_id, keyring, net.now, make)
    assert done is not None
    return done[0]


@pytest.mark.parametrize("later_s", [0, 1])
def test_a_command_beside_a_renewal_is_no_equivocation_and_is_not_undone(later_s: int, node: Running) -> None:
    """Both begin with the bottle that was there before."""
    other = loaded(node)
    node.net.now += 10
    node.net.amend(suites=[XWING, X25519])
    anyio.run(node.known.look_again)
    theirs = command(node, other, advertise={"tcp": ["192.0.2.1:7"]})
    witness = node.net.known()
    node.net.now += later_s
    anyio.run(node.publication.renew, 1e9)
    ours = load_bottle(node.net.bottles / f"{theirs.node_id}.bottle")
    assert ours.label.suites == (XWING, X25519), "it has renewed"
    assert Proof.between(theirs, ours) is None
    assert ours.contents.seq > theirs.contents.seq
    assert ours.label.seq > theirs.label.seq
    assert ours.contents.lanes == theirs.contents.lanes
    assert ours.label.addresses == {"tcp": ("192.0.2.1:7",)}
    anyio.run(witness.look_again)
    assert [one.name for one in witness.chart()] == ["ash"]


def test_whoever_signs_at_once_signs_other_numbers(node: Running) -> None:
    keyrings = [loaded(node) for _ in range(6)]
    with ThreadPoolExecutor(len(keyrings)) as pool:
        made = list(
            pool.map(lambda each: command(node, each[1], group=f"owner-{each[0]}"), list(enumerate(keyrings)))
        )
    assert len({bottle.label.seq for bottle in made}) == len({bottle.contents.seq for bottle in made}) == 6
    newest = max(made, key=lambda bottle: bottle.sequence)
    assert load_bottle(node.net.bottles / f"{newest.node_id}.bottle").sequence == newest.sequence


@pytest.mark.parametrize("set_back_s", [0, 60])
def test_numbers_stay_used_when_the_bottle_is_lost_and_the_clock_set_back(
    set_back_s: int, node: Running
) -> None:
    before = command(node, loaded(node))
    (node.net.bottles / f"{before.node_id}.bottle").unlink()
    node.net.now -= set_back_s
    after = command(node, loaded(node), group="other")
    assert after.label.seq > before.label.seq
    assert after.contents.seq > before.contents.seq


def test_an_older_bottle_put_in_place_takes_no_number_twice(node: Running) -> None:
    older = command(node, loaded(node))
    newer = command(node, loaded(node), group="other")
    save_bottle(node.net.bottles, older)
    again = command(node, loaded(node))
    assert again.sequence[0] > newer.sequence[0]
    assert again.sequence[1] > newer.sequence[1]


def test_the_numbers_of_a_bottle_that_fits_to_no_other_count_too(node: Running) -> None:
    """Of a copy of the node, say: what is seen elsewhere stands, but nothing is signed below either."""
    net, first, keyring = node.net, node.first, node.keyring
    label = first.label.model_copy(update={"group": "copy"})
    contents = first.contents.model_copy(update={"seq": first.contents.seq + 50})
    copy = Bottle.seal(net.charter.network_id, keyring.scheme, keyring.signing_key, label, contents)
    save_bottle(net.bottles, copy)
    seen: list[object] = []

    def make(previous: Bottle | None, signed: Numbers) -> None:
        seen.extend((previous, signed))

    values = net.bottles, node.known.revision, net.charter.network_id, keyring, net.now, make
    assert publish(*values, known=first) is None
    assert seen == [first, copy.sequence]


def test_a_crash_before_the_bottle_is_saved_costs_its_numbers_only(
    node: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Bottle] = []

    def dies(folder: Path, bottle: Bottle) -> Path:
        made.append(bottle)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(publication, "save_bottle", dies)
        with pytest.raises(KeyboardInterrupt):
            command(node, loaded(node), group="other")
    after = command(node, loaded(node))
    assert after.contents.seq > made[0].contents.seq
    assert after.label.seq > made[0].label.seq


def test_a_restored_identity_signs_above_all_that_it_may_have_signed(node: Running, tmp_path: Path) -> None:
    held = IdentityFile.read(node.keyring.folder / IDENTITY_FILE)
    restore(tmp_path / "restored", held, node.net.now + 30, unused=False)
    network_id = node.net.charter.network_id
    suites = {X25519: node.net.registry.make("port17.cipher_suites", X25519)}
    keyring = Keyring.load(tmp_path / "restored", {"ed25519": SCHEME}, suites, network_id)
    with keyring.signing() as journal:
        assert journal.signed == (int(node.net.now) + 30,) * 2


def test_a_clock_that_is_far_behind_signs_nothing(node: Running) -> None:
    before = command(node, loaded(node))
    node.net.now -= 3600
    with pytest.raises(ConfigError, match="is in the future") as refused:
        command(node, loaded(node), group="other")
    assert "identity rotate" in refused.value.cure
    assert load_bottle(node.net.bottles / f"{before.node_id}.bottle") == before
    node.net.now += 3600
    assert command(node, loaded(node)).contents.seq == before.contents.seq + 1
