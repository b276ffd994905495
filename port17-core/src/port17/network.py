"""What one process knows of its network, kept current: charter, suites and schemes in use, and the rack.

Made from a node's or a client's configuration; neither picks routes nor opens links. When to look at the
files again is :mod:`port17.watching`'s to say.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

import anyio.lowlevel
import anyio.to_thread

from port17.bottles.folder import BottleFolder, Sight, look
from port17.bottles.intake import ForwardProof, Intake, Sender
from port17.bottles.moderated import Appeal
from port17.bottles.notices import NoticeFolder, Notices, read_notices
from port17.bottles.outcome import Distrusted, Outcome, Stored
from port17.bottles.rack import BottleStore
from port17.bottles.reputation import Reputation
from port17.bottles.successors import supersede
from port17.bottles.validation import Terms
from port17.config.settings import ClientConfig, NodeConfig
from port17.errors import ConfigError, RecordError
from port17.in_force import InForce, installed_schemes
from port17.navigator.agreement import Standing, agree, standing
from port17.navigator.chart import Chart, ChartNode
from port17.plugins.families import BOTTLE_STORES
from port17.plugins.loader import Registry
from port17.plugins.own_suites import OwnSuites
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17.records.charter_file import CharterFile
from port17.records.proof import Proof
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme
from port17.wire.prekey import Network, ResponderKey
from port17.wire.suite import CipherSuite

GRACE_CAP_S = 600.0
"""Most seconds for which circuits and links go on under a suite that is no longer allowed: a download gets
its time, and a broken suite is gone the same hour."""

_log = logging.getLogger(__name__)


class KnownNetwork:
    """Charter, suites, schemes and rack of one process."""

    def __init__(
        self,
        charter: Charter,
        own: OwnSuites,
        schemes: Mapping[str, IdentityScheme],
        rack: BottleStore,
        wall: Callable[[], float],
        *,
        charter_file: CharterFile | None = None,
        folder: BottleFolder | None = None,
        appeal: Appeal | None = None,
    ) -> None:
        """
        :param own: the suites of this end.
        :param schemes: every identity scheme that is installed.
        :param wall: Unix time, seconds.
        :param charter_file: where the charter is kept current from.
        :param folder: where the rack is filled from.
        :param appeal: what the user says against the moderators.
        """
        self.charter = charter
        self.rack = rack
        self.wall = wall
        self._own = own
        self._installed = dict(schemes)
        self._charter_file = charter_file
        self._folder = folder
        self._complaint = ""
        self._version = 0
        intake = folder.intake if folder is not None else None
        self.reputation = Reputation(rack, charter.network_id, intake, appeal)
        self._notices = None
        if folder is not None:
            self._notices = NoticeFolder(folder.path, folder.intake, self.reputation.moderated)
        self._floor = 0
        """The newest revision that ever held here: a clock that is set back takes none back."""
        self._held = self._interpret()
        self.successors = supersede(rack, charter.network_id, self.schemes)
        """Who has taken whose place; whoever is no longer to be used is not in the rack."""

    @classmethod
    def load(
        cls,
        config: NodeConfig | ClientConfig,
        registry: Registry,
        wall: Callable[[], float] = time.time,
    ) -> KnownNetwork:
        """Read charter and bottles, load what they need.

        :raises ConfigError: a file is missing or wrong, or charter and configuration have no suite in common.
        :raises PluginError: a driver that the charter names and the configuration asks for is unusable.
        """
        installed = installed_schemes(registry)
        charter_file = CharterFile(config.charter, config.state, installed)
        charter = charter_file.load()
        own = OwnSuites(registry, config.suites)
        own.check(charter.current(wall()))
        rack: BottleStore = registry.make(BOTTLE_STORES, config.rack.store, config.rack.options)
        rack.open(charter.network_id, config.state)
        try:
            # The folder is the truth: what an earlier process kept was judged by what held then.
            rack.remove(*(stamp.fingerprint for stamp in rack.stamps()))
            folder = BottleFolder(config.bottles, Intake(rack, registry.panel, charter.network_id))
            network = cls(
                charter,
                own,
                installed,
                rack,
                wall,
                charter_file=charter_file,
                folder=folder,
                appeal=Appeal(**{name: frozenset(ids) for name, ids in config.moderation}),
            )
            network._take(folder, *network._look(folder)())
        except OSError as error:
            rack.close()
            raise ConfigError(
                f"the folder of bottles {config.bottles} can't be read: {error.strerror}",
                cure="Name the folder in the configuration, as `bottles`.",
            ) from error
        except BaseException:
            rack.close()
            raise
        return network

    def close(self) -> None:
        """Let go of the rack."""
        self.rack.close()

    # -- what holds now ---------------------------------------------------------------------------
    def _now(self) -> InForce:
        if self._accepted() != self._held.accepted:
            self._interpret_anew()
        if self.wall() >= self.reputation.said.until:
            self._renew()
        return self._held

    def _interpret_anew(self) -> None:
        before, self._held = self._held, self._interpret()
        self._tell(before, self._held)
        self.reputation.reconsider(self._held.accepted[0], self._installed, self.wall())
        self._version += 1

    def _accepted(self) -> tuple[Revision, ...]:
        floor = self.charter.revisions[self._floor].revision
        return self.charter.accepted(max(self.wall(), floor.not_before))

    def _interpret(self) -> InForce:
        held = InForce.of(self.charter, self._accepted(), self._own, self._installed)
        self._floor = held.accepted[0].seq
        self._version += 1
        return held

    def _tell(self, before: InForce, now: InForce) -> None:
        """Log what another revision brings, and forget what it ends."""
        revision = now.accepted[0]
        if revision != before.accepted[0]:
            names = ", ".join(now.suites) or "none"
            _log.info(
                "revision %d of the charter holds now; cipher suites, best first: %s", revision.seq, names
            )
        if not now.suites and before.suites:
            error = self._own.nothing_left(revision, self._own.under(revision))
            _log.error("nothing can be begun: %s. %s", error.message, error.cure)
        if now.schemes.keys() != before.schemes.keys():
            for bottle in self.rack:
                if bottle.label.identity.scheme not in now.schemes:
                    self.rack.remove(bottle.fingerprint)
                    if self._folder is not None:
                        self._folder.intake.forget(bottle.fingerprint)
            # The word of a scheme that is no longer allowed makes nobody an heir any more.
            self._supersede(now.schemes)
            if self._folder is not None:
                self._folder.forget()

    def _supersede(self, schemes: Mapping[str, IdentityScheme]) -> None:
        """Find out anew who has taken whose place."""
        self.successors = supersede(self.rack, self.charter.network_id, schemes)
        if self._folder is not None:
            for fingerprint in self.successors.superseded | self.successors.unfounded:
                self._folder.intake.forget(fingerprint)

    @property
    def version(self) -> int:
        """Changes with whatever the charter, the clock or the bottles change."""
        self._now()
        return self._version

    def until_change_s(self) -> float:
        """Seconds until another revision holds, or one is no longer accepted, or what moderators say expires;
        infinite if none is known."""
        now_s, (current, *others) = self.wall(), self._now().accepted
        moments = [self.reputation.said.until, *(one.not_before for one in self.charter.coming(now_s))]
        moments += [
            self.charter.accepted_until(one.seq, current.seq) for one in others if one.seq < current.seq
        ]
        return min((moment - now_s for moment in moments if moment > now_s), default=math.inf)

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
    def grace_s(self) -> float:
        """Seconds for which circuits and links may go on under a suite that is no longer allowed."""
        return min(float(self.revision.overlap_s), GRACE_CAP_S)

    def transcript(self) -> Network:
        """What the wire binds now."""
        accepted = self._now().accepted
        return Network(
            network_id=self.charter.network_id,
            revisions=tuple(revision.seq for revision in accepted),
            flight_blocks=self.charter.genesis.flight_blocks,
            skew_s=accepted[0].clock_skew_s,
        )

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
        heirs = self.successors.heirs
        return Chart.from_rack(
            self.rack,
            held.terms,
            self.wall(),
            held.suites,
            held.refused,
            heirs=heirs,
            barred=self.reputation.barred(),
            unnamed=self.reputation.unnamed(self.wall()),
            exits=self.reputation.said.trusted_exits,
        )

    def standing(self, fingerprint: bytes, suite: str) -> Standing:
        """What has become of a suite that is in use with a node."""
        held = self._now()
        bottle = None if fingerprint in self.reputation.said.blocked else self.rack.get(fingerprint)
        served = None if bottle is None else bottle.label.suites
        return standing(held.terms, served, held.suites, suite)

    def responder(self, node: ChartNode) -> ResponderKey | None:
        """How to address a node: by its prekey of the suite to use with it; None if none is held, whatever
        others are."""
        held = self._now()
        now_s = self.wall()
        suite = held.suites.get(agree(held.terms, node.suites, held.suites).suite or "")
        if suite is None:
            return None
        for record in node.prekeys.get(suite.name, ()):
            if record.expiry > now_s and len(record.public) == suite.public_size:
                return ResponderKey(suite, node.fingerprint, record.hash, record.slot, record.public)
        return None

    @property
    def installed(self) -> Mapping[str, IdentityScheme]:
        """Every identity scheme that works here, also those that the charter allows nobody."""
        return self._installed

    # -- kept current -----------------------------------------------------------------------------
    async def look_again(self) -> None:
        """Take over what has changed in the charter's file and in the folder of bottles. What is wrong with
        them is logged once, and what is held stays."""
        if self._charter_file is not None:
            await self._look_for_charter(self._charter_file)
        if self._folder is not None:
            schemes = self.schemes.keys()
            try:
                sight, notices = await anyio.to_thread.run_sync(self._look(self._folder))
            except OSError as error:
                complaint = f"the folder of bottles {self._folder.path} can't be read: {error.strerror}"
                if complaint != self._complaint:
                    self._complaint = complaint
                    _log.warning("%s; what was read stays", complaint)
            else:
                self._complaint = ""
                # What was verified under other schemes is verified again at the next look.
                if self.schemes.keys() == schemes:
                    self._take(self._folder, sight, notices)

    async def _look_for_charter(self, file: CharterFile) -> None:
        present = self.charter.revisions[-1].revision.seq
        try:
            charter = await anyio.to_thread.run_sync(file.look, self.charter)
        except ConfigError as error:
            _log.error("a charter is refused: %s; revision %d stays. %s", error.message, present, error.cure)
            return
        if charter is not None:
            await anyio.to_thread.run_sync(file.remember, charter)
            self.charter = charter
            self._interpret_anew()
            newest = charter.revisions[-1].revision
            _log.info("the charter has a revision %d, from Unix second %d on", newest.seq, newest.not_before)

    async def offer(self, bottles: Sequence[bytes], sender: Sender) -> list[Outcome]:
        """Put bottles through the intake, as they came; other tasks run between two of them.

        :returns: what became of each.
        """
        if self._folder is None:
            return []
        outcomes: list[Outcome] = []
        proofs: list[Proof] = []
        for offered in bottles:
            taken = self._folder.intake.take(offered, sender, self._terms())
            outcomes.append(taken.outcome)
            proofs += [action.proof for action in taken.next if isinstance(action, ForwardProof)]
            await anyio.lowlevel.checkpoint()
        if self._notices is not None:
            self._notices.publish(proofs)
        if proofs or any(isinstance(outcome, Stored | Distrusted) for outcome in outcomes):
            self._supersede(self.schemes)
            self._renew()
        return outcomes

    def _terms(self) -> Terms:
        skew_s = self.revision.clock_skew_s
        return Terms(self.charter.network_id, self.schemes, self.wall(), skew_s, self.prepared)

    def _look(self, folder: BottleFolder) -> Callable[[], tuple[Sight, Notices]]:
        """What a thread can do by itself."""
        terms, known = self._terms(), folder.known(time.monotonic())
        noticed = self._notices.known if self._notices is not None else {}

        def verify(bottle: Bottle) -> None:
            refusal = folder.intake.refusal(bottle, terms)
            if refusal is not None:
                raise RecordError(refusal.text)

        return lambda: (look(folder.path, known, verify), read_notices(folder.path, noticed))

    def _take(self, folder: BottleFolder, sight: Sight, notices: Notices) -> None:
        noted = self._notices is not None and self._notices.take(
            notices, self._terms(), self.revision, self._installed
        )
        if noted:
            self._renew()
        taken = folder.take(sight, self._terms())
        for problem in taken.problems:
            _log.warning("a bottle is refused: %s", problem)
        if self._notices is not None:
            self._notices.publish(taken.proofs)
        if taken.changed or noted:
            self._supersede(self.schemes)
            self._renew()

    def _renew(self) -> None:
        """Something has changed in what is known or said of nodes."""
        self.reputation.renew(self.wall())
        self._version += 1
