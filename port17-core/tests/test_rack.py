"""The rack: which bottle is kept, and that one bad file costs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from port17.bottles.rack import BottleStore, MemoryRack, load_bottle, load_directory, save_bottle
from port17.errors import ConfigError, RecordError
from port17.records.bottle import BOTTLE_CAP, Bottle, Contents, Label
from port17.records.identity import Identity
from port17.records.scheme import SigningKey
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
SCHEMES = {"ed25519": SCHEME}
KEY = SCHEME.generate()
NETWORK = bytes(range(32))
NOW = 1000


def bottle(key: SigningKey = KEY, *, network: bytes = NETWORK, label_seq: int = 0, seq: int = NOW) -> Bottle:
    identity = Identity.made(scheme="ed25519", public=key.public)
    label = Label.made(identity=identity, name="node", suites=["p17-1-test"], seq=label_seq)
    contents = Contents.made(fingerprint=identity.fingerprint, seq=seq)
    return Bottle.seal(network, SCHEME, key, label, contents)


def load(folder: Path, store: BottleStore, **changed: Any) -> list[RecordError]:
    return load_directory(folder, NETWORK, SCHEMES, store, NOW, **changed)


def test_the_newest_bottle_of_a_node_is_kept() -> None:
    rack = MemoryRack()
    old, new, newest = bottle(seq=1), bottle(seq=2), bottle(label_seq=1, seq=3)
    assert rack.get(old.fingerprint) is None
    assert rack.put(new)
    assert not rack.put(old)
    assert rack.get(old.fingerprint) is new
    assert rack.put(newest)
    assert not rack.put(new)
    assert rack.put(bottle(label_seq=2, seq=2)), "the label is new"
    assert [held.sequence for held in rack] == [(2, 3)], "and old contents do not come back beside it"
    assert rack.put(bottle(label_seq=0, seq=4)), "the contents are new"
    assert [held.sequence for held in rack] == [(2, 4)], "and an old label does not come back beside them"
    rack.remove(newest.fingerprint)
    rack.remove(newest.fingerprint)
    assert len(rack) == 0


def test_a_full_rack_refuses_strangers_and_evicts_nobody() -> None:
    rack = MemoryRack(MemoryRack.Config(capacity=2))
    one, two = bottle(), bottle(SCHEME.generate())
    assert rack.put(one)
    assert rack.put(two)
    assert not rack.put(bottle(SCHEME.generate()))
    assert rack.put(bottle(label_seq=9))
    assert len(rack) == 2
    assert rack.get(two.fingerprint) is two


def test_iteration_sees_the_rack_as_it_was() -> None:
    rack = MemoryRack()
    rack.put(bottle())
    for _ in rack:
        rack.put(bottle(SCHEME.generate()))
    assert len(rack) == 2


def test_an_empty_rack_is_a_rack() -> None:
    assert MemoryRack()


def test_the_driver_s_options() -> None:
    with pytest.raises(ValidationError):
        MemoryRack.Config(capacity=0)
    with pytest.raises(ValidationError):
        MemoryRack.Config.model_validate({"size": 1})


def test_a_folder_is_loaded_and_bad_bottles_are_named(tmp_path: Path) -> None:
    good = [bottle(SCHEME.generate()) for _ in range(3)]
    for each in good:
        save_bottle(tmp_path, each)
    (tmp_path / "noise.bottle").write_bytes(b"noise")
    (tmp_path / "huge.bottle").write_bytes(bytes(BOTTLE_CAP + 1))
    (tmp_path / "foreign.bottle").write_bytes(bottle(network=bytes(32)).encode())
    (tmp_path / "early.bottle").write_bytes(bottle(seq=NOW + 200).encode())
    (tmp_path / "folder.bottle").mkdir()
    (tmp_path / "readme.txt").write_text("not a bottle")
    rack = MemoryRack()
    problems = load(tmp_path, rack)
    assert {held.fingerprint for held in rack} == {each.fingerprint for each in good}
    named = [problem.message.split(":")[0] for problem in problems]
    assert named == [
        str(tmp_path / f"{name}.bottle") for name in ("early", "folder", "foreign", "huge", "noise")
    ]
    assert load(tmp_path, MemoryRack(), skew_s=200)[0].message != problems[0].message


def test_two_files_of_one_node_give_the_newer_bottle(tmp_path: Path) -> None:
    (tmp_path / "a.bottle").write_bytes(bottle(label_seq=2).encode())
    (tmp_path / "b.bottle").write_bytes(bottle(label_seq=1).encode())
    rack = MemoryRack()
    assert load(tmp_path, rack) == []
    assert [held.label.seq for held in rack] == [2]


def test_a_saved_bottle_reads_back_and_replaces_the_old_one(tmp_path: Path) -> None:
    save_bottle(tmp_path, bottle(label_seq=1))
    file = save_bottle(tmp_path, bottle(label_seq=2))
    assert file == tmp_path / f"{bottle().node_id}.bottle"
    assert load_bottle(file).label.seq == 2
    assert list(tmp_path.iterdir()) == [file]


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none", MemoryRack())
    with pytest.raises(ConfigError, match="can't be written"):
        save_bottle(tmp_path / "none", bottle())
