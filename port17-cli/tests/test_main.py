"""Exit codes, what is said with them, and how fast help comes."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from port17.errors import ConfigError, NoRoute, PluginError, Port17Error, UsageError
from port17_cli import main as entrance
from port17_cli.parser import build

FAST_S = 0.15
"""Seconds of a processor: what a machine's other work takes is not ours. Nothing here waits for anything."""


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_are_fast(flag: str) -> None:
    command = [sys.executable, "-m", "port17_cli", flag]
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < FAST_S


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    code = (
        "import sys, port17_cli.main as m; m.main(['node', '--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"pydantic", "rich", "anyio", "stevedore", "pluggy", "cryptography", "port17"}
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nod"], "invalid choice"),
        (["node", "run"], "--config"),
        (["route", "show"], "--control PATH"),
        (["testnet", "up", "--dir", "x", "--nodes", "many"], "invalid int"),
        (["testnet", "up", "--dir", "x", "--nodes", "2"], "--nodes is 3"),
        (["testnet", "up", "--dir", "x", "--nodes", "4", "--lanes", "4"], "--lanes is 2 to 3"),
        (["demo", "--size", "0"], "--size"),
        (["charter", "init", "--update-keys", "1", "--threshold", "2"], "--threshold"),
        (["charter", "init", "--plain-text-exit", "abc"], "no fingerprint"),
        (["config", "show", "--config", "x", "--set", "novalue"], "KEY=VALUE"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT17_CONTROL", raising=False)
    assert entrance.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["node"], ["testnet"], ["config"]])
def test_a_missing_command_shows_what_there_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entrance.main(arguments) == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Port17Error("e"), 1),
        (UsageError("e"), 2),
        (ConfigError("e"), 3),
        (PluginError("e"), 4),
        (NoRoute("e"), 5),
        (ValueError("e"), 1),
        (KeyboardInterrupt(), 1),
        (BaseExceptionGroup("g", [ExceptionGroup("h", [ConfigError("e")])]), 3),
        (BaseExceptionGroup("g", [KeyboardInterrupt()]), 1),
    ],
)
def test_every_error_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(entrance, "_handler", lambda place: fail)
    assert entrance.main(["plugins", "list"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_where_it_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(entrance, "_handler", lambda place: fail)
    assert entrance.main(["plugins", "list"]) == 1
    assert "--debug" in capsys.readouterr().err
    for arguments in (["--debug", "plugins", "list"], ["plugins", "list", "--debug"]):
        assert entrance.main(arguments) == 1
        assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_left_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m port17_cli plugins list --no-import | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_every_handler_exists() -> None:
    from importlib import import_module

    pending = [build()]
    handlers = []
    while pending:
        parser = pending.pop()
        if parser.get_default("handler"):
            handlers.append(parser.get_default("handler"))
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
    assert len(handlers) >= 11
    for handler in handlers:
        module, _, name = handler.partition(":")
        assert callable(getattr(import_module(module), name))
