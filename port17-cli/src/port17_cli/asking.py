"""Asking a running process, as several commands do; imports what configurations need only if one is read."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Literal

from port17.control import ask
from port17.errors import UsageError
from port17_cli import loop

VARIABLE = "PORT17_CONTROL"


def answer(args: argparse.Namespace, kind: Literal["node", "client"], verb: str) -> dict[str, Any]:
    """What the process that a command means answers.

    :param args: with ``control`` and ``config``.
    :raises UsageError: which process is meant is not said.
    :raises NetworkError: it does not answer.
    """
    return loop.run(ask, _path(args, kind), verb)


def _path(args: argparse.Namespace, kind: str) -> Path:
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
