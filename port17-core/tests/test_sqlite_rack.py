"""The SQLite rack's file: whose it is, what version, what happens when it is damaged, locked or full."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from port17.bottles import rack_file, sqlite_rack
from port17.bottles.newest import Kept
from port17.bottles.rack import Racked
from port17.bottles.rack_file import APPLICATION_ID, MIGRATIONS
from port17.bottles.sqlite_rack import SqliteRack
from port17.errors import ConfigError, LocalViolation
from port17.records import cbor

from .rack_writer import NETWORK, SCHEME, bottle

HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
"""A second process with the file open."""

PAGE = 4096
"""Bytes of a page of the file."""
VERSION_1 = """
PRAGMA application_id = 1345402706;
CREATE TABLE rack (network_id BLOB NOT NULL);
CREATE TABLE bottles (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    label_seq INTEGER NOT NULL,
    contents_seq INTEGER NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    since INTEGER NOT NULL,
    "group" TEXT NOT NULL,
    flavour TEXT NOT NULL,
    succeeds INTEGER NOT NULL,
    received REAL NOT NULL,
    distrust TEXT NOT NULL,
    label BLOB NOT NULL,
    contents BLOB NOT NULL,
    bundle BLOB NOT NULL
);
CREATE INDEX stamps ON bottles (fingerprint, label_seq, contents_seq, name, since, flavour);
CREATE INDEX names ON bottles (name, fingerprint);
CREATE INDEX successors ON bottles (id) WHERE succeeds;
PRAGMA user_version = 1;
"""
"""A file as version 1 makes it, written down once and for all: every later version must still read it."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "rack.sqlite"


def opened(file: Path, **options: object) -> SqliteRack:
    rack = SqliteRack(SqliteRack.Config.model_validate(options))
    rack.open(NETWORK, file.parent)
    return rack


def filled(file: Path, count: int = 3) -> None:
    with closing(opened(file)) as rack:
        assert all(rack.put_all(Racked(bottle(number, 1)) for number in range(count)))


def refusal(file: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        opened(file)
    assert str(file) in caught.value.message
    assert caught.value.cure
    return caught.value


def foreign(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)


# -- whose it is, and what version ------------------------------------------------------------------------
def test_only_its_owner_can_read_it(file: Path) -> None:
    with closing(opened(file)) as rack:
        rack.put(bottle(1, 1))
        modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in file.parent.iterdir()}
    assert modes == {"rack.sqlite": 0o600, "rack.sqlite-wal": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [found.name for found in file.parent.iterdir()] == ["rack.sqlite"], "closing leaves no log"


def test_the_file_says_what_it_is(file: Path) -> None:
    filled(file)
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("SELECT network_id FROM rack").fetchall() == [(NETWORK,)]


def test_the_log_is_written_ahead_and_the_disk_waited_for_as_configured(file: Path) -> None:
    for option, level in (("normal", 1), ("full", 2)):
        with closing(opened(file, synchronous=option)) as rack:
            assert rack._file.rows("PRAGMA synchronous") == [(level,)]
            assert rack._file.rows("PRAGMA journal_mode") == [("wal",)]
            assert rack._file.rows("PRAGMA locking_mode") == [("exclusive",)]


def test_the_driver_s_options(tmp_path: Path) -> None:
    for wrong in ({"capacity": 0}, {"synchronous": "off"}, {"file": "x"}):
        with pytest.raises(ValidationError):
            SqliteRack.Config.model_validate(wrong)
    with closing(
        opened(tmp_path / "rack.sqlite", path=str(tmp_path / "elsewhere" / "r"), capacity=1)
    ) as rack:
        assert rack.put(bottle(1, 1)) is Kept.STORED
        assert rack.put(bottle(2, 1)) is Kept.FULL
    assert (tmp_path / "elsewhere" / "r").exists()
    assert not (tmp_path / "rack.sqlite").exists()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('A')",
        "PRAGMA application_id = 7; CREATE TABLE bottles (id INTEGER)",
        "PRAGMA application_id = 7",
    ],
)
def test_another_program_s_database_is_left_as_it_is(file: Path, script: str) -> None:
    foreign(file, script)
    before = file.read_bytes()
    assert "is not a rack" in refusal(file).message
    assert file.read_bytes() == before
    assert [found.name for found in file.parent.iterdir()] == ["rack.sqlite"]


def test_what_is_no_database_is_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    for data in (b"my diary, dear diary" * 100, b"x", bytes(8192)):
        file.write_bytes(data)
        assert "is not a rack" in refusal(file).message
        assert file.read_bytes() == data


def test_a_newer_version_s_file_is_left_as_it_is(file: Path) -> None:
    filled(file)
    foreign(file, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert "newer Port17" in refusal(file).message
    foreign(file, f"PRAGMA user_version = {len(MIGRATIONS)}")
    with closing(opened(file)) as rack:
        assert len(rack) == 3


def test_version_1_written_by_hand_can_be_read(file: Path) -> None:
    foreign(file, VERSION_1)
    kept = bottle(1, 7, label_seq=3, name="Oak")
    parts = kept.encode()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("INSERT INTO rack VALUES (?)", (NETWORK,))
        label, contents, bundle = cbor.decode(parts, cap=len(parts))  # type: ignore[misc]
        row = (
            kept.fingerprint,
            3,
            7,
            "Oak",
            0,
            "",
            "public",
            0,
            1.5,
            "too slow",
            *map(cbor.encode, (label, contents, bundle)),
        )
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO bottles VALUES (NULL, {marks})", row)
    with closing(opened(file)) as rack:
        assert rack.held(kept.fingerprint) == Racked(kept, 1.5, "too slow")
        assert rack.encoded(kept.fingerprint) == parts
        assert rack.named("oak") == (kept.fingerprint,)
        assert rack.put(bottle(1, 8, label_seq=3, name="Oak")) is Kept.STORED


def test_what_version_1_is_never_changes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever wants other tables adds a step: files of this version are out there.
    monkeypatch.setattr(rack_file, "MIGRATIONS", MIGRATIONS[:1])
    opened(file).close()
    by_hand = file.with_name("by-hand")
    foreign(by_hand, VERSION_1)
    schemas = []
    for each in (file, by_hand):
        with closing(sqlite3.connect(each)) as db:
            rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
            schemas.append([tuple(" ".join(str(cell).split()) for cell in row) for row in rows])
    assert schemas[0] == schemas[1]


def test_an_older_version_s_file_is_brought_up_step_by_step(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(file)
    two = ("ALTER TABLE bottles ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",)
    three = ("CREATE TABLE trees (name TEXT)", "INSERT INTO trees SELECT name FROM bottles")
    broken = (three[0], "INSERT INTO trees SELECT age FROM bottles")
    # The last step fails in its middle: the one before stays done, of the last there is nothing.
    monkeypatch.setattr(rack_file, "MIGRATIONS", (*MIGRATIONS, two, broken))
    assert "no such column" in refusal(file).message
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'trees'").fetchall() == []
    monkeypatch.setattr(rack_file, "MIGRATIONS", (*MIGRATIONS, two, three))
    for _ in range(2):
        with closing(opened(file)) as rack:
            assert rack._file.rows("SELECT colour FROM bottles") == [("red",)] * 3
            assert len(rack._file.rows("SELECT name FROM trees")) == 3
            assert list(rack) == [bottle(number, 1) for number in range(3)]


def test_a_file_that_was_only_begun_is_finished(file: Path) -> None:
    # A process may be killed after each step of making one.
    for script in ("", f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA journal_mode = WAL"):
        file.unlink(missing_ok=True)
        foreign(file, script)
        with closing(opened(file)) as rack:
            assert rack.put(bottle(1, 1)) is Kept.STORED


# -- damage ----------------------------------------------------------------------------------------------
def overwrite(file: Path, at: int, data: bytes) -> bytes:
    damaged = bytearray(file.read_bytes())
    damaged[at : at + len(data)] = data
    file.write_bytes(damaged)
    return bytes(damaged)


def test_a_damaged_file_is_moved_aside_and_the_next_start_is_a_good_one(file: Path) -> None:
    for number in (1, 2):
        filled(file)
        # Behind the header: the schema.
        damaged = overwrite(file, 100, b"\xff" * 3000)
        error = refusal(file)
        aside = file.with_name(f"rack.sqlite.damaged-{number}")
        assert "is damaged" in error.message
        assert str(aside) in error.message
        assert aside.read_bytes() == damaged
        assert not file.exists()
        with closing(opened(file)) as rack:
            assert len(rack) == 0


def test_damage_that_is_met_later_is_told_and_the_next_start_is_a_good_one(file: Path) -> None:
    filled(file, 200)
    hit = bottle(150, 1)
    page = file.read_bytes().index(hit.label_envelope.signature) // PAGE * PAGE
    damaged = overwrite(file, page, b"\xff" * PAGE)
    rack = opened(file)
    assert len(rack) == 200
    with pytest.raises(ConfigError, match="is damaged") as caught:
        rack.get(hit.fingerprint)
    assert "Start again" in caught.value.cure
    with pytest.raises(ConfigError, match="is damaged"):
        rack.put(bottle(1, 2))
    rack.close()
    assert file.with_name("rack.sqlite.damaged-1").read_bytes() == damaged
    with closing(opened(file)) as fresh:
        assert len(fresh) == 0


def test_one_bottle_that_cannot_be_read_costs_no_other(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(file, 4)
    fingerprints = [bottle(number, 1).fingerprint for number in range(4)]
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE bottles SET contents = x'ff' WHERE fingerprint = ?", fingerprints[:1])
        db.execute("UPDATE bottles SET label = x'a0' WHERE fingerprint = ?", fingerprints[1:2])
        of_another = "SELECT label FROM bottles WHERE fingerprint = ?"
        db.execute(f"UPDATE bottles SET label = ({of_another}) WHERE fingerprint = ?", fingerprints[:1:-1])
    with caplog.at_level(logging.WARNING), closing(opened(file)) as rack:
        assert rack.get(fingerprints[0]) is None
        assert [one.fingerprint for one in rack] == [fingerprints[3]]
        assert len(rack) == 1
        assert rack.put(bottle(0, 1)) is Kept.STORED
    assert len(caplog.records) == 3


# -- the machine -----------------------------------------------------------------------------------------
def test_a_second_process_is_told_until_the_first_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rack_file, "WAIT_S", 0.05)
    filled(file)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert "another process has" in refusal(file).message
        holder.kill()
        holder.wait()
    with closing(opened(file)) as rack:
        assert len(rack) == 3
        # One that was only opened, and has written nothing, has the file for itself all the same.
        assert "another process has" in refusal(file).message
        assert rack.put(bottle(9, 1)) is Kept.STORED


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert "can't be opened" in refusal(tmp_path / "file" / "rack.sqlite").message
    (tmp_path / "rack.sqlite").mkdir()
    assert "can't be opened" in refusal(tmp_path / "rack.sqlite").message


def test_a_full_disk_is_told_and_changes_nothing(file: Path) -> None:
    with closing(opened(file)) as rack:
        assert rack.put(bottle(1, 1))
        pages = rack._file.rows("PRAGMA page_count")[0][0]
        rack._file.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(ConfigError, match="the disk is full"):
            rack.put_all(Racked(bottle(number, 1)) for number in range(50))
        assert len(rack) == len(list(rack)) == 1
        rack._file.rows("PRAGMA max_page_count = 100000")
        assert rack.put(bottle(2, 1)) is Kept.STORED
        assert len(rack) == 2


def test_a_rack_that_is_not_open_says_so(file: Path) -> None:
    rack = SqliteRack()
    rack.close()
    with pytest.raises(LocalViolation, match="before it was opened"):
        rack.put(bottle(1, 1))
    rack.open(NETWORK, file.parent)
    rack.close()
    rack.close()
    with pytest.raises(LocalViolation, match="after it was closed"):
        list(rack)


@pytest.mark.parametrize("count", [13, 14, 15])
def test_no_bottle_is_missed_between_pages(file: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_rack, "PAGE_BOTTLES", 7)
    monkeypatch.setattr(sqlite_rack, "PAGE_STAMPS", 7)
    monkeypatch.setattr(sqlite_rack, "REMOVE_BATCH", 7)
    filled(file, count)
    expected = sorted(bottle(number, 1).fingerprint for number in range(count))
    with closing(opened(file)) as rack:
        assert [stamp.fingerprint for stamp in rack.stamps()] == expected
        assert sorted(one.fingerprint for one in rack) == expected
        rack.remove(*expected[1:])
        assert (len(rack), [stamp.fingerprint for stamp in rack.stamps()]) == (1, expected[:1])


def test_bottles_are_read_one_page_after_the_other(file: Path) -> None:
    count = 400
    with closing(opened(file)) as rack:
        rack.put_all(Racked(bottle(number, 1, prekeys=8)) for number in range(count))
        [(size,)] = rack._file.rows(
            "SELECT sum(length(label) + length(contents) + length(bundle)) FROM bottles"
        )
        assert isinstance(size, int)
        tracemalloc.start()
        try:
            assert sum(1 for one in rack if one.verify(NETWORK, {"ed25519": SCHEME}, 10) is None) == count
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size > 3_500_000
    assert peak < size / 3, "a third of all in memory at once"


def test_what_is_asked_of_all_nodes_is_read_from_an_index(file: Path) -> None:
    with closing(opened(file)) as rack:
        plans: dict[str, str] = {}
        ask = rack._file.rows

        def explained(query: str, *values: object) -> list[tuple[object, ...]]:
            plan = " ".join(str(row[3]) for row in ask(f"EXPLAIN QUERY PLAN {query}", *values))
            plans[query] = plan
            return ask(query, *values)

        rack._file.rows = explained  # type: ignore[method-assign]
        list(rack.stamps())
        list(rack.namings())
        rack.named("oak")
        rack.bucket(8, 1)
        assert len(plans) == 4
        assert all("USING COVERING INDEX" in plan and "TEMP" not in plan for plan in plans.values()), plans
        plans.clear()
        list(rack.successors())
        assert any("USING INDEX successors" in plan for plan in plans.values()), plans
