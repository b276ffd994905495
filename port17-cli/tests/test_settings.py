"""``port17 config show``, and the TOML that this program writes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17_cli import toml
from port17_cli.main import main


def test_origins_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT17_GROUP", "mine")
    path = tmp_path / "n.toml"
    path.write_text('charter = "c"\nname = "n"\n')
    words = ["config", "show", "--config", str(path), "--set", "log.level=debug"]
    assert main([*words, "--origin"]) == 0
    lines = {line.split(" = ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["name"].endswith(f"# file {path}:2")
    assert lines["group"].endswith("# env PORT17_GROUP")
    assert lines["log.level"].endswith("# flag --set log.level")
    assert lines["exit.enabled"].endswith("# default")
    assert main(words) == 0
    assert "#" not in capsys.readouterr().out
    assert main([*words, "--origin", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["kind"]) == ("port17.config.show/1", "node")
    shown = {value["key"]: value for value in document["values"]}
    assert shown["group"] == {
        "key": "group",
        "value": "mine",
        "origin": {"kind": "env", "where": "PORT17_GROUP"},
    }


def test_a_clients_file_is_known_by_its_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text('charter = "c"\nearly = "never"\n')
    assert main(["config", "show", "--config", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "client"
    assert main(["config", "show", "--config", str(path), "--kind", "node"]) == 3
    assert "there is no key early" in capsys.readouterr().err


def test_a_wrong_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "n.toml"
    path.write_text('charter = "c"\nname = "n"\ngruop = "g"\n')
    assert main(["config", "show", "--config", str(path)]) == 3
    assert "Did you mean group?" in capsys.readouterr().err


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALAR = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1))
VALUES = st.recursive(
    st.dictionaries(TEXT, st.one_of(SCALAR, st.lists(SCALAR, max_size=3)), max_size=4),
    lambda inner: st.dictionaries(TEXT, st.one_of(SCALAR, inner), max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_is_written_is_read_again(values: dict[str, object]) -> None:
    assert tomllib.loads(toml.dumps(values)) == values
    assert tomllib.loads(f"value = {toml.literal(values)}") == {"value": values}


def test_what_is_none_is_left_out() -> None:
    assert toml.dumps({"a": None, "b": {"c": None}}) == "[b]\n"
