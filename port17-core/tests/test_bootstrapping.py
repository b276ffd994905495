"""What a process makes of bootstrap lists: which it takes, what it keeps, and when it asks again."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from port17 import bootstrapping
from port17.bootstrapping import INTERVAL_S, RETRY_S, Bootstrap
from port17.config import ClientConfig, load
from port17.config.settings import BootstrapConfig
from port17.errors import ConfigError, NetworkError
from port17.network import KnownNetwork
from port17.records.bootstrap import BootstrapList, SignedBootstrap
from port17.records.bottle import Bottle
from port17.records.charter import Charter

from .amended_network import SCHEME, UPDATE_KEY, Amended


class Newcomer:
    """A network of which a client has the charter, and lists that it can read."""

    def __init__(self, folder: Path) -> None:
        self.net = Amended(folder)
        self.files = [folder / "one.json", folder / "two.json"]
        self.network: KnownNetwork
        self.bootstrap: Bootstrap

    def node(self, name: str) -> Bottle:
        """The bottle of a node that has been in no folder of ours."""
        _, bottle = self.net.node(name)
        self.away(bottle)
        return bottle

    def away(self, bottle: Bottle) -> None:
        (self.net.bottles / f"{bottle.node_id}.bottle").unlink()

    def write(
        self,
        *bottles: Bottle | bytes,
        file: int = 0,
        age_s: int = 0,
        term_s: int = 10_000,
        key: Any = UPDATE_KEY,
    ) -> SignedBootstrap:
        seq = int(self.net.now) - age_s
        held = BootstrapList.made(
            network_id=self.net.charter.network_id,
            seq=seq,
            expiry=seq + term_s,
            bottles=[one if isinstance(one, bytes) else one.encode() for one in bottles],
        )
        charter = self.net.charter
        signed = SignedBootstrap.of(held).signed(charter, charter.current(self.net.now), [(SCHEME, key)])
        self.files[file].write_bytes(signed.encode())
        return signed

    def start(self, sources: Sequence[Path | str] | None = None, own_name: str | None = None) -> Bootstrap:
        config = self.net.client()
        asked = BootstrapConfig(sources=[str(one) for one in (self.files if sources is None else sources)])
        self.network = self.net.known(config)
        self.bootstrap = Bootstrap(asked, config.state, self.network, own_name)
        anyio.run(self.bootstrap.begin)
        return self.bootstrap

    def fetch(self) -> list[str]:
        return anyio.run(self.bootstrap.fetch)

    def names(self) -> set[str]:
        return {node.name for node in self.network.chart()}


@pytest.fixture
def home(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


def test_whoever_knows_nobody_starts_from_a_list(home: Newcomer) -> None:
    home.write(home.node("ash"), home.node("elm"))
    home.start()
    assert home.names() == {"ash", "elm"}
    assert home.bootstrap.usable()
    ash = next(iter(home.network.chart()))
    assert home.network.responder(ash) is not None


def test_without_a_list_and_without_bottles_the_start_says_what_to_do(home: Newcomer) -> None:
    with pytest.raises(NetworkError) as caught:
        home.start()
    assert str(home.files[0]) in caught.value.message
    assert str(home.files[1]) in caught.value.message
    assert "folder of bottles" in caught.value.cure
    home.files[0].mkdir()
    home.files[1].write_bytes(b"nonsense")
    with pytest.raises(NetworkError, match=r"directory(.|\n)*not a bootstrap list"):
        home.start()


def test_a_start_with_bottles_needs_no_source(home: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    home.net.node("ash")
    home.start()
    assert home.names() == {"ash"}
    assert home.fetch()
    assert home.names() == {"ash"}
    caplog.clear()
    home.start(sources=[])
    assert not caplog.records


def test_nobody_known_and_nobody_to_ask_is_said(home: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    home.start(sources=[])
    assert "no sources in [bootstrap]" in caplog.text


def test_the_own_bottle_is_nobody_to_start_from(home: Newcomer) -> None:
    home.net.node("ash")
    with pytest.raises(NetworkError, match="no other node"):
        home.start(own_name="ash")


def test_the_next_source_is_tried(home: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    ash, elm = home.node("ash"), home.node("elm")
    good = home.write(elm, file=1)
    attempts: dict[str, Any] = {
        "signed": lambda: home.files[0].write_bytes(
            SignedBootstrap(good.held, good.payload, ()).encode()  # by nobody
        ),
        "expired": lambda: home.write(ash, age_s=10_001),
        "not a bootstrap list": lambda: home.files[0].write_bytes(b"{}"),
        "of the network": lambda: home.files[0].write_bytes(_stranger(home)),
        "can't be read": home.files[0].unlink,
    }
    for number, (word, attempt) in enumerate(attempts.items()):
        caplog.clear()
        attempt()
        bootstrap = home.start()
        assert home.names() == {"elm"}, word
        assert not bootstrap._failures
        warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        # The list of before is remembered, so that only the first start has to ask at once.
        assert number or any(str(home.files[0]) in line for line in warned), word
        assert not home.fetch()
        warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any(word in line and str(home.files[0]) in line for line in warned), (word, warned)


def _stranger(home: Newcomer) -> bytes:
    """A list in order, of a network with the same update key."""
    genesis = home.net.charter.genesis.model_copy(update={"name": "other"})
    other = Charter.found(genesis, home.net.charter.current(home.net.now), [(SCHEME, UPDATE_KEY)])
    held = SignedBootstrap.parse(home.files[1].read_bytes()).held
    foreign = SignedBootstrap.of(held.model_copy(update={"network_id": other.network_id}))
    return foreign.signed(other, other.current(home.net.now), [(SCHEME, UPDATE_KEY)]).encode()


def test_an_older_list_takes_nothing_away(home: Newcomer) -> None:
    keyring, first = home.net.node("ash")
    older = home.write(first, file=1).encode()
    home.net.now += 100
    newer = home.net.publish(keyring, "ash", (bytes(31) + b"1",))
    home.away(newer)
    home.write(newer)
    home.start()
    held = home.network.rack.get(first.fingerprint)
    assert held is not None
    assert held.sequence == newer.sequence
    home.files[0].write_bytes(older)
    (problem, other) = home.fetch()
    assert "100 s before one that was seen" in problem
    assert "100 s before one that was seen" in other
    held = home.network.rack.get(first.fingerprint)
    assert held is not None
    assert held.sequence == newer.sequence
    home.start()
    assert [*home.fetch()], "nor does a restart"
    # A newer list with the older bottle: signed in order, and of no consequence for that node.
    home.net.now += 100
    home.write(first, home.node("elm"))
    assert not home.fetch()
    held = home.network.rack.get(first.fingerprint)
    assert held is not None
    assert held.sequence == newer.sequence
    assert home.names() == {"ash", "elm"}


def test_two_lists_of_one_second_are_not_both_believed(home: Newcomer) -> None:
    ash, elm = home.node("ash"), home.node("elm")
    home.write(ash)
    home.start()
    home.write(elm)
    assert "of the same second" in home.fetch()[0]
    assert home.names() == {"ash"}


def test_what_was_seen_serves_until_it_expires(home: Newcomer) -> None:
    home.write(home.node("ash"), term_s=5000)
    home.start()
    for file in home.files:
        file.unlink(missing_ok=True)
    home.start()
    assert home.names() == {"ash"}
    home.net.now += 5001
    with pytest.raises(NetworkError):
        home.start()
    memory = next(home.net.folder.glob("client-state/*.bootstrap.json"))
    memory.write_bytes(b"damaged")
    home.net.now -= 5001
    with pytest.raises(NetworkError):
        home.start()


def test_what_only_former_publishers_signed_counts_no_more(home: Newcomer) -> None:
    home.write(home.node("ash"))
    home.start()
    publisher = SCHEME.generate()
    home.net.amend(publishers=[{"scheme": "ed25519", "public": publisher.public}], publishers_threshold=1)
    home.net.now += 4000
    with pytest.raises(NetworkError, match="0 of 1"):
        home.start()
    home.write(home.node("elm"), key=publisher)
    home.start()
    assert home.names() == {"elm"}


def test_a_bad_entry_costs_itself_alone(home: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    ash, elm = home.node("ash"), home.node("elm")
    forged = bytearray(elm.encode())
    forged[forged.index(b"elm")] ^= 1
    home.write(ash, bytes(forged), b"nonsense")
    home.start()
    assert home.names() == {"ash"}
    assert caplog.text.count("an entry of a bootstrap list is left out") == 2


def test_a_list_of_nodes_that_cannot_be_called_is_of_no_use(
    home: Newcomer, caplog: pytest.LogCaptureFixture
) -> None:
    _, ash = home.net.node("ash", days=1)
    home.away(ash)
    home.net.now += 3 * 24 * 3600
    home.write(ash)
    home.write(home.node("elm"), file=1, age_s=-1)
    home.start()
    assert "none of its 1 nodes" in caplog.text
    assert home.bootstrap.usable()
    assert "elm" in home.names()


def test_a_folder_file_and_a_list_get_along(home: Newcomer, caplog: pytest.LogCaptureFixture) -> None:
    keyring, first = home.net.node("ash")
    home.net.now += 50
    newer = home.net.publish(keyring, "ash", (bytes(31) + b"1",))
    home.away(newer)
    (home.net.bottles / f"{first.node_id}.bottle").write_bytes(first.encode())
    home.write(newer)
    home.start()
    assert not home.fetch()
    anyio.run(home.network.look_again)
    held = home.network.rack.get(first.fingerprint)
    assert held is not None
    assert held.sequence == newer.sequence


def test_when_it_asks_again(home: Newcomer) -> None:
    ash = home.node("ash")
    home.write(ash)
    bootstrap = home.start()
    assert bootstrap._tried_s
    then = bootstrap._tried_s
    assert not bootstrap._due(then + RETRY_S * 2), "all is well"
    assert INTERVAL_S * 0.5 <= bootstrap._next_s - then <= INTERVAL_S * 1.5
    assert bootstrap._due(then + INTERVAL_S * 1.5)
    home.net.now += 30 * 24 * 3600
    assert not bootstrap.usable(), "its prekeys have expired"
    assert not bootstrap._due(then + RETRY_S - 1)
    assert bootstrap._due(then + RETRY_S)
    for attempt in range(3):
        assert home.fetch()
        waits = bootstrap._next_s - bootstrap._tried_s
        assert 0.5 * RETRY_S * 2**attempt <= waits <= 1.5 * RETRY_S * 2**attempt


def test_it_goes_on_by_itself(home: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrapping, "CHECK_S", 0.01)
    monkeypatch.setattr(bootstrapping, "RETRY_S", 0.02)
    ash = home.node("ash")
    home.write(ash)
    home.start()
    home.network.rack.remove(ash.fingerprint)
    home.network.rack.put(home.net.node("elm", days=1)[1])
    home.net.now += 2 * 24 * 3600
    yew = home.node("yew")
    before = home.network.version

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(home.bootstrap.tend)
            await anyio.sleep(0.1)
            assert not home.bootstrap.usable(), "the list is the old one, and has expired"
            home.write(yew)
            with anyio.fail_after(10):
                while not home.bootstrap.usable():  # noqa: ASYNC110 - nobody sets an event for it
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    anyio.run(run)
    assert "yew" in home.names()
    assert home.network.version != before, "whoever acts on changes is told"


def test_a_list_is_kept_as_it_came(home: Newcomer) -> None:
    signed = home.write(home.node("ash"))
    home.start()
    (memory,) = home.net.folder.glob("client-state/*.bootstrap.json")
    assert memory.read_bytes() == signed.encode()
    assert json.loads(memory.read_bytes())["network"] == home.net.charter.network_id.hex()


def test_pinned_certificates_that_cannot_be_used_are_said_at_the_start(
    home: Newcomer, tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").write_text("")
    home.net.node("ash")
    for pin in ("missing.pem", "empty.pem"):
        config = BootstrapConfig(sources=["https://localhost/x"], pin=tmp_path / pin)
        bootstrap = Bootstrap(config, tmp_path / "state", home.net.known())
        with pytest.raises(ConfigError, match=pin):
            anyio.run(bootstrap.begin)


@pytest.mark.parametrize("source", ["http://a/b", "ftp://a", "https://", "https://user:secret@a/b"])
def test_a_source_is_a_file_or_https(source: str) -> None:
    with pytest.raises(ValidationError):
        BootstrapConfig(sources=[source])


def test_files_count_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text('charter = "c"\n[bootstrap]\nsources = ["https://a/b", "list.json"]\npin = "ca.pem"\n')
    config, _ = load(ClientConfig, file)
    assert config.bootstrap.sources == ["https://a/b", str(tmp_path / "list.json")]
    assert config.bootstrap.pin == tmp_path / "ca.pem"
