"""The files of a test network: charter, identities, bootstrap list and configurations, all on loopback."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from port17.config import ClientConfig, NodeConfig
from port17.errors import ConfigError, UsageError
from port17.node import publication
from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.bootstrap import BootstrapList, SignedBootstrap
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17.records.genesis import network_id
from port17.records.revision import DAY_S
from port17_cli import charter as founding
from port17_cli import countries as geography
from port17_cli import drivers, enrolment, settings
from port17_cli.workplace import Workplace

HOST = "127.0.0.1"
DAYS = 5
"""How long a test network can run on the prekeys that it is made with, days."""
LISTED = 3
"""Nodes of the bootstrap list: of three, one may be dead and two still vouch for each other."""
LIST_NAME = "bootstrap-nodes.json"
LISTED_DAYS = 30
"""How long the list holds, days."""
DRAIN_S = 0.5
"""How long a node that ends waits for circuits, seconds: the whole network is ended with it."""
PORTS = (20_000, 32_767)
"""Where ports are picked: below the range from which systems take the ports of outgoing connections, or the
first nodes' connections could take the last nodes' ports before those listen."""
PORT_TRIES = 1000
"""Attempts at free ports: more than enough on a machine that has any."""


@dataclass(frozen=True)
class NodePlan:
    """One node's place.

    :param country: where it is said to be; empty if nothing is said.
    """

    name: str
    node_id: str
    address: str
    country: str
    config: Path
    control: Path


@dataclass(frozen=True)
class ClientPlan:
    """The client's place."""

    name: str
    socks: str
    config: Path
    control: Path

    @property
    def proxy(self) -> tuple[str, int]:
        """Where it listens, as sockets have it."""
        return parse_address(self.socks)


@dataclass(frozen=True)
class Plan:
    """Everything of a network that is on disk."""

    charter: Path
    bootstrap: Path
    nodes: tuple[NodePlan, ...]
    client: ClientPlan


def make(
    place: Workplace,
    *,
    nodes: int,
    lanes: int | None,
    socks: str | None,
    suites: Sequence[str],
    identity: str | None,
    countries: Sequence[str] = (),
) -> Plan:
    """Make a network's files.

    :param lanes: lanes that each node sees to; None leaves it to the nodes.
    :param socks: HOST:PORT for the client; None picks a free port.
    :param suites: cipher suites that every node serves, best first; empty takes the usual one.
    :param countries: per node, where it is said to be; empty says nothing, and has all at one address.
    :raises ConfigError: no free ports, or a file cannot be written.
    :raises PluginError: suite or scheme is not installed.
    """
    if socks is not None:
        check_free(socks)
    directory = place.directory
    registry = Registry()
    served = list(suites) or [drivers.USUAL_SUITE]
    held = drivers.suites(registry, served)
    scheme = drivers.scheme(registry, identity or drivers.USUAL_SCHEME)
    now = time.time()
    holders = founding.update_keys(directory / "update.key", scheme, 1)
    genesis = founding.genesis("testnet", holders, 1, now)
    founded = network_id(genesis.to_cbor())
    preview = founding.terms(served, [scheme], (), now)
    first, slots = publication.span(preview, now, DAYS)
    names = [f"n{number}" for number in range(1, nodes + 1)]
    keyrings = [
        Keyring.create(
            directory / "nodes" / name / "state",
            scheme,
            held,
            founded,
            first,
            slots,
            preview.prekey_lifetime_s,
            overlap=preview.overlap_s,
        )
        for name in names
    ]
    prints = [keyring.identity.fingerprint for keyring in keyrings]
    # The tests' destinations speak plain text on any port: this network trusts its own exits with it.
    terms = founding.terms(served, [scheme], prints, now)
    charter = Charter.found(genesis, terms, founding.signers(holders))
    charter_path = directory / "testnet.charter"
    charter.dump(charter_path)
    hosts = [geography.host(number) if countries else HOST for number in range(1, nodes + 1)]
    ports = free_ports(*hosts, HOST)
    plans = []
    bottles: list[Bottle] = []
    bootstrap = directory / LIST_NAME
    common: dict[str, object] = {
        "charter": str(charter_path),
        "bottles": "bottles",
        "bootstrap": {"sources": [str(bootstrap)]},
        "addresses": {"allow_private": True},
    }
    if countries:
        common["geo"] = geography.write(directory, countries)
    for number, (name, keyring) in enumerate(zip(names, keyrings, strict=True)):
        folder = directory / "nodes" / name
        address = f"{hosts[number]}:{ports[number]}"
        control = place.sockets / f"{name}.sock"
        config = settings.write(
            folder / "node.toml",
            {
                **common,
                "name": name,
                "group": f"group-{name}",
                "state": "state",
                "control": str(control),
                "listen": {"tcp": address},
                "mesh": {"drain_s": DRAIN_S} | ({} if lanes is None else {"lanes": lanes}),
                "exit": {"enabled": True, "allow": ["accept *:*"], "allow_private": True},
            },
            NodeConfig,
            "A node of a test network",
        )
        bottle, _ = enrolment.publish(config, charter, keyring, served, [], now)
        bottles.append(bottle)
        country = countries[number] if countries else ""
        plans.append(NodePlan(name, bottle.node_id, address, country, folder / "node.toml", control))
    listed = SignedBootstrap.of(
        BootstrapList.made(
            network_id=founded,
            seq=int(now),
            expiry=int(now) + LISTED_DAYS * DAY_S,
            bottles=[bottle.encode() for bottle in bottles[:LISTED]],
        )
    )
    bootstrap.write_bytes(listed.signed(charter, terms, founding.signers(holders)).encode())
    client = _client(place, common, socks or f"{HOST}:{ports[nodes]}")
    return Plan(charter_path, bootstrap, tuple(plans), client)


def _client(place: Workplace, common: Mapping[str, object], socks: str) -> ClientPlan:
    config = place.directory / "client" / "client.toml"
    control = place.sockets / "client.sock"
    made = settings.write(
        config,
        {**common, "control": str(control), "ingress": {"socks5": {"listen": socks}}},
        ClientConfig,
        "The client of a test network",
    )
    made.bottles.mkdir(parents=True, exist_ok=True)
    return ClientPlan("client", socks, config, control)


def free_ports(*hosts: str) -> list[int]:
    """A port for each of some loopback addresses that was free a moment ago; all are different.

    :raises ConfigError: there are not enough.
    """
    held: list[socket.socket] = []
    try:
        for candidate in _candidates():
            if len(held) == len(hosts):
                break
            probe = socket.socket()
            try:
                probe.bind((hosts[len(held)], candidate))
            except OSError:
                probe.close()
                continue
            held.append(probe)
        if len(held) < len(hosts):
            raise ConfigError(
                f"There are no {len(hosts)} free ports from {PORTS[0]} to {PORTS[1]}.",
                cure="End other test networks.",
            )
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def check_free(address: str) -> None:
    """:raises ConfigError: nothing could listen at HOST:PORT."""
    host, port = parse_address(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigError(
            f"Nothing can listen at {address}: {error.strerror}.", cure="Give another."
        ) from error


def _candidates() -> Iterable[int]:
    return random.SystemRandom().sample(range(PORTS[0], PORTS[1] + 1), PORT_TRIES)


def parse_address(text: str) -> tuple[str, int]:
    """HOST and port of HOST:PORT; brackets around an IPv6 address are taken off.

    :raises UsageError: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"{text!r} is no address.", cure="Write HOST:PORT, like 127.0.0.1:1080.")
    return host.removeprefix("[").removesuffix("]"), int(port)
