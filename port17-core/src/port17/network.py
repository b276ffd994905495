"""What one process knows of its network, kept current: charter, suites and schemes in use, and the rack.

Made from a node's or a client's configuration; neither picks routes nor opens links. Whom bottles are
exchanged with is the node's and the client's to say, when to look at files again :mod:`port17.watching`'s.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.lowlevel

from port17.bottles.gossip import Gossip
from port17.bottles.gossip_events import Event, Forgotten, Learned, Noted
from port17.bottles.intake import Intake, Sender
from port17.bottles.moderated import Appeal
from port17.bottles.neighbours import Neighbours
from port17.bottles.outcome import Outcome
from port17.bottles.rack import BottleStore
from port17.bottles.reputation import Reputation
from port17.bottles.successors import Successors
from port17.bottles.validation import Terms, Validators
from port17.bottles.ways import Way, ways
from port17.config.settings import ClientConfig, NodeConfig
from port17.files import NetworkFiles
from port17.in_force import CharterClock, InForce, installed_schemes
from port17.navigator.agreement import Standing, standing
from port17.navigator.atlas import Atlas
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.chart_maker import ChartKeeper, ChartTerms
from port17.plugins.families import BOTTLE_STORES
from port17.plugins.loader import Registry
from port17.plugins.own_atlas import open_atlas
from port17.plugins.own_suites import OwnSuites
from port17.records.bottle import Label
from port17.records.charter import Charter
from port17.records.charter_file import CharterFile
from port17.records.identity import node_id
from port17.records.moderation import SignedModeration
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme
from port17.renewals import Renewals
from port17.wire.prekey import Network, ResponderKey
from port17.wire.suite import CipherSuite

GRACE_CAP_S = 600.0
"""Most seconds for which circuits and links go on under a suite that is no longer allowed: a download gets
its time, and a broken suite is gone the same hour."""
TOUCHED_CAP = 4096
"""Nodes remembered for the next chart, which a node may never draw; of more, all are looked at."""

_log = logging.getLogger(__name__)


class KnownNetwork:
    """Charter, suites, schemes and rack of one process."""

    def __init__(
        self,
        charter: Charter,
        own: OwnSuites,
        schemes: Mapping[str, IdentityScheme],
        rack: BottleStore,
        validators: Validators,
        wall: Callable[[], float],
        *,
        appeal: Appeal | None = None,
        allow_private: bool = False,
        rng: random.Random | None = None,
        atlas: Atlas | None = None,
    ) -> None:
        """
        :param own: the suites of this end.
        :param schemes: every identity scheme that is installed.
        :param wall: Unix time, seconds.
        :param appeal: what the user says against the moderators.
        :param allow_private: public bottles may name addresses that are not public.
        :param atlas: says where addresses are.
        """
        self.rack = rack
        self.atlas = atlas or Atlas()
        """Where addresses are, by the user's own geo source."""
        self._charts = ChartKeeper(rack, self.atlas)
        self._touched: set[bytes] | None = set()
        """Nodes of which something is new since the last chart; None if there are many."""
        self.wall = wall
        self._installed = dict(schemes)
        self._clock = CharterClock(charter, own, self._installed, wall)
        self._allow_private = allow_private
        self.intake = Intake(rack, validators, charter.network_id)
        self.reputation = Reputation(rack, charter.network_id, self.intake, appeal)
        self.gossip = Gossip(
            self.intake,
            self.terms,
            moderate=self.moderate,
            tell=self._told,
            rng=rng or random.SystemRandom(),
        )
        """What this process tells others of nodes, and hears of them."""
        self.neighbours = Neighbours(rack, rng or random.SystemRandom())
        """Who is known by beacons of the local network."""
        self.handed: frozenset[bytes] = frozenset()
        """Commitments of the prekeys in bottles that the user has put into the folder of bottles."""
        self.successors = Successors((), ())
        """Who has taken whose place; whoever is no longer to be used is not in the rack."""
        self._files: NetworkFiles | None = None
        self._listeners: list[Callable[[Event], None]] = []
        self._news = anyio.Event()
        self._renewals = Renewals()
        self._version = 0
        self._forbid_schemes()
        self._renew()

    @classmethod
    def load(
        cls,
        config: NodeConfig | ClientConfig,
        registry: Registry,
        wall: Callable[[], float] = time.time,
        *,
        shown: BottleStore | None = None,
    ) -> KnownNetwork:
        """Read charter and rack, load what they need.

        :param shown: what is known of nodes, for who only looks: nothing is written then.
        :raises ConfigError: a file is missing or wrong, or charter and configuration have no suite in common.
        :raises PluginError: a driver that the charter names and the configuration asks for is unusable.
        """
        installed = installed_schemes(registry)
        charter_file = CharterFile(config.charter, config.state, installed)
        charter = charter_file.load() if shown is None else charter_file.read()
        own = OwnSuites(registry, config.suites)
        own.check(charter.current(wall()))
        atlas = open_atlas(config, registry)
        rack: BottleStore
        if shown is not None:
            rack = shown
        else:
            rack = registry.make(BOTTLE_STORES, config.rack.store, config.rack.options)
            rack.open(charter.network_id, config.state)
        try:
            network = cls(
                charter,
                own,
                installed,
                rack,
                registry.panel,
                wall,
                appeal=Appeal(**{name: frozenset(ids) for name, ids in config.moderation}),
                allow_private=config.addresses.allow_private,
                atlas=atlas,
            )
            network._files = NetworkFiles.of(config, charter_file, network)
            if shown is None:
                network.listen(network._files.told)
            return network
        except BaseException:
            rack.close()
            atlas.close()
            raise

    def close(self) -> None:
        """Let go of the rack, and of the geo source's files."""
        self.rack.close()
        self.atlas.close()

    def become(self, fingerprint: bytes) -> None:
        """This process is a node: it has a bottle of its own, and checks others' addresses."""
        self.gossip.own = fingerprint
        self.intake.checker = fingerprint
        self.neighbours.own = fingerprint

    # -- what holds now ---------------------------------------------------------------------------
    @property
    def charter(self) -> Charter:
        """The newest that is known."""
        return self._clock.charter

    def amend(self, charter: Charter) -> None:
        """The charter has more revisions than before."""
        before = self._clock.turn(charter)
        if before is not None:
            self._turned(before)

    def _now(self) -> InForce:
        before = self._clock.turn()
        if before is not None:
            self._turned(before)
        if self._renewals.due or self.wall() >= self.reputation.said.until:
            self._renew()
        return self._clock.held

    def _turned(self, before: InForce) -> None:
        if self._clock.held.schemes.keys() != before.schemes.keys():
            self._forbid_schemes()
        self.reputation.reconsider(self._clock.held.accepted[0], self._installed, self.wall())
        self._renew()

    def _forbid_schemes(self) -> None:
        """Nobody is known any more by a scheme that is not allowed."""
        schemes = self._clock.held.schemes
        for bottle in self.rack:
            if bottle.label.identity.scheme not in schemes:
                self.forget(bottle.fingerprint)

    def _renew(self) -> None:
        """Something has changed in what is known or said of nodes."""
        begun_s = time.monotonic()
        found = Successors.of(self.rack.successors(), self.charter.network_id, self._clock.held.schemes)
        for fingerprint in sorted(found.superseded | found.unfounded):
            self.forget(fingerprint)
        for fingerprint in sorted(found.disputed - self.successors.disputed):
            _log.warning("the node %s has named two successors: neither is followed", node_id(fingerprint))
        self.successors = found
        self.reputation.renew(self.wall(), found.superseded)
        self._version += 1
        self._renewals.done(begun_s)

    @property
    def version(self) -> int:
        """Changes with whatever the charter, the clock or the bottles change."""
        self._now()
        return self._version

    def until_change_s(self) -> float:
        """Seconds until another revision holds, or one is no longer accepted, or what moderators say expires;
        infinite if none is known."""
        self._now()
        return min(self._clock.until_change_s(), max(0.0, self.reputation.said.until - self.wall()))

    @property
    def revision(self) -> Revision:
        """The charter's terms now."""
        return self._now().accepted[0]

    @property
    def suites(self) -> dict[str, CipherSuite]:
        """What can be used now, by name, best first: what charter and configuration both allow."""
        return self._now().suites

    @property
    def served(self) -> dict[str, CipherSuite]:
        """What a node of ours serves, by name: all that can be used under a revision that a peer may speak
        of."""
        return self._now().served

    @property
    def prepared(self) -> dict[str, CipherSuite]:
        """What a node of ours publishes prekeys for, by name: what it serves, and what it will, so that
        everybody has the keys when the revision holds."""
        return self._now().prepared

    @property
    def schemes(self) -> dict[str, IdentityScheme]:
        """The identity schemes that the charter allows now and that we have."""
        return self._now().schemes

    @property
    def installed(self) -> Mapping[str, IdentityScheme]:
        """Every identity scheme that works here, also those that the charter allows nobody."""
        return self._installed

    @property
    def grace_s(self) -> float:
        """Seconds for which circuits and links may go on under a suite that is no longer allowed."""
        return min(float(self.revision.overlap_s), GRACE_CAP_S)

    def terms(self) -> Terms:
        """What bottles are judged by now."""
        held = self._clock.held
        return Terms(
            self.charter.network_id,
            held.schemes,
            self.wall(),
            held.accepted[0].clock_skew_s,
            held.prepared,
            allow_private=self._allow_private,
        )

    def transcript(self) -> Network:
        """What the wire binds now."""
        return self._now().transcript(self.charter)

    # -- what others are --------------------------------------------------------------------------
    def verify(self, fingerprint: bytes, message: bytes, signature: bytes) -> bool:
        """True if a known node, which moderators do not block, signed the message."""
        bottle = self.rack.get(fingerprint)
        if bottle is None or fingerprint in self.reputation.said.blocked:
            return False
        identity = bottle.label.identity
        scheme = self.schemes.get(identity.scheme)
        return scheme is not None and scheme.verify(identity.public, message, signature)

    def chart(self) -> Chart:
        """The map as it is now."""
        held = self._now()
        terms = ChartTerms(
            held.terms,
            held.suites,
            held.refused,
            heirs=self.successors.heirs,
            barred=self.reputation.barred(),
            unnamed=self.reputation.unnamed(self.wall()),
            exits=self.reputation.said.trusted_exits,
            verified=self.reputation.said.owners.values(),
            owners=self.reputation.said.same_owner,
        )
        touched, self._touched = self._touched, set()
        return self._charts.draw(terms, self.wall(), touched)

    def standing(self, fingerprint: bytes, suite: str) -> Standing:
        """What has become of a suite that is in use with a node."""
        held = self._now()
        bottle = None if fingerprint in self.reputation.said.blocked else self.rack.get(fingerprint)
        served = None if bottle is None else bottle.label.suites
        return standing(held.terms, served, held.suites, suite)

    def responder(self, node: ChartNode) -> ResponderKey | None:
        """How to address a node: by its prekey of the suite to use with it, if the rack holds one; None if it
        holds none, whatever others it does."""
        return self.responder_of(node.fingerprint)

    def responder_of(self, fingerprint: bytes) -> ResponderKey | None:
        """The same of any node that is held, on the chart or not."""
        held, bottle = self._now(), self.rack.get(fingerprint)
        return None if bottle is None else held.responder(bottle, self.wall())

    def ways(self, label: Label) -> list[Way]:
        """The addresses of a node that may be dialled, as they are dialled; of local nodes, those that can be
        reached from here."""
        return ways(label, self.neighbours, anyio.current_time(), allow_private=self._allow_private)

    # -- kept current -----------------------------------------------------------------------------
    async def look_again(self) -> None:
        """Take over what the user has changed in files."""
        if self._files is not None:
            await self._files.look_again()

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call this with everything that gossip finds out, at once; it takes no time."""
        self._listeners.append(listener)

    async def changes(self) -> None:
        """Wait until something may have changed."""
        if not self._renewals.stale:
            await self._news.wait()

    def _told(self, event: Event) -> None:
        # Whoever invents nodes and convicts them has nothing thought over.
        if isinstance(event, Learned | Forgotten) or (isinstance(event, Noted) and event.of_us):
            if isinstance(event, Learned):
                self._renewals.ask()
            else:
                self._renewals.press()  # who is banned, blocked or gone is so at once
            self._news.set()
            self._news = anyio.Event()
        if isinstance(event, Learned | Forgotten) and self._touched is not None:
            self._touched.add(event.fingerprint)
            if len(self._touched) > TOUCHED_CAP:
                self._touched = None
        for listener in self._listeners:
            listener(event)

    def forget(self, fingerprint: bytes) -> None:
        """Drop what is held of a node."""
        self.rack.remove(fingerprint)
        self.intake.forget(fingerprint)
        self.gossip.forget(fingerprint)
        self._told(Forgotten(fingerprint))

    def moderate(self, offered: SignedModeration) -> bool:
        """Take over a moderators' list if it is newer than the one held.

        :returns: False if it is not.
        :raises RecordError: it is not signed by enough moderators that the user listens to.
        """
        revision = self._clock.held.accepted[0]
        if not self.reputation.moderated.consider(offered, revision, self._installed, self.wall()):
            return False
        _log.info("the moderators' list of Unix second %d holds", offered.moderation.seq)
        # At once: the next bottle that comes may be of somebody whom it blocks.
        self.reputation.renew(self.wall(), self.successors.superseded)
        self._renewals.press(trusted=True)
        return True

    async def offer(self, bottles: Sequence[bytes], sender: Sender) -> list[Outcome]:
        """Put bottles through the intake, as they came; other tasks run between two of them.

        :returns: what became of each.
        """
        outcomes: list[Outcome] = []
        for offered in bottles:
            outcomes.append(self.gossip.take(offered, sender, anyio.current_time()))
            await anyio.lowlevel.checkpoint()
        return outcomes
