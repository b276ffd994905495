"""The lanes of a node: which stand, and the upkeep of those that should.

For now the list of lanes is a file's; of the two ends the one with the smaller fingerprint dials.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from port17.dialling import Turnover, call
from port17.errors import ConfigError, NetworkError, RecordError
from port17.links.crane import Crane, Terms
from port17.links.transport import Transport
from port17.navigator.agreement import Standing
from port17.network import KnownNetwork
from port17.records.identity import NODE_ID_SIZE, parse_node_id
from port17.wire.link import Link

LANES_FILE_CAP = 64 * 1024
"""Longest lanes file, bytes: a thousand ids."""
FINGERPRINT_DIGITS = 64
"""Hexadecimal digits of a fingerprint; a node id has half as many characters."""
RETRY_FIRST_S, RETRY_MOST_S = 0.25, 15.0
"""Seconds before a lost lane is dialled again: at first, and at most after doubling; each drawn from half to
the whole, so that the neighbours of a node that comes back don't call all at once."""
TEND_S = 1.0
"""Seconds between looks at lanes that are to end."""

_log = logging.getLogger(__name__)


def read_lanes(file: Path, network: KnownNetwork) -> list[bytes]:
    """The fingerprints of a lanes file: a JSON list of node ids, or of fingerprints in hex.

    Who has no bottle, or one that is refused, is named in the log.

    :raises ConfigError: it is no such list.
    """
    cure = 'It is a JSON list of node ids, e.g. ["k3v...", "p7a..."].'
    try:
        with file.open("rb") as stream:
            listed = json.loads(stream.read(LANES_FILE_CAP))
    except OSError as error:
        raise ConfigError(f"the lanes file {file} can't be read: {error.strerror}", cure=cure) from error
    except ValueError as error:
        raise ConfigError(f"the lanes file {file} is not JSON", cure=cure) from error
    if not (isinstance(listed, list) and all(isinstance(entry, str) for entry in listed)):
        raise ConfigError(f"the lanes file {file} holds no list of ids", cure=cure)
    known = {old[:NODE_ID_SIZE]: heir for old, heir in network.successors.heirs.items()}
    known |= {bottle.fingerprint[:NODE_ID_SIZE]: bottle.fingerprint for bottle in network.rack}
    superseded = {old[:NODE_ID_SIZE] for old in network.successors.superseded}
    lanes: list[bytes] = []
    for entry in listed:
        prefix = _prefix(entry, file, cure)
        fingerprint = known.get(prefix)
        if fingerprint is None and prefix in superseded:
            # Whoever has a neighbour's old key must not be able to keep us from starting.
            _log.warning("%s names %s, whose successor is in doubt: no lane", file, entry)
            continue
        if fingerprint is None:
            # Nor must a neighbour, by a bottle that is none. A whole fingerprint can be waited for; an id
            # says too little to know the node by.
            whole = len(entry) == FINGERPRINT_DIGITS
            waits = "the lane waits for one" if whole else "no lane before the next start"
            _log.warning("%s names %s, of which there is no usable bottle: %s", file, entry, waits)
            if not whole:
                continue
            fingerprint = bytes.fromhex(entry)
        lanes.append(fingerprint)
    return list(dict.fromkeys(lanes))  # a node and its successor may both be named


def _prefix(entry: str, file: Path, cure: str) -> bytes:
    try:
        if len(entry) == FINGERPRINT_DIGITS:
            return bytes.fromhex(entry)[:NODE_ID_SIZE]
        return parse_node_id(entry)
    except (ValueError, RecordError) as error:
        raise ConfigError(f"{file}: {entry!r} is no node id", cure=cure) from error


class Lanes:
    """The lanes of one node."""

    def __init__(
        self,
        own: bytes,
        wanted: list[bytes],
        network: KnownNetwork,
        transports: Mapping[str, Transport],
        terms: Terms,
        keep: Callable[[Crane], Awaitable[None]],
        tasks: TaskGroup,
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param wanted: fingerprints of the nodes to have lanes with.
        :param keep: owns a crane until it is lost.
        :param tasks: where the cranes run.
        """
        self._own = own
        self._wanted = frozenset(wanted) - {own}
        self._network = network
        self._transports = transports
        self._terms = terms
        self._keep = keep
        self._tasks = tasks
        self._standing: dict[bytes, list[Crane]] = {}
        self._dialled: set[Crane] = set()
        self._turnover = Turnover(network)
        self._news = anyio.Event()
        """Set, and replaced, when a lane that we dialled is lost, and when the network has changed."""

    @property
    def standing(self) -> list[bytes]:
        """Fingerprints of the nodes to which a lane stands."""
        return list(self._standing)

    @property
    def wanted(self) -> frozenset[bytes]:
        """Fingerprints of the nodes to which a lane should stand; of who has handed over, its successor."""
        return frozenset(map(self._network.successors.resolve, self._wanted)) - {self._own}

    def link(self, fingerprint: bytes) -> Link | None:
        """The standing lane to a node."""
        cranes = self._standing.get(fingerprint)
        return cranes[-1].link if cranes else None

    def stands(self, crane: Crane) -> None:
        """A lane has proved its peer. A newer one takes the place of an older one, which ends by itself, or
        is used again if the newer one ends first."""
        if crane.peer is not None:
            self._standing.setdefault(crane.peer, []).append(crane)

    def ended(self, crane: Crane) -> None:
        """A lane is lost."""
        cranes = self._standing.get(crane.peer or b"", [])
        if crane in cranes:
            cranes.remove(crane)
            if not cranes:
                del self._standing[crane.peer or b""]

    def start(self) -> None:
        """Keep up every lane that is ours to dial."""
        for fingerprint in sorted(self._wanted):
            self._tasks.start_soon(self._keep_up, fingerprint)
        self._tasks.start_soon(self._tend)

    def changed(self) -> None:
        """The network has changed: a lane may have to be made anew."""
        self._news.set()
        self._news = anyio.Event()

    async def _keep_up(self, fingerprint: bytes) -> None:
        wait_s = RETRY_FIRST_S
        while True:
            begun_s = anyio.current_time()
            peer = self._network.successors.resolve(fingerprint)
            if self._own > peer:  # theirs to dial, as long as they are who they are
                await self._news.wait()
                continue
            try:
                if self._good(peer) is None:
                    await self._dial(peer)
                # Until it is lost; or to be replaced, and then it goes on until the new one stands and its
                # circuits are gone.
                while self._good(peer) is not None and peer == self._network.successors.resolve(fingerprint):
                    await self._news.wait()
            except NetworkError as error:
                _log.debug("a lane could not be made: %s", error)
            if anyio.current_time() - begun_s > RETRY_MOST_S:
                wait_s = RETRY_FIRST_S
            await anyio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, RETRY_MOST_S)

    def _good(self, fingerprint: bytes) -> Crane | None:
        """A lane that we dialled and that need not be replaced."""
        for crane in self._dialled:
            if crane.peer == fingerprint and self._turnover.standing(crane) is Standing.GOOD:
                return crane
        return None

    async def _dial(self, fingerprint: bytes) -> None:
        node = self._network.chart().nodes.get(fingerprint)
        if node is None:
            raise NetworkError("the node cannot be used now")
        crane = await call(node, self._network, self._transports, self._terms)
        self._dialled.add(crane)
        self._tasks.start_soon(self._hold, crane)

    async def _hold(self, crane: Crane) -> None:
        try:
            await self._keep(crane)
        finally:
            self._dialled.discard(crane)
            self.changed()

    async def _tend(self) -> None:
        """End the lanes that others have taken the place of; the node at the other end follows."""
        while True:
            await anyio.sleep(TEND_S)
            now_s = anyio.current_time()
            for crane in list(self._dialled):
                newest = self._standing.get(crane.peer or b"", [crane])[-1]
                if self._turnover.is_over(crane, now_s, replaced=newest is not crane):
                    _log.info("a lane under %s is ended", crane.suite)
                    crane.end()
