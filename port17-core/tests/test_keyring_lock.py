"""Identities under a passphrase: what opens them, what is refused, and that nothing else may change."""

from __future__ import annotations

import getpass
import io
import os
from pathlib import Path
from typing import Any

import pytest

from port17.errors import ConfigError, PassphraseError, PluginError, RecordError
from port17.node.identity_file import IDENTITY_FILE, IdentityFile, Locker
from port17.node.key_lock import MEMORY_CAP, MEMORY_FLOOR, USUAL_WORK, WORK_CAP, Lock, Work
from port17.node.keyring import Keyring
from port17.node.passphrase import PASSPHRASE_CAP, source
from port17.records import cbor
from port17.wire.suite import CipherSuite
from port17_crypto.schemes import Ed25519
from port17_crypto.suites import X25519ChaCha20Poly1305Blake2s, XWingAes256GcmSha256

SCHEME = Ed25519()
GCM, CHACHA = XWingAes256GcmSha256(), X25519ChaCha20Poly1305Blake2s()
SUITES: dict[str, CipherSuite] = {suite.name: suite for suite in (GCM, CHACHA)}
NETWORK = bytes(range(32))
CHEAP = Work(15, 8, 1)
"""The least that is accepted: tests make many guesses."""
SECRET = b"seventeen gulls"


def create(folder: Path, suite: CipherSuite = GCM, passphrase: bytes = SECRET) -> Keyring:
    return Keyring.create(folder, SCHEME, [GCM], NETWORK, 5, 2, 100, locker=Locker(passphrase, suite, CHEAP))


def load(folder: Path, passphrase: bytes | None = SECRET, **changed: Any) -> Keyring:
    ask = None if passphrase is None else lambda: passphrase
    fields = {"schemes": {"ed25519": SCHEME}, "suites": SUITES, "network_id": NETWORK, "passphrase": ask}
    return Keyring.load(folder, **{**fields, **changed})


@pytest.mark.parametrize("suite", [GCM, CHACHA], ids=["gcm", "chacha"])
def test_a_passphrase_locks_and_opens(tmp_path: Path, suite: CipherSuite) -> None:
    made = create(tmp_path, suite)
    private = SCHEME.private_bytes(made.signing_key)
    assert not any(private in file.read_bytes() for file in tmp_path.iterdir())
    read = load(tmp_path)
    assert SCHEME.private_bytes(read.signing_key) == private
    assert read.identity == made.identity
    assert len(read.prekeys) == 2
    held = IdentityFile.read(tmp_path / IDENTITY_FILE)
    assert held.lock is not None
    assert held.lock.suite == suite.name
    assert held.identity == made.identity  # without any passphrase


def test_two_locks_share_nothing(tmp_path: Path) -> None:
    plain = IdentityFile.plain(SCHEME, SCHEME.generate())
    one, two = (plain.locked(Locker(SECRET, GCM, CHEAP)) for _ in range(2))
    assert one.lock is not None
    assert two.lock is not None
    assert one.lock.salt != two.lock.salt
    assert one.private != two.private


@pytest.mark.parametrize(
    "wrong", [b"", b"seventeen gull", b"seventeen gulls\n", b"Seventeen gulls", SECRET * 9]
)
def test_a_wrong_passphrase_is_one_error_with_a_cure(tmp_path: Path, wrong: bytes) -> None:
    create(tmp_path)
    with pytest.raises(PassphraseError, match="does not open") as raised:
        load(tmp_path, wrong)
    assert str(tmp_path / IDENTITY_FILE) in raised.value.message
    assert "backup" in raised.value.cure
    assert raised.value.exit_code == 3
    for form in (wrong.decode(), SECRET.decode()):
        assert not form or form not in str(raised.value)


def test_without_anybody_to_ask_it_says_how(tmp_path: Path) -> None:
    create(tmp_path)
    with pytest.raises(PassphraseError, match="locked with a passphrase") as raised:
        load(tmp_path, None)
    assert "--passphrase-fd" in raised.value.cure
    assert "identity.passphrase_file" in raised.value.cure


def test_nobody_is_asked_for_what_is_not_locked(tmp_path: Path) -> None:
    Keyring.create(tmp_path, SCHEME, [], NETWORK, 0, 0, 1)
    load(tmp_path, passphrase=lambda: pytest.fail("it asked"))


def test_a_suite_that_is_gone_is_named(tmp_path: Path) -> None:
    create(tmp_path, CHACHA)
    with pytest.raises(ConfigError, match=CHACHA.name) as raised:
        load(tmp_path, suites={GCM.name: GCM})
    assert "Install" in raised.value.cure

    def find(name: str) -> CipherSuite:
        raise PluginError(f"{name} is broken")

    with pytest.raises(ConfigError, match="is broken"):
        load(tmp_path, find_suite=find, passphrase=lambda: pytest.fail("it asked"))
    # What the charter allows has no say in it.
    assert load(tmp_path, suites={}, find_suite=lambda name: SUITES[name]).identity


def test_every_byte_of_the_file_is_bound(tmp_path: Path) -> None:
    create(tmp_path)
    file = tmp_path / IDENTITY_FILE
    good = file.read_bytes()
    value = cbor.decode(good, cap=1 << 16)
    assert isinstance(value, dict)
    other = SCHEME.generate()
    forged = {
        "identity": {**value["identity"], "public": other.public},
        "lock": {**value["lock"], "salt": bytes(32)},
        "suite": {**value["lock"], "suite": CHACHA.name},
        "work": {**value["lock"], "log_n": 16},
        "private": bytes([value["private"][0] ^ 1]) + value["private"][1:],
        "short": value["private"][:15],
    }
    for name, field in forged.items():
        key = {"suite": "lock", "work": "lock", "short": "private"}.get(name, name)
        file.write_bytes(cbor.encode({**value, key: field}))
        with pytest.raises(PassphraseError, match="does not open"):
            load(tmp_path)
    # A header that says the box is a bare key.
    file.write_bytes(cbor.encode({**value, "lock": None}))
    with pytest.raises(ConfigError, match="no usable key"):
        load(tmp_path)
    file.write_bytes(good)
    load(tmp_path)


def test_the_predecessors_are_bound_too(tmp_path: Path) -> None:
    made = create(tmp_path)
    made.succeed(SCHEME, SUITES, NETWORK, locker=Locker(SECRET, GCM, CHEAP))
    file = tmp_path / IDENTITY_FILE
    value = cbor.decode(file.read_bytes(), cap=1 << 16)
    assert isinstance(value, dict)
    assert len(value["predecessors"]) == 1
    file.write_bytes(cbor.encode({**value, "predecessors": []}))
    with pytest.raises(PassphraseError):
        load(tmp_path)


@pytest.mark.parametrize(
    ("work", "why"),
    [
        ({"log_n": 14, "r": 8, "p": 1}, "too weak"),
        ({"log_n": 18, "r": 2, "p": 1}, None),
        ({"log_n": 18, "r": 1, "p": 1}, "RFC 7914"),
        ({"log_n": 17, "r": 1, "p": 1}, "too weak"),
        ({"log_n": 1, "r": 8, "p": 16}, "too weak"),
        ({"log_n": 20, "r": 8, "p": 1}, "costs more"),
        ({"log_n": 15, "r": 8, "p": 33}, "costs more"),
        ({"log_n": 30, "r": 64, "p": 64}, "costs more"),
        ({"log_n": 31, "r": 8, "p": 1}, "log_n"),
        ({"log_n": 17, "r": 65, "p": 1}, "r"),
        ({"log_n": 17, "r": 8, "p": 0}, "p"),
        ({"log_n": 17, "r": 8, "p": 1, "salt": bytes(31)}, "salt"),
        ({"log_n": 17, "r": 8, "p": 1, "kdf": "pbkdf2"}, "kdf"),
    ],
)
def test_work_is_bounded_before_any_is_done(work: dict[str, Any], why: str | None) -> None:
    fields = {"salt": bytes(32), "suite": GCM.name, **work}
    if why is None:
        Lock.made(**fields)
        return
    with pytest.raises(RecordError, match=why):
        Lock.made(**fields)


def test_a_file_that_asks_for_too_much_is_refused_by_name(tmp_path: Path) -> None:
    create(tmp_path)
    file = tmp_path / IDENTITY_FILE
    value = cbor.decode(file.read_bytes(), cap=1 << 16)
    assert isinstance(value, dict)
    file.write_bytes(cbor.encode({**value, "lock": {**value["lock"], "log_n": 30}}))
    with pytest.raises(ConfigError, match="costs more") as raised:
        load(tmp_path, passphrase=lambda: pytest.fail("it asked"))
    assert str(file) in raised.value.message


def test_our_own_work_lies_between_the_bounds() -> None:
    lock = Lock.fresh(GCM, USUAL_WORK)
    assert MEMORY_FLOOR < lock.memory < MEMORY_CAP
    assert lock.r * lock.p << lock.log_n < WORK_CAP


def test_it_is_unlocked_and_locked_again(tmp_path: Path) -> None:
    made = create(tmp_path)
    held = IdentityFile.read(tmp_path / IDENTITY_FILE)
    private = held.secret("it", lambda: SECRET, lambda name: SUITES[name])
    assert private == SCHEME.private_bytes(made.signing_key)
    bare = held.unlocked(private)
    assert (bare.lock, bare.private) == (None, private)
    again = bare.locked(Locker(b"other", CHACHA, CHEAP))
    assert again.secret("it", lambda: b"other", lambda name: SUITES[name]) == private


# -- where passphrases come from ----------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def piped(data: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


def test_a_descriptor_comes_before_a_file_and_that_before_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("of the file\n")
    file.chmod(0o600)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"typed at {prompt}")
    assert source(piped(b"of the descriptor\nrest"), file, "who")() == b"of the descriptor"
    assert source(None, file, "who")() == b"of the file"
    assert source(None, None, "who")() == b"typed at who: "


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [(b"a b", b"a b"), (b"a\n", b"a"), (b"a\r\n", b"a"), (b" a \n", b" a "), ("ä\n".encode(), "ä".encode())],
)
def test_one_line_end_is_no_part_of_it(data: bytes, passphrase: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(data)
    (tmp_path / "secret").chmod(0o600)
    assert source(None, tmp_path / "secret", "who")() == passphrase
    assert source(piped(data), None, "who")() == passphrase


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n", b"x" * (PASSPHRASE_CAP + 1), b"a\nb\n", b"a\x00b"])
def test_what_is_no_passphrase_is_refused_and_not_shown(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(data)
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(ConfigError) as raised:
        source(None, tmp_path / "secret", "who")()
    assert raised.value.cure
    assert "x" * 20 not in str(raised.value)


def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"open\n")
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(ConfigError, match="read by others") as raised:
        source(None, tmp_path / "secret", "who")()
    assert "chmod 600" in raised.value.cure


def test_a_missing_file_or_descriptor_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        source(None, tmp_path / "none", "who")()
    with pytest.raises(PassphraseError, match="descriptor 987"):
        source(987, None, "who")()


def test_an_endless_descriptor_is_read_only_so_far() -> None:
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    try:
        with pytest.raises(PassphraseError, match="too long"):
            source(descriptor, None, "who")()
    finally:
        os.close(descriptor)


def test_at_a_terminal_new_ones_are_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["one", "two", "same", "same"]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: typed.pop(0))
    with pytest.raises(PassphraseError, match="differ") as raised:
        source(None, None, "who", twice=True)()
    assert "one" not in str(raised.value).split()
    assert source(None, None, "who", twice=True)() == b"same"


def test_without_a_terminal_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("not a terminal\n"))
    monkeypatch.setattr(getpass, "getpass", lambda prompt: pytest.fail("it asked"))
    with pytest.raises(PassphraseError, match="no terminal"):
        source(None, None, "who")()


def test_the_end_of_input_is_no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", end)
    with pytest.raises(PassphraseError, match="no passphrase"):
        source(None, None, "who")()
