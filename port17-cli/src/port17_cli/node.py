"""``port17 node``: making a node, and running it."""

from __future__ import annotations

import argparse
import functools
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from port17.config import NodeConfig
from port17.errors import ConfigError
from port17_cli import drivers, enrolment, keys, output, settings

if TYPE_CHECKING:
    from port17.records.bottle import Bottle

LANES = "lanes.json"


def init(args: argparse.Namespace) -> int:
    """``port17 node init``."""
    from port17.node import publication
    from port17.node.identity_file import IDENTITY_FILE, IdentityFile
    from port17.node.keyring import Keyring
    from port17.plugins.loader import Registry
    from port17.records.charter import Charter
    from port17_cli.charter import refuse_existing

    path = Path(args.config)
    if not args.force:
        refuse_existing(path)
    registry = Registry()
    schemes = drivers.schemes(registry)
    charter = Charter.load(Path(args.charter), schemes)
    now = time.time()
    revision = charter.current(now)
    suites = drivers.allowed(args.suite or (), revision.suites, "cipher suite")
    first, slots = publication.span(revision, now, args.days)
    scheme = drivers.allowed([args.identity or revision.schemes[0]], revision.schemes, "identity scheme")[0]
    comment = "A node of Port17; see docs/command-line.md"
    with settings.drafted(path, _values(args, path), NodeConfig, comment) as config:
        publication.check(config)
        lanes = enrolment.fingerprints(
            dict.fromkeys([*enrolment.read_lanes(config), *args.lane]), config, charter, schemes, now
        )
        fresh = not (config.state / IDENTITY_FILE).exists()
        if fresh:
            secret = config.identity.passphrase_file
            locker = None
            if keys.wants_lock(args) or secret is not None:
                locker = keys.locker(registry, suites[0], args.passphrase_fd, secret, f"the node {args.name}")
            keyring = Keyring.create(
                config.state,
                drivers.scheme(registry, scheme),
                drivers.suites(registry, suites),
                charter.network_id,
                first,
                slots,
                revision.prekey_lifetime_s,
                overlap=revision.overlap_s,
                locker=locker,
            )
        else:
            if args.lock:
                raise ConfigError(
                    f"The keys in {config.state} are kept as they are.",
                    cure="Leave out --lock; `port17 identity passphrase` locks what exists.",
                )
            held = IdentityFile.read(config.state / IDENTITY_FILE)
            if args.passphrase_file and held.lock is None:
                raise ConfigError(
                    f"The keys in {config.state} are kept as they are, and they are not locked.",
                    cure="Leave out --passphrase-file, or lock them first: `port17 identity passphrase`.",
                )
            keys.refuse_unlocked(args, held, str(config.state / IDENTITY_FILE))
            keyring = keys.open_node(args, config, charter, registry, now)
            drivers.allowed([keyring.identity.scheme], revision.schemes, "identity scheme")
            keyring.burn(now)
            keys.stock(keyring, charter, revision, (first, slots))
        if config.lanes is not None:
            enrolment.write_lanes(config.lanes, [fingerprint.hex() for fingerprint in lanes])
        sealed, file = enrolment.publish(config, charter, keyring, suites, lanes, now)
    _tell(args, config, sealed, file, "port17.node.init/1", keys_kept=not fresh)
    return 0


def bottle(args: argparse.Namespace) -> int:
    """``port17 node bottle``."""
    from port17.node import publication
    from port17.plugins.loader import Registry

    config, _ = settings.read(NodeConfig, args.config, args.set)
    registry = Registry()
    schemes = drivers.schemes(registry)
    charter = drivers.present_charter(config, schemes)
    now = time.time()
    revision = charter.current(now)
    suites = enrolment.served(config, charter, registry, now)
    ids = list(dict.fromkeys([*enrolment.read_lanes(config), *args.lane]))
    lanes = enrolment.fingerprints(ids, config, charter, schemes, now)
    if args.lane:
        if config.lanes is None:
            raise ConfigError("The node has no lanes file.", cure=f'Set lanes = "{LANES}" in {args.config}.')
        enrolment.write_lanes(config.lanes, ids)
    keyring = keys.open_node(args, config, charter, registry, now)
    keyring.burn(now)
    keys.stock(keyring, charter, revision, publication.span(revision, now, args.days))
    sealed, file = enrolment.publish(config, charter, keyring, suites, lanes, now)
    _tell(args, config, sealed, file, "port17.node.bottle/1", keys_kept=True)
    return 0


def run(args: argparse.Namespace) -> int:
    """``port17 node run``."""
    config, _ = settings.read(NodeConfig, args.config, args.set)
    from port17.node import running
    from port17.node.identity_file import IDENTITY_FILE, IdentityFile
    from port17.plugins.loader import Registry
    from port17_cli import logs, service

    logs.set_up(config.log.level)
    # Asked here: at a prompt inside the event loop nobody would hear Ctrl-C. Nothing keeps it afterwards.
    typed: list[bytes] = []
    if IdentityFile.read(config.state / IDENTITY_FILE).lock is not None:
        typed.append(keys.asked(args, config.identity.passphrase_file, f"the node {config.name}")())
    service.run_until_left(
        functools.partial(running.run, passphrase=typed.pop),
        config,
        Registry(),
        service.ready_line("port17.node.run/1", json=args.json),
        while_stdin=args.while_stdin,
    )
    return 0


def _values(args: argparse.Namespace, path: Path) -> dict[str, object]:
    args.local_network |= args.local
    # Who is there himself has neighbours there.
    args.private_addresses |= not args.local and _is_private(args.advertise or args.listen)
    values: dict[str, object] = {
        "charter": settings.spell(args.charter, path),
        "name": args.name,
        "group": args.group if args.group is not None else args.name,
        "state": f"{path.stem}-state",
        "bottles": settings.spell(args.bottles, path) if args.bottles else "bottles",
        "lanes": f"{path.stem}-{LANES}",
        "control": f"{path.stem}.sock",
        "suites": args.suite,
        "bootstrap": settings.bootstrap(args.bootstrap, path),
        **settings.surroundings(args),
        "flavour": "local" if args.local else None,
        "listen": {"tcp": args.listen} if args.listen else {},
        "advertise": {"tcp": [args.advertise]} if args.advertise else None,
    }
    if args.passphrase_file:
        values["identity"] = {"passphrase_file": settings.spell(args.passphrase_file, path)}
    if args.exit:
        values["exit"] = {
            "enabled": True,
            "allow": args.allow or ["accept *:*"],
            "allow_private": args.allow_private,
        }
    return values


def _is_private(address: str | None) -> bool:
    """Whether HOST:PORT is one of no use to the world; a name is."""
    host, _, _ = (address or "").rpartition(":")
    try:
        return not ip_address(host.removeprefix("[").removesuffix("]")).is_global
    except ValueError:
        return False


def _tell(
    args: argparse.Namespace, config: NodeConfig, sealed: Bottle, file: Path, schema: str, *, keys_kept: bool
) -> None:
    fingerprint = sealed.fingerprint.hex()
    if args.json:
        values = {
            "id": sealed.node_id,
            "name": config.name,
            "fingerprint": fingerprint,
            "config": str(Path(args.config).absolute()),
            "state": str(config.state),
            "bottle": str(file),
            "addresses": dict(sealed.label.addresses),
            "lanes": [lane.fingerprint.hex() for lane in sealed.contents.lanes],
        }
        print(output.document(schema, values))
        return
    print(f"Node {config.name}: {sealed.node_id}")
    print(f"  fingerprint {fingerprint}")
    print(f"  configuration {args.config}")
    print(f"  keys in {config.state}{' (kept)' if keys_kept else ''}")
    print(f"  bottle {file} (`port17 charter bootstrap` makes a list of the first nodes' bottles)")
