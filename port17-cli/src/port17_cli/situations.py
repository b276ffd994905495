"""What a client would search for routes in, for commands: its chart, its policies and its guards, without the
client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from port17.bottles.rack import MemoryRack
from port17.config import ClientConfig
from port17.navigator.policy import Request, SecurityLevel
from port17.navigator.situation import Situation
from port17.network import KnownNetwork
from port17.plugins.families import TRANSPORTS
from port17.plugins.loader import Registry
from port17_cli import drivers, known, settings


@dataclass(frozen=True)
class Found:
    """What was found out of a client.

    :param network: what it knows.
    :param situation: what the next route would be searched in.
    """

    config: ClientConfig
    network: KnownNetwork
    situation: Situation

    def request(
        self, host: str, port: int, program: str = "", level: SecurityLevel | None = None
    ) -> Request:
        """A connection as the client would ask for it.

        :param level: None takes the configuration's.
        """
        return Request(host, port, program=program, level=level or self.config.level)


@contextmanager
def of_client(path: str, policies: Sequence[str] = ()) -> Iterator[Found]:
    """What a client's files say; nothing is written. If the client runs, it is asked for the bottles that it
    has.

    :param path: its configuration.
    :param policies: instead of those that the configuration names; empty takes these.
    :raises ConfigError: a file is missing or wrong.
    :raises PluginError: a policy or another driver is unusable.
    """
    config, _ = settings.read(ClientConfig, path)
    registry = Registry()
    with closing(_network(config, registry)) as network:
        specs = list(policies) or config.policies
        options = {name: table for name, table in config.policy_options.items() if name in specs}
        panel = registry.policies(specs, options, folder=config.folder)
        transports = [
            name for name in {"tcp", *config.transports} if name in registry.names(TRANSPORTS)
        ]
        yield Found(
            config,
            network,
            Situation(network.chart(), panel, transports, hops=3),
        )


def _network(config: ClientConfig, registry: Registry) -> KnownNetwork:
    charter = drivers.present_charter(config, drivers.schemes(registry))
    rack = MemoryRack()
    rack.put_all(known.held(config, charter, registry))
    return KnownNetwork.load(config, registry, shown=rack)
