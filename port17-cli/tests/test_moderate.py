"""``port17 moderate``, and what nodes and clients make of lists and proofs that lie beside the bottles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from port17.bottles.notices import save_proof
from port17.bottles.rack import load_bottle, save_bottle
from port17.config import ClientConfig, NodeConfig, load
from port17.navigator.agreement import Standing
from port17.network import KnownNetwork
from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17.records.proof import Proof
from port17_cli import drivers
from port17_cli.main import main

MODERATORS = ("anne", "ben", "cleo")


class Town:
    """A network of three nodes and a client, moderated by two of three."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.error = ""
        self._capsys = capsys
        cards = []
        for name in MODERATORS:
            self.run("identity", "new", "--dir", str(folder / name))
            self.run("identity", "export", "--dir", str(folder / name), "--out", str(folder / f"{name}.id"))
            cards += ["--moderator", str(folder / f"{name}.id")]
        founded = self.run(
            "charter", "init", "--dir", str(folder), "--name", "home", *cards, "--moderators-threshold", "2"
        )
        assert (len(founded["moderators"]), founded["moderators_threshold"]) == (3, 2)
        self.charter = str(folder / "home.charter")
        self.bottles = folder / "bottles"
        self.list = self.bottles / "home.moderation"
        self.nodes = {name: self._node(name) for name in ("oak", "elm", "yew")}
        words = ["client", "init", "--config", str(folder / "client.toml"), "--charter", self.charter]
        self.run(*words, "--private-addresses")

    def _node(self, name: str) -> dict[str, Any]:
        words = ["node", "init", "--config", str(self.folder / f"{name}.toml"), "--charter", self.charter]
        return self.run(*words, "--name", name, "--listen", "127.0.0.1:7017", "--days", "2", "--exit")

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        self._capsys.readouterr()
        assert main([*words, "--json"]) == code, self._capsys.readouterr().err
        said = self._capsys.readouterr()
        self.error = said.err
        return json.loads(said.out) if said.out else {}  # type: ignore[no-any-return]

    def sign(self, *words: str, by: tuple[str, ...] = ("anne", "ben"), code: int = 0) -> dict[str, Any]:
        keys = [word for name in by for word in ("--key", str(self.folder / name))]
        known = ["--charter", self.charter, "--bottles", str(self.bottles)]
        return self.run("moderate", "sign", str(self.list), *known, *keys, *words, code=code)

    def fingerprint(self, name: str) -> bytes:
        return bytes.fromhex(self.nodes[name]["fingerprint"])

    def client(self, *settings: str) -> KnownNetwork:
        flags: dict[str, object] = dict(setting.split("=", 1) for setting in ("rack.store=memory", *settings))
        config, _ = load(ClientConfig, self.folder / "client.toml", {}, flags)
        return KnownNetwork.load(config, Registry())


def drawn(network: KnownNetwork) -> dict[str, str]:
    """Nodes that routes can use, with the empty text; the others with the reason."""
    chart = network.chart()
    return {node.name: "" for node in chart} | {one.name: one.reason for one in chart.left_out}


@pytest.fixture
def town(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Town:
    return Town(tmp_path, capsys)


def test_a_list_is_made_cosigned_shown_and_verified(town: Town) -> None:
    made = town.sign("--block", "oak", "--trusted-exit", "elm", "--reason", "mail spam", by=("anne",))
    assert (made["needed"], made["holds"]) == (2, False)
    assert [(one["action"], one["id"]) for one in made["entries"]] == [
        ("block", town.nodes["oak"]["id"]),
        ("trusted_exit", town.nodes["elm"]["id"]),
    ]
    file = str(town.list)
    town.run("moderate", "verify", file, "--charter", town.charter, code=3)
    assert "1 of 2 moderators' signatures" in town.error
    assert drawn(town.client())["oak"] == "", "one moderator alone moves nobody"
    both = town.run("moderate", "cosign", file, "--charter", town.charter, "--key", str(town.folder / "cleo"))
    assert both["holds"] is True
    assert town.run("moderate", "verify", file, "--charter", town.charter)["holds"] is True
    shown = town.run("moderate", "show", file)
    assert (shown["holds"], len(shown["signatures"])) == (None, 2)
    assert shown["entries"] == made["entries"]


def test_a_list_is_gone_on_with(town: Town) -> None:
    first = town.sign("--block", "oak", "--distrust", "elm", "--reason", "spam")
    words = ("--from", str(town.list), "--drop", "oak", "--owner", "yew=yew", "--same-owner", "acme=yew")
    words += ("--same-owner", "acme=elm", "--reason", "known")
    held = town.list.read_bytes()
    town.sign(*words, code=3)
    assert "--force" in town.error
    assert town.list.read_bytes() == held
    second = town.sign(*words, "--force")
    assert [(one["action"], one["name"]) for one in second["entries"]] == [
        ("distrust", ""),
        ("owner_verified", "yew"),
        ("same_owner", "acme"),
        ("same_owner", "acme"),
    ]
    third = town.sign("--from", str(town.list), "--same-owner", "bob=elm", "--reason", "sold", "--force")
    assert [one["name"] for one in third["entries"]] == ["", "yew", "acme", "bob"], "a node has one owner"
    chart = town.client("moderation.trust=" + json.dumps([town.nodes["elm"]["id"]])).chart()
    owners = {node.name: node.owner for node in chart}
    assert (owners["yew"], owners["elm"], owners["oak"]) == ("acme", "", ""), "elm is trusted by the user"
    assert {node.name: node.owner for node in town.client().chart()}["yew"] == "acme"
    assert second["seq"] > first["seq"]
    assert second["entries"][0]["reason"] == "spam"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--block", "oak"], 2, "No reason is given"),
        (["--block", "ash", "--reason", "x"], 2, "ash is no fingerprint"),
        (["--owner", "yew", "--reason", "x"], 2, "names nobody"),
        (["--same-owner", "=yew", "--reason", "x"], 2, "names nobody"),
        (["--block", "oak", "--reason", "x", "--days", "400"], 2, "--days 1 to 366"),
        (["--block", "oak", "--reason", "\x1b[2J"], 3, "reason"),
        (["--block", "oak", "--reason", "x" * 200], 3, "reason"),
    ],
)
def test_wrong_orders(town: Town, words: list[str], code: int, said: str) -> None:
    town.sign(*words, code=code)
    assert said in town.error
    assert not town.list.exists()


def test_who_is_no_moderator_signs_nothing(town: Town) -> None:
    town.run("identity", "new", "--dir", str(town.folder / "zoe"))
    town.sign("--block", "oak", "--reason", "x", by=("zoe",), code=3)
    assert "is not a moderator" in town.error
    town.sign("--block", "oak", "--reason", "x")
    town.list.write_bytes(town.list.read_bytes()[:-1] + b"\x00")
    key = ["--key", str(town.folder / "cleo")]
    town.run("moderate", "cosign", str(town.list), "--charter", town.charter, *key, code=3)
    assert "is not valid" in town.error, "nobody adds a name to a forged list"


def test_moderators_come_and_go_with_the_charter(town: Town) -> None:
    town.sign("--block", "oak", "--reason", "spam")
    running = town.client()
    assert town.nodes["oak"]["id"] in drawn(running)
    anne = town.run("identity", "show", "--dir", str(town.folder / "anne"))["id"]
    town.run("charter", "amend", "--charter", town.charter, "--dismiss", "nobody", code=2)
    amended = town.run(
        "charter", "amend", "--charter", town.charter, "--in", "0", "--dismiss", anne,
        "--moderators-threshold", "2",
    )  # fmt: skip
    assert (anne in amended["moderators"], amended["moderators_threshold"]) == (False, 2)
    town.run("moderate", "verify", str(town.list), "--charter", town.charter, code=3)
    assert drawn(town.client())["oak"] == ""
    anyio.run(running.look_again)
    assert drawn(running)["oak"] == "", "and so it is where it was in force"
    town.run("charter", "amend", "--charter", town.charter, "--moderators-threshold", "3", code=2)
    assert "3 of 2 moderators cannot be" in town.error


def test_clients_obey_and_the_user_has_the_last_word(town: Town) -> None:
    town.sign("--block", "oak", "--distrust", "elm", "--trusted-exit", "yew", "--reason", "said so")
    network = town.client()
    assert drawn(network) == {
        "yew": "",
        town.nodes["oak"]["id"]: "blocked by the moderators: said so",
        "elm": "distrusted by the moderators: said so",
    }
    assert [node.plain_text for node in network.chart()] == [True]
    oak, yew = town.nodes["oak"]["id"], town.nodes["yew"]["id"]
    anne = town.run("identity", "show", "--dir", str(town.folder / "anne"))["id"]
    assert drawn(town.client(f'moderation.distrust=["{yew}"]'))["yew"] == "you distrust it"
    assert drawn(town.client(f'moderation.ignore_moderator=["{anne}"]')) == dict.fromkeys(town.nodes, "")
    trusting = drawn(town.client(f'moderation.trust=["{town.nodes["elm"]["fingerprint"]}"]'))
    assert trusting["elm"] == ""
    assert trusting[oak] != ""


def test_a_running_process_takes_a_list_over_and_lets_a_blocked_node_in_nowhere(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = town.client()
    oak = _keyring(town, "oak")
    message = b"it is me"
    signature = oak.scheme.sign(oak.signing_key, message)
    assert network.verify(town.fingerprint("oak"), message, signature)
    version = network.version
    town.sign("--block", "oak", "--reason", "spam")
    anyio.run(network.look_again)
    assert network.version > version
    assert drawn(network)["oak"] == "blocked by the moderators: spam"
    assert not network.verify(town.fingerprint("oak"), message, signature)
    suite = next(iter(network.suites))
    assert network.standing(town.fingerprint("oak"), suite) is Standing.FORBIDDEN, "its lanes end"
    assert network.standing(town.fingerprint("elm"), suite) is Standing.GOOD
    assert 0 < network.until_change_s() <= 90 * 24 * 3600
    held_until = network.wall() + 91 * 24 * 3600
    monkeypatch.setattr(network, "wall", lambda: held_until)
    assert network.version > version + 1, "an entry that expires is news"
    assert network.verify(town.fingerprint("oak"), message, signature)


def test_a_verified_owner_keeps_the_name(town: Town) -> None:
    elm = _keyring(town, "elm")
    squatted = load_bottle(Path(town.nodes["elm"]["bottle"]))
    label = squatted.label.model_copy(update={"name": "oak", "since": 0, "seq": squatted.label.seq + 1})
    contents = squatted.contents.model_copy(update={"seq": squatted.contents.seq + 1})
    network_id = town.client().charter.network_id
    bottle = Bottle.seal(network_id, elm.scheme, elm.signing_key, label, contents, squatted.bundle)
    save_bottle(town.bottles, bottle)
    # The honest node's claim is younger than a day: in this folder its bottle is refused, and said so.
    assert "oak" in drawn(town.client())
    town.sign("--owner", "oak=" + town.nodes["oak"]["fingerprint"], "--reason", "we know her")
    network = town.client()
    node = network.chart().find("oak")
    assert node is not None
    assert node.fingerprint == town.fingerprint("oak")
    assert network.chart().find(town.nodes["elm"]["id"]) is not None, "the other goes by its id"


def test_who_equivocates_is_banned_and_the_proof_lies_beside_the_bottles(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    network = town.client()
    oak = _keyring(town, "oak")
    honest = load_bottle(Path(town.nodes["oak"]["bottle"]))
    twice = _resealed(town, oak, honest, load=7)
    save_bottle(town.bottles, twice)
    anyio.run(network.look_again)
    said = drawn(network)
    assert said[town.nodes["oak"]["id"]] == "banned: it has signed two contents for one second"
    (file,) = town.bottles.glob("*.proof")
    Proof.parse(file.read_bytes()).verify(network.charter.network_id, network.schemes)
    assert "is banned" in caplog.text
    # Whoever only gets the folder, with one of the two bottles, knows it too.
    save_bottle(town.bottles, honest)
    assert town.nodes["oak"]["id"] in drawn(town.client())
    assert "oak" not in drawn(town.client())
    file.unlink()
    assert drawn(town.client())["oak"] == ""


def test_noise_among_the_notices_harms_nothing(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    (town.bottles / "noise.proof").write_bytes(b"noise")
    (town.bottles / "noise.moderation").write_bytes(bytes(1 << 20))
    (town.bottles / "folder.moderation").mkdir()
    elm = load_bottle(Path(town.nodes["elm"]["bottle"]))
    oak = _keyring(town, "oak")
    forged = Proof.between(elm, _resealed(town, oak, elm, load=9))
    assert forged is not None
    save_proof(town.bottles, forged)
    assert drawn(town.client()) == dict.fromkeys(town.nodes, "")
    assert caplog.text.count("is refused") == 4


def _keyring(town: Town, name: str) -> Keyring:
    schemes = drivers.schemes(Registry())
    charter = Charter.load(Path(town.charter), schemes)
    config, _ = load(NodeConfig, town.folder / f"{name}.toml")
    return Keyring.load(config.state, schemes, {}, charter.network_id)


def _resealed(town: Town, keyring: Keyring, bottle: Bottle, **changed: object) -> Bottle:
    contents = bottle.contents.model_copy(update=changed)
    network_id = Charter.load(Path(town.charter), drivers.schemes(Registry())).network_id
    seal: Callable[..., Bottle] = Bottle.seal
    return seal(network_id, keyring.scheme, keyring.signing_key, bottle.label, contents, bottle.bundle)
