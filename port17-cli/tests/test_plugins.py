"""``port17 plugins list`` and what asks a running process, from the outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from port17.plugins import doctor
from port17_cli.main import main


@pytest.mark.parametrize(("flags", "status"), [([], "ok"), (["--no-import"], "untried")])
def test_the_projects_own_plugins_are_listed(
    flags: Sequence[str], status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "list", "--json", *flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "port17.plugins.list/1"
    rows = {(row["group"], row["name"]): row for row in document["plugins"]}
    for group, name, dist in (
        ("port17.cipher_suites", "p17-1-xwing-aes256gcm-sha256", "port17-crypto"),
        ("port17.transports", "tcp", "port17-transports"),
        ("port17.ingress", "socks5", "port17-core"),
    ):
        assert (rows[group, name]["dist"], rows[group, name]["status"]) == (dist, status)
    assert main(["plugins", "list", *flags]) == 0
    assert "cipher suite" in capsys.readouterr().out


def test_a_broken_plugin_is_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = doctor.Row(
        "port17.transports",
        "transport",
        "pigeon",
        "birds",
        "1.0",
        "birds:Pigeon",
        "broken",
        "It flew.",
        "Feed it.",
    )
    monkeypatch.setattr(doctor, "examine", lambda: [row])
    assert main(["plugins", "list"]) == 0
    shown = capsys.readouterr().out
    for word in ("pigeon", "broken", "birds 1.0", "It flew.", "Feed it."):
        assert word in shown


def test_the_control_socket_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT17_CONTROL", str(tmp_path / "c.sock"))
    assert main(["route", "show"]) == 5
    assert str(tmp_path / "c.sock") in capsys.readouterr().err
    config = tmp_path / "client.toml"
    config.write_text('charter = "c"\ncontrol = "own.sock"\n')
    monkeypatch.delenv("PORT17_CONTROL")
    assert main(["route", "show", "--config", str(config)]) == 5
    assert str(tmp_path / "own.sock") in capsys.readouterr().err
