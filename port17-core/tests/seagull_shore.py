"""Nodes that answer cold calls and Seagulls over the memory transport, and who asks them, on one clock.

No lanes and no gossip: what one knows of another it was given, or has asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from port17.asking import Exchanges
from port17.bottles.intake import OURSELVES
from port17.config.settings import NodeConfig
from port17.links.crane import Crane, Terms, answer
from port17.links.spare_keys import SpareKeys
from port17.links.transport import Ship
from port17.network import KnownNetwork
from port17.node.cold_desk import ColdDesk
from port17.node.engine import Engine
from port17.node.keyring import Keyring
from port17.node.publication import seal, span
from port17.node.seagull import Seagull
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.records.charter import Charter, Genesis, Revision
from port17.records.identity import Identity
from port17.refreshing import Refresher
from port17.wire.handshake import NodeSigner
from port17.wire.prekey import OwnPrekey
from port17.wire.quota import Budget
from port17.wire.replay import ReplaySet
from port17_crypto.schemes import Ed25519
from port17_transports.memory import Memory

from .amended_network import BEGUN, UPDATE_KEY, X25519
from .links_network import on_virtual_clock

DAY_S = 86_400
SCHEME = Ed25519()


class Shore:
    """A network in a folder, and the moment that everybody there lives in.

    :param flight_blocks: of every handshake.
    """

    def __init__(
        self, folder: Path, tasks: TaskGroup, *, flight_blocks: int = 2, scheme: str = "ed25519", **terms: Any
    ) -> None:
        self.folder = folder
        self.tasks = tasks
        self.registry = Registry()
        self.scheme = self.registry.make("port17.identity_schemes", scheme)
        self.charter = Charter.found(
            Genesis.made(
                name="shore",
                created=BEGUN,
                update_keys=(Identity.made(scheme="ed25519", public=UPDATE_KEY.public),),
                threshold=1,
                flight_blocks=flight_blocks,
            ),
            Revision.made(
                not_before=BEGUN,
                **{"suites": [X25519], "schemes": ["ed25519", "ed25519-mldsa65"], **terms},
            ),
            [(SCHEME, UPDATE_KEY)],
        )
        self.bottles = folder / "bottles"
        """Empty: nobody is given anything by it."""
        self.bottles.mkdir()
        self.file = folder / "shore.charter"
        self.charter.dump(self.file)
        self.skipped_s = 0.0
        self._begun_s = anyio.current_time()

    def wall(self) -> float:
        """Unix time."""
        return BEGUN + 5000 + self.skipped_s + anyio.current_time() - self._begun_s

    def skip(self, seconds: float) -> None:
        """Time passes during which nobody does anything."""
        self.skipped_s += seconds

    def transport(self, endpoint: str) -> Memory:
        """One end's."""
        return Memory(Memory.Config(network=f"shore {id(self)}", endpoint=endpoint, delay_s=0.02))

    def known(self, name: str) -> KnownNetwork:
        """What a process knows that starts now."""
        config = NodeConfig.model_validate(
            {
                "name": name,
                "charter": self.file,
                "bottles": self.bottles,
                "state": self.folder / f"{name}-state",
                "listen": {"memory": name},
                "addresses": {"allow_private": True},
                "rack": {"store": "memory"},
            }
        )
        (self.folder / f"{name}-state").mkdir(exist_ok=True)
        return KnownNetwork.load(config, self.registry, self.wall)

    async def node(self, name: str) -> Fisher:
        """A node that listens."""
        made = Fisher(self, name)
        await self.tasks.start(made.listen)
        return made

    def caller(self, name: str, *known: Bottle) -> Asker:
        """Somebody who has seen these bottles, and no others."""
        return Asker(self, name, *known)


def play(folder: Path, scene: Callable[[Shore], Awaitable[None]], **options: Any) -> None:
    """Run a scene on a virtual clock."""

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            await scene(Shore(folder, tasks, **options))
            tasks.cancel_scope.cancel()

    on_virtual_clock(run)


class Asker:
    """A process that knows bottles and asks nodes."""

    def __init__(self, shore: Shore, name: str, *known: Bottle) -> None:
        self.shore = shore
        self.network = shore.known(name)
        self.refresher = Refresher(self.network, {"memory": shore.transport(name)})
        for bottle in known:
            self.give(bottle)

    def give(self, bottle: Bottle) -> None:
        """The process gets a bottle to see."""
        self.network.gossip.take(bottle, OURSELVES, anyio.current_time())

    def held(self, node: Fisher) -> Bottle | None:
        """What it holds of a node."""
        return self.network.rack.get(node.fingerprint)

    def terms(self) -> Terms:
        """Those of links that it makes, as nobody."""
        network = self.network
        return Terms(network.transcript, network.verify, Budget(1 << 12), wall=self.shore.wall)


class Fisher(Asker):
    """A node: it answers whoever calls. What it publishes nobody gets unless it is given."""

    def __init__(self, shore: Shore, name: str) -> None:
        super().__init__(shore, name)
        revision = shore.charter.current(shore.wall())
        suites = [shore.registry.make("port17.cipher_suites", one) for one in revision.suites]
        first, slots = span(revision, shore.wall(), 1)
        self.name = name
        self.keyring = Keyring.create(
            shore.folder / f"{name}-state",
            shore.scheme,
            suites,
            shore.charter.network_id,
            first,
            slots,
            revision.prekey_lifetime_s,
            overlap=revision.overlap_s,
        )
        self.fingerprint = self.keyring.identity.fingerprint
        self.bottle = self.publish()
        signer = NodeSigner(
            self.fingerprint, lambda message: shore.scheme.sign(self.keyring.signing_key, message)
        )
        self.replays = ReplaySet(120)
        self.desk = ColdDesk(
            self.network,
            signer,
            shore.scheme.signature_size,
            lambda: self.keyring.prekeys,
            self.replays,
            anyio.current_time,
        )
        self.signer = signer
        self.exchanges = Exchanges(self.network)
        self.seagull = Seagull()
        self.seagull.attach(self)
        self.calls = 0
        self.engine = Engine(
            fingerprint=self.fingerprint,
            network=self.network.transcript,
            prekeys=self.prekey,
            replays=ReplaySet(120),
            lane=lambda fingerprint: None,
            operations={"SEAGULL": self.seagull},
            budget=Budget(1 << 26),
            grants=Budget(1 << 12),
            wall=shore.wall,
            tasks=shore.tasks,
            spare_keys=SpareKeys(()),
        )

    def is_local(self, origin: str) -> bool:
        """Nobody is."""
        return False

    def publish(self) -> Bottle:
        """Its bottle, signed now with prekeys from now on."""
        shore, now = self.shore, self.shore.wall()
        revision = shore.charter.current(now)
        first, slots = span(revision, now, 1)
        lifetime, overlap = revision.prekey_lifetime_s, revision.overlap_s
        self.keyring.burn(now)
        self.keyring.stock(shore.charter.network_id, first, slots, lifetime, overlap=overlap)
        self.keyring.save()
        held = self.network.rack.get(self.fingerprint)
        config = NodeConfig.model_validate(
            {
                "name": self.name,
                "charter": shore.file,
                "state": shore.folder,
                "listen": {"memory": self.name},
            }
        )
        self.bottle = seal(
            config,
            revision,
            shore.charter.network_id,
            self.keyring,
            revision.suites,
            [],
            now,
            held,
        )
        self.give(self.bottle)
        return self.bottle

    def prekey(self, suite: str, slot: int) -> OwnPrekey | None:
        """See :class:`~port17.node.engine.Engine`."""
        held = self.keyring.prekeys.get((suite, slot))
        if held is None or held[0].expiry <= self.shore.wall():
            return None
        record, key = held
        return OwnPrekey(self.network.served[suite], record.hash, slot, key, record.expiry)

    async def listen(self, *, task_status: Any) -> None:
        """Answer whoever calls."""
        async with self.shore.transport(self.name).listen(self.name) as listener:
            task_status.started()
            async for ship in listener.ships():
                self.calls += 1
                self.shore.tasks.start_soon(self._answer, ship)

    async def _answer(self, ship: Ship) -> None:
        terms = Terms(
            self.network.transcript,
            self.network.verify,
            Budget(1 << 12),
            signer=self.signer,
            on_setup=self.engine.setup,
            wall=self.shore.wall,
        )
        crane: Crane | None = await answer(
            ship,
            terms,
            self.signer,
            lambda: [own for place in self.keyring.prekeys if (own := self.prekey(*place)) is not None],
            self.replays,
            self.desk.answer,
        )
        if crane is not None:
            await crane.run()
