"""Asking a running process, as several commands do; imports what configurations need only if one is read."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from typing import Any, Literal

from port17.control import ask
from port17.errors import UsageError
from port17_cli import loop

VARIABLE = "PORT17_CONTROL"
PROBE_S = 1.0
"""Seconds within which a socket of this machine takes a connection."""


def answer(args: argparse.Namespace, kind: Literal["node", "client"], verb: str) -> dict[str, Any]:
    """What the process that a command means answers.

    :param args: with ``control`` and ``config``.
    :raises UsageError: which process is meant is not said.
    :raises NetworkError: it does not answer.
    """
    return loop.run(ask, path(args, kind), verb)


def listens(path: Path) -> bool:
    """Whether a process is behind a control socket; one that is stopped counts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True  # whoever asks it will be told what is wrong
    return True


def path(args: argparse.Namespace, kind: Literal["node", "client"]) -> Path:
    """The control socket of the process that a command means.

    :param args: with ``control`` and ``config``.
    :raises UsageError: which process is meant is not said.
    """
    if args.control:
        return Path(args.control)
    if args.config:
        from port17.config import ClientConfig, NodeConfig
        from port17_cli import settings

        if kind == "node":
            return settings.read(NodeConfig, args.config)[0].control
        return settings.read(ClientConfig, args.config)[0].control
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    raise UsageError(
        "Which process is to be asked is not said.",
        cure=f"Give --control PATH or --config FILE, or set {VARIABLE}.",
    )
