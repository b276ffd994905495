"""A charter's file under a running process: what adds to it is taken over, nothing takes anything back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from port17.errors import ConfigError, RecordError
from port17.records.charter import Charter
from port17.records.charter_file import CharterFile

from .amended_network import BEGUN, CHACHA, SCHEME, UPDATE_KEY, X25519, XWING, Amended

SCHEMES = {"ed25519": SCHEME}


@pytest.fixture
def net(tmp_path: Path) -> Amended:
    return Amended(tmp_path)


def reader(net: Amended) -> CharterFile:
    return CharterFile(net.file, net.folder / "memory", SCHEMES)


def test_a_later_charter_is_taken_over_once(net: Amended) -> None:
    file = reader(net)
    held = file.load()
    assert file.look(held) is None
    amended = net.amend(suites=[XWING, X25519])
    assert file.look(held) == amended
    assert file.look(amended) is None
    net.file.touch()
    assert file.look(amended) is None, "another time, and nothing new"


def test_two_revisions_at_once(net: Amended) -> None:
    file = reader(net)
    held = file.load()
    net.amend(suites=[XWING, X25519])
    newest = net.amend(suites=[XWING])
    assert file.look(held) == newest


def test_an_older_charter_is_refused_once_per_file(net: Amended) -> None:
    older = net.charter
    net.amend()
    file = reader(net)
    held = file.load()
    older.dump(net.file)
    with pytest.raises(RecordError, match="ends with revision 0, and revision 1 was seen"):
        file.look(held)
    assert file.look(held) is None
    held.dump(net.file)
    assert file.look(held) is None


def test_a_fork_is_refused(net: Amended) -> None:
    root = net.charter
    file = reader(net)
    file.load()
    held = net.amend(suites=[XWING, X25519])
    net.charter = root
    net.amend(suites=[CHACHA])
    with pytest.raises(RecordError, match="its revision 1 is another than the revision 1 that was seen"):
        file.look(held)
    net.amend(suites=[CHACHA, X25519])
    with pytest.raises(RecordError, match="its revision 1 is another"):
        file.look(held)


def test_another_network_s_charter_is_refused(net: Amended, tmp_path: Path) -> None:
    file = reader(net)
    held = file.load()
    (tmp_path / "other").mkdir()
    other = Amended(tmp_path / "other", prekey_lifetime_s=3600)
    other.charter = type(other.charter).found(
        other.charter.genesis.model_copy(update={"name": "elsewhere"}),
        other.charter.revisions[0].revision,
        [(SCHEME, UPDATE_KEY)],
    )
    other.charter.dump(net.file)
    with pytest.raises(RecordError, match="charter of the network elsewhere, not of net"):
        file.look(held)


@pytest.mark.parametrize("damage", [b"", b"nonsense", None, "a flipped letter"])
def test_a_damaged_file_is_refused_and_its_repair_taken(net: Amended, damage: bytes | str | None) -> None:
    file = reader(net)
    held = file.load()
    amended = net.amend()
    text = net.file.read_bytes()
    if damage is None:
        net.file.unlink()
        assert file.look(held) is None, "replaced in two steps, it is missing for a moment"
    else:
        middle = len(text) // 2
        flipped = text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1 :]
        net.file.write_bytes(damage if isinstance(damage, bytes) else flipped)
        with pytest.raises(ConfigError, match=r"net\.charter"):
            file.look(held)
        assert file.look(held) is None
    net.file.write_bytes(text)
    assert file.look(held) == amended


def test_a_revision_that_nobody_may_sign_is_refused(net: Amended) -> None:
    file = reader(net)
    held = file.load()
    amended = net.amend(suites=[XWING], write=False)
    last = amended.revisions[-1]
    revision = last.revision.model_copy(update={"suites": (X25519,)})
    forged = type(last)(revision, revision.to_cbor(), last.signatures)
    type(amended)(amended.genesis, amended.genesis_payload, (*amended.revisions[:-1], forged)).dump(net.file)
    with pytest.raises(RecordError, match="signature of update key 0 is not valid"):
        file.look(held)


def test_no_restart_brings_an_older_charter_back(net: Amended, caplog: pytest.LogCaptureFixture) -> None:
    older = net.charter
    file = reader(net)
    held = file.load()
    amended = net.amend(suites=[XWING])
    assert file.look(held) == amended
    file.remember(amended)
    older.dump(net.file)
    with caplog.at_level(logging.ERROR):
        assert reader(net).load() == amended
    assert "is refused: it ends with revision 0, and revision 1 was seen already" in caplog.text
    assert "revision 1 stays in force" in caplog.text
    net.charter = older
    net.amend(suites=[CHACHA])
    assert reader(net).load() == amended, "nor does a fork"


def test_who_only_looks_sees_the_newest_and_writes_nothing(net: Amended) -> None:
    older = net.charter
    assert reader(net).read() == older
    assert not (net.folder / "memory").exists()
    amended = net.amend(suites=[XWING])
    reader(net).load()
    older.dump(net.file)
    assert reader(net).read() == amended
    net.charter = amended
    net.amend(suites=[CHACHA])
    assert reader(net).read() == net.charter
    (memory,) = (net.folder / "memory").iterdir()
    assert Charter.load(memory, SCHEMES) == amended


def test_what_is_remembered_is_never_in_the_way(net: Amended) -> None:
    reader(net).load()
    (memory,) = (net.folder / "memory").iterdir()
    assert memory.name == f"{net.charter.network_id[:8].hex()}.charter"
    memory.write_bytes(b"damaged")
    assert reader(net).load() == net.charter
    (net.folder / "taken").write_text("a file where a folder should be")
    assert CharterFile(net.file, net.folder / "taken", SCHEMES).load() == net.charter


def test_no_restart_takes_a_process_into_another_network(net: Amended, tmp_path: Path) -> None:
    reader(net).load()
    (tmp_path / "second").mkdir()
    second = Amended(tmp_path / "second")
    second.charter = type(second.charter).found(
        second.charter.genesis.model_copy(update={"created": BEGUN + 1}),
        second.charter.revisions[0].revision,
        [(SCHEME, UPDATE_KEY)],
    )
    second.charter.dump(second.file)
    ours = net.charter
    second.charter.dump(net.file)
    with pytest.raises(ConfigError, match="belongs to another network") as refused:
        reader(net).load()
    assert "`state`" in refused.value.cure
    assert second.charter.network_id[:8].hex() in refused.value.message
    assert ours.network_id[:8].hex() in refused.value.message
    (memory,) = (net.folder / "memory").iterdir()
    memory.write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="belongs to another network"):
        reader(net).load()
    assert CharterFile(net.file, net.folder / "new", SCHEMES).load() == second.charter
    ours.dump(net.file)
    assert reader(net).load() == ours
