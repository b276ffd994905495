"""A network for tests on this machine: real processes on loopback, and the command that runs them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from port17.errors import NetworkError, UsageError
from port17_cli import countries as geography
from port17_cli import destination, loop
from port17_cli.fetch import fetch
from port17_cli.network import Plan, make
from port17_cli.processes import Child, Crew
from port17_cli.workplace import Workplace

LEAST_NODES = 3
"""A route has three, each of another group."""
MOST_NODES = 200
"""Beyond, a machine's memory is the limit: a node takes tens of MB."""
STARTING = 8
"""Processes that start at once: each is busy importing for most of a second, and has a time limit."""
FETCH_S = 60.0
"""How long the first fetch through the new network may take in all, seconds."""
TRY_S = 5.0
"""How long one attempt may take, seconds."""
PAUSE_S = 0.1
"""Between two attempts, seconds."""
NONCE_SIZE = 32
"""Bytes of the body that the first fetch must bring: not guessable, so that no other answer passes."""


@dataclass(frozen=True)
class Running:
    """A test network whose first fetch has worked.

    :param plan: its files and addresses.
    :param crew: its processes.
    :param started: seconds from the first process's start until a fetch worked.
    """

    plan: Plan
    crew: Crew
    nodes: tuple[Child, ...]
    client: Child
    started: float

    def state(self) -> dict[str, Any]:
        """What ``state.json`` holds."""
        return {
            "charter": str(self.plan.charter),
            "bootstrap": str(self.plan.bootstrap),
            "nodes": [
                {
                    "id": node.node_id,
                    "name": node.name,
                    "pid": child.pid,
                    "address": node.address,
                    "country": node.country,
                    "control": str(node.control),
                }
                for node, child in zip(self.plan.nodes, self.nodes, strict=True)
            ],
            "client": {
                "pid": self.client.pid,
                "socks": self.plan.client.socks,
                "control": str(self.plan.client.control),
            },
        }


def up(args: argparse.Namespace) -> int:
    """``port17 testnet up``."""
    check(args.nodes, args.lanes)
    geography.parse(args.countries, args.nodes)
    return loop.run(_up, args)


def check(nodes: int, lanes: int | None) -> None:
    """:raises UsageError: no such network can be."""
    if not LEAST_NODES <= nodes <= MOST_NODES:
        raise UsageError(f"--nodes is {LEAST_NODES} to {MOST_NODES}, not {nodes}.")
    if lanes is not None and not 2 <= lanes < nodes:
        raise UsageError(
            f"--lanes is 2 to {nodes - 1} for {nodes} nodes, not {lanes}.",
            cure="Each node keeps a lane with at most every other node.",
        )


async def _up(args: argparse.Namespace) -> int:
    ready = False
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def end_on_signal() -> None:
                async for _ in signals:
                    # Not the group: the receiver must stay, so that an impatient second signal is swallowed
                    # while the processes are ended.
                    scope.cancel()

            tasks.start_soon(end_on_signal)
            with anyio.CancelScope() as scope, Workplace(Path(args.dir)) as place:
                async with running(
                    place,
                    nodes=args.nodes,
                    lanes=args.lanes,
                    socks=args.socks,
                    suites=args.suite or (),
                    identity=args.identity,
                    countries=geography.parse(args.countries, args.nodes),
                ) as network:
                    place.write_state(network.state())
                    print("ready", flush=True)
                    ready = True
                    await network.crew.watch(_say_ended)
                    await anyio.sleep_forever()
            tasks.cancel_scope.cancel()
    return 0 if ready else 1


def _say_ended(child: Child) -> None:
    print(
        f"{child.name} ended with code {child.process.returncode}; see {child.log}",
        file=sys.stderr,
        flush=True,
    )


@asynccontextmanager
async def running(
    place: Workplace,
    *,
    nodes: int,
    lanes: int | None = None,
    socks: str | None = None,
    suites: Sequence[str] = (),
    identity: str | None = None,
    countries: Sequence[str] = (),
) -> AsyncIterator[Running]:
    """A network that runs while the context is open, given once a fetch through it has worked.

    :param socks: HOST:PORT for the client; None takes a free port.
    :param suites: cipher suites side by side, best first; empty takes the usual one.
    :param countries: where each node is said to be; empty says nothing.
    :raises NetworkError: a process could not start, or no fetch worked in time.
    """

    def prepare() -> Plan:
        return make(
            place,
            nodes=nodes,
            lanes=lanes,
            socks=socks,
            suites=suites,
            identity=identity,
            countries=countries,
        )

    plan = await anyio.to_thread.run_sync(prepare)
    begin = time.perf_counter()
    async with Crew(place.directory) as crew:
        children: dict[str, Child] = {}
        places = anyio.CapacityLimiter(STARTING)

        async def start(name: str, kind: str, config: Path) -> None:
            async with places:
                children[name] = await crew.start(name, [kind, "run", "--config", str(config)])

        async with anyio.create_task_group() as tasks:
            for node in plan.nodes:
                tasks.start_soon(start, node.name, "node", node.config)
            tasks.start_soon(start, plan.client.name, "client", plan.client.config)
        await _first_fetch(plan, crew)
        yield Running(
            plan,
            crew,
            tuple(children[node.name] for node in plan.nodes),
            children[plan.client.name],
            time.perf_counter() - begin,
        )


async def _first_fetch(plan: Plan, crew: Crew) -> None:
    """Try until a fetch through the network brings what was sent.

    :raises NetworkError: none did in time, or a process ended.
    """
    proxy = plan.client.proxy
    nonce = os.urandom(NONCE_SIZE)
    with destination.serve(nonce) as target:

        def attempt() -> bool:
            return fetch(proxy, destination.HOST, target.port, None, TRY_S).digest == target.digest

        failure: Exception | None = None
        deadline = time.monotonic() + FETCH_S
        while time.monotonic() < deadline:
            for child in crew.children:
                if child.process.returncode is not None:
                    raise NetworkError(
                        f"{child.name} ended with code {child.process.returncode}:\n{child.tail()}",
                        cure=f"See {child.log}.",
                    )
            try:
                if await anyio.to_thread.run_sync(attempt, abandon_on_cancel=True):
                    return
                failure = NetworkError("what arrived is not what was sent")
            except (NetworkError, OSError) as error:
                failure = error
            await anyio.sleep(PAUSE_S)
    raise NetworkError(
        f"No fetch through the network worked within {FETCH_S:g} s; the last failure: {failure}",
        cure=f"See the logs in {crew.logs}.",
    )
