"""The keyring: what is on disk, who may read it, and that what expired is gone."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from port17.errors import ConfigError
from port17.node.keyring import IDENTITY_FILE, Keyring
from port17.records import cbor
from port17.wire.suite import CipherSuite
from port17_crypto.schemes import Ed25519
from port17_crypto.suites import XWingAes256GcmSha256

SCHEME = Ed25519()
SCHEMES = {"ed25519": SCHEME}
SUITE = XWingAes256GcmSha256()
SUITES: dict[str, CipherSuite] = {SUITE.name: SUITE}
NETWORK = bytes(range(32))
LIFETIME = 100


def create(folder: Path, **changed: Any) -> Keyring:
    return Keyring.create(
        folder,
        SCHEME,
        [SUITE],
        NETWORK,
        first_slot=5,
        slots=2,
        lifetime=LIFETIME,
        **{"overlap": 10, **changed},
    )


def load(folder: Path, **changed: Any) -> Keyring:
    return Keyring.load(folder, **{"schemes": SCHEMES, "suites": SUITES, "network_id": NETWORK, **changed})


def test_what_is_created_is_loaded(tmp_path: Path) -> None:
    made = create(tmp_path / "state")
    read = load(tmp_path / "state")
    assert read.identity == made.identity
    assert read.records() == made.records()
    assert sorted(read.prekeys) == [(SUITE.name, 5), (SUITE.name, 6)]
    record, key = read.prekeys[SUITE.name, 6]
    assert (record.slot, record.expiry, record.network_id) == (6, 710, NETWORK)
    assert record.fingerprint == made.identity.fingerprint
    secret, ciphertext = SUITE.encapsulate(record.public)
    assert SUITE.decapsulate(key.private, ciphertext) == secret
    assert SCHEME.verify(made.identity.public, b"message", SCHEME.sign(read.signing_key, b"message"))


def test_nobody_else_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create(tmp_path / "state")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    files = list((tmp_path / "state").iterdir())
    assert len(files) == 4  # the identity, two prekeys, and which were committed to
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o601])
@pytest.mark.parametrize("name", [IDENTITY_FILE, f"{SUITE.name}.5.prekey"])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    create(tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(ConfigError, match="read by others") as raised:
        load(tmp_path)
    assert raised.value.cure == f"Run: chmod 600 {tmp_path / name}"


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_refused_and_waited_for_by_nobody(tmp_path: Path, kind: str) -> None:
    create(tmp_path)
    file = tmp_path / IDENTITY_FILE
    file.unlink()
    os.mkfifo(file, 0o600) if kind == "pipe" else file.mkdir(0o700)
    with pytest.raises(ConfigError, match=str(file)):
        load(tmp_path)


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    made = create(tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        create(tmp_path)
    assert load(tmp_path).identity == made.identity


def test_what_expired_is_erased_everywhere(tmp_path: Path) -> None:
    made = create(tmp_path)
    file = tmp_path / f"{SUITE.name}.5.prekey"
    kept = os.open(file, os.O_RDONLY)  # as somebody who undeletes would
    assert made.burn(609) == []
    assert [record.slot for record in made.burn(610)] == [5]
    assert sorted(made.prekeys) == [(SUITE.name, 6)]
    assert not file.exists()
    assert set(os.pread(kept, 10_000, 0)) == {0}
    os.close(kept)
    assert sorted(load(tmp_path).prekeys) == [(SUITE.name, 6)]
    assert made.burn(610) == []


def test_a_key_that_can_t_be_erased_is_gone_from_memory_all_the_same(tmp_path: Path) -> None:
    made = create(tmp_path)
    file = tmp_path / f"{SUITE.name}.5.prekey"
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match="can't be erased") as raised:
        made.burn(610)
    assert raised.value.cure == f"Run: rm {file}"
    assert sorted(made.prekeys) == [(SUITE.name, 6)]


def test_a_slot_never_gets_a_second_key(tmp_path: Path) -> None:
    made = create(tmp_path)
    before = made.records()
    fresh = made.stock(NETWORK, 5, 4, LIFETIME)
    assert [record.slot for record in fresh] == [7, 8]
    assert made.records() == [*before, *fresh]
    made.save()
    assert load(tmp_path).records() == made.records()


def test_a_second_suite_can_be_added(tmp_path: Path) -> None:
    create(tmp_path)

    class Other(XWingAes256GcmSha256):
        name = "p17-1-other"

    read = load(tmp_path, suites={**SUITES, "p17-1-other": Other()})
    assert len(read.stock(NETWORK, 5, 1, LIFETIME)) == 1
    read.save()
    assert sorted(load(tmp_path).prekeys) == [(SUITE.name, 5), (SUITE.name, 6)]
    assert len(load(tmp_path, suites={"p17-1-other": Other()}).prekeys) == 1


def test_a_keyring_of_another_network_is_refused(tmp_path: Path) -> None:
    create(tmp_path)
    with pytest.raises(ConfigError, match="another network"):
        load(tmp_path, network_id=bytes(32))


def test_a_keyring_of_another_identity_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "one")
    create(tmp_path / "two")
    (tmp_path / "one" / IDENTITY_FILE).replace(tmp_path / "two" / IDENTITY_FILE)
    with pytest.raises(ConfigError, match="another node"):
        load(tmp_path / "two")


def test_a_missing_scheme_or_keyring_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read") as raised:
        load(tmp_path)
    assert "node init" in raised.value.cure
    create(tmp_path)
    with pytest.raises(ConfigError, match=r"ed25519 of .* not installed"):
        load(tmp_path, schemes={})


@pytest.mark.parametrize("name", [IDENTITY_FILE, f"{SUITE.name}.5.prekey"])
@pytest.mark.parametrize("damage", ["noise", "short key", "long"])
def test_a_damaged_file_is_named_and_shows_no_key(tmp_path: Path, name: str, damage: str) -> None:
    create(tmp_path)
    file = tmp_path / name
    value = cbor.decode(file.read_bytes(), cap=1 << 16)
    assert isinstance(value, dict)
    private: bytes = value["private"]
    value["private"] = private[:-1]
    file.write_bytes(
        {
            "noise": private,
            "short key": cbor.encode(value),
            "long": file.read_bytes() + bytes(1 << 20),
        }[damage]
    )
    with pytest.raises(ConfigError, match=name) as raised:
        load(tmp_path)
    shown: BaseException | None = raised.value
    while shown is not None:
        for form in (private.hex(), repr(private)[2:-1], repr(private[:-1])[2:-1]):
            assert form not in str(shown)
        shown = shown.__cause__


def test_a_prekey_file_with_another_private_key_is_refused(tmp_path: Path) -> None:
    create(tmp_path)
    file = tmp_path / f"{SUITE.name}.5.prekey"
    value = cbor.decode(file.read_bytes(), cap=1 << 16)
    assert isinstance(value, dict)
    file.write_bytes(cbor.encode({**value, "private": bytes(32)}))
    with pytest.raises(ConfigError, match="no usable key"):
        load(tmp_path)


def test_a_folder_that_can_t_be_written_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written"):
        create(tmp_path / "file" / "state")


def test_a_leftover_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "identity.key.new").write_text("half")
    create(tmp_path)
    assert not (tmp_path / "identity.key.new").exists()
    assert len(load(tmp_path).prekeys) == 2


def test_a_keyring_shows_no_secret(tmp_path: Path) -> None:
    made = create(tmp_path)
    shown = repr(made) + repr(made.__dict__)
    secrets = [SCHEME.private_bytes(made.signing_key)]
    secrets += [SUITE.private_bytes(key.private) for _, key in made.prekeys.values()]
    for secret in secrets:
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
