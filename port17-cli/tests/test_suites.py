"""``port17 suites``: what is installed, what a charter and a configuration make of it, and who uses what."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from port17.bottles.rack import load_bottle, save_bottle
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle, Label
from port17_cli import catalogue, network
from port17_cli.main import main
from port17_cli.workplace import Workplace

BEST = "p17-1-xwing-aes256gcm-sha256"
SECOND = "p17-1-xwing-chacha20poly1305-blake2s"
WEAK = "p17-1-x25519-chacha20poly1305-blake2s"
BROKEN = "p17-1-broken-none-sha256"
HALF = "p17-1-half-none-sha256"


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What a command prints, to either stream."""
    capsys.readouterr()
    assert main(words) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON document of a command that succeeds."""
    answer: dict[str, Any] = json.loads(run(capsys, *words, "--json"))
    return answer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """The files of a network of three nodes, each of which serves three suites, and of all of which everybody
    has the bottle; nothing runs."""
    with Workplace(tmp_path / "net") as made:
        network.make(made, nodes=3, lanes=2, socks=None, suites=[BEST, SECOND, WEAK], identity=None)
        homes = [made.directory / "nodes" / name for name in ("n1", "n2", "n3")]
        own = [load_bottle(next((home / "bottles").iterdir())) for home in homes]
        for home in (made.directory / "client", *homes):
            for bottle in own:
                save_bottle(home / "bottles", bottle)
        yield made


def config(place: Workplace) -> Path:
    return place.directory / "client" / "client.toml"


def prefer(place: Workplace, *suites: str) -> None:
    """The one line by which a user switches suites."""
    file = config(place)
    lines = [line for line in file.read_text().splitlines() if not line.startswith("suites")]
    file.write_text("\n".join([f"suites = {json.dumps(suites)}", *lines]) + "\n")


def explained(capsys: pytest.CaptureFixture[str], place: Workplace, node: str = "n2") -> dict[str, Any]:
    (told,) = document(capsys, "suites", "explain", "--config", str(config(place)), node)["nodes"]
    return dict(told)


def reasons(told: dict[str, Any]) -> dict[str, str]:
    return {suite["name"]: suite["reason"] for suite in told["suites"]}


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    group: str = "port17.cipher_suites",
    **plugins: str,
) -> None:
    """A stranger's distribution of plugins: name to what its module calls them."""
    info = folder / "stranger-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 9\n")
    points = "\n".join(f"{name} = stranger{value and ':'}{value}" for name, value in plugins.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
    (folder / "stranger.py").write_text(module)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)


# -- list -------------------------------------------------------------------------------------------
def test_all_that_is_installed_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "suites", "list")
    assert told["schema"] == "port17.suites.list/1"
    registry = Registry()
    for key, group in (("suites", "port17.cipher_suites"), ("schemes", "port17.identity_schemes")):
        assert [one["name"] for one in told[key]] == sorted(registry.names(group))
        assert not any(one["problem"] for one in told[key])
    best = next(one for one in told["suites"] if one["name"] == BEST)
    assert best["parts"] == {"kem": "xwing", "aead": "aes256gcm", "hash": "sha256"}
    assert best["confidentiality"] == {"classical": 128, "quantum": 3}
    assert best["status"] == "recommended"
    assert best["dist"] == "port17-crypto"
    assert "charter" not in best
    scheme = next(one for one in told["schemes"] if one["name"] == "ed25519")
    assert scheme["authentication"] == {"classical": 128, "quantum": 0}
    assert (scheme["public_key_size"], scheme["signature_size"]) == (32, 64)
    shown = run(capsys, "suites", "list")
    for word in (BEST, SECOND, WEAK, "ed25519-mldsa65", "category 3", "none", "128 bits"):
        assert word in shown


def test_what_is_broken_is_named_and_nothing_else_suffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = (
        "from port17_crypto.suites import XWingAes256GcmSha256\n"
        f"class Half(XWingAes256GcmSha256):\n    name = {HALF!r}\nHalf.confidentiality = None\n"
    )
    install(tmp_path / "dist", monkeypatch, module, **{BROKEN: "NoSuch", HALF: "Half"})
    rows = {one["name"]: one for one in document(capsys, "suites", "list")["suites"]}
    assert not rows[BEST]["problem"]
    assert "stranger" in rows[BROKEN]["problem"]
    assert "classical" in rows[HALF]["problem"]
    assert "status" not in rows[BROKEN]
    shown = run(capsys, "suites", "list")
    assert f"{BROKEN}: " in shown
    assert "unusable" in shown
    for name in (BROKEN, HALF):
        assert "stranger" in run(capsys, "suites", "show", name, code=4)


def test_a_suite_that_two_offer_is_a_row_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path / "dist", monkeypatch, "", **{BEST: "Double"})
    rows = {one["name"]: one for one in document(capsys, "suites", "list")["suites"]}
    assert set(rows[BEST]["dist"].split(", ")) == {"port17-crypto", "stranger"}
    assert rows[BEST]["problem"]
    assert not rows[SECOND]["problem"]


def test_what_a_charter_and_a_configuration_allow(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    charter = str(place.directory / "testnet.charter")
    rows = {one["name"]: one for one in document(capsys, "suites", "list", "--charter", charter)["suites"]}
    assert [rows[name]["charter"] for name in (BEST, SECOND, WEAK)] == [1, 2, 3]
    assert not any("config" in row for row in rows.values())
    prefer(place, WEAK, SECOND)
    told = document(capsys, "suites", "list", "--config", str(config(place)))
    rows = {one["name"]: one for one in told["suites"]}
    # The charter's order holds, whatever the order in the configuration.
    assert [rows[name]["config"] for name in (BEST, SECOND, WEAK)] == [None, 1, 2]
    schemes = {one["name"]: one["charter"] for one in told["schemes"]}
    assert (schemes["ed25519"], schemes["ed25519-mldsa65"]) == (1, None)
    shown = run(capsys, "suites", "list", "--config", str(config(place)))
    (line,) = [line for line in shown.splitlines() if line.startswith(BEST)]
    assert line.split()[-2:] == ["1", "no"]
    assert main(["suites", "list", "--config", "x", "--charter", "y"]) == 2


# -- show -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (BEST, ("1216 bytes", "1120 bytes", "NIST category 3", "recommended", "port17-crypto", "FIPS 203")),
        (WEAK, ("32 bytes", "against quantum computers nothing", "permitted", "RFC 7748")),
        ("ed25519-mldsa65", ("3373 bytes", "1984 bytes", "ed25519 and ", "FIPS 204")),
    ],
)
def test_everything_about_one(name: str, said: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "suites", "show", name)
    for word in (name, *said):
        assert word in shown
    told = document(capsys, "suites", "show", name)
    assert told["schema"] == "port17.suites.show/1"
    assert told["name"] == name
    assert told["source"] in shown
    assert told["kind"] in shown


def test_a_suite_that_nobody_has_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "suites", "show", "p17-1-none-such", code=4)
    assert BEST in said
    assert "ed25519" in said


@pytest.mark.parametrize("name", ["plain", "p17-1-xwing", "p17-1-a-b-c-d"])
def test_a_name_that_does_not_keep_to_the_rule_has_no_parts(name: str) -> None:
    assert catalogue.parts(name) == {}


# -- explain ----------------------------------------------------------------------------------------
def test_the_best_that_both_allow(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, place)
    assert (told["name"], told["suite"], told["usable"]) == ("n2", BEST, True)
    assert [suite["name"] for suite in told["suites"]] == [BEST, SECOND, WEAK]
    assert [suite["taken"] for suite in told["suites"]] == [True, False, False]
    assert all(suite["prekey_held"] for suite in told["suites"])
    prefer(place, WEAK, SECOND)
    told = explained(capsys, place)
    assert told["suite"] == SECOND
    assert "configuration" in reasons(told)[BEST]
    everything = document(capsys, "suites", "explain", "--config", str(config(place)))
    assert [node["name"] for node in everything["nodes"]] == ["n1", "n2", "n3"]
    shown = run(capsys, "suites", "explain", "--config", str(config(place)), told["id"])
    assert f"n2 ({told['id']}): {SECOND}" in shown
    assert "our configuration does not name it" in shown


def test_a_node_is_not_explained_to_itself(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    file = place.directory / "nodes" / "n1" / "node.toml"
    told = document(capsys, "suites", "explain", "--config", str(file))
    assert [node["name"] for node in told["nodes"]] == ["n2", "n3"]


def test_without_a_prekey_of_the_best_the_node_is_unusable_and_nothing_weaker_is_taken(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place.directory / "client" / "bottles"
    for file in folder.iterdir():
        bottle = load_bottle(file)
        kept = [record for record in bottle.bundle if record.suite != BEST]
        save_bottle(folder, Bottle.of(bottle.label_envelope, bottle.contents_envelope, kept))
    told = explained(capsys, place)
    assert (told["suite"], told["usable"]) == (BEST, False)
    assert [suite["prekey_held"] for suite in told["suites"]] == [False, True, True]
    shown = run(capsys, "suites", "explain", "--config", str(config(place)), "n2")
    assert "cannot be used now" in shown


def test_every_reason_has_its_words(
    place: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    statuses = {"Weak": ("PERMITTED", 80), "Gone": ("BROKEN", 128)}
    names = {title: f"p17-1-{title.lower()}-aes256gcm-sha256" for title in statuses}
    module = "from port17 import Level, Status\nfrom port17_crypto.suites import XWingAes256GcmSha256\n"
    for title, (status, bits) in statuses.items():
        module += f"class {title}(XWingAes256GcmSha256):\n    name = {names[title]!r}\n"
        module += f"    status = Status.{status}\n{title}.confidentiality = Level({bits}, 0)\n"
    installed = {names[title]: title for title in statuses} | {BROKEN: "NoSuch"}
    install(tmp_path / "dist", monkeypatch, module, **installed)
    amend(place, [BEST, "p17-1-not-installed", BROKEN, *names.values(), SECOND, WEAK], monkeypatch)
    prefer(place, SECOND, "p17-1-not-installed", BROKEN, *names.values(), WEAK)
    relabel(place, "n2", [*names.values(), WEAK, BROKEN, BEST, "p17-1-not-installed", "p17-1-not-allowed"])
    told = explained(capsys, place)
    assert told["suite"] == WEAK
    said = reasons(told)
    assert "configuration" in said[BEST]
    assert "not installed" in said["p17-1-not-installed"]
    assert "cannot be used here" in said[BROKEN]
    assert "least level" in said[names["Weak"]]
    assert "status is broken" in said[names["Gone"]]
    assert said[SECOND] == "the node does not serve it"
    assert said["p17-1-not-allowed"] == "the charter does not allow it"


def test_a_suite_that_a_plugin_refuses_is_not_used(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = "from port17 import hookimpl\n\n@hookimpl\ndef refuse_suite(suite):\n"
    module += f"    return 'no AES here' if suite.name == {BEST!r} else None\n"
    install(tmp_path / "dist", monkeypatch, module, "port17", careful="")
    told = explained(capsys, place)
    assert told["suite"] == SECOND
    assert "no AES here" in reasons(told)[BEST]
    assert f"{BEST}: " in run(capsys, "suites", "list")


def test_a_node_that_is_not_there_and_a_bottle_that_is_left_out(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.directory / "client" / "bottles" / "strange.bottle").write_bytes(b"no bottle")
    told = document(capsys, "suites", "explain", "--config", str(config(place)))
    assert len(told["nodes"]) == 3
    assert "strange.bottle" in told["problems"][0]
    said = run(capsys, "suites", "explain", "--config", str(config(place)), "n9", code=3)
    assert "n1, n2, n3" in said


def amend(place: Workplace, suites: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision whose suites need not be installed, as members who have other plugins would sign it."""
    from port17.node.keyring import Keyring
    from port17.records.charter import Charter
    from port17.records.revision import Revision
    from port17_cli import drivers
    from port17_cli.charter import NO_NETWORK, signers

    path = place.directory / "testnet.charter"
    schemes = drivers.schemes(Registry())
    charter = Charter.load(path, schemes)
    holders = [Keyring.load(place.directory / "update.key" / "1", schemes, {}, NO_NETWORK)]
    last = charter.revisions[-1].revision
    terms = Revision.made(**{**last.to_value(), "suites": suites, "not_before": int(time.time())})
    charter.amended(terms, signers(holders)).dump(path)


def relabel(place: Workplace, name: str, suites: list[str]) -> None:
    """A bottle of a node's own whose label serves other suites; its prekeys are of those it had."""
    from port17.node.keyring import Keyring
    from port17.records.charter import Charter
    from port17.records.prekey import PrekeyRecord
    from port17_cli import drivers

    registry = Registry()
    schemes = drivers.schemes(registry)
    charter = Charter.load(place.directory / "testnet.charter", schemes)
    held = {one: registry.make("port17.cipher_suites", one) for one in (BEST, SECOND, WEAK)}
    state = place.directory / "nodes" / name / "state"
    keyring = Keyring.load(state, schemes, held, charter.network_id)
    folder = place.directory / "client" / "bottles"
    bottle = load_bottle(folder / f"{keyring.identity.node_id}.bottle")
    records: list[PrekeyRecord] = [record for record in keyring.records() if record.suite in suites]
    slots: dict[str, list[tuple[int, int, bytes]]] = {}
    for record in records:
        slots.setdefault(record.suite, []).append((record.slot, record.expiry, record.hash))
    label = Label.made(**{**bottle.label.to_value(), "suites": suites, "seq": bottle.label.seq + 1})
    contents = type(bottle.contents).made(**{**bottle.contents.to_value(), "slots": slots})
    save_bottle(
        folder,
        Bottle.seal(charter.network_id, keyring.scheme, keyring.signing_key, label, contents, records),
    )
