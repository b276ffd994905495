"""What one process knows of its network: charter, suites and schemes in use, and the rack.

Made from a node's or a client's configuration; neither picks routes nor opens links.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from port17.bottles.rack import BottleStore, load_directory
from port17.bottles.successors import supersede
from port17.bottles.verdict import Ruling
from port17.config.settings import ClientConfig, NodeConfig
from port17.errors import ConfigError, PluginError
from port17.navigator.agreement import agree, preference
from port17.navigator.chart import Chart, ChartNode
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17.records.revision import Revision
from port17.records.scheme import IdentityScheme
from port17.wire.prekey import Network, ResponderKey
from port17.wire.suite import CipherSuite, Status

RACK = "memory"
"""The bottle store of a static network: the folder of bottles is the truth, and is read at each start."""

_log = logging.getLogger(__name__)


class KnownNetwork:
    """Charter, suites, schemes and rack of one process."""

    def __init__(
        self,
        charter: Charter,
        suites: dict[str, CipherSuite],
        schemes: dict[str, IdentityScheme],
        rack: BottleStore,
        wall: Callable[[], float],
    ) -> None:
        """
        :param suites: by name, best first; what charter and configuration both allow.
        :param wall: Unix time, seconds.
        """
        self.charter = charter
        self.suites = suites
        self.schemes = schemes
        self.rack = rack
        self.successors = supersede(rack, charter.network_id, schemes)
        """Who has taken whose place; whoever is no longer to be used is not in the rack."""
        self.wall = wall

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
        now_s = wall()
        installed = _schemes(registry)
        charter = Charter.load(config.charter, installed)
        revision = charter.current(now_s)
        schemes = {name: installed[name] for name in revision.schemes if name in installed}
        suites = _suites(revision, config.suites, registry)
        rack: BottleStore = registry.make("port17.bottle_stores", RACK)
        for problem in load_directory(
            config.bottles, charter.network_id, schemes, rack, now_s, skew_s=revision.clock_skew_s
        ):
            _log.warning("a bottle was left out: %s", problem)
        for bottle in rack:
            verdict = registry.judge_bottle(bottle)
            if verdict.ruling is not Ruling.ACCEPT:
                # A static network passes nothing on, so what is distrusted is of no use in it.
                _log.warning("the bottle of %s is left out: %s", bottle.node_id, "; ".join(verdict.reasons))
                rack.remove(bottle.fingerprint)
        return cls(charter, suites, schemes, rack, wall)

    @property
    def revision(self) -> Revision:
        """The charter's terms now."""
        return self.charter.current(self.wall())

    def transcript(self) -> Network:
        """What the wire binds now."""
        accepted = self.charter.accepted(self.wall())
        return Network(
            network_id=self.charter.network_id,
            revisions=tuple(revision.seq for revision in accepted),
            flight_blocks=self.charter.genesis.flight_blocks,
            skew_s=accepted[0].clock_skew_s,
        )

    def verify(self, fingerprint: bytes, message: bytes, signature: bytes) -> bool:
        """True if a known node signed the message."""
        bottle = self.rack.get(fingerprint)
        if bottle is None:
            return False
        identity = bottle.label.identity
        scheme = self.schemes.get(identity.scheme)
        return scheme is not None and scheme.verify(identity.public, message, signature)

    def chart(self) -> Chart:
        """The map as it is now."""
        return Chart.from_rack(
            self.rack, self.revision, self.wall(), self.suites, heirs=self.successors.heirs
        )

    def responder(self, node: ChartNode) -> ResponderKey | None:
        """How to address a node: by its prekey of the suite to use with it; None if none is held, whatever
        others are."""
        now_s = self.wall()
        suite = self.suites.get(agree(self.revision, node.suites, self.suites).suite or "")
        if suite is None:
            return None
        for record in node.prekeys.get(suite.name, ()):
            if record.expiry > now_s and len(record.public) == suite.public_size:
                return ResponderKey(suite, node.fingerprint, record.hash, record.slot, record.public)
        return None


def _schemes(registry: Registry) -> dict[str, IdentityScheme]:
    """Every installed scheme that works: which one signed the charter is known only once it is read."""
    schemes: dict[str, IdentityScheme] = {}
    for name in registry.names("port17.identity_schemes"):
        try:
            schemes[name] = registry.make("port17.identity_schemes", name)
        except PluginError as error:
            _log.warning("an identity scheme is left out: %s", error)
    return schemes


def _suites(revision: Revision, wanted: list[str], registry: Registry) -> dict[str, CipherSuite]:
    installed = set(registry.names("port17.cipher_suites"))
    for name in wanted:
        if name not in revision.suites:
            raise ConfigError(
                f"the charter does not allow the cipher suite {name}",
                cure=f"Take it out of suites; the charter allows {', '.join(revision.suites)}.",
            )
    # A suite that the user names has to load; one that only the charter names may be missing here.
    names = wanted or [name for name in revision.suites if name in installed]
    suites: dict[str, CipherSuite] = {}
    for name in sorted(names, key=preference(revision).index):
        suite = registry.make("port17.cipher_suites", name)
        if (
            suite.confidentiality.classical < revision.classical_bits
            or suite.confidentiality.quantum < revision.quantum_category
            or suite.status is Status.BROKEN
        ):
            _log.warning("the cipher suite %s is below the charter's least level: not used", name)
            continue
        suites[name] = suite
    if not suites:
        raise ConfigError(
            "no cipher suite that the charter allows is installed and good enough",
            cure=f"Install a distribution that brings one of {', '.join(revision.suites)}.",
        )
    return suites
