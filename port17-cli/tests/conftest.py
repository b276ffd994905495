"""Commands as they are run, and a network to run them in, for the tests of identities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from port17.node.key_lock import Lock, Work
from port17_cli.main import main

from .identity_home import Descriptors


@pytest.fixture
def cheap_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least work that is accepted: these tests lock many keys."""
    fresh = Lock.fresh
    monkeypatch.setattr(Lock, "fresh", lambda suite, work: fresh(suite, Work(15, 8, 1)))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The JSON document of a command that succeeds; ``typed`` reaches it by a descriptor each."""

    def run_it(*words: str, **typed: str) -> dict[str, Any]:
        capsys.readouterr()
        with Descriptors(typed) as flags:
            code = main([*words, *flags, "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        document: dict[str, Any] = json.loads(said.out)
        return document

    return run_it


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command that fails with code 3 says."""

    def run_it(*words: str, code: int = 3, **typed: str) -> str:
        capsys.readouterr()
        with Descriptors(typed) as flags:
            assert main([*words, *flags]) == code
        return capsys.readouterr().err

    return run_it


@pytest.fixture
def network(tmp_path: Path, run: Callable[..., dict[str, Any]]) -> Path:
    run("charter", "init", "--dir", str(tmp_path), "--name", "home", "--identity", "ed25519")
    return tmp_path
