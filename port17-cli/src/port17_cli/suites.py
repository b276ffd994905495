"""``port17 suites``: what is installed, what each promises, and which suite two ends would use, and why."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from port17.errors import PluginError
from port17.plugins.families import CIPHER_SUITES, IDENTITY_SCHEMES
from port17.plugins.loader import Registry
from port17_cli import catalogue, drivers, output, settings

if TYPE_CHECKING:
    from port17.records.revision import Revision

NONE = "-"
"""What a table shows where there is nothing to say."""


@dataclass(frozen=True)
class Asked:
    """What a charter, and with it perhaps a configuration, allows.

    :param wanted: the suites that the configuration names, best first; empty takes the charter's. None
        if there is no configuration.
    """

    revision: Revision
    wanted: tuple[str, ...] | None


def list_suites(args: argparse.Namespace) -> int:
    """``port17 suites list``."""
    registry = Registry()
    asked = _asked(args)
    suites = catalogue.entries(registry, CIPHER_SUITES)
    schemes = catalogue.entries(registry, IDENTITY_SCHEMES)
    if args.json:
        values = {
            "suites": [entry.document() | _places(entry, asked) for entry in suites],
            "schemes": [entry.document() | _places(entry, asked) for entry in schemes],
        }
        print(output.document("port17.suites.list/1", values))
        return 0
    for title, entries, level in (
        ("CIPHER SUITE", suites, "confidentiality"),
        ("IDENTITY SCHEME", schemes, "authentication"),
    ):
        head = [title, "STATUS", "CLASSICAL", "QUANTUM", "DISTRIBUTION"]
        rows = [_row(entry, level) for entry in entries]
        if asked is not None:
            head += ["CHARTER", *(["CONFIG"] if asked.wanted is not None else [])]
            rows = [[*row, *_allowed(entry, asked)] for row, entry in zip(rows, entries, strict=True)]
        print(output.table(head, rows), end="\n\n")
    print(
        "QUANTUM is a NIST category: 3 is as hard to break as AES-192. `port17 suites show NAME` says more."
    )
    for entry in (*suites, *schemes):
        if not entry.works:
            print(f"\n{entry.name}: {entry.problem}\n  {entry.cure}")
    return 0


def show(args: argparse.Namespace) -> int:
    """``port17 suites show``."""
    registry = Registry()
    found = catalogue.find(registry, args.name)
    if not found:
        there = [*registry.names(CIPHER_SUITES), *registry.names(IDENTITY_SCHEMES)]
        raise PluginError(
            f"No cipher suite or identity scheme {args.name} is installed.",
            cure=f"There are {', '.join(sorted(there))}.",
        )
    for entry in found:
        if not entry.works:
            raise PluginError(f"{entry.noun} {entry.name}: {entry.problem}", cure=entry.cure)
        if args.json:
            print(output.document("port17.suites.show/1", {"kind": entry.noun, **entry.document()}))
            continue
        said = _said(entry)
        width = max(len(key) for key, _ in said)
        print(f"{entry.noun} {entry.name}")
        for key, value in said:
            print(f"  {key.ljust(width)}  {value}")
    return 0


def _asked(args: argparse.Namespace) -> Asked | None:
    """What ``--charter`` or ``--config`` allows; None without them."""
    from port17.records.charter import Charter

    installed = drivers.schemes(Registry())
    if args.config:
        config, _ = settings.read(settings.kind_of(args.config), args.config)
        charter = drivers.present_charter(config, installed)
        return Asked(charter.current(time.time()), tuple(config.suites))
    if args.charter:
        return Asked(Charter.load(Path(args.charter), installed).current(time.time()), None)
    return None


def _places(entry: catalogue.Entry, asked: Asked | None) -> dict[str, Any]:
    """In which place charter and configuration allow it, counted from 1; None where they don't."""
    if asked is None:
        return {}
    if entry.group == IDENTITY_SCHEMES:
        return {"charter": _place(entry.name, asked.revision.schemes)}
    from port17.navigator.agreement import preference

    order = preference(asked.revision)
    places: dict[str, Any] = {
        "charter": _place(entry.name, order),
        "deprecated": entry.name in asked.revision.deprecated,
    }
    if asked.wanted is not None:
        ours = [name for name in order if name in asked.wanted or not asked.wanted]
        places["config"] = _place(entry.name, ours)
    return places


def _place(name: str, order: Sequence[str]) -> int | None:
    return order.index(name) + 1 if name in order else None


def _allowed(entry: catalogue.Entry, asked: Asked) -> list[str]:
    """Cells of the places, for people."""
    places = _places(entry, asked)
    charter = str(places["charter"] or "no") + (", deprecated" if places.get("deprecated") else "")
    if asked.wanted is None:
        return [charter]
    return [charter, str(places["config"] or "no") if "config" in places else NONE]


def _row(entry: catalogue.Entry, level: str) -> list[str]:
    if not entry.works:
        return [entry.name, "unusable", NONE, NONE, f"{entry.dist} {entry.version}"]
    claims = entry.claims
    return [
        entry.name,
        claims["status"],
        f"{claims[level]['classical']} bits",
        f"category {claims[level]['quantum']}" if claims[level]["quantum"] else "none",
        f"{entry.dist} {entry.version}",
    ]


def _said(entry: catalogue.Entry) -> list[tuple[str, str]]:
    """Everything about one, for people."""
    claims = entry.claims
    said = [("status", claims["status"])]
    if entry.group == CIPHER_SUITES:
        said += [(key.upper() if key != "hash" else key, value) for key, value in claims["parts"].items()]
        said.append(("confidentiality", _level(claims["confidentiality"])))
        sizes = {"public key": claims["public_key_size"], "ciphertext": claims["ciphertext_size"]}
        circuits = "yes" if claims["stream_cipher"] else "no: its AEAD is not a stream cipher"
        said += [(key, f"{size} bytes") for key, size in sizes.items()] + [("for circuits", circuits)]
    else:
        said.append(("algorithms", " and ".join(claims["parts"])))
        said.append(("authentication", _level(claims["authentication"])))
        sizes = {"public keys": claims["public_key_size"], "signature": claims["signature_size"]}
        said += [(key, f"{size} bytes") for key, size in sizes.items()]
    return [*said, ("specified in", claims["source"]), ("brought by", f"{entry.dist} {entry.version}")]


def _level(level: dict[str, int]) -> str:
    quantum = f"NIST category {level['quantum']}" if level["quantum"] else "nothing"
    return f"{level['classical']} bits; against quantum computers {quantum}"
