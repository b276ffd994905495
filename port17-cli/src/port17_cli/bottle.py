"""``port17 bottle``: what a node says of itself, and whether it is true."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from port17.bottles.rack import SUFFIX, load_bottle
from port17.bottles.validation import Terms
from port17.bottles.verdict import Ruling, Verdict, together
from port17.errors import ConfigError, RecordError, UsageError
from port17.plugins.loader import Registry
from port17.records.bottle import BOTTLE_CAP, CONTENTS_KIND, LABEL_KIND, Bottle
from port17.records.charter import Charter
from port17.records.identity import node_id
from port17.records.scheme import usable
from port17_cli import drivers, known, output, settings

STDIN = "-"
"""In the place of a file's name."""
SCHEMA = "port17.bottle.show/1"
UNCHECKED = "not checked: give --charter or --config"


@dataclass(frozen=True)
class Network:
    """What a bottle is checked against.

    :param now_s: Unix time, seconds.
    """

    terms: Terms
    registry: Registry
    now_s: float


@dataclass(frozen=True)
class Checked:
    """What checking has said.

    :param label: whether the label's signature is valid; None if nobody looked.
    :param contents: the same of the contents'.
    :param problem: why the bottle is not valid; empty if it is.
    :param verdict: what the validators say; of a bottle that is not valid, a reject.
    """

    label: bool | None
    contents: bool | None
    problem: str
    verdict: Verdict


def show(args: argparse.Namespace) -> int:
    """``port17 bottle show``."""
    bottle, size = _read(args)
    network = _network(args) if args.charter or args.config else None
    checked = _check(bottle, network) if network is not None else None
    _tell(args, _document(bottle, size, checked, time.time()))
    return 0


def verify(args: argparse.Namespace) -> int:
    """``port17 bottle verify``."""
    bottle, size = _read(args)
    network = _network(args)
    checked = _check(bottle, network)
    _tell(args, _document(bottle, size, checked, network.now_s))
    if checked.problem:
        raise RecordError(
            f"The bottle of {bottle.node_id} is not valid: {checked.problem}",
            cure="Get it again from the node, and look whether the charter is the right one.",
        )
    if checked.verdict.ruling is not Ruling.ACCEPT:
        raise RecordError(
            f"The bottle of {bottle.node_id} is valid, but not used: {'; '.join(checked.verdict.reasons)}",
            cure="Ask who runs the node; a validator of another plugin can be uninstalled.",
        )
    return 0


# -- where it comes from --------------------------------------------------------------------------------
def _read(args: argparse.Namespace) -> tuple[Bottle, int]:
    """The bottle that is meant, parsed, and its length in bytes."""
    if args.bottle == STDIN:
        data = sys.stdin.buffer.read(BOTTLE_CAP + 1)
        return _named(STDIN, lambda: Bottle.parse(data)), len(data)
    file = Path(args.bottle)
    if not file.is_file() and args.config and not args.bottles:
        bottle = _known(args)
        return bottle, len(bottle.encode())
    if not file.exists():
        file = _find(args)
    return _named(str(file), lambda: load_bottle(file)), file.stat().st_size


def _named(name: str, read: Any) -> Bottle:
    try:
        bottle: Bottle = read()
    except RecordError as error:
        cure = error.cure or "Get the bottle again; files end in .bottle."
        raise RecordError(f"{name}: {error.message}", cure=cure) from error
    return bottle


def _known(args: argparse.Namespace) -> Bottle:
    """A bottle by its node's id or name, of all that a node or client knows.

    :raises ConfigError: there is none, or more than one.
    """
    found = known.find(known.asked(args), args.bottle)
    if found is None:
        raise ConfigError(
            f"There is neither a file {args.bottle} nor a node of that name or id.",
            cure=f"`port17 bottle list --config {args.config}` shows all that are known.",
        )
    return found


def _find(args: argparse.Namespace) -> Path:
    """The file of a node's bottle, by the node's id or name, in the folder that is named."""
    folder = Path(args.bottles) if args.bottles else None
    if folder is None:
        raise ConfigError(
            f"There is no file {args.bottle}.",
            cure="To look for a node by id or name, say where: --bottles DIR or --config FILE.",
        )
    try:
        files = sorted(folder.glob(f"*{SUFFIX}"))
    except OSError as error:
        raise ConfigError(f"{folder} can't be read: {error.strerror}", cure="Give another folder.") from error
    found = []
    for file in files:
        try:
            bottle = load_bottle(file)
        except RecordError:
            continue  # another file may be what is asked for
        if args.bottle in (bottle.node_id, bottle.fingerprint.hex()):
            return file
        if bottle.label.name.lower() == args.bottle.lower():
            found.append(file)
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} nodes claim the name {args.bottle}.", cure="Give an id, or one of the files."
        )
    if not found:
        raise ConfigError(
            f"There is neither a file {args.bottle} nor a bottle of such a node in {folder}.",
            cure="Give a file, a node's id or name, or - for standard input.",
        )
    return found[0]


# -- what is true of it -----------------------------------------------------------------------------------
def _network(args: argparse.Namespace) -> Network:
    from port17.plugins.own_suites import OwnSuites

    registry = Registry()
    installed = drivers.schemes(registry)
    now_s = time.time()
    wanted: tuple[str, ...] = ()
    if args.config:
        config, _ = settings.read(settings.kind_of(args.config), args.config)
        charter, wanted = drivers.present_charter(config, installed), tuple(config.suites)
    else:
        charter = Charter.load(Path(args.charter or ""), installed)
    accepted = charter.accepted(now_s)
    allowed = usable(accepted[0].schemes, installed)
    suites = OwnSuites(registry, wanted).across(accepted)
    terms = Terms(charter.network_id, allowed, now_s, accepted[0].clock_skew_s, suites)
    return Network(terms, registry, now_s)


def _check(bottle: Bottle, network: Network) -> Checked:
    terms, panel = network.terms, network.registry.panel
    identity = bottle.label.identity
    valid: list[bool | None] = []
    for kind, envelope in ((LABEL_KIND, bottle.label_envelope), (CONTENTS_KIND, bottle.contents_envelope)):
        scheme = terms.schemes.get(identity.scheme)
        if scheme is None:
            valid.append(None)
            continue
        try:
            envelope.verify(kind, terms.network_id, scheme, identity.public)
        except RecordError:
            valid.append(False)
        else:
            valid.append(True)
    verified = panel.verify_bottle(bottle, terms)
    problem = "; ".join(verified.reasons) if verified.ruling is not Ruling.ACCEPT else ""
    verdict = verified if problem else together([verified, panel.judge_bottle(bottle)])
    return Checked(valid[0], valid[1], problem, verdict)


# -- how it is shown --------------------------------------------------------------------------------------
def _document(bottle: Bottle, size: int, checked: Checked | None, now_s: float) -> dict[str, Any]:
    label, contents = bottle.label, bottle.contents
    held = {record.hash for record in bottle.bundle}
    envelopes = {LABEL_KIND: bottle.label_envelope, CONTENTS_KIND: bottle.contents_envelope}
    valid = {LABEL_KIND: checked and checked.label, CONTENTS_KIND: checked and checked.contents}
    return {
        "id": bottle.node_id,
        "fingerprint": bottle.fingerprint.hex(),
        "bytes": size,
        "label": {
            "seq": label.seq,
            "name": label.name,
            "since": label.since,
            "group": label.group,
            "flavour": label.flavour,
            "addresses": {transport: list(found) for transport, found in label.addresses.items()},
            "suites": list(label.suites),
            "exit": None if label.exit is None else list(label.exit),
            "predecessors": [one.identity.fingerprint.hex() for one in label.predecessors],
        },
        "contents": {
            "seq": contents.seq,
            "age_s": round(now_s - contents.seq),
            "load": contents.load,
            "flags": list(contents.flags),
            "lanes": [
                {
                    "id": node_id(lane.fingerprint),
                    "fingerprint": lane.fingerprint.hex(),
                    "latency_us": lane.latency_us,
                    "capacity": lane.capacity,
                }
                for lane in contents.lanes
            ],
        },
        "prekeys": [
            {
                "suite": suite,
                "slot": slot.slot,
                "expiry": slot.expiry,
                "expired": slot.expiry <= now_s,
                "commitment": slot.commitment.hex(),
                "held": slot.commitment in held,
            }
            for suite, slots in sorted(contents.slots.items())
            for slot in slots
        ],
        "signatures": {
            kind: {"scheme": envelope.scheme, "bytes": len(envelope.signature), "valid": valid[kind]}
            for kind, envelope in envelopes.items()
        },
        "verdict": None
        if checked is None
        else {
            "valid": not checked.problem,
            "ruling": checked.verdict.ruling.name.lower(),
            "reasons": list(checked.verdict.reasons),
        },
    }


def _tell(args: argparse.Namespace, values: dict[str, Any]) -> None:
    if args.json:
        print(output.document(SCHEMA, values))
        return
    label, contents = values["label"], values["contents"]
    print(f"Bottle of {label['name']} ({values['id']}), {values['bytes']} bytes")
    print(f"  fingerprint  {values['fingerprint']}")
    for name, said in (("label", _label_lines(label)), ("contents", _contents_lines(contents))):
        signature = values["signatures"][name]
        state = {True: "valid", False: "NOT valid", None: UNCHECKED}[signature["valid"]]
        print(f"{name} {contents['seq'] if name == 'contents' else label['seq']}")
        print(f"  signature    {signature['scheme']}, {signature['bytes']} bytes; {state}")
        for key, value in said:
            print(f"  {key.ljust(11)}  {value}")
    print("prekeys")
    for prekey in values["prekeys"]:
        state = "expired" if prekey["expired"] else f"until {_time(prekey['expiry'])}"
        held = "held" if prekey["held"] else "committed to, not held"
        print(f"  {prekey['suite']} slot {prekey['slot']}: {held}; {state}")
    if not values["prekeys"]:
        print("  none")
    verdict = values["verdict"]
    if verdict is not None:
        reasons = f": {'; '.join(verdict['reasons'])}" if verdict["reasons"] else ""
        print(f"{'valid' if verdict['valid'] else 'NOT valid'}; {verdict['ruling']}{reasons}")


def _label_lines(label: dict[str, Any]) -> list[tuple[str, str]]:
    addresses = [f"{name} {one}" for name, found in sorted(label["addresses"].items()) for one in found]
    exit_rules = "no exit" if label["exit"] is None else "; ".join(label["exit"]) or "nothing"
    lines = [
        ("name", f"{label['name']}, since {_time(label['since'])} by its own word"),
        ("group", label["group"] or "none"),
        ("flavour", label["flavour"]),
        ("addresses", ", ".join(addresses) or "none: it serves in the middle of routes"),
        ("suites", ", ".join(label["suites"])),
        ("exit", exit_rules),
    ]
    return lines + [("in place of", one) for one in label["predecessors"]]


def _contents_lines(contents: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("signed", f"{_time(contents['seq'])}, {contents['age_s']} s ago"),
        ("load", f"{contents['load'] / 10:g} %"),
        ("flags", ", ".join(contents["flags"]) or "none"),
    ]
    return lines + [("lane", f"{lane['id']}, {lane['latency_us']} us") for lane in contents["lanes"]]


def _time(second: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(second))
    except (OverflowError, ValueError):
        return f"Unix second {second}"
