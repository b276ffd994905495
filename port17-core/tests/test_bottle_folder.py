"""A folder of bottles that changes under a running process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from port17.bottles.folder import RETRY_S, BottleFolder, Sight, look
from port17.bottles.intake import Intake, Sender
from port17.bottles.outcome import Outcome
from port17.bottles.rack import MemoryRack, load_directory, save_bottle
from port17.bottles.validation import NOTHING_KNOWN, Known, Terms
from port17.bottles.verdict import ACCEPT, Verdict, distrust
from port17.records.bottle import Bottle, Contents, Label
from port17.records.identity import Identity
from port17.records.scheme import SigningKey
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
NETWORK = bytes(32)
NOW = 1_800_000_000
TERMS = Terms(NETWORK, {"ed25519": SCHEME}, NOW)
KEY, OTHER = SCHEME.generate(), SCHEME.generate()


def bottle(key: SigningKey = KEY, label_seq: int = 5, seq: int = NOW, name: str = "node") -> Bottle:
    identity = Identity.made(scheme="ed25519", public=key.public)
    label = Label.made(identity=identity, name=name, suites=["p17-1-test"], seq=label_seq)
    contents = Contents.made(fingerprint=identity.fingerprint, seq=seq)
    return Bottle.seal(NETWORK, SCHEME, key, label, contents)


class Judges:
    """Validators of which a test says what they answer."""

    def __init__(self) -> None:
        self.verdicts: Callable[[Bottle], Verdict] = lambda bottle: ACCEPT

    def verify_bottle(self, bottle: Bottle, terms: Terms) -> Verdict:
        return ACCEPT

    def judge_bottle(self, bottle: Bottle, known: Known = NOTHING_KNOWN) -> Verdict:
        return self.verdicts(bottle)


class Watched:
    """A folder, a rack, and what the last look changed."""

    def __init__(self, path: Path) -> None:
        self.rack = MemoryRack()
        self.judges = Judges()
        self.intake = Intake(self.rack, self.judges, NETWORK)
        self.folder = BottleFolder(path, self._take, self._forget)
        self.now_s = 0.0
        self.read: list[str] = []

    def _take(self, bottle: Bottle, sender: Sender, now_s: float) -> Outcome:
        return self.intake.take(bottle, sender, TERMS).outcome

    def _forget(self, fingerprint: bytes) -> None:
        self.rack.remove(fingerprint)
        self.intake.forget(fingerprint)

    def look(self) -> list[str]:
        """The problems that are new."""

        def verify(bottle: Bottle) -> None:
            self.read.append(bottle.label.name)
            bottle.verify(NETWORK, {"ed25519": SCHEME}, NOW)

        self.read.clear()
        sight: Sight = look(self.folder.path, self.folder.known(self.now_s), verify)
        return self.folder.take(sight, self.now_s)

    @property
    def names(self) -> list[str]:
        return sorted(one.label.name for one in self.rack.trusted())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_new_changed_and_removed_bottles(watched: Watched, tmp_path: Path) -> None:
    assert watched.look() == []
    file = save_bottle(tmp_path, bottle())
    save_bottle(tmp_path, bottle(OTHER, name="other"))
    (tmp_path / "README").write_text("no bottle")
    assert watched.look() == []
    assert watched.names == ["node", "other"]
    assert watched.look() == []
    assert watched.read == [], "what has not changed is not read"
    save_bottle(tmp_path, bottle(label_seq=6, seq=NOW + 1, name="renamed"))
    assert watched.look() == []
    assert (watched.names, watched.read) == (["other", "renamed"], ["renamed"])
    file.unlink()
    assert watched.look() == []
    assert watched.names == ["other"]


def test_a_copy_elsewhere_keeps_a_node(watched: Watched, tmp_path: Path) -> None:
    file = save_bottle(tmp_path, bottle())
    (tmp_path / "copy.bottle").write_bytes(file.read_bytes())
    watched.look()
    file.unlink()
    assert watched.look() == []
    assert watched.names == ["node"]


def test_a_file_that_becomes_another_node_s(watched: Watched, tmp_path: Path) -> None:
    file = save_bottle(tmp_path, bottle())
    watched.look()
    file.write_bytes(bottle(OTHER, name="other").encode())
    assert watched.look() == []
    assert watched.names == ["other"]


@pytest.mark.parametrize(
    ("label_seq", "seq"), [(4, NOW), (5, NOW - 1), (4, NOW - 1), (4, NOW + 9), (9, NOW - 1)]
)
def test_an_older_bottle_is_refused_even_behind_a_removal(
    watched: Watched, tmp_path: Path, label_seq: int, seq: int
) -> None:
    """Label and contents by themselves: an old one does not come back beside a new one."""
    file = save_bottle(tmp_path, bottle())
    watched.look()
    save_bottle(tmp_path, bottle(label_seq=label_seq, seq=seq, name="older"))
    (problem,) = watched.look()
    assert problem.startswith(str(file))
    assert "is older than one that was seen" in problem
    assert watched.names == ["node"]
    file.unlink()
    watched.look()
    save_bottle(tmp_path, bottle(label_seq=label_seq, seq=seq, name="older"))
    assert "is older" in watched.look()[0]
    assert watched.names == []


def test_a_file_that_the_network_has_overtaken_is_no_problem(watched: Watched, tmp_path: Path) -> None:
    watched.rack.put(bottle(label_seq=6, seq=NOW + 1, name="newer"))
    save_bottle(tmp_path, bottle())
    assert watched.look() == []
    assert watched.names == ["newer"]


def test_one_number_says_one_thing(watched: Watched, tmp_path: Path) -> None:
    save_bottle(tmp_path, bottle())
    watched.look()
    save_bottle(tmp_path, bottle(name="twin"))
    taken = watched.look()
    assert "it has signed two labels for one sequence number" in taken[0]
    assert watched.names == [], "who equivocates is banned"
    (proof,) = watched.intake.bans
    proof.verify(NETWORK, TERMS.schemes)
    save_bottle(tmp_path, bottle(label_seq=9, seq=NOW + 9))
    assert "is banned" in watched.look()[0]
    assert watched.names == []


def test_a_damaged_file_is_named_once_and_what_was_held_stays(watched: Watched, tmp_path: Path) -> None:
    file = save_bottle(tmp_path, bottle())
    save_bottle(tmp_path, bottle(OTHER, name="other"))
    watched.look()
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    (problem,) = watched.look()
    assert problem.startswith(str(file))
    assert watched.look() == []
    assert watched.names == ["node", "other"]
    watched.now_s += RETRY_S + 1
    assert watched.look() == [], "it was read again, and said already"
    file.write_bytes(whole)
    assert watched.look() == []
    file.unlink()
    watched.look()
    assert watched.names == ["other"], "the damage did not detach the file from its node"


def test_a_forged_bottle_changes_nothing(watched: Watched, tmp_path: Path) -> None:
    file = save_bottle(tmp_path, bottle())
    watched.look()
    real, forged = bottle(), bottle(OTHER, label_seq=9, seq=NOW + 1, name="forged")
    file.write_bytes(
        Bottle(real.label_envelope, forged.contents_envelope, (), real.label, forged.contents).encode()
    )
    assert watched.look()
    assert watched.names == ["node"]


def test_what_was_refused_is_tried_again_later(watched: Watched, tmp_path: Path) -> None:
    save_bottle(tmp_path, bottle(seq=NOW + 500))
    assert "in the future" in watched.look()[0]
    watched.look()
    assert watched.read == []
    watched.now_s += RETRY_S + 1
    watched.look()
    assert watched.read == ["node"]


def test_validators_leave_out_and_take_back(watched: Watched, tmp_path: Path) -> None:
    save_bottle(tmp_path, bottle())
    watched.look()
    watched.judges.verdicts = lambda bottle: distrust("it is odd")
    save_bottle(tmp_path, bottle(seq=NOW + 1))
    taken = watched.look()
    assert "it is odd" in taken[0]
    assert (len(watched.rack), watched.names) == (1, []), "it is held, and no route uses it"
    watched.judges.verdicts = lambda bottle: ACCEPT
    save_bottle(tmp_path, bottle(seq=NOW + 2))
    watched.look()
    assert watched.names == ["node"]


def test_everything_is_read_again_when_it_is_to_be(watched: Watched, tmp_path: Path) -> None:
    save_bottle(tmp_path, bottle())
    watched.look()
    watched.folder.forget()
    assert watched.look() == []
    assert watched.read == ["node"]


def _bind(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(file))


STRANGE: dict[str, Callable[[Path], None]] = {
    "a link to itself": lambda file: file.symlink_to(file.name),
    "a link to nothing": lambda file: file.symlink_to("nothing"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": _bind,
    "a device": lambda file: file.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_no_file_keeps_nobody_from_reading_the_others(
    watched: Watched, tmp_path: Path, strange: str
) -> None:
    file = tmp_path / "a.bottle"  # the first that is looked at
    STRANGE[strange](file)
    save_bottle(tmp_path, bottle())
    taken = watched.look()
    assert watched.names == ["node"]
    assert len(taken) == (0 if strange == "a link to nothing" else 1)
    assert watched.look() == [], "it is said once"
    store = MemoryRack()
    problems = load_directory(tmp_path, NETWORK, {"ed25519": SCHEME}, store, NOW)
    assert ([problem.message.split(":")[0] for problem in problems], len(store)) == ([str(file)], 1)


def test_a_file_that_becomes_a_pipe_leaves_what_it_said(watched: Watched, tmp_path: Path) -> None:
    file = save_bottle(tmp_path, bottle())
    watched.look()
    file.unlink()
    os.mkfifo(file)
    assert len(watched.look()) == 1
    assert watched.names == ["node"]
    file.unlink()
    save_bottle(tmp_path, bottle(label_seq=6, seq=NOW + 1, name="again"))
    assert watched.look() == []


def test_a_folder_that_is_gone_is_said(watched: Watched, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(OSError, match="No such file"):
        watched.look()
