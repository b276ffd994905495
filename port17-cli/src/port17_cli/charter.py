"""``port17 charter``: founding a network."""

from __future__ import annotations

import argparse
import functools
import itertools
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from port17.errors import ConfigError, UsageError
from port17.navigator.agreement import preference
from port17.node.identity_file import Locker, Passphrase
from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17.records.genesis import FLIGHT_BLOCKS, UPDATE_KEYS_CAP, Genesis
from port17.records.revision import Revision, Signer
from port17.records.scheme import IdentityScheme
from port17_cli import drivers, keys, moderate, output
from port17_cli.offices import Holders

CLOCK_SLACK_S = 120
"""A new network holds from a little before its founding on, seconds: for members whose clocks are slow."""
UPDATE_KEYS = "-update-keys"
"""Where update keys are put: beside the charter, in a directory of its name and this."""
NO_NETWORK = bytes(32)
"""Update keys exist before the network whose id is made of them, and have no prekeys that would name it."""


def init(args: argparse.Namespace) -> int:
    """``port17 charter init``."""
    threshold = args.threshold if args.threshold is not None else args.update_keys
    if not 1 <= threshold <= args.update_keys <= UPDATE_KEYS_CAP:
        raise UsageError(
            f"{threshold} of {args.update_keys} update keys cannot be.",
            cure=f"Give --update-keys 1 to {UPDATE_KEYS_CAP}, and --threshold 1 to as many.",
        )
    directory = Path(args.dir)
    path, folder = directory / f"{args.name}.charter", directory / f"{args.name}{UPDATE_KEYS}"
    if not args.force:
        refuse_existing(path, folder)
    registry = Registry()
    suites = args.suite or [drivers.USUAL_SUITE]
    drivers.suites(registry, suites)  # a charter that names what nobody has is of no use
    schemes = [drivers.scheme(registry, name) for name in args.identity or [drivers.USUAL_SCHEME]]
    exits = tuple(map(_fingerprint, args.plain_text_exit))
    officers = {**moderate.elected(args, registry), **appointed(args, registry)}
    locker = None
    if keys.wants_lock(args):
        locker = keys.locker(registry, None, args.passphrase_fd, None, "the update keys")
    directory.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    now = time.time()
    holders = update_keys(folder, schemes[0], args.update_keys, locker)
    first = Revision.made(**{**terms(suites, schemes, exits, now).to_value(), **_given(args), **officers})
    blocks = args.flight_blocks if args.flight_blocks is not None else FLIGHT_BLOCKS
    founding = genesis(args.name, holders, threshold, now, flight_blocks=blocks)
    charter = Charter.found(founding, first, signers(holders))
    charter.dump(path)
    if args.json:
        founded = charter.revisions[-1].revision
        values = {
            "charter": str(path),
            "network_id": charter.network_id.hex(),
            "update_keys": [str(holder.folder) for holder in holders],
            "threshold": threshold,
            "suites": suites,
            "schemes": [scheme.name for scheme in schemes],
            "least_hops": founded.least_hops,
            **_offices(founded),
        }
        print(output.document("port17.charter.init/1", values))
        return 0
    print(f"Charter of the network {args.name}: {path}")
    print(f"  network id {charter.network_id.hex()}")
    for holder in holders:
        print(f"Update key: {holder.folder} (keep it offline: {threshold} of these change the charter)")
    return 0


def amend(args: argparse.Namespace) -> int:
    """``port17 charter amend``."""
    path = Path(args.charter)
    registry = Registry()
    schemes = drivers.schemes(registry)
    charter = Charter.load(path, schemes)
    holders = update_key_holders(args, path, registry)
    last = charter.revisions[-1].revision
    drivers.suites(registry, args.suite or ())
    for name in args.identity or ():
        drivers.scheme(registry, name)
    trusted = dict.fromkeys([*last.plain_text_exits, *map(_fingerprint, args.plain_text_exit)])
    for fingerprint in map(_fingerprint, args.distrust_exit):
        trusted.pop(fingerprint, None)
    suites = args.suite or list(last.suites)
    deprecated = set(last.deprecated) - set(args.reinstate) | set(args.deprecate)
    for name in (*args.deprecate, *args.reinstate):
        if name not in suites:
            raise UsageError(
                f"The charter would not allow {name} at all.", cure=f"It would allow {', '.join(suites)}."
            )
    changes = {
        "not_before": max(int(time.time()) + args.holds_in, last.not_before),
        "suites": suites,
        "deprecated": [name for name in suites if name in deprecated],
        **_given(args),
        "schemes": args.identity or list(last.schemes),
        "plain_text_exits": list(trusted),
        **moderate.elected(args, registry, last),
        **appointed(args, registry, last),
    }
    amended = charter.amended(Revision.made(**{**last.to_value(), **changes}), signers(holders))
    amended.dump(path)
    current = amended.revisions[-1].revision
    if args.json:
        values = {
            "charter": str(path),
            "network_id": amended.network_id.hex(),
            "revision": current.seq,
            "not_before": current.not_before,
            "overlap_s": current.overlap_s,
            "suites": list(current.suites),
            "deprecated": list(current.deprecated),
            "schemes": list(current.schemes),
            "plain_text_exits": [fingerprint.hex() for fingerprint in current.plain_text_exits],
            "least_hops": current.least_hops,
            **_offices(current),
        }
        print(output.document("port17.charter.amend/1", values))
        return 0
    print(f"Revision {current.seq} of the charter: {path}")
    print(f"  cipher suites: {', '.join(_suite_words(current))}")
    print(f"  holds from {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(current.not_before))} on")
    print(f"  nodes need the file by then, clients within {_long(current.overlap_s)} after that")
    return 0


def update_key_holders(args: argparse.Namespace, charter: Path, registry: Registry) -> list[Keyring]:
    """The update keys that are to sign: those of ``--key``, or those beside the charter.

    :raises UsageError: there are none.
    """
    beside = charter.with_name(f"{charter.stem}{UPDATE_KEYS}")
    folders = [Path(key) for key in args.key] if args.key else sorted(beside.glob("*"))
    if not folders:
        raise UsageError(f"There are no update keys in {beside}.", cure="Name them with --key DIR.")
    schemes = drivers.schemes(registry)
    return [
        Keyring.load(
            folder,
            schemes,
            {},
            NO_NETWORK,
            passphrase=ask,
            find_suite=lambda name: drivers.suites(registry, [name])[0],
        )
        for folder, ask in _asked(args, folders)
    ]


def appointed(
    args: argparse.Namespace, registry: Registry, present: Revision | None = None
) -> dict[str, Any]:
    """What the flags make of the publishers of bootstrap lists.

    :param present: what holds until now.
    :raises UsageError: the threshold can't be reached, or nobody of that id is dismissed.
    """
    held = {one.fingerprint: one for one in present.publishers} if present is not None else {}
    before = Holders(held, present.publishers_threshold if present is not None else 0)
    dismissed = getattr(args, "dismiss_publisher", ())
    after = before.changed(registry, "publisher", args.publisher, dismissed, args.publishers_threshold)
    return {"publishers": after.values(), "publishers_threshold": after.threshold}


def _offices(revision: Revision) -> dict[str, object]:
    return {
        "moderators": [identity.node_id for identity in revision.moderators],
        "moderators_threshold": revision.moderators_threshold,
        "publishers": [identity.node_id for identity in revision.publishers],
        "publishers_threshold": revision.publishers_threshold,
    }


def _long(seconds: int) -> str:
    return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"


def _suite_words(revision: Revision) -> list[str]:
    deprecated = frozenset(revision.deprecated)
    return [f"{name} (deprecated)" if name in deprecated else name for name in preference(revision)]


def _asked(args: argparse.Namespace, folders: Iterable[Path]) -> Iterable[tuple[Path, Passphrase]]:
    """Who is asked for each key's passphrase: the descriptor once for all, a terminal for each."""
    if args.passphrase_fd is not None:
        once = functools.cache(keys.asked(args, None, "the keys"))
        return zip(folders, itertools.repeat(once))
    return [(folder, keys.asked(args, None, f"the key {folder}")) for folder in folders]


def update_keys(
    folder: Path, scheme: IdentityScheme, count: int, locker: Locker | None = None
) -> list[Keyring]:
    """Fresh update keys, each in a folder of its own that can be carried away.

    :param locker: locks them; None leaves them to their files' permissions.
    """
    return [
        Keyring.create(folder / str(number), scheme, [], NO_NETWORK, 0, 0, 1, locker=locker)
        for number in range(1, count + 1)
    ]


def _given(args: argparse.Namespace) -> dict[str, int]:
    """What is said in numbers; what is not given is left out."""
    given = {
        "prekey_lifetime_s": args.prekey_lifetime,
        "overlap_s": args.overlap,
        "least_hops": args.least_hops,
    }
    return {name: value for name, value in given.items() if value is not None}


def genesis(
    name: str,
    holders: Sequence[Keyring],
    threshold: int,
    now: float,
    *,
    flight_blocks: int = FLIGHT_BLOCKS,
) -> Genesis:
    """What the network is founded on."""
    return Genesis.made(
        name=name,
        created=int(now),
        flight_blocks=flight_blocks,
        update_keys=[holder.identity for holder in holders],
        threshold=threshold,
    )


def terms(
    suites: Sequence[str], schemes: Sequence[IdentityScheme], exits: Iterable[bytes], now: float
) -> Revision:
    """What holds in the network at first.

    :param exits: fingerprints of the exits trusted with unencrypted connections.
    """
    return Revision.made(
        not_before=int(now) - CLOCK_SLACK_S,
        suites=list(suites),
        schemes=[scheme.name for scheme in schemes],
        plain_text_exits=list(exits),
    )


def signers(holders: Iterable[Keyring]) -> list[Signer]:
    """(scheme, key) of every holder of an update key."""
    return [(holder.scheme, holder.signing_key) for holder in holders]


def refuse_existing(*paths: Path) -> None:
    """:raises ConfigError: one of them exists."""
    for path in paths:
        if path.exists():
            raise ConfigError(
                f"{path} exists already; nothing was changed.",
                cure="Choose another place, or give --force to replace it.",
            )


def _fingerprint(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(
            f"{text!r} is no fingerprint.", cure="`port17 node init` prints it: 64 hexadecimal digits."
        )
    return value
