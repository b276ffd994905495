"""Seagulls of a client: where its sources do not have what a route needs of a node, other nodes are asked
through circuits, for a batch in which that node is one of many.

What comes are nodes' own signed parts; what a carrier's word counts for agreement is the prekeys' to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Final

import anyio

from port17.bottles.intake import LOCAL, Sender
from port17.client.built import Built
from port17.client.words import AGREEING, Witness, group_of
from port17.errors import NetworkError, RecordError
from port17.links.batch import BATCH as CELLS
from port17.links.stream import ConveyorStream
from port17.navigator.chart import ChartNode, Fingerprint
from port17.network import KnownNetwork
from port17.records.bottle import Bottle
from port17.records.identity import node_id
from port17.records.seagull import BATCH, NAME, Answers, Asked
from port17.wire.circuit import Circuit
from port17.wire.reasons import Reason

WANTED_SHARE: Final = 4
"""Most nodes of a batch that are wanted: at least three of four are decoys."""
WAITING_CAP: Final = 64
"""Most nodes that are waited for; who wants more is better off with other sources."""
SOON_S: Final = (0.5, 2.0)
"""Least and most seconds before a Seagull leaves: what else is wanted goes with it, and it does not follow
what made it necessary at once."""
PAUSE_S: Final = 10.0
"""Seconds between two of them."""
ANSWER_S: Final = 20.0
"""Seconds for an answer: whoever is asked may have to ask in turn."""
AGAIN_S: Final = 600.0
"""Seconds for which a node is not asked for again, whatever came."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()

Vouch = Callable[[Bottle, Witness], None]
"""A node has given what another has signed: :meth:`~port17.client.prekeys.Prekeys.vouch`."""


@dataclass(frozen=True)
class Carrier:
    """A hop that can be asked.

    :param hop: its place in the circuit.
    :param group: whose node it is.
    """

    circuit: Circuit
    hop: int
    fingerprint: Fingerprint
    group: str


class Seagulls:
    """All Seagulls of one client."""

    def __init__(
        self,
        network: KnownNetwork,
        circuits: Callable[[], Iterable[Built]],
        vouch: Vouch,
        *,
        rng: Random = _random,
    ) -> None:
        """:param circuits: those of the client."""
        self._network = network
        self._circuits = circuits
        self._vouch = vouch
        self._rng = rng
        self._wanted: dict[Fingerprint, str] = {}
        """Nodes, and the suites to use with them."""
        self._asked: dict[Fingerprint, float] = {}
        self._news = anyio.Event()

    def want(self, node: ChartNode) -> None:
        """A route needs a prekey of a node that sources do not have, or do not agree on."""
        now_s = anyio.current_time()
        self._asked = {one: at_s for one, at_s in self._asked.items() if now_s - at_s < AGAIN_S}
        if node.suite and node.fingerprint not in self._asked and len(self._wanted) < WAITING_CAP:
            self._wanted[node.fingerprint] = node.suite
            self._news.set()

    async def run(self) -> None:
        """Send what is to be sent, until cancelled."""
        while True:
            await self._news.wait()
            await anyio.sleep(self._rng.uniform(*SOON_S))
            carriers = self._carriers()
            if carriers:
                suite = next(iter(self._wanted.values()))
                wanted = [one for one, its in self._wanted.items() if its == suite][: BATCH // WANTED_SHARE]
                for one in wanted:
                    del self._wanted[one]
                    self._asked[one] = anyio.current_time()
                await self._send(suite, wanted, carriers)
            if not self._wanted:
                self._news = anyio.Event()
            await anyio.sleep(PAUSE_S)

    def _carriers(self) -> list[Carrier]:
        """Hops in the middle of circuits, of different groups: they know neither who asks nor what for."""
        found: dict[str, Carrier] = {}
        for built in self._circuits():
            circuit, nodes = built.circuit, built.route.nodes
            if circuit.closed is not None or circuit.confirmed_s is None:
                continue
            for place in range(1, len(nodes) - 1):
                node = nodes[place]
                if node.fingerprint not in self._wanted and not circuit.hops[place].mux.full:
                    group = group_of(node.group, node.fingerprint)
                    found.setdefault(group, Carrier(circuit, place, node.fingerprint, group))
        carriers = list(found.values())
        self._rng.shuffle(carriers)
        return carriers[:AGREEING]

    def batch(self, wanted: Iterable[Fingerprint]) -> list[Fingerprint]:
        """What is asked for: the wanted ones among others of whom as little is known."""
        named = list(wanted)
        others = [node.fingerprint for node in self._network.chart() if node.fingerprint not in named]
        missing = BATCH - len(named)
        decoys = self._rng.sample(others, min(missing, len(others)))
        # In a network of fewer nodes all are asked for, some twice.
        while len(decoys) < missing:
            decoys.append(self._rng.choice(named + others))
        named += decoys
        self._rng.shuffle(named)
        return named

    async def _send(self, suite: str, wanted: list[Fingerprint], carriers: list[Carrier]) -> None:
        # The same batch for each: of two that differ, what is in both would be what is wanted.
        asked = Asked.made(suite=suite, nodes=self.batch(wanted))
        async with anyio.create_task_group() as tasks:
            for carrier in carriers:
                tasks.start_soon(self._ask, carrier, asked)

    async def _ask(self, carrier: Carrier, asked: Asked) -> None:
        with CELLS:
            mux = carrier.circuit.hops[carrier.hop].mux
            conveyor = mux.open(NAME, asked.to_cbor(), anyio.current_time())
        stream, answers = ConveyorStream(conveyor), Answers()
        try:
            with anyio.fail_after(ANSWER_S):
                while not answers.over:
                    for bottle in answers.take(await stream.receive()):
                        self._take(bottle, carrier, asked)
        except (NetworkError, RecordError, TimeoutError, anyio.EndOfStream) as error:
            _log.debug("a Seagull brought nothing more: %s", type(error).__name__)
        except Exception as fault:  # noqa: BLE001 - a full disk, a plugin's scheme: it may not end a client
            _log.error("what a Seagull brought could not be taken in: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)
        finally:
            stream.abort(Reason.DONE)

    def _take(self, bottle: Bottle, carrier: Carrier, asked: Asked) -> None:
        if bottle.fingerprint not in asked.nodes or bottle.label.flavour == LOCAL:
            return
        sender = Sender(f"a Seagull by {node_id(carrier.fingerprint)}")
        self._network.gossip.take(bottle, sender, anyio.current_time())
        if bottle.fingerprint != carrier.fingerprint:
            self._vouch(bottle, Witness(carrier.fingerprint, carrier.group))
