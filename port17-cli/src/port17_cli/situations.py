"""What a client would search for routes in, for commands: its chart, its policies and its guards, whether it
runs or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from port17.bottles.rack import MemoryRack
from port17.client.entrances import Doors
from port17.client.guards_file import GuardsFile
from port17.config import ClientConfig, NodeConfig
from port17.navigator.chart import Fingerprint
from port17.navigator.compiled import Compiled
from port17.navigator.guards import GUARDS, Guards
from port17.navigator.policy import Policies, Request, SecurityLevel
from port17.navigator.situation import Situation
from port17.network import KnownNetwork
from port17.plugins.families import ALWAYS_ON
from port17.plugins.loader import Registry
from port17.records.exit_rules import literal
from port17_cli import drivers, known, settings, toml


@dataclass(frozen=True)
class Found:
    """What was found out of a client.

    :param network: what it knows.
    :param policies: what it goes by.
    :param transports: names of those that it has.
    :param guards: its list; empty if it has never drawn any.
    """

    config: ClientConfig
    network: KnownNetwork
    policies: Policies
    transports: tuple[str, ...]
    guards: Guards

    def request(self, host: str, port: int, program: str = "", level: SecurityLevel | None = None) -> Request:
        """A connection as the client would ask for it.

        :param level: None takes the configuration's.
        """
        address = literal(host)
        place = None if address is None else self.network.atlas.find(address)
        return Request(host, port, program=program, level=level or self.config.level, place=place)

    def situation(self, request: Request) -> Situation:
        """Where its route would be searched, if all guards could be reached and nothing had just failed."""
        network = self.network
        return Situation(
            network.chart(),
            self.policies,
            self.transports,
            entries=self._entries(self.policies.judge_request(request).request),
            hops=network.revision.least_hops,
            max_hops=network.charter.genesis.max_hops,
        )

    def _entries(self, request: Request) -> tuple[Fingerprint, ...] | None:
        """The guards in use, or others of the list if the user's rules forbid these; None if any node may be
        drawn as one."""
        doors = Doors(self.network.chart(), Compiled(self.policies), self.transports, self.config.level)
        entrances = doors.entrances()
        for some in (self.guards.active(entrances), self.guards.fit(entrances)):
            allowed = tuple(one for one in some if doors.allows(one, request))
            if allowed:
                return allowed[:GUARDS]
        return None


@contextmanager
def network(
    path: str, changed: Iterable[str] = ()
) -> Iterator[tuple[NodeConfig | ClientConfig, KnownNetwork, Registry]]:
    """What a node or a client knows of its network; nothing is written. If it runs, it is asked for bottles.

    :param path: its configuration.
    :param changed: ``KEY=VALUE`` that differ from it.
    :raises ConfigError: a file is missing or wrong.
    :raises PluginError: a driver is unusable.
    """
    config, _ = settings.read(settings.kind_of(path), path, changed)
    registry = Registry()
    charter = drivers.present_charter(config, drivers.schemes(registry))
    rack = MemoryRack()
    rack.put_all(known.held(config, charter, registry))
    with closing(KnownNetwork.load(config, registry, shown=rack)) as found:
        yield config, found, registry


@contextmanager
def of_client(path: str, policies: Sequence[str] = ()) -> Iterator[Found]:
    """Where a client would look for routes.

    :param path: its configuration.
    :param policies: instead of those that the configuration names; files start at the working directory.
        Empty takes the configuration's.
    :raises ConfigError: as of :func:`network`; it is a node's; the file of guards is damaged, or a policy
        refuses its options.
    :raises PluginError: as of :func:`network`.
    """
    settings.refuse_node(path)
    instead = [f"policies={toml.literal(policies)}"] if policies else []
    with network(path, instead) as (config, found, registry):
        assert isinstance(config, ClientConfig)
        # Options of what is not asked are nobody's.
        named = {*config.policies, *ALWAYS_ON}
        options = {
            name: table for name, table in config.policy_options.items() if name in named or not policies
        }
        panel = registry.policies(
            config.policies, options, folder=config.folder, placed=not found.atlas.is_empty
        )
        transports = tuple(sorted({"tcp", *config.transports}))
        guards = GuardsFile(config.state, found.charter.network_id).load()
        yield Found(config, found, panel, transports, guards)
