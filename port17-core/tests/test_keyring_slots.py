"""No slot ever gets a second key: not after a loss, a crash, a race, a clock set back or a backup."""

from __future__ import annotations

import shutil
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import ConfigError
from port17.node import key_file, prekey_journal, prekeys
from port17.node.identity_file import IDENTITY_FILE, IdentityFile
from port17.node.keyring import Keyring, restore
from port17.node.prekey_journal import JOURNAL_FILE, RANGES_CAP, Entry, PrekeyJournal
from port17.records.bottle import SLOTS_CAP, Slot
from port17_crypto.schemes import Ed25519
from port17_crypto.suites import X25519ChaCha20Poly1305Blake2s

SCHEME = Ed25519()
SUITE = X25519ChaCha20Poly1305Blake2s()
NETWORK = bytes(range(32))
LIFETIME = 100


def create(folder: Path, slots: int = 2) -> Keyring:
    return Keyring.create(folder, SCHEME, [SUITE], NETWORK, 5, slots, LIFETIME, overlap=10)


def load(folder: Path, now: float | None = None, **changed: Any) -> Keyring:
    suites = {SUITE.name: SUITE}
    return Keyring.load(folder, {"ed25519": SCHEME}, suites, NETWORK, now=now, **changed)


def stock(keyring: Keyring, first: int = 5, slots: int = 2) -> list[int]:
    made = keyring.stock(NETWORK, first, slots, LIFETIME, overlap=10)
    keyring.save()
    return [record.slot for record in made]


def prekey(folder: Path, slot: int = 5) -> Path:
    return folder / f"{SUITE.name}.{slot}.prekey"


def test_a_lost_key_is_not_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    create(tmp_path)
    prekey(tmp_path).unlink()
    keyring = load(tmp_path)
    assert stock(keyring, slots=3) == [7]
    assert "slot 5" in caplog.text
    assert not prekey(tmp_path).exists()
    assert stock(load(tmp_path), slots=3) == []


def test_a_running_node_puts_a_lost_file_back(tmp_path: Path) -> None:
    keyring = create(tmp_path)
    before = prekey(tmp_path).read_bytes()
    prekey(tmp_path).unlink()
    keyring.save()
    assert prekey(tmp_path).read_bytes() == before


def test_a_burned_slot_stays_burned_when_the_clock_is_set_back(tmp_path: Path) -> None:
    keyring = create(tmp_path)
    keyring.burn(710)
    assert stock(keyring, first=3, slots=6) == [3, 4, 7, 8], "no others were ever used"
    assert stock(load(tmp_path), first=3, slots=6) == []


def test_what_the_bottle_says_counts(tmp_path: Path) -> None:
    keyring = create(tmp_path)
    published = [Slot(5, 610, bytes(32)), Slot(7, 810, bytes(32))]
    keyring.committed({SUITE.name: published})
    assert stock(keyring, slots=4) == [8]
    assert stock(load(tmp_path), slots=4) == []
    # The key that is there was committed to first.
    assert (SUITE.name, 5) in load(tmp_path).prekeys


def test_two_processes_agree_on_one_key(tmp_path: Path) -> None:
    create(tmp_path, 0)
    keyrings = [load(tmp_path) for _ in range(4)]
    for keyring in keyrings:
        keyring.stock(NETWORK, 5, 3, LIFETIME, overlap=10)
    assert len({record.hash for keyring in keyrings for record in keyring.records()}) == 12
    threads = [threading.Thread(target=keyring.save) for keyring in keyrings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.hash for keyring in keyrings for record in keyring.records()}) == 3
    assert {record.hash for record in load(tmp_path).records()} == {
        record.hash for record in keyrings[0].records()
    }


class Crash(Exception):
    """The process dies here."""


def test_a_crash_between_key_and_journal_keeps_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = create(tmp_path, 1)
    other = load(tmp_path)
    for one in (keyring, other):
        one.stock(NETWORK, 5, 2, LIFETIME, overlap=10)

    def dies(journal: PrekeyJournal, folder: Path) -> None:
        raise Crash

    monkeypatch.setattr(PrekeyJournal, "write", dies)
    with pytest.raises(Crash):
        keyring.save()
    monkeypatch.undo()
    assert prekey(tmp_path, 6).exists()
    read = load(tmp_path)
    assert read.records() == keyring.records()
    assert stock(read) == []
    other.save()  # had made its own key for the slot
    assert other.records() == keyring.records()


def test_the_key_is_on_disk_before_its_commitment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = key_file.write
    monkeypatch.setattr(key_file, "write", lambda file, data: (written.append(file.name), real(file, data)))
    create(tmp_path)
    assert written == [IDENTITY_FILE, prekey(tmp_path, 5).name, prekey(tmp_path, 6).name, JOURNAL_FILE]


def test_keys_from_before_there_was_a_journal_are_taken_up(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / JOURNAL_FILE).unlink()
    keyring = load(tmp_path)
    assert stock(keyring) == []
    prekey(tmp_path).unlink()
    assert stock(load(tmp_path)) == []


def test_a_restored_identity_makes_no_key_for_a_slot_that_may_be_out(tmp_path: Path) -> None:
    """But one for the first that can't be: whoever has it calls by no key that is lost."""
    create(tmp_path / "old", SLOTS_CAP)
    held = IdentityFile.read(tmp_path / "old" / IDENTITY_FILE)
    restore(tmp_path / "new", held, 550, unused=False)
    keyring = load(tmp_path / "new")
    assert stock(keyring, slots=SLOTS_CAP) == [5 + SLOTS_CAP]
    assert stock(keyring, slots=SLOTS_CAP) == []
    assert stock(load(tmp_path / "new"), slots=SLOTS_CAP) == []
    assert stock(load(tmp_path / "new"), first=6, slots=SLOTS_CAP) == []
    assert stock(load(tmp_path / "new"), first=7, slots=SLOTS_CAP) == [6 + SLOTS_CAP]


def test_a_state_that_was_put_back_makes_no_key_for_a_slot_that_may_be_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole folder, from a backup that somebody made while the node went on."""
    now = int(time.time())
    day = now // 86400
    monkeypatch.setattr(prekey_journal, "time", SimpleNamespace(time=lambda: now - 3600.0))
    keyring = create(tmp_path / "state", 0)
    keyring.stock(NETWORK, day, 4, 86400)
    keyring.save()
    shutil.copytree(tmp_path / "state", tmp_path / "backup")
    keyring.stock(NETWORK, day, SLOTS_CAP, 86400)
    keyring.save()
    published = {record.slot: record.hash for record in keyring.records()}
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "backup", tmp_path / "state")
    again = load(tmp_path / "state")
    assert now - 5 <= again.unknown_until <= now + 60
    assert again.stock(NETWORK, day, SLOTS_CAP, 86400) == []
    again.save()
    for record in again.records():
        assert published[record.slot] == record.hash, "what is there is as good as before"
    assert [record.slot for record in again.stock(NETWORK, day + 1, SLOTS_CAP, 86400)] == [day + SLOTS_CAP]
    again.save()
    # It is remembered, whoever writes next and however fresh the file is then.
    assert load(tmp_path / "state").unknown_until == again.unknown_until
    with load(tmp_path / "state").signing() as journal:
        assert min(journal.signed) >= now - 5


def test_a_state_that_lay_where_it_was_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path)
    monkeypatch.setattr(prekey_journal, "time", SimpleNamespace(time=lambda: time.time() + 3600.0))
    assert load(tmp_path).unknown_until == 0
    stock(load(tmp_path), slots=4)  # a clock that was ahead
    assert load(tmp_path).unknown_until == 0


def test_a_restored_identity_makes_no_key_that_lives_too_long(tmp_path: Path) -> None:
    create(tmp_path / "old", 1)
    held = IdentityFile.read(tmp_path / "old" / IDENTITY_FILE)
    month = 30 * 86400
    restore(tmp_path / "new", held, 5 * month, unused=False)
    assert load(tmp_path / "new").stock(NETWORK, 5, 2, month) == []
    assert load(tmp_path / "new").stock(NETWORK, 50, 2, month // 10)


def test_an_identity_that_was_never_used_is_restored_as_new(tmp_path: Path) -> None:
    create(tmp_path / "old", 0)
    held = IdentityFile.read(tmp_path / "old" / IDENTITY_FILE)
    restore(tmp_path / "new", held, 550, unused=True)
    assert stock(load(tmp_path / "new")) == [5, 6]


def test_nothing_is_restored_over_what_is_there(tmp_path: Path) -> None:
    create(tmp_path)
    held = IdentityFile.read(tmp_path / IDENTITY_FILE)
    with pytest.raises(ConfigError, match="exists already"):
        restore(tmp_path, held, 550, unused=True)
    (tmp_path / IDENTITY_FILE).unlink()
    for make in (lambda: restore(tmp_path, held, 550, unused=True), lambda: create(tmp_path)):
        with pytest.raises(ConfigError, match="prekeys of an identity that is not there"):
            make()


@pytest.mark.parametrize("damage", [b"", b"noise", bytes(100)])
def test_a_damaged_journal_is_an_error_and_no_key_is_made(damage: bytes, tmp_path: Path) -> None:
    keyring = create(tmp_path)
    (tmp_path / JOURNAL_FILE).write_bytes(damage)
    with pytest.raises(ConfigError, match=JOURNAL_FILE) as raised:
        load(tmp_path)
    assert "rotate" in raised.value.cure
    keyring.stock(NETWORK, 7, 1, LIFETIME)
    with pytest.raises(ConfigError, match=JOURNAL_FILE):
        keyring.save()
    assert not prekey(tmp_path, 7).exists()


def test_anothers_journal_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "one")
    create(tmp_path / "two")
    (tmp_path / "one" / JOURNAL_FILE).replace(tmp_path / "two" / JOURNAL_FILE)
    with pytest.raises(ConfigError, match="belongs to another node"):
        load(tmp_path / "two")


def test_the_journal_stays_small(tmp_path: Path) -> None:
    keyring = create(tmp_path)
    for day in range(5, 40):
        keyring.burn(day * LIFETIME + 11)
        stock(keyring, first=day)
    held = PrekeyJournal.read(tmp_path)
    assert held is not None
    assert len(held.entries) <= 3
    assert held.spent == {SUITE.name: ((5, 38),)}


def test_a_longer_lifetime_gives_slots_numbers_that_are_free(tmp_path: Path) -> None:
    """Numbers shrink then: a slot is not spent because a higher one is."""
    now = 1_800_000_000
    keyring = create(tmp_path, 0)
    hours = now // 3600
    keyring.stock(NETWORK, hours, 3, 3600)
    keyring.save()
    now += 4 * 3600
    assert len(keyring.burn(now)) == 3
    days = now // 86400
    made = keyring.stock(NETWORK, days, 3, 86400)
    keyring.save()
    assert [record.slot for record in made] == [days, days + 1, days + 2]
    # Back to hours: what was used for them stays spent.
    assert [record.slot for record in keyring.stock(NETWORK, hours, 4, 3600)] == [hours + 3]


def test_numbers_that_come_again_get_no_second_key(tmp_path: Path) -> None:
    """A lifetime that is a little longer: soon the numbers are those of some slots ago."""
    keyring = create(tmp_path, 0)
    keyring.stock(NETWORK, 1000, 20, LIFETIME)
    keyring.save()
    now = 1020 * LIFETIME
    keyring.burn(now)
    first = now // 101
    assert first < 1020
    made = load(tmp_path).stock(NETWORK, first, 15, 101)
    assert [record.slot for record in made] == list(range(1020, first + 15))


@given(st.lists(st.integers(0, 200), max_size=60))
@settings(max_examples=50)
def test_no_spent_slot_is_ever_forgotten(spent: list[int]) -> None:
    journal = PrekeyJournal(bytes(32))
    for slot in spent:
        journal.note(Entry(SUITE.name, slot, 1, bytes(32)))
        journal.expire(2)
    assert all(journal.taken(SUITE.name, slot, LIFETIME) for slot in spent)
    ranges = journal.spent.get(SUITE.name, ())
    assert len(ranges) <= RANGES_CAP
    assert all(one.last + 1 < other.first for one, other in pairwise(ranges))
    if len(set(spent)) <= RANGES_CAP:
        held = {slot for one in ranges for slot in range(one.first, one.last + 1)}
        assert held == set(spent), "and no other is taken for one"


def test_nothing_is_published_that_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full: the error comes before there is anything to publish."""
    keyring = create(tmp_path)
    keyring.stock(NETWORK, 7, 1, LIFETIME)

    def full(file: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prekeys.key_file, "write", full)
    with pytest.raises(ConfigError, match="No space left"):
        keyring.save()
