"""How a process that knows nobody comes to know some nodes: it fetches a signed list, and again now and then.

Runs over the open network, before there is a tunnel. What each bottle of a list is worth is the intake's to
say, so that no list takes back what is known better.
"""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from port17.bottles.intake import Sender
from port17.bottles.outcome import Aborted, Why
from port17.config.settings import BootstrapConfig
from port17.errors import ConfigError, NetworkError, Port17Error, RecordError
from port17.links import https
from port17.network import KnownNetwork
from port17.records.bootstrap import FILE_CAP, SignedBootstrap
from port17.records.charter_file import FOLDER_MODE, MEMORY_NAME_SIZE
from port17.records.regular_file import read_regular
from port17.records.whole_file import write_whole

INTERVAL_S: Final = 6 * 3600.0
"""Seconds between fetches on average, drawn from half to one and a half times: lists hold for days, and those
who started together are not to come back together."""
CHECK_S: Final = 15.0
"""Seconds between looks whether there is still a node that can be called."""
RETRY_S: Final = 60.0
"""Seconds until the sources are asked again after none of them was of use; doubled each time."""
RETRY_CAP_S: Final = 3600.0
"""Longest such wait, seconds."""
MEMORY_SUFFIX: Final = ".bootstrap.json"
"""What the newest list that was seen is named by, behind the start of its network's id."""

_SENDER: Final = Sender("bootstrap list", trusted=True)
_EXPECTED: Final = frozenset({Why.OBSOLETE, Why.BLOCKED, Why.BANNED})
"""Why an entry of a list in order may be of no use, and nobody need hear of it."""

_log = logging.getLogger(__name__)


class Bootstrap:
    """The lists of one process."""

    def __init__(
        self, config: BootstrapConfig, state: Path, network: KnownNetwork, own_name: str | None = None
    ) -> None:
        """
        :param state: the process's own folder, where the newest list is kept.
        :param own_name: PortName of the node that this is; a client has none.
        """
        self._config = config
        self._network = network
        self._own_name = own_name
        name = f"{network.charter.network_id[:MEMORY_NAME_SIZE].hex()}{MEMORY_SUFFIX}"
        self._memory = state / name
        self._newest: SignedBootstrap | None = None
        self._failures = 0
        self._tried_s = 0.0
        self._next_s = 0.0

    # -- its life -------------------------------------------------------------------------------------
    async def begin(self) -> None:
        """Know somebody. Where nobody is known who can be called, this takes as long as the sources do.

        :raises ConfigError: the pinned certificates can't be used.
        :raises NetworkError: nobody is known, and no source was of use.
        """
        if self._asks_the_web():
            https.context(self._config.pin)  # say now what is wrong with it, not when it is needed
        await self._recall()
        if not self._config.sources:
            if not self._knows_anybody():
                _log.warning(
                    "no other node is known, and there are no sources in [bootstrap] to ask: nothing happens"
                    " until a bottle is put into the folder of bottles, or the local network has somebody"
                )
        elif not self.usable():
            problems = await self.fetch()
            if problems and not self._knows_anybody():
                raise NetworkError(
                    "no other node is known, and no bootstrap list could be had:\n"
                    + "\n".join(f"  {problem}" for problem in problems),
                    cure="Check the sources in [bootstrap] and this machine's clock and line,"
                    " or put bottles of the network's nodes into the folder of bottles.",
                )

    async def tend(self) -> None:
        """Fetch in time, and at once when nobody is left who can be called; without an end."""
        while self._config.sources:
            try:
                if self._due(time.monotonic()):
                    await self.fetch()
            except Exception as fault:  # noqa: BLE001 - a plugin's scheme or validator: it may not end a process
                self._tried(time.monotonic(), failed=True)
                _log.error("a bootstrap list could not be taken: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)
            await anyio.sleep(CHECK_S)

    def _due(self, now_s: float) -> bool:
        if now_s >= self._next_s:
            return True
        return now_s >= self._tried_s + self._patience_s() and not self.usable()

    def _patience_s(self) -> float:
        return min(RETRY_S * 2.0 ** max(self._failures - 1, 0), RETRY_CAP_S)

    def _tried(self, now_s: float, *, failed: bool) -> None:
        self._failures = min(self._failures + 1, 16) if failed else 0
        self._tried_s = now_s
        self._next_s = now_s + (self._patience_s() if failed else INTERVAL_S) * random.uniform(0.5, 1.5)

    def usable(self) -> bool:
        """Whether there is another node that can be called: it has an address, and a prekey that lives."""
        network, now_s = self._network, self._network.wall()
        blocked = network.reputation.said.blocked
        for bottle in network.rack.trusted():
            if not bottle.label.addresses or bottle.label.name == self._own_name:
                continue
            if bottle.fingerprint not in blocked and any(
                record.expiry > now_s and record.suite in network.suites for record in bottle.bundle
            ):
                return True
        return False

    def _knows_anybody(self) -> bool:
        return any(naming.name != self._own_name for naming in self._network.rack.namings())

    # -- one round ------------------------------------------------------------------------------------
    async def fetch(self) -> list[str]:
        """Ask the sources in their order, until one is of use.

        :returns: what was wrong with each; nothing if one was of use.
        """
        problems: list[str] = []
        for source in self._config.sources:
            try:
                text = await self._read(source)
                signed = await anyio.to_thread.run_sync(SignedBootstrap.parse, text)
                await self.take(signed)
            except Port17Error as error:
                problems.append(f"{source}: {error.message}")
                _log.warning(
                    "the bootstrap list of %s is of no use: %s. %s", source, error.message, error.cure
                )
                continue
            _log.info("the bootstrap list of %s has %d nodes", source, len(signed.held.bottles))
            self._tried(time.monotonic(), failed=False)
            return []
        self._tried(time.monotonic(), failed=True)
        return problems

    async def take(self, signed: SignedBootstrap) -> None:
        """Take a list's bottles, and remember it.

        :raises RecordError: it is not what publishers of this network have signed, is older than one that was
            seen, or brings nobody who can be called.
        """
        network = self._network
        revision = network.revision
        signed.verify(network.charter, revision, network.installed, network.wall())
        newest = self._newest
        if newest is not None and newest.payload != signed.payload:
            ours, theirs = newest.held.seq, signed.held.seq
            if theirs <= ours:
                raise RecordError(
                    f"it was signed {ours - theirs} s before one that was seen"
                    if theirs < ours
                    else "it is another than one of the same second that was seen",
                    cure="Ask who publishes it for the newest.",
                )
        await self._take_bottles(signed)
        if newest is None or newest.payload != signed.payload:
            self._newest = signed
            await anyio.to_thread.run_sync(self._remember, signed)
        if not self.usable():
            raise RecordError(
                f"none of its {len(signed.held.bottles)} nodes can be called: no address that may be used, or"
                " no prekey that lives and that we can use",
                cure="Ask who publishes it for a fresh one, or set this machine's clock; in a network of"
                " addresses that are not public, set [addresses] allow_private = true.",
            )

    async def _take_bottles(self, signed: SignedBootstrap) -> None:
        for outcome in await self._network.offer(signed.held.bottles, _SENDER):
            if isinstance(outcome, Aborted) and outcome.why not in _EXPECTED:
                _log.warning("an entry of a bootstrap list is left out: %s", outcome.text)

    async def _read(self, source: str) -> bytes:
        """
        :raises NetworkError: it can't be fetched.
        :raises ConfigError: the file can't be read.
        """
        if https.is_address(source):
            servers = https.context(self._config.pin)  # anew: the file may have been replaced since
            return await https.fetch(source, servers, cap=FILE_CAP, timeout_s=self._config.timeout_s)
        try:
            return await anyio.to_thread.run_sync(read_regular, Path(source), FILE_CAP)
        except OSError as error:
            raise ConfigError(
                f"the file can't be read: {error.strerror}", cure="Check its place and its permissions."
            ) from error

    def _asks_the_web(self) -> bool:
        return any(map(https.is_address, self._config.sources))

    # -- what was seen --------------------------------------------------------------------------------
    async def _recall(self) -> None:
        """What an earlier process saw: its number, and as long as it holds its bottles."""
        try:
            signed = SignedBootstrap.parse(
                await anyio.to_thread.run_sync(read_regular, self._memory, FILE_CAP)
            )
        except FileNotFoundError:
            return
        except (OSError, RecordError) as error:
            _log.warning("the bootstrap list that was seen before is unusable: %s", type(error).__name__)
            return
        network = self._network
        try:
            signed.verify_signatures(network.charter, network.revision, network.installed)
        except RecordError as error:
            _log.info("the bootstrap list that was seen before counts no more: %s", error.message)
            return
        self._newest = signed
        if signed.held.expiry > network.wall():
            await self._take_bottles(signed)

    def _remember(self, signed: SignedBootstrap) -> None:
        try:
            self._memory.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_whole(self._memory, signed.encode())
        except (OSError, ConfigError) as error:
            _log.warning(
                "the newest bootstrap list cannot be remembered in %s (%s): after a restart, an older one"
                " would be believed. Let this process write there.",
                self._memory.parent,
                type(error).__name__,
            )
