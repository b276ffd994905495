"""One bad bottle crashes nobody: a node that commits to a prekey that is no key is left out, by all others.

Everything about such a bottle is in order, its signatures and hashes too; only, nothing can be agreed on with
the key in it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from rig import liar
from rig.destination import Destination
from rig.house import House
from rig.patience import until
from rig.program import echoes
from rig.stage import COMPOSITE, STRONG, WEAK, Person, Stage, used
from rig.testnet import PROGRAM

from port17.bottles.rack import load_bottle, save_bottle
from port17.errors import ConfigError
from port17.node.keyring import Keyring
from port17.node.lanes_file import read_lanes
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle, Contents, Slot
from port17.records.charter import Charter
from port17.records.identity import node_id
from port17.records.prekey import PrekeyRecord
from port17.wire.suite import CipherSuite
from port17_cli import drivers
from port17_cli.network import HOST, free_ports

NAMES = ("ash", "birch", "cedar", "dogwood")
BAD = "dogwood"
CONNECTIONS = 12
"""Each over a circuit of its own: of all routes of three of four nodes, three of four have the bad one."""
LIAR = (sys.executable, "-P", str(Path(liar.__file__)))
"""Somebody's own ``port17``."""
WORKS_S = 60.0
"""How long the first connection may take to work, seconds."""
MLKEM_SIZE = 1184
"""Bytes of an ML-KEM-768 public key, which an X-Wing key begins with."""


def unusable(suite: CipherSuite, public: bytes) -> dict[str, bytes]:
    """Keys of the right length that are none."""
    found = {"low order": public[:-32] + bytes(32)}
    if suite is STRONG:
        found["coefficients"] = b"\xff" * MLKEM_SIZE + public[MLKEM_SIZE:]
    return found


def spoiled(bottle: Bottle, public: bytes, suite: str) -> tuple[Contents, list[PrekeyRecord]]:
    """Contents and prekeys for the node itself to sign, with one key in the place of all of a suite's."""
    records = [
        PrekeyRecord.made(**{**record.to_value(), "public": public}) if record.suite == suite else record
        for record in bottle.bundle
    ]
    slots: dict[str, list[Slot]] = {}
    for record in records:
        slots.setdefault(record.suite, []).append(Slot(record.slot, record.expiry, record.hash))
    value = {**bottle.contents.to_value(), "slots": slots, "seq": bottle.contents.seq + 1}
    return Contents.made(**value), records


CASES = [(suite, what) for suite in (STRONG, WEAK) for what in unusable(suite, suite.generate().public)]


@pytest.mark.parametrize(("suite", "what"), CASES, ids=lambda case: getattr(case, "name", case))
def test_a_client_leaves_it_out_and_keeps_the_others(
    tmp_path: Path, suite: CipherSuite, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever suite the bad key is of: who lies about one key is not asked for another."""
    stage = Stage(tmp_path)
    oak, elm = stage.person("oak"), stage.person("elm")
    stage.put(stage.bottle(elm))

    def sealed(who: Person, bottle: Bottle, public: bytes) -> Bottle:
        contents, records = spoiled(bottle, public, suite.name)
        return Bottle.seal(stage.charter.network_id, COMPOSITE, who.key, bottle.label, contents, records)

    good = stage.bottle(oak)
    stage.put(sealed(oak, good, oak.own(suite).key.public))
    assert used(stage.client(), oak) == used(stage.client(), elm) == STRONG.name
    stage.put(sealed(oak, good, unusable(suite, oak.own(suite).key.public)[what]))
    with caplog.at_level(logging.WARNING):
        client = stage.client(memory="newcomer")
    assert used(client, oak) is None
    assert used(client, elm) == STRONG.name
    (said,) = [line for line in caplog.text.splitlines() if "its prekey of slot" in line]
    assert oak.identity.node_id in said
    assert suite.name in said


def test_a_node_does_not_fail_to_start_for_its_neighbours_bottle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two neighbours one has no bottle that can be used. A whole fingerprint is waited for."""
    stage = Stage(tmp_path)
    oak, elm = stage.person("oak"), stage.person("elm")
    stage.put(stage.bottle(elm))
    known = stage.client()
    file = tmp_path / "lanes.json"
    file.write_text(json.dumps([oak.identity.node_id, elm.identity.node_id]))
    assert read_lanes(file, known) == [elm.identity.fingerprint]
    assert oak.identity.node_id in caplog.text
    file.write_text(json.dumps([who.identity.fingerprint.hex() for who in (oak, elm)]))
    assert read_lanes(file, known) == [oak.identity.fingerprint, elm.identity.fingerprint]
    for wrong in ("x" * 64, "1" * 32, "short", ""):
        file.write_text(json.dumps([wrong]))
        with pytest.raises(ConfigError, match="is no node id"):
            read_lanes(file, known)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Four nodes and a client, of which nothing runs yet."""
    ports = dict(zip(NAMES, free_ports(*[HOST] * len(NAMES)), strict=True))
    with House(tmp_path, NAMES, ports) as made:
        yield made


def poison(house: House, public: bytes) -> None:
    """Have one node's own keys sign for a prekey that is none."""
    schemes = drivers.schemes(Registry())
    charter = Charter.load(house.directory / "house.charter", schemes)
    state = house.directory / f"{BAD}-state"
    keyring = Keyring.load(state, schemes, {STRONG.name: STRONG}, charter.network_id)
    folder = house.directory / "bottles"
    bottle = load_bottle(folder / f"{keyring.identity.node_id}.bottle")
    contents, records = spoiled(bottle, public, STRONG.name)
    save_bottle(
        folder,
        Bottle.seal(charter.network_id, keyring.scheme, keyring.signing_key, bottle.label, contents, records),
    )


def test_processes_go_on_without_it(house: House, destination: Destination) -> None:
    """Nodes that were to have lanes with it, and a client whose routes could use it; until the node itself
    runs, and tells everybody of keys that are some."""
    poison(house, unusable(STRONG, STRONG.generate().public)["low order"])
    house.start(*(name for name in NAMES if name != BAD), "client")
    assert "is no key of" in (house.directory / "client.log").read_text()
    house.wait_for_lanes()
    assert_others_are_used(house, destination)
    house.start(BAD)
    until(is_used_by(house, destination), "the node is used", WORKS_S)
    assert all(process.poll() is None for process in house.processes.values())


@pytest.mark.parametrize("program", [PROGRAM, LIAR], ids=["the control", "a liar"])
def test_processes_go_on_beside_a_liar(
    house: House, destination: Destination, program: tuple[str, ...]
) -> None:
    """A node that runs, offers itself to everybody, and signs again and again for keys that are none. With
    nothing wrong with its keys it is used: that is the control."""
    file = house.directory / "bottles" / f"{node_id(house.fingerprints[BAD])}.bottle"
    file.unlink()  # of its own true keys: nobody is told of them
    others = [name for name in NAMES if name != BAD]
    house.start(*others, "client")
    house.wait_for_lanes()
    house.start(BAD, program=program)
    if program is PROGRAM:
        until(is_used_by(house, destination), "the node is used", WORKS_S)
    else:
        until(lambda: all(refuses(house, name) for name in others), "it has offered itself", WORKS_S)
        assert_others_are_used(house, destination)
        assert all(house.ask(name, "status")["lanes"]["standing"] >= len(others) - 1 for name in others)
    assert any(refuses(house, name) for name in others) is (program is LIAR)
    assert all(process.poll() is None for process in house.processes.values())


def refuses(house: House, name: str) -> bool:
    """Whether a process was offered a key that is none."""
    return "is no key of" in (house.directory / f"{name}.log").read_text()


def assert_others_are_used(house: House, destination: Destination) -> None:
    """Every program gets through, and no route goes by the bad node."""
    until(lambda: echoes(house.socks, destination.port, "first"), "a connection works", WORKS_S)
    worked = [echoes(house.socks, destination.port, f"isolated {number}") for number in range(CONNECTIONS)]
    assert all(worked), worked
    assert len(house.ask("client", "circuits")["circuits"]) > CONNECTIONS
    assert BAD not in used_nodes(house)


def is_used_by(house: House, destination: Destination) -> Callable[[], bool]:
    """Asks whether one more route goes by the bad node."""
    numbers = count()

    def is_used() -> bool:
        works = echoes(house.socks, destination.port, f"later {next(numbers)}")
        return works and BAD in used_nodes(house)

    return is_used


def used_nodes(house: House) -> set[str]:
    """The nodes of all circuits."""
    circuits = house.ask("client", "circuits")["circuits"]
    return {hop["name"] for circuit in circuits for hop in circuit["hops"]}
