"""Real processes of a network whose prekeys live for seconds: a node and a client are away until nothing that
they hold can be used any more, and come back without any list.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from python_socks import ProxyError
from rig.destination import Destination
from rig.house import House, command
from rig.patience import until
from rig.program import connect, download

from port17.bottles.sqlite_rack import SqliteRack
from port17.records.bottle import SLOTS_CAP
from port17.records.charter_file import CharterFile
from port17.records.revision import PREKEY_LIFETIME_FLOOR_S
from port17_cli.network import HOST, free_ports
from port17_crypto.schemes import Ed25519

SUITE = "p17-1-x25519-chacha20poly1305-blake2s"
SCHEMES = {"ed25519": Ed25519()}
NAMES = ("ash", "elm", "oak", "fir")
AWAY = "fir"
OVERLAP_S = 1
BACK_S = 30.0
"""How long the way back may take, seconds."""
DEAD_S = (SLOTS_CAP + 1) * PREKEY_LIFETIME_FLOOR_S + OVERLAP_S
"""Seconds after which no prekey of a bottle can be used any more, at the most."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("gull")
    ports = dict(zip(NAMES, free_ports(*[HOST] * len(NAMES)), strict=True))
    terms = ("--prekey-lifetime", str(PREKEY_LIFETIME_FLOOR_S), "--overlap", str(OVERLAP_S), "--suite", SUITE)
    with House(folder, NAMES, ports, options=terms) as made:
        exits = [word for one in made.fingerprints.values() for word in ("--plain-text-exit", one.hex())]
        command("charter", "amend", "--charter", str(folder / "house.charter"), "--in", "0", *exits)
        made.start(*NAMES)
        made.wait_for_lanes()
        made.start("client")
        yield made


def held_until(house: House, name: str) -> float:
    """The Unix second at which the last prekey of somebody else expires that a process knows of."""
    charter = CharterFile(house.directory / "house.charter", house.directory / "away", SCHEMES).load()
    rack = SqliteRack()
    rack.open(charter.network_id, house.directory / f"{name}-state")
    try:
        others = [bottle for bottle in rack if bottle.fingerprint != house.fingerprints.get(name)]
        assert len(others) >= len(NAMES) - 1
        slots = [slot for one in others for held in one.contents.slots.values() for slot in held]
        return max(slot.expiry for slot in slots)
    finally:
        rack.close()


def fetch(house: House, destination: Destination) -> bool:
    """Whether a program gets through."""
    try:
        with connect(house.socks, destination.port) as connection:
            check = download(connection, b"gull", 100_000)
    except (ProxyError, OSError):
        return False
    return check.right and check.got == 100_000


def test_who_was_away_until_all_prekeys_had_expired_comes_back(house: House, tmp_path: Path) -> None:
    with Destination() as destination:
        until(lambda: fetch(house, destination), "a first fetch", BACK_S)
        house.end("client")
        house.kill(AWAY)
        # Nobody is to find help in the folder that all of them were made in.
        for file in (house.directory / "bottles").iterdir():
            file.unlink()
        dead_s = max(held_until(house, name) for name in (AWAY, "client"))
        assert dead_s < time.time() + DEAD_S
        time.sleep(max(0.0, dead_s + 1 - time.time()))
        house.start(AWAY, "client")
        until(lambda: house.ask(AWAY, "status")["lanes"]["standing"] >= 1, "the node's lanes", BACK_S)
        until(lambda: fetch(house, destination), "a fetch after the return", BACK_S)
    logs = "".join((house.directory / f"{name}.log").read_text() for name in (AWAY, "client"))
    assert "Traceback" not in logs
