"""``port17 identity``: identities at rest, apart from any node that uses them."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from port17.bottles.rack import SUFFIX, MemoryRack, load_directory
from port17.bottles.successors import supersede
from port17.config import NodeConfig
from port17.errors import ConfigError, RecordError, UsageError
from port17.node import key_file, publication
from port17.node.identity_file import FILE_CAP, IDENTITY_FILE, IdentityFile
from port17.node.keyring import Keyring, refuse_identity, restore, rewrite
from port17.node.prekeys import list_prekeys
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17.records.identity import Identity
from port17.records.identity_card import CARD_CAP, NO_NETWORK, card, read_card
from port17_cli import drivers, enrolment, keys, output, settings

if TYPE_CHECKING:
    from port17.node.identity_file import Passphrase
    from port17.records.scheme import IdentityScheme, SigningKey

CARD_MODE = 0o666
"""Permissions of a public half: whatever the user's files usually have."""


def new(args: argparse.Namespace) -> int:
    """``port17 identity new``."""
    folder = Path(args.dir)
    registry = Registry()
    if args.from_file:
        held = _backup(args, registry)
        restore(folder, held, time.time(), unused=args.unused)
    else:
        if args.unused:
            raise UsageError("--unused says something of a backup.", cure="Give --from FILE too.")
        scheme = drivers.scheme(registry, args.identity or drivers.USUAL_SCHEME)
        refuse_identity(folder)  # before a passphrase is asked for
        lock = None
        if keys.wants_lock(args) or args.suite:
            lock = keys.locker(registry, args.suite, args.passphrase_fd, None, "the identity")
        Keyring.create(folder, scheme, [], NO_NETWORK, 0, 0, 1, locker=lock)
        held = IdentityFile.read(folder / IDENTITY_FILE)
    _tell(args, "port17.identity.new/1", held, {"file": str(folder / IDENTITY_FILE)})
    return 0


def show(args: argparse.Namespace) -> int:
    """``port17 identity show``."""
    if args.file:
        return _show_file(args, Path(args.file))
    folder, _ = _place(args)
    held = IdentityFile.read(folder / IDENTITY_FILE)
    now = time.time()
    prekeys = [
        {"suite": record.suite, "slot": record.slot, "expiry": record.expiry, "expired": record.expiry <= now}
        for record in list_prekeys(folder)
    ]
    _tell(args, "port17.identity.show/1", held, {"file": str(folder / IDENTITY_FILE), "prekeys": prekeys})
    return 0


def export(args: argparse.Namespace) -> int:
    """``port17 identity export``."""
    folder, file = _place(args)
    out = Path(args.out)
    if out.exists():  # before a passphrase is asked for
        raise _refuse_existing(out)
    registry = Registry()
    held = IdentityFile.read(folder / IDENTITY_FILE)
    keys.refuse_unlocked(args, held, str(folder / IDENTITY_FILE))
    if args.new_passphrase_fd is not None or args.suite:
        if not args.private:
            raise UsageError("A public half is not locked.", cure="Give --private to write a backup.")
        if held.lock is not None:
            raise UsageError(
                "A backup of a locked identity keeps its passphrase.",
                cure="Change it first: `port17 identity passphrase`; or that of the backup, once restored.",
            )
    if not args.private:
        scheme, key, _ = _opened(args, registry, folder, held, file)
        data = card(scheme, key)
    elif held.lock is None:
        lock = keys.locker(registry, args.suite, args.new_passphrase_fd, None, "the backup")
        held = held.locked(lock)
        data = held.to_cbor()
    else:
        data = held.to_cbor()
    try:
        key_file.create(out, data, key_file.FILE_MODE if args.private else CARD_MODE)
    except FileExistsError:
        raise _refuse_existing(out) from None
    except OSError as error:
        raise ConfigError(
            f"{out} can't be written: {error.strerror}", cure="Choose a folder that you may write to."
        ) from error
    values = {"file": str(out.absolute()), "private": args.private}
    _tell(args, "port17.identity.export/1", held, values)
    return 0


def _refuse_existing(out: Path) -> ConfigError:
    return ConfigError(f"{out} exists already; nothing was written.", cure="Choose another file.")


def passphrase(args: argparse.Namespace) -> int:
    """``port17 identity passphrase``."""
    folder, file = _place(args)
    registry = Registry()
    held = IdentityFile.read(folder / IDENTITY_FILE)
    if args.remove and held.lock is None:
        raise UsageError(f"{folder / IDENTITY_FILE} has no passphrase.")
    if args.remove and (args.new_passphrase_fd is not None or args.suite):
        raise UsageError(
            "To remove a passphrase and to set one are two wishes.", cure="Leave out one of the flags."
        )
    keys.refuse_unlocked(args, held, str(folder / IDENTITY_FILE))
    _, _, private = _opened(args, registry, folder, held, file)
    fresh = held.unlocked(private)
    if not args.remove:
        fresh = fresh.locked(
            keys.locker(registry, args.suite, args.new_passphrase_fd, None, held.identity.node_id)
        )
    rewrite(folder, fresh)
    _tell(args, "port17.identity.passphrase/1", fresh, {"file": str(folder / IDENTITY_FILE)})
    return 0


def rotate(args: argparse.Namespace) -> int:
    """``port17 identity rotate``."""
    config, _ = settings.read(NodeConfig, args.config, args.set)
    registry = Registry()
    schemes = drivers.schemes(registry)
    charter = drivers.present_charter(config, schemes)
    now = time.time()
    revision = charter.current(now)
    suites = enrolment.served(config, charter, registry, now)
    publication.check(config)
    lanes = enrolment.fingerprints(enrolment.read_lanes(config), config, charter, schemes, now)
    span = publication.span(revision, now, args.days)
    held = IdentityFile.read(config.state / IDENTITY_FILE)
    keys.refuse_unlocked(args, held, str(config.state / IDENTITY_FILE))
    ask = functools.cache(keys.asked(args, config.identity.passphrase_file, f"the node {config.name}"))
    old = keys.open_node(args, config, charter, registry, now, ask)
    _refuse_second(config, charter, old.identity, schemes, now)
    wanted = args.identity or old.identity.scheme
    scheme = drivers.scheme(registry, drivers.allowed([wanted], revision.schemes, "identity scheme")[0])
    lock = None
    if held.lock is not None:
        from port17.node.identity_file import Locker

        lock = Locker(ask(), drivers.suites(registry, [held.lock.suite])[0])
    keyring = old.succeed(scheme, suites, charter.network_id, locker=lock)
    keyring.burn(now)
    keys.stock(keyring, charter, revision, span)
    _, bottle = enrolment.publish(config, charter, keyring, suites, lanes, now)
    (config.bottles / f"{old.identity.node_id}{SUFFIX}").unlink(missing_ok=True)
    values = {"bottle": str(bottle), "predecessor": old.identity.fingerprint.hex()}
    _tell(args, "port17.identity.rotate/1", IdentityFile.read(config.state / IDENTITY_FILE), values)
    if not args.json:
        print("Restart the node now, and give its new bottle to every member: they follow it by themselves.")
    return 0


def _refuse_second(
    config: NodeConfig,
    charter: Charter,
    identity: Identity,
    schemes: Mapping[str, IdentityScheme],
    now: float,
) -> None:
    """:raises ConfigError: an identity has handed over before; a second successor would void the first."""
    rack = MemoryRack()
    if config.bottles.exists():
        load_directory(config.bottles, charter.network_id, schemes, rack, now)
    if identity.fingerprint in supersede(rack, charter.network_id, schemes).superseded:
        raise ConfigError(
            f"{identity.node_id} has handed over to a successor already: to name another would void both.",
            cure="Run the node with the successor's state, or as a new node.",
        )


def _place(args: argparse.Namespace) -> tuple[Path, Path | None]:
    """Where the identity is that is meant, and the file of its passphrase if the configuration names one."""
    if bool(args.dir) == bool(args.config):
        raise UsageError("Which identity is meant is not said.", cure="Give --dir DIR or --config FILE.")
    if args.dir:
        return Path(args.dir), None
    config, _ = settings.read(NodeConfig, args.config)
    return config.state, config.identity.passphrase_file


def _opened(
    args: argparse.Namespace, registry: Registry, folder: Path, held: IdentityFile, file: Path | None
) -> tuple[IdentityScheme, SigningKey, bytes]:
    return _unlocked(
        registry, held, str(folder / IDENTITY_FILE), keys.asked(args, file, held.identity.node_id)
    )


def _unlocked(
    registry: Registry, held: IdentityFile, name: str, ask: Passphrase
) -> tuple[IdentityScheme, SigningKey, bytes]:
    scheme = held.scheme(name, drivers.schemes(registry))
    private = held.secret(name, ask, lambda suite: drivers.suites(registry, [suite])[0])
    return scheme, held.signing_key(name, scheme, private), private


def _backup(args: argparse.Namespace, registry: Registry) -> IdentityFile:
    """The identity of a backup, which its passphrase is known to open."""
    if args.identity or args.suite or args.lock:
        raise UsageError(
            "A backup keeps its scheme and its passphrase.",
            cure="Change the passphrase afterwards, with `port17 identity passphrase`.",
        )
    file = Path(args.from_file)
    held = IdentityFile.read(file)
    keys.refuse_unlocked(args, held, str(file))
    _unlocked(registry, held, str(file), keys.asked(args, None, held.identity.node_id))
    return held


def _show_file(args: argparse.Namespace, file: Path) -> int:
    if args.dir or args.config:
        raise UsageError("--file is instead of --dir and --config.")
    try:
        data, _ = key_file.peek(file, max(FILE_CAP, CARD_CAP))
        try:
            identity = read_card(data, drivers.schemes(Registry()))
        except RecordError as error:
            try:
                held = IdentityFile.from_cbor(data, cap=FILE_CAP)
            except RecordError:
                raise error from None
            _tell(args, "port17.identity.show/1", held, {"file": str(file), "prekeys": []})
            return 0
    except RecordError as error:
        raise ConfigError(f"{file}: {error.message}", cure=error.cure or "Get the file again.") from error
    _print(args, "port17.identity.show/1", {**_public(identity), "protection": None, "file": str(file)})
    return 0


def _tell(args: argparse.Namespace, schema: str, held: IdentityFile, more: dict[str, Any]) -> None:
    protection: dict[str, Any] = {"kind": "file"}
    if held.lock is not None:
        lock = held.lock
        work = {"kdf": lock.kdf, "log_n": lock.log_n, "r": lock.r, "p": lock.p, "suite": lock.suite}
        protection = {"kind": "passphrase", **work}
    predecessors = [one.identity.fingerprint.hex() for one in held.predecessors]
    _print(
        args,
        schema,
        {**_public(held.identity), "protection": protection, "predecessors": predecessors, **more},
    )


def _public(identity: Identity) -> dict[str, Any]:
    return {
        "id": identity.node_id,
        "fingerprint": identity.fingerprint.hex(),
        "scheme": identity.scheme,
        "keys": [{"algorithm": name, "public_bytes": len(key)} for name, key in identity.public],
    }


def _print(args: argparse.Namespace, schema: str, values: dict[str, Any]) -> None:
    if args.json:
        print(output.document(schema, values))
        return
    print(f"Identity {values['id']}")
    print(f"  fingerprint {values['fingerprint']}")
    sizes = ", ".join(f"{key['algorithm']} ({key['public_bytes']} bytes)" for key in values["keys"])
    print(f"  scheme {values['scheme']}: {sizes}")
    protection = values["protection"]
    if protection is None:
        print("  public half only; its own signature is valid")
    elif protection["kind"] == "passphrase":
        mib = (128 * protection["r"] << protection["log_n"]) >> 20
        print(f"  locked with a passphrase: scrypt, {mib} MiB a guess; {protection['suite']}")
    else:
        print("  not locked: its file's permissions protect it")
    for name, said in (("file", "file"), ("bottle", "bottle"), ("predecessor", "in the place of")):
        if name in values:
            print(f"  {said} {values[name]}")
    for one in values.get("predecessors", ()):
        if one != values.get("predecessor"):
            print(f"  in the place of {one}")
    for prekey in values.get("prekeys", ()):
        until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(prekey["expiry"]))
        state = "expired, to be erased" if prekey["expired"] else f"until {until}"
        print(f"  prekey {prekey['suite']} slot {prekey['slot']}: {state}")
