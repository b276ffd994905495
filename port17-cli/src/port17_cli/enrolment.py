"""What makes a node part of a static network: its keyring, and the bottle that says who it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from port17.bottles.rack import SUFFIX, MemoryRack, load_bottle, load_directory
from port17.bottles.successors import supersede
from port17.config import NodeConfig
from port17.errors import ConfigError
from port17.records.identity import NODE_ID_SIZE, parse_node_id
from port17.records.scheme import usable

if TYPE_CHECKING:
    from port17.node.keyring import Keyring
    from port17.plugins.loader import Registry
    from port17.records.bottle import Bottle
    from port17.records.charter import Charter
    from port17.records.scheme import IdentityScheme
    from port17.wire.suite import CipherSuite


def served(config: NodeConfig, charter: Charter, registry: Registry, now: float) -> dict[str, CipherSuite]:
    """What a node serves: all that its configuration allows under the revisions that hold, or will.

    :raises ConfigError: nothing of what the charter allows now.
    :raises PluginError: nothing, since what the configuration names is missing or broken.
    """
    from port17.plugins.own_suites import OwnSuites

    own = OwnSuites(registry, config.suites)
    own.check(charter.current(now))
    return own.across((*charter.accepted(now), *charter.coming(now)))


def publish(
    config: NodeConfig,
    charter: Charter,
    keyring: Keyring,
    suites: Iterable[str],
    lanes: Iterable[bytes],
    now: float,
) -> tuple[Bottle, Path]:
    """Publishes a node's bottle, as its configuration has it, in the place of the one that is there.

    :param lanes: fingerprints of the nodes that it keeps lanes with.
    :returns: the bottle and its file.
    :raises ConfigError: the configuration has no address that others could dial, or nothing can be written.
    """
    from port17.node import publication

    revision, network_id = charter.current(now), charter.network_id
    handed_over = None
    for predecessor in keyring.predecessors[:1]:
        file = config.bottles / f"{predecessor.identity.node_id}{SUFFIX}"
        handed_over = load_bottle(file) if file.exists() else None
    neighbours = list(lanes)

    def make(previous: Bottle | None, signed: publication.Numbers) -> Bottle:
        return publication.seal(
            config, revision, network_id, keyring, suites, neighbours, now, previous, handed_over, signed
        )

    config.bottles.mkdir(parents=True, exist_ok=True)
    done = publication.publish(config.bottles, revision, network_id, keyring, now, make)
    assert done is not None  # it makes one whatever there was
    return done


def read_lanes(config: NodeConfig) -> list[str]:
    """The node ids or fingerprints of the lanes file; none if there is no such file yet.

    :raises ConfigError: it is no JSON list of strings.
    """
    path = config.lanes
    if path is None or not path.exists():
        return []
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", cure="It is a JSON list of node ids."
        ) from error
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ConfigError(f"{path} is no JSON list of strings.", cure='Like ["<node id>", "<node id>"].')
    return value


def fingerprints(
    ids: Iterable[str],
    config: NodeConfig,
    charter: Charter,
    schemes: Mapping[str, IdentityScheme],
    now: float,
) -> list[bytes]:
    """The fingerprints of node ids, by the bottles that are there.

    :raises ConfigError: an id has no bottle.
    """
    rack = MemoryRack()
    if config.bottles.exists():
        load_directory(config.bottles, charter.network_id, schemes, rack, now)
    allowed = usable(charter.current(now).schemes, schemes)
    successors = supersede(rack, charter.network_id, allowed)
    by_id = {old[:NODE_ID_SIZE]: heir for old, heir in successors.heirs.items()}
    by_id |= {bottle.fingerprint[:NODE_ID_SIZE]: bottle.fingerprint for bottle in rack}
    found = []
    for text in ids:
        if len(text) == 64:
            try:
                found.append(successors.resolve(bytes.fromhex(text)))
                continue
            except ValueError:
                raise ConfigError(f"{text!r} is neither a node id nor a fingerprint.") from None
        fingerprint = by_id.get(parse_node_id(text))
        if fingerprint is None:
            raise ConfigError(
                f"There is no valid bottle of the node {text} in {config.bottles}.",
                cure="Put that node's bottle there first, or give its fingerprint.",
            )
        found.append(fingerprint)
    return list(dict.fromkeys(found))


def write_lanes(path: Path, ids: Iterable[str]) -> None:
    """Write the lanes file."""
    path.write_text(json.dumps(list(ids), indent=1) + "\n")
