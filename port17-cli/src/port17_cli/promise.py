"""``port17 promise``: what an attack on the network costs, against what its charter promises."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from port17.errors import ConfigError
from port17_cli import output, trials

if TYPE_CHECKING:
    from port17.navigator.prices import PriceList
    from port17.navigator.promise import Attack, Finding, Promise

BROKEN: Final = 1
"""Exit code where the network can't keep its promise."""
NAMED: Final = 3
"""Networks, countries or operators that are named."""
USUAL_LIMIT_EUR: Final = 1_000_000
"""A charter's, if it says nothing."""
OWN_LIST: Final = "prices.toml"


def promise(args: argparse.Namespace) -> int:
    """``port17 promise``."""
    data, where = _prices_file(args.prices)
    if args.show_prices:
        print(data.decode(), end="")
        return 0
    from port17.navigator.field import Field
    from port17.navigator.policy import Request
    from port17.navigator.prices import PriceList
    from port17.navigator.promise import Terms
    from port17.navigator.promise import promise as reckon

    prices = PriceList.parse(data, where)
    with trials.ground(args) as ground:
        limit = args.limit
        if limit is None:
            limit = USUAL_LIMIT_EUR
            if ground.charter is not None:
                import time

                limit = ground.charter.current(time.time()).attack_budget_eur
        specs = trials.chosen(args.policy) if args.policy else ground.specs
        request = Request("host.example.com", 443, level=args.level or ground.level)
        field = Field(ground.chart, ground.policies(specs), request)
        found = reckon(field, prices, Terms(args.months, args.chance, limit))
        if args.json:
            print(output.document("port17.promise/1", plain(found, prices, ground.source)))
        else:
            print(f"{len(ground.chart)} nodes ({ground.source}); prices: {prices.name}")
            for line in lines(found, prices):
                print(line)
    if not found.kept:
        print(_warning(found), file=sys.stderr)
    return 0 if found.kept else BROKEN


def _prices_file(path: str | None) -> tuple[bytes, str]:
    from port17.navigator.prices import LIST_CAP
    from port17.records.regular_file import read_regular

    if path is None:
        return (files("port17_cli") / OWN_LIST).read_bytes(), OWN_LIST
    try:
        return read_regular(Path(path), LIST_CAP), path
    except OSError as error:
        raise ConfigError(
            f"The price list {path} can't be read: {error.strerror}.",
            cure="Begin with a copy of what `port17 promise --show-prices` prints.",
        ) from error


def plain(found: Promise, prices: PriceList, source: str) -> dict[str, Any]:
    """All of it, as JSON has it; docs/command-line.md describes it."""
    cheapest = found.cheapest
    return {
        "chart": source,
        "kept": found.kept,
        "limit_eur": found.terms.limit_eur,
        "cheapest_eur": None if cheapest is None else round(cheapest.cost_eur, 2),
        "months": found.terms.months,
        "chance": found.terms.chance,
        "entries": found.entries,
        "middles": found.middles,
        "exits": found.exits,
        "hops": found.hops,
        "pull": found.pull,
        "attackers": [
            {
                "model": finding.model,
                "note": finding.note or None,
                "cheapest": _attack(finding.cheapest),
                "afforded": _attack(finding.afforded),
            }
            for finding in found.findings
        ],
        "prices": prices.model_dump(mode="json"),
    }


def _attack(attack: Attack | None) -> dict[str, Any] | None:
    if attack is None:
        return None
    return {
        "count": attack.count,
        "names": list(attack.names),
        "months": attack.months,
        "cost_eur": round(attack.cost_eur, 2),
        "bill": [{"what": what, "how": how, "eur": round(eur, 2)} for what, how, eur in attack.bill],
        "holding": {name: round(share, 6) for name, share in asdict(attack.holding).items()},
        "chances": {name: round(share, 6) for name, share in asdict(attack.chances).items()},
    }


def lines(found: Promise, prices: PriceList) -> Iterator[str]:
    """What people see."""
    from port17.navigator.guards import GUARDS
    from port17.navigator.promise import GUARD_DAYS, MODELS

    terms = found.terms
    yield (
        f"{found.entries} may be a client's guard, {found.middles} in the middle, {found.exits} an exit;"
        f" routes have {found.hops} nodes"
    )
    yield ""
    yield "An attack succeeds if it sees both ends of at least one route of a client, with a chance of"
    yield f"{terms.chance:g}, within {terms.months} months at most:"
    turns, pull = f"days / {GUARD_DAYS:g}", f"{found.pull:g}"
    yield "    cost     = machines x months x price + traffic + work, or what else is bought"
    yield f"    newcomer = 1 - (1 - e) ^ ({GUARDS} x (1 + {turns}))"
    yield f"    settled  = 1 - (1 - e) ^ ({GUARDS} x {turns}), or as newcomer where the nodes are old"
    yield "    both     = e x apart where he runs the nodes: his guards' lanes lead to his own nodes"
    yield f"             = e x min(1, {pull} x) x apart where he watches them"
    yield f"    all      = both, times min(1, {pull} m) ^ {found.hops - 2} where he watches"
    yield f"e, m, x: his share of guards, middles, exits; {pull}: what looking quick wins at most;"
    yield "apart: share of his pairs that a route may have."
    yield f"A client has {GUARDS} guards, each for {GUARD_DAYS:g} days."
    yield ""
    yield "The cheapest attack that succeeds"
    head = ["ATTACKER", "COST", "HOW", "GUARDS", "EXITS", "BOTH", "ALL", "NEWCOMER", "SETTLED"]
    yield output.table(head, [_row(finding, finding.cheapest) for finding in found.findings])
    yield ""
    yield f"What {_euros(terms.limit_eur)} buy"
    yield output.table(head, [_row(finding, finding.afforded) for finding in found.findings])
    cheapest = found.cheapest
    if cheapest is not None:
        yield f"\nThe cheapest of all: {MODELS[cheapest.model]}"
        for what, how, eur in cheapest.bill:
            yield f"    {what:<9} {_euros(eur):>14}  = {how}"
    yield "\nPrices (`--show-prices` has them all, with where they were found)"
    for name, price in prices.prices:
        value = f"{price.value:g} {price.currency}".strip()
        yield f"    {price.date}  {value:>12}  {name}: {price.what}"
    yield ""
    if found.kept:
        yield f"The promise is kept: an attack costs {_euros(terms.limit_eur)} or more."


def _warning(found: Promise) -> str:
    cheapest = found.cheapest
    cost = _euros(cheapest.cost_eur) if cheapest is not None else "nothing"
    return (
        f"port17: WARNING: this network can't keep its promise: an attack costs {cost},"
        f" and its charter says {_euros(found.terms.limit_eur)}.\n"
        "  More nodes of more owners raise the price; docs/promise.md says what else does."
    )


def _row(finding: Finding, attack: Attack | None) -> list[str]:
    if attack is None:
        return [finding.model, "-", finding.note or "not within the terms", *["-"] * 6]
    names = ", ".join(attack.names[:NAMED])
    more = f" and {attack.count - NAMED} more" if names and attack.count > NAMED else ""
    what = f"{names}{more}" if names else f"{attack.count} machines"
    shares = (
        attack.holding.entry,
        attack.holding.exit,
        attack.chances.both,
        attack.chances.whole,
        attack.chances.newcomer,
        attack.chances.settled,
    )
    months = f"{attack.months} month{'s' if attack.months > 1 else ''}"
    how = f"{what}, {months}"
    return [finding.model, _euros(attack.cost_eur), how, *(f"{100 * share:.1f} %" for share in shares)]


def _euros(amount: float) -> str:
    return f"{amount:,.0f} EUR".replace(",", " ")
