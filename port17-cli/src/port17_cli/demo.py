"""``port17 demo``: a network of five nodes on this machine, and a fetch through three of them.

What is shown lies in :class:`Story`; how it is drawn on a terminal is ``demo_view``'s.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from port17.control import ask
from port17.errors import NetworkError, Port17Error, UsageError
from port17_cli import destination, loop, output
from port17_cli.fetch import Fetched, fetch
from port17_cli.testnet import Running, running
from port17_cli.workplace import Workplace

NODES = 5
MIB = 1 << 20
SIZE_CAP_MIB = 1024
"""Largest fetch, MiB: it is held in memory once."""
FETCH_TIMEOUT_S = 30.0
"""Seconds without a byte until the fetch is given up."""
ROUTE_PAUSE_S = 0.05
"""Between two questions to the client about the circuit in use, seconds."""


@dataclass
class Story:
    """What there is to tell so far.

    :param stage: what is being done, in words.
    :param route: names of the nodes that carry the fetch, from the entry to the exit.
    :param pids: process ids by node name; the client is among them.
    :param total: bytes that the destination sends.
    :param received: bytes that have arrived.
    :param sent_digest: SHA-256 of what the destination sends, hex.
    :param started: seconds from the first process's start until the network worked.
    """

    total: int
    stage: str = ""
    route: list[str] = field(default_factory=list)
    pids: dict[str, int] = field(default_factory=dict)
    received: int = 0
    sent_digest: str = ""
    started: float | None = None
    fetched: Fetched | None = None

    @property
    def true(self) -> bool:
        """What arrived is what was sent."""
        return self.fetched is not None and self.fetched.digest == self.sent_digest


Tell = Callable[[str], None]


def demo(args: argparse.Namespace) -> int:
    """``port17 demo``."""
    if not 1 <= args.size <= SIZE_CAP_MIB:
        raise UsageError(f"--size is 1 to {SIZE_CAP_MIB} MiB, not {args.size}.")
    story = Story(total=args.size * MIB)
    if args.json:
        loop.run(_play, story, lambda line: None)
        print(output.document("port17.demo/1", _result(story)))
    elif sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from port17_cli.demo_view import live

        with live(story):
            loop.run(_play, story, lambda line: None)
    else:
        loop.run(_play, story, lambda line: print(line, flush=True))
    if not story.true:
        raise NetworkError("What arrived is not what was sent.", cure="Please report it.")
    return 0


async def _play(story: Story, tell: Tell) -> None:
    """:raises NetworkError: the network did not carry the fetch.
    :raises Port17Error: a signal ended it.
    """
    finished = False
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def end_on_signal() -> None:
                async for _ in signals:
                    scope.cancel()

            tasks.start_soon(end_on_signal)
            with anyio.CancelScope() as scope, tempfile.TemporaryDirectory(prefix="port17-") as directory:
                await _tell_it(story, tell, Path(directory))
                finished = True
            tasks.cancel_scope.cancel()
    if not finished:
        raise Port17Error("Interrupted; every process was ended.")


async def _tell_it(story: Story, tell: Tell, directory: Path) -> None:
    def stage(text: str) -> None:
        story.stage = text
        tell(text)

    body = os.urandom(story.total)
    with destination.serve(body, directory) as target, Workplace(directory / "net") as place:
        story.sent_digest = target.digest
        stage(f"Making a network: {NODES} nodes and a client, each a process on loopback ...")
        async with running(place, nodes=NODES) as network:
            story.started = network.started
            story.pids = {child.name: child.pid for child in network.crew.children}
            stage(f"Ready after {network.started:.1f} s. Fetching {output.size(story.total)} over HTTPS ...")
            await _fetch(story, network, target)
            tell(f"Route: {' > '.join(['client', *story.route, 'destination'])}")
            for line in summary(story):
                tell(line)
            story.stage = "Ending the processes ..."
    story.stage = "Done." if story.true else "Failed."


async def _fetch(story: Story, network: Running, target: destination.Destination) -> None:
    def count(size: int) -> None:
        story.received += size

    def work() -> Fetched:
        return fetch(
            network.plan.client.proxy,
            destination.HOST,
            target.port,
            target.certificate,
            FETCH_TIMEOUT_S,
            count,
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_find_route, story, network)
        try:
            story.fetched = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except OSError as error:
            raise NetworkError(f"The fetch failed: {error}.", cure="Run it again.") from error
        tasks.cancel_scope.cancel()
    if not story.route:  # a fetch faster than one question
        _take_route(story, await ask(network.plan.client.control, "circuits"))


async def _find_route(story: Story, network: Running) -> None:
    while not story.route:
        _take_route(story, await ask(network.plan.client.control, "circuits"), in_use=True)
        await anyio.sleep(ROUTE_PAUSE_S)


def _take_route(story: Story, answer: dict[str, Any], *, in_use: bool = False) -> None:
    """Remember the nodes of the circuit that carried most, once it carries something."""
    circuits = [circuit for circuit in answer["circuits"] if circuit["conveyors"] or not in_use]
    if circuits:
        busiest = max(circuits, key=lambda circuit: int(circuit["bytes_down"]))
        story.route = [str(hop["name"]) for hop in busiest["hops"]]


def summary(story: Story) -> list[str]:
    """The result, for people."""
    fetched = story.fetched
    if fetched is None:
        return []
    transfer = max(fetched.done - fetched.first_byte, 1e-6)
    verdict = "is what was sent" if story.true else "IS NOT WHAT WAS SENT"
    return [
        f"Stream open after {fetched.opened * 1000:.1f} ms, TLS with the destination after"
        f" {fetched.secured * 1000:.1f} ms, first byte after {fetched.first_byte * 1000:.1f} ms",
        f"{output.size(fetched.size)} in {transfer:.2f} s: {fetched.size / transfer / 1e6:.0f} MB/s",
        f"What arrived {verdict} (SHA-256 {fetched.digest[:16]}...)",
    ]


def _result(story: Story) -> dict[str, object]:
    fetched = story.fetched
    return {
        "ok": story.true,
        "nodes": NODES,
        "route": story.route,
        "started_s": story.started,
        "bytes": story.received,
        "sha256_sent": story.sent_digest,
        "sha256_arrived": fetched.digest if fetched else None,
        "open_ms": fetched.opened * 1000 if fetched else None,
        "tls_ms": fetched.secured * 1000 if fetched else None,
        "first_byte_ms": fetched.first_byte * 1000 if fetched else None,
        "total_s": fetched.done if fetched else None,
    }
