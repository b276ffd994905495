"""``port17 moderate``: lists in which a network's moderators say what is wrong with nodes, or right."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from port17.bottles.notices import MODERATION_SUFFIX, load_notice
from port17.bottles.rack import SUFFIX, load_bottle
from port17.errors import ConfigError, RecordError, UsageError
from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17.records.identity import node_id
from port17.records.identity_card import NO_NETWORK
from port17.records.moderation import Action, Entry, Moderation, SignedModeration, moderators
from port17.records.record import HASH_SIZE
from port17.records.revision import DAY_S, Revision, Signer
from port17.records.whole_file import write_whole
from port17_cli import drivers, keys, output
from port17_cli.offices import Holders

if TYPE_CHECKING:
    from port17.records.bottle import Bottle

DAYS_CAP = 366
"""Longest time that an entry may hold, days."""
SCHEMA = "port17.moderate.show/1"
FLAGS = {"block": Action.BLOCK, "distrust": Action.DISTRUST, "trusted_exit": Action.TRUSTED_EXIT}
WORDS = {
    Action.BLOCK: "blocked",
    Action.DISTRUST: "distrusted",
    Action.TRUSTED_EXIT: "trusted with unencrypted connections",
    Action.OWNER_VERIFIED: "the owner of the name",
    Action.SAME_OWNER: "run by",
}


def sign(args: argparse.Namespace) -> int:
    """``port17 moderate sign``."""
    file = _list_file(args)
    if not 1 <= args.days <= DAYS_CAP:
        raise UsageError(f"Entries cannot hold for {args.days} days.", cure=f"Give --days 1 to {DAYS_CAP}.")
    registry = Registry()
    charter, revision = _charter(args, registry)
    before = _read(Path(args.from_file)).moderation if args.from_file else None
    if file.exists() and not args.force:
        # It may be in force with all its signatures, and the new one has a single one yet.
        raise ConfigError(
            f"{file} exists already; nothing was changed.",
            cure="Sign another file, have it co-signed, and put it in its place; or give --force.",
        )
    now = int(time.time())
    entries = _entries(args, before, now)
    seq = max(now, before.seq + 1 if before is not None else 0)
    made = SignedModeration.of(Moderation.made(seq=seq, entries=[entry.to_value() for entry in entries]))
    signed = made.signed(charter.network_id, revision, _signers(args, registry))
    write_whole(file, signed.encode())
    return _tell(args, "port17.moderate.sign/1", file, signed, charter, revision, registry)


def cosign(args: argparse.Namespace) -> int:
    """``port17 moderate cosign``."""
    file = _list_file(args)
    registry = Registry()
    charter, revision = _charter(args, registry)
    signed = _read(file)
    signed.signers(charter.network_id, revision, drivers.schemes(registry))  # add nothing to a forged list
    signed = signed.signed(charter.network_id, revision, _signers(args, registry))
    write_whole(file, signed.encode())
    return _tell(args, "port17.moderate.cosign/1", file, signed, charter, revision, registry)


def show(args: argparse.Namespace) -> int:
    """``port17 moderate show``."""
    file = Path(args.file)
    signed = _read(file)
    if not args.charter:
        return _tell(args, SCHEMA, file, signed, None, None, Registry())
    registry = Registry()
    charter, revision = _charter(args, registry)
    return _tell(args, SCHEMA, file, signed, charter, revision, registry)


def verify(args: argparse.Namespace) -> int:
    """``port17 moderate verify``."""
    file = Path(args.file)
    registry = Registry()
    charter, revision = _charter(args, registry)
    signed = _read(file)
    _tell(args, "port17.moderate.verify/1", file, signed, charter, revision, registry)
    signed.verify(charter.network_id, revision, drivers.schemes(registry), time.time())
    return 0


# -- who may sign -----------------------------------------------------------------------------------------
def elected(args: argparse.Namespace, registry: Registry, present: Revision | None = None) -> dict[str, Any]:
    """What the flags of ``charter init`` and ``charter amend`` make of the moderators.

    :param present: what holds until now.
    :raises UsageError: the threshold can't be reached, or nobody of that id is dismissed.
    """
    held = moderators(present) if present is not None else {}
    before = Holders(held, present.moderators_threshold if present is not None else 0)
    dismissed = getattr(args, "dismiss", ())
    after = before.changed(registry, "moderator", args.moderator, dismissed, args.moderators_threshold)
    return {"moderators": after.values(), "moderators_threshold": after.threshold}


def _signers(args: argparse.Namespace, registry: Registry) -> list[Signer]:
    schemes = drivers.schemes(registry)
    found: list[Signer] = []
    for folder in map(Path, args.key):
        ring = Keyring.load(
            folder,
            schemes,
            {},
            NO_NETWORK,
            passphrase=keys.asked(args, None, f"the moderator's key {folder}"),
            find_suite=lambda name: drivers.suites(registry, [name])[0],
        )
        found.append((ring.scheme, ring.signing_key))
    return found


def _charter(args: argparse.Namespace, registry: Registry) -> tuple[Charter, Revision]:
    charter = Charter.load(Path(args.charter), drivers.schemes(registry))
    return charter, charter.current(time.time())


# -- what it says -----------------------------------------------------------------------------------------
def _list_file(args: argparse.Namespace) -> Path:
    file = Path(args.file)
    if file.suffix != MODERATION_SUFFIX:
        raise UsageError(
            f"{file} is no place for a list.",
            cure=f"Name it something{MODERATION_SUFFIX}: nodes look for that.",
        )
    return file


def _read(file: Path) -> SignedModeration:
    try:
        found = load_notice(file)
        if not isinstance(found, SignedModeration):
            raise RecordError("not a moderators' list")
    except RecordError as error:
        raise RecordError(f"{file}: {error.message}", cure=error.cure or "Get the list again.") from error
    return found


def _entries(args: argparse.Namespace, before: Moderation | None, now: int) -> list[Entry]:
    """The entries of the new list: those that still hold, without what is dropped, and the new ones."""
    new = [(action, text, "") for flag, action in FLAGS.items() for text in getattr(args, flag)]
    for flag, given, action in (
        ("--owner", args.owner, Action.OWNER_VERIFIED),
        ("--same-owner", args.same_owner, Action.SAME_OWNER),
    ):
        for pair in given:
            name, equals, text = pair.partition("=")
            if not (name and equals and text):
                raise UsageError(f"{flag} {pair} names nobody.", cure=f"Write {flag} NAME=NODE.")
            new.append((action, text, name))
    if new and not args.reason:
        raise UsageError("No reason is given.", cure="Say why, for people: --reason TEXT.")
    dropped = {_node(text, args) for text in args.drop}
    held = {
        _about(entry.action, entry.fingerprint, entry.name): entry
        for entry in (before.entries if before is not None else ())
        if entry.expiry > now and entry.fingerprint not in dropped
    }
    for action, text, name in new:
        fingerprint = _node(text, args)
        entry = Entry.made(
            action=action,
            fingerprint=fingerprint,
            name=name,
            reason=args.reason,
            expiry=now + args.days * DAY_S,
        )
        held[_about(action, fingerprint, name)] = entry
    return list(held.values())


def _about(action: Action, fingerprint: bytes, name: str) -> tuple[Action, object]:
    """What there is one entry about: a PortName is one node's, and a node has one owner."""
    return action, name.lower() if action is Action.OWNER_VERIFIED else fingerprint


def _node(text: str, args: argparse.Namespace) -> bytes:
    """The fingerprint that is meant."""
    try:
        fingerprint = bytes.fromhex(text)
    except ValueError:
        fingerprint = b""
    if len(fingerprint) == HASH_SIZE:
        return fingerprint
    if args.bottles:
        for bottle in _bottles(Path(args.bottles)):
            if text in (bottle.node_id, bottle.label.name):
                return bottle.fingerprint
    raise UsageError(
        f"{text} is no fingerprint{', and no node of ' + args.bottles if args.bottles else ''}.",
        cure="Give the 64 digits that `port17 bottle show` prints, or --bottles DIR with an id or a name.",
    )


def _bottles(folder: Path) -> Iterable[Bottle]:
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield load_bottle(file)
        except RecordError:
            continue  # another file may be what is asked for


# -- how it is shown --------------------------------------------------------------------------------------
def _tell(
    args: argparse.Namespace,
    schema: str,
    file: Path,
    signed: SignedModeration,
    charter: Charter | None,
    revision: Revision | None,
    registry: Registry,
) -> int:
    now = time.time()
    valid: frozenset[bytes] | None = None
    if charter is not None and revision is not None:
        valid = signed.signers(charter.network_id, revision, drivers.schemes(registry))
    needed = revision.moderators_threshold if revision is not None else None
    values = {
        "file": str(file),
        "seq": signed.moderation.seq,
        "entries": [
            {
                "action": str(entry.action),
                "id": node_id(entry.fingerprint),
                "fingerprint": entry.fingerprint.hex(),
                "name": entry.name,
                "reason": entry.reason,
                "expiry": entry.expiry,
                "expired": entry.expiry <= now,
            }
            for entry in signed.moderation.entries
        ],
        "signatures": [
            {"id": node_id(one), "fingerprint": one.hex(), "counts": None if valid is None else one in valid}
            for one, _ in signed.signatures
        ],
        "needed": needed,
        "holds": None if valid is None or not needed else len(valid) >= needed,
    }
    if args.json:
        print(output.document(schema, values))
        return 0
    _print(values)
    return 0


def _print(values: dict[str, Any]) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(values["seq"]))
    print(f"Moderators' list {values['file']}, of {when}")
    for entry in values["entries"]:
        until = time.strftime("%Y-%m-%d", time.gmtime(entry["expiry"]))
        whose = f" {entry['name']}" if entry["name"] else ""
        print(f"  {entry['id']}: {WORDS[Action(entry['action'])]}{whose}, until {until}: {entry['reason']}")
    if not values["entries"]:
        print("  nothing is said of any node")
    print(_signatures(values["signatures"], values["needed"]))


def _signatures(signatures: Sequence[dict[str, Any]], needed: int | None) -> str:
    if needed is None:
        return f"{len(signatures)} signatures, not checked: give --charter"
    counted = sum(bool(one["counts"]) for one in signatures)
    missing = max(needed - counted, 0)
    state = "it holds" if needed and not missing else f"{missing} more must sign before it holds"
    return f"{counted} of {needed} moderators have signed: {state if needed else 'the charter names none'}"
