"""``port17 charter bootstrap``: the signed list of nodes from which newcomers start."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from port17.bottles.rack import SUFFIX, load_bottle
from port17.errors import ConfigError, RecordError, UsageError
from port17.plugins.loader import Registry
from port17.records.bootstrap import (
    FILE_CAP,
    NODES_CAP,
    TERM_CAP_S,
    BootstrapList,
    SignedBootstrap,
    publishers,
)
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17.records.identity import node_id
from port17.records.regular_file import read_regular
from port17.records.revision import DAY_S, Revision
from port17.records.whole_file import write_whole
from port17_cli import charter as founding
from port17_cli import drivers, output


def publish(args: argparse.Namespace) -> int:
    """``port17 charter bootstrap``."""
    file = Path(args.file)
    registry = Registry()
    charter, revision = _charter(args, registry)
    now = time.time()
    if args.cosign:
        if args.bottles or args.node:
            raise UsageError(
                "--cosign signs FILE as it is.", cure="Leave out --bottles and --node, or --cosign."
            )
        listed = _read(file)
        if listed.held.network_id != charter.network_id:
            raise RecordError(f"{file} lists nodes of another network.", cure="Give that network's charter.")
        publishers(charter, revision).signers(
            charter.network_id, listed.payload, listed.signatures, drivers.schemes(registry)
        )  # add nothing to what is forged
    else:
        left_out, held = _made(args, charter, revision, registry, file, now)
        listed = SignedBootstrap.of(held)
        for problem in left_out:
            print(f"left out: {problem}", file=sys.stderr)
    holders = founding.update_key_holders(args, Path(args.charter), registry)
    listed = listed.signed(charter, revision, founding.signers(holders))
    write_whole(file, listed.encode())
    return _tell(args, "port17.charter.bootstrap/1", file, listed, charter, revision, registry)


def show(args: argparse.Namespace) -> int:
    """``port17 charter bootstrap-show``."""
    file = Path(args.file)
    registry = Registry()
    charter, revision = _charter(args, registry)
    listed = _read(file)
    _tell(args, "port17.charter.bootstrap-show/1", file, listed, charter, revision, registry)
    listed.verify(charter, revision, drivers.schemes(registry), time.time())
    return 0


def _charter(args: argparse.Namespace, registry: Registry) -> tuple[Charter, Revision]:
    charter = Charter.load(Path(args.charter), drivers.schemes(registry))
    return charter, charter.current(time.time())


def _read(file: Path) -> SignedBootstrap:
    try:
        return SignedBootstrap.parse(read_regular(file, FILE_CAP))
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}", cure="Name a bootstrap list.") from error
    except RecordError as error:
        raise RecordError(f"{file}: {error.message}", cure=error.cure) from error


# -- a new list -------------------------------------------------------------------------------------------
def _made(
    args: argparse.Namespace,
    charter: Charter,
    revision: Revision,
    registry: Registry,
    file: Path,
    now: float,
) -> tuple[list[str], BootstrapList]:
    """The list, and what is wrong with bottles that are not in it: one that is damaged keeps nobody from
    starting with the others."""
    if not 0 < args.days * DAY_S <= TERM_CAP_S:
        raise UsageError(
            f"A list cannot hold for {args.days:g} days.", cure=f"Give --days up to {TERM_CAP_S // DAY_S}."
        )
    folder = Path(args.bottles) if args.bottles else Path(args.charter).parent / "bottles"
    left_out: list[str] = []
    valid = list(_valid(folder, charter, revision, registry, now, left_out))
    bottles = _chosen(args.node, valid, folder, now)
    seq = max(int(now), _before(file, charter) + 1)
    return left_out, BootstrapList.made(
        network_id=charter.network_id,
        seq=seq,
        expiry=seq + max(int(args.days * DAY_S), 1),
        bottles=[bottle.encode() for bottle in bottles],
    )


def _before(file: Path, charter: Charter) -> int:
    """The number of the list that the new one replaces: two of one second would be refused."""
    if not file.exists():
        return 0
    held = _read(file).held
    return held.seq if held.network_id == charter.network_id else 0


def _valid(
    folder: Path, charter: Charter, revision: Revision, registry: Registry, now: float, left_out: list[str]
) -> Iterable[Bottle]:
    schemes = drivers.schemes(registry)
    allowed = {name: schemes[name] for name in revision.schemes if name in schemes}
    try:
        files = sorted(one for one in folder.iterdir() if one.suffix == SUFFIX)
    except OSError as error:
        raise ConfigError(
            f"The folder of bottles {folder} can't be read: {error.strerror}.", cure="Name it with --bottles."
        ) from error
    for one in files:
        try:
            bottle = load_bottle(one)
            bottle.verify(charter.network_id, allowed, now, skew_s=revision.clock_skew_s)
        except RecordError as error:
            left_out.append(f"{one}: {error.message}")
            continue
        yield bottle


def _chosen(names: list[str], bottles: list[Bottle], folder: Path, now: float) -> list[Bottle]:
    """Those that are named; all that can be called where none is.

    :raises UsageError: a name is unknown or of no use, or there are too many or none.
    """
    fit = [one for one in bottles if not _unfit(one, now)]
    chosen: dict[bytes, Bottle] = {}
    for name in names:
        found = [one for one in bottles if name in (one.node_id, one.fingerprint.hex(), one.label.name)]
        if len(found) != 1:
            raise UsageError(
                f"{'No node' if not found else 'More than one node'} of {folder} is {name}.",
                cure="Give its id, which `port17 bottle show` prints.",
            )
        reason = _unfit(found[0], now)
        if reason:
            raise UsageError(f"{name} is of no use in a bootstrap list: {reason}.", cure="Name others.")
        chosen[found[0].fingerprint] = found[0]
    listed = list(chosen.values()) if names else fit
    if not 0 < len(listed) <= NODES_CAP:
        raise UsageError(
            f"{len(listed)} nodes of {folder} could be listed; a list has 1 to {NODES_CAP}.",
            cure="Name some with --node." if listed else "Get fresh bottles of nodes that have an address.",
        )
    return listed


def _unfit(bottle: Bottle, now: float) -> str:
    """Why nobody can begin with a node; empty if one can."""
    if bottle.label.flavour != "public":
        return "its bottle is a local one"
    if not bottle.label.addresses:
        return "it has no address"
    return "" if _callable_until(bottle) > now else "its prekeys have expired"


def _callable_until(bottle: Bottle) -> int:
    """The Unix second at which the last of the prekeys in a bottle expires."""
    return max((record.expiry for record in bottle.bundle), default=0)


# -- how it is shown --------------------------------------------------------------------------------------
def _tell(
    args: argparse.Namespace,
    schema: str,
    file: Path,
    listed: SignedBootstrap,
    charter: Charter,
    revision: Revision,
    registry: Registry,
) -> int:
    by = publishers(charter, revision)
    counted = by.signers(charter.network_id, listed.payload, listed.signatures, drivers.schemes(registry))
    values: dict[str, Any] = {
        "file": str(file),
        "network_id": listed.held.network_id.hex(),
        "seq": listed.held.seq,
        "expiry": listed.held.expiry,
        "nodes": [_described(data) for data in listed.held.bottles],
        "signatures": [
            {"id": node_id(one), "fingerprint": one.hex(), "counts": one in counted}
            for one, _ in listed.signatures
        ],
        "needed": by.threshold,
        "holds": len(counted) >= by.threshold,
    }
    if args.json:
        print(output.document(schema, values))
        return 0
    print(f"Bootstrap list {file}, of {_when(values['seq'])}, until {_when(values['expiry'])}")
    for node in values["nodes"]:
        early = " (before the list)" if node["callable_until"] < values["expiry"] else ""
        print(f"  {node['id']} {node['name']}: prekeys until {_when(node['callable_until'])}{early}")
    missing = by.threshold - len(counted)
    state = f"{missing} more must sign before it holds" if missing > 0 else "it holds"
    print(f"{len(counted)} of {by.threshold} signatures: {state}")
    return 0


def _described(data: bytes) -> dict[str, object]:
    bottle = Bottle.parse(data)
    return {
        "id": bottle.node_id,
        "name": bottle.label.name,
        "fingerprint": bottle.fingerprint.hex(),
        "callable_until": _callable_until(bottle),
    }


def _when(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(second))
