"""A network made with the commands that people use, each of its processes started and ended by the test."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio

from port17 import control
from port17.bottles.rack import SUFFIX, load_bottle
from port17_cli.main import main
from port17_cli.network import HOST, free_ports
from rig.patience import until
from rig.testnet import ASK_S, PROGRAM, read_line

READY_S = 60.0
"""How long a process may take until it is ready, seconds."""
END_S = 10.0
"""How long it may take to end, seconds."""


def command(*words: str) -> dict[str, Any]:
    """What a ``port17`` command answers with ``--json``."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main([*words, "--json"])
    assert code == 0, (words, code)
    answer: dict[str, Any] = json.loads(said.getvalue())
    return answer


class House:
    """Nodes that all keep lanes with each other, and a client; their processes end with the context.

    :param directory: for its files.
    :param names: the nodes'.
    :param ports: where each node listens.
    :param advertised: HOST:PORT where others are told to find a node, if not where it listens.
    :param private: whether the exits may reach this machine's own addresses.
    :param options: more arguments of ``charter init``, e.g. suites.
    :param network: its name.
    """

    def __init__(
        self,
        directory: Path,
        names: Sequence[str],
        ports: Mapping[str, int],
        *,
        advertised: Mapping[str, str] | None = None,
        private: bool = True,
        options: Sequence[str] = (),
        network: str = "house",
    ) -> None:
        self.directory = directory
        self.names = tuple(names)
        self.ports = dict(ports)
        self.processes: dict[str, subprocess.Popen[str]] = {}
        advertised = advertised or {}
        charter = str(directory / f"{network}.charter")
        command("charter", "init", "--dir", str(directory), "--name", network, *options)
        made = {}
        for name in names:
            words = ["--charter", charter, "--name", name, "--listen", f"{HOST}:{ports[name]}", "--exit"]
            words += ["--advertise", advertised[name]] if name in advertised else []
            words += ["--allow-private"] if private else []
            made[name] = command("node", "init", "--config", str(self.config(name)), *words)
        self.fingerprints = {name: bytes.fromhex(one["fingerprint"]) for name, one in made.items()}
        for name in names:
            lanes = [w for other in names if other != name for w in ("--lane", made[other]["fingerprint"])]
            command("node", "bottle", "--config", str(self.config(name)), *lanes)
        self.socks = (HOST, free_ports(HOST)[0])
        command(
            *("client", "init", "--config", str(self.config("client")), "--charter", charter),
            *("--socks", f"{HOST}:{self.socks[1]}", "--private-addresses"),
        )

    def config(self, name: str) -> Path:
        """A process's configuration file."""
        return self.directory / f"{name}.toml"

    def start(self, *names: str, settings: Sequence[str] = (), program: Sequence[str] = PROGRAM) -> None:
        """Start nodes, or the ``client``, and wait until each is ready.

        :param settings: KEY=VALUE that differ from their files.
        :param program: what is started, if not our ``port17``.
        """
        changes = [word for setting in ("log.level=debug", *settings) for word in ("--set", setting)]
        for name in names:
            kind = "client" if name == "client" else "node"
            with (self.directory / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [*program, kind, "run", "--config", str(self.config(name)), *changes],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        for name in names:
            assert read_line(self.processes[name], READY_S), (self.directory / f"{name}.log").read_text()[
                -2000:
            ]

    def wait_for_lanes(self) -> None:
        """Until every running node has a lane to every other and its bottle in the folder says so, and the
        client, if it runs, knows of all."""
        nodes = [name for name in self.processes if name != "client"]

        def stand() -> bool:
            states = [self.ask(name, "status") for name in nodes]
            files = [self.directory / "bottles" / f"{state['id']}{SUFFIX}" for state in states]
            return all(state["lanes"]["standing"] == len(nodes) - 1 for state in states) and all(
                len(load_bottle(file).contents.lanes) >= len(nodes) - 1 for file in files
            )

        until(stand, "all lanes stand", READY_S)

        def known() -> bool:
            lanes: int = self.ask("client", "status")["nodes"]["lanes"]
            return lanes >= len(nodes) * (len(nodes) - 1) // 2

        if "client" in self.processes:
            until(known, "the client knows of all lanes", READY_S)

    def end(self, name: str) -> int:
        """End a process in order; its exit code."""
        self.processes[name].terminate()
        try:
            return self.processes[name].wait(END_S)
        finally:
            self.kill(name)

    def kill(self, name: str) -> None:
        """End a process with SIGKILL."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in list(self.processes):
            self.kill(name)

    def ask(self, name: str, verb: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask a process by its control socket."""
        return anyio.run(control.ask, self.directory / f"{name}.sock", verb, args, ASK_S)
