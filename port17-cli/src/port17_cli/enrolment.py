"""What makes a node part of a static network: its keyring, and the bottle that says who it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from port17.bottles.rack import MemoryRack, load_directory
from port17.bottles.successors import supersede
from port17.config import NodeConfig
from port17.errors import ConfigError
from port17.records.bottle import SLOTS_CAP, Bottle, Contents, Label, Lane
from port17.records.exit_rules import ExitRules
from port17.records.identity import NODE_ID_SIZE, parse_node_id

if TYPE_CHECKING:
    from port17.node.keyring import Keyring
    from port17.records.charter import Charter
    from port17.records.revision import Revision
    from port17.records.scheme import IdentityScheme

DAY_S = 24 * 3600


def span(revision: Revision, now: float, days: int) -> tuple[int, int]:
    """The prekey slots to make keys for.

    :param days: how long a static network is to run; at most as many slots as contents may name.
    :returns: (first slot, how many).
    :raises ConfigError: more than that.
    """
    lifetime = revision.prekey_lifetime_s
    slots = -(-days * DAY_S // lifetime) + 1  # today's has partly passed
    if not 1 < slots <= SLOTS_CAP:
        raise ConfigError(
            f"{days} days of prekeys cannot be made at once.",
            cure=f"Give --days 1 to {(SLOTS_CAP - 1) * lifetime // DAY_S}.",
        )
    return int(now) // lifetime, slots


def seal(
    config: NodeConfig,
    charter: Charter,
    keyring: Keyring,
    suites: Iterable[str],
    lanes: Iterable[bytes],
    now: float,
) -> Bottle:
    """A node's bottle, as its configuration has it.

    :param lanes: fingerprints of the nodes that it keeps lanes with.
    :raises ConfigError: the configuration has no address that others could dial.
    """
    # Just after a slot its key is still good, for those who have the bottle before this one.
    present = int(now) // charter.current(now).prekey_lifetime_s
    records = [record for record in keyring.records() if record.slot >= present]
    slots = {
        name: [(record.slot, record.expiry, record.hash) for record in records if record.suite == name]
        for name in suites
    }
    label = Label.made(
        identity=keyring.identity,
        name=config.name,
        group=config.group,
        addresses=addresses(config),
        suites=list(slots),
        exit=list(config.exit.allow) if config.exit.enabled else None,
        predecessors=list(keyring.predecessors),
        seq=int(now),
    )
    contents = Contents.made(
        fingerprint=keyring.identity.fingerprint,
        seq=int(now),
        slots=slots,
        lanes=[Lane(fingerprint, 0, 0) for fingerprint in lanes],
    )
    bundle = [record for record in records if record.suite in slots]
    return Bottle.seal(charter.network_id, keyring.scheme, keyring.signing_key, label, contents, bundle)


def check(config: NodeConfig) -> None:
    """:raises ConfigError: no bottle could be made of the configuration."""
    addresses(config)
    if config.exit.enabled:
        ExitRules.parse(config.exit.allow)


def addresses(config: NodeConfig) -> dict[str, list[str]]:
    """What the bottle says of where the node is: what is advertised, or else where it listens.

    :raises ConfigError: it listens on a port that is only known once it runs.
    """
    found = {}
    for transport, address in config.listen.items():
        advertised = config.advertise.get(transport, [address])
        if any(one.endswith(":0") for one in advertised):
            raise ConfigError(
                f"The {transport} port is 0, which no bottle can name.",
                cure=f"Set listen.{transport} to an address with a port, or advertise.{transport}.",
            )
        found[transport] = advertised
    return found


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
    allowed = {name: schemes[name] for name in charter.current(now).schemes if name in schemes}
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
