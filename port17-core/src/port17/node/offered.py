"""Which operations a node offers: what a network needs of every node, and what its owner has it do."""

from __future__ import annotations

from typing import Final

from port17.config.settings import NodeConfig
from port17.node.operation import Operation
from port17.plugins.families import OPERATIONS
from port17.plugins.loader import Registry

UPKEEP: Final = ("SYNC", "SEAGULL", "SPEEDTEST")
"""Always offered: a network is what its nodes tell each other, and measure."""


def offered(config: NodeConfig, registry: Registry) -> dict[str, Operation]:
    """The operations by name.

    :raises PluginError: one is unusable.
    :raises ConfigError: one refuses its options.
    """
    found: dict[str, Operation] = {
        name: registry.make(OPERATIONS, name, config.operations.get(name)) for name in UPKEEP
    }
    if config.exit.enabled:
        options = {
            "allow": config.exit.allow,
            "allow_private": config.exit.allow_private,
            **config.operations.get("TUNNEL", {}),
        }
        found["TUNNEL"] = registry.make(OPERATIONS, "TUNNEL", options)
    return found
