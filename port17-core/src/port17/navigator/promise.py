"""What an attack on a network costs, from its chart and a price list: by rented machines, by networks broken
into, by orders of courts, by operators who are paid. Argued in ``docs/promise.md``.

Everything is reckoned in the attacker's favour where it is not known; what he does between the nodes, by
watching clients' or destinations' own networks, is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from port17.errors import UsageError
from port17.navigator.chart import ChartNode
from port17.navigator.field import Field, Holding
from port17.navigator.guards import DAY_S, GUARDS, LIFETIME_S
from port17.navigator.prices import PriceList
from port17.navigator.tally import labels_of

GUARD_DAYS: Final = sum(LIFETIME_S) / 2 / DAY_S
"""Days that a client keeps a guard, in the mean."""
MONTH_DAYS: Final = 365 / 12
MONTHS_CAP: Final = 120
"""Most months that an attack may be thought to last."""
SERVERS_CAP: Final = 10_000_000
"""Most machines: more than are for rent."""
ROUNDING: Final = 1e-9
"""What sums of shares may differ by for having been added in another order."""
LEAST_PROVIDERS: Final = 2
"""Providers that machines are rented of at least: with one, no route has two of them."""

Model: TypeAlias = Literal["servers", "networks", "countries", "operators"]
MODELS: Final[Mapping[Model, str]] = {
    "servers": "rent machines and run nodes on them",
    "networks": "break into the networks (AS) that nodes are in",
    "countries": "have countries' courts order their providers to watch nodes",
    "operators": "pay those who run nodes",
}

RUN: Final[tuple[Model, ...]] = ("servers", "operators")
"""Those who run the nodes that they have; the others watch them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What counts as an attack that succeeds.

    :param months: it may last so many at most; the attacker chooses.
    :param chance: of a client's being hit at least once.
    :param limit_eur: what it must cost at least, by the charter.
    """

    months: int = 12
    chance: float = 0.5
    limit_eur: float = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Chances:
    """What a part of the network is worth.

    :param both: of all routes, the share of which both ends are the attacker's, at most.
    :param whole: of which all nodes are.
    :param newcomer: how likely a client that begins during the attack has at least one route of which both
        ends are his.
    :param settled: the same of a client that was there before.
    """

    both: float
    whole: float
    newcomer: float
    settled: float


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    :param count: machines, networks, countries or operators.
    :param names: which, the first ones; none of machines.
    :param months: how long it lasts.
    :param bill: what is paid: for what, how it is reckoned, and euros.
    """

    model: Model
    count: int
    names: tuple[str, ...]
    months: int
    bill: tuple[tuple[str, str, float], ...]
    holding: Holding
    chances: Chances

    @property
    def cost_eur(self) -> float:
        """All of the bill."""
        return sum(eur for _, _, eur in self.bill)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one kind of attacker can do.

    :param cheapest: the least that succeeds; None if nothing does.
    :param afforded: the most that the charter's limit buys; None if it buys nothing.
    :param note: why nothing is known of it; empty if something is.
    """

    model: Model
    cheapest: Attack | None
    afforded: Attack | None
    note: str = ""


@dataclass(frozen=True)
class Promise:
    """What a network can promise.

    :param pull: so many times its share a node may be drawn for lying.
    :param hops: nodes of a route.
    """

    terms: Terms
    entries: int
    middles: int
    exits: int
    pull: float
    hops: int
    findings: tuple[Finding, ...]

    @property
    def cheapest(self) -> Attack | None:
        """Of all kinds."""
        found = [finding.cheapest for finding in self.findings if finding.cheapest is not None]
        return min(found, key=lambda attack: attack.cost_eur, default=None)

    @property
    def kept(self) -> bool:
        """Whether every attack that is known of costs what the charter asks for."""
        return self.cheapest is None or self.cheapest.cost_eur >= self.terms.limit_eur


def promise(
    field: Field, prices: PriceList, terms: Terms, models: Iterable[Model] = tuple(MODELS)
) -> Promise:
    """Reckon all kinds of attack.

    :raises UsageError: the terms make no sense, or no client could make a route.
    """
    if not 1 <= terms.months <= MONTHS_CAP or not 0.0 < terms.chance < 1.0:
        raise UsageError(
            f"An attack of {terms.months} months that succeeds with a chance of {terms.chance:g}.",
            cure=f"Take 1 to {MONTHS_CAP} months and a chance between 0 and 1.",
        )
    if not 0.0 <= terms.limit_eur < math.inf:
        raise UsageError(f"An attack that has to cost {terms.limit_eur:g} EUR.", cure="Take 0 or more.")
    if not field.entries or not field.exits:
        raise UsageError(
            "Nothing can be promised where no route can be made.", cure="See `port17 route explain`."
        )
    reckoning = _Reckoning(field, prices, terms)
    return Promise(
        terms,
        len(field.entries),
        len(field.middles),
        len(field.exits),
        reckoning.pull,
        field.hops,
        tuple(reckoning.servers() if model == "servers" else reckoning.units(model) for model in models),
    )


@dataclass(frozen=True, slots=True)
class _Unit:
    """Something that is had as a whole.

    :param providers: to whom orders go.
    """

    name: str
    nodes: frozenset[ChartNode]
    entries: int
    providers: int = 1


class _Reckoning:
    def __init__(self, field: Field, prices: PriceList, terms: Terms) -> None:
        self._field = field
        self._prices = prices
        self._terms = terms
        self._entries = frozenset(field.entries)
        self.pull = field.spread.ratio / field.spread.share

    def chances(self, model: Model, holding: Holding, months: int, hands: int) -> Chances:
        """What a part of the network is worth.

        :param hands: how many networks or operators his nodes belong to.
        """
        exit_, middle = min(1.0, self.pull * holding.exit), min(1.0, self.pull * holding.middle)
        if model in RUN and holding.exit > 0.0:
            # His guards' lanes lead where he wants: to his own nodes, from where to his own exits.
            exit_ = middle = 1.0
        both = holding.entry * exit_ * holding.apart
        enough = hands >= self._field.hops or holding.apart >= 1.0
        turns = months * MONTH_DAYS / GUARD_DAYS
        # Of rented machines none can be a guard that a client has already.
        before = 0.0 if model == "servers" else 1.0
        entry = holding.entry if both > 0.0 else 0.0
        return Chances(
            both=both,
            whole=both * middle ** (self._field.hops - 2) if enough else 0.0,
            newcomer=1.0 - (1.0 - entry) ** (GUARDS * (1.0 + turns)),
            settled=1.0 - (1.0 - entry) ** (GUARDS * (before + turns)),
        )

    # -- rented machines -------------------------------------------------------------------------------
    def servers(self) -> Finding:
        """The cheapest number of machines and months, and the most that the limit buys."""
        if not {"entry", "exit"} <= self._field.rented:
            return Finding("servers", None, None, "these policies use no node that is not known to them")
        months = range(1, self._terms.months + 1)
        enough = [found for month in months if (found := self._enough_servers(month)) is not None]
        bought = [found for month in months if (found := self._affordable_servers(month)) is not None]
        return Finding(
            "servers",
            min(enough, key=lambda attack: attack.cost_eur, default=None),
            max(bought, key=lambda attack: attack.chances.both, default=None),
        )

    def _enough_servers(self, months: int) -> Attack | None:
        wanted = self._terms.chance
        return self._least(lambda servers: self._rent(servers, months).chances.newcomer >= wanted, months)

    def _affordable_servers(self, months: int) -> Attack | None:
        limit = self._terms.limit_eur
        above = self._least(lambda servers: self._rent(servers, months).cost_eur > limit, months)
        if above is None:
            return self._rent(SERVERS_CAP, months)
        return self._rent(above.count - 1, months) if above.count > LEAST_PROVIDERS else None

    def _least(self, good: Callable[[int], bool], months: int) -> Attack | None:
        """By bisection: what is good of some machines is good of more."""
        low, high = LEAST_PROVIDERS, SERVERS_CAP
        if not good(high):
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if good(middle) else (middle + 1, high)
        return self._rent(low, months)

    def _rent(self, servers: int, months: int) -> Attack:
        eur, given, guessed = self._prices.eur, self._prices.prices, self._prices.assumptions
        hour = eur(given.hour)
        providers = max(LEAST_PROVIDERS, math.ceil(servers / guessed.servers_per_provider.value))
        extra = max(0.0, guessed.server_traffic.value - given.traffic_included.value)
        hours = (
            servers * (guessed.server_hours.value + months * guessed.server_hours_month.value)
            + providers * guessed.provider_hours.value
        )
        bill = [
            (
                "machines",
                f"{servers} machines x {months} months x {eur(given.server):.2f} EUR",
                servers * months * eur(given.server),
            ),
            (
                "traffic",
                f"{servers} x {months} x {extra:g} TB beyond what is included x {eur(given.traffic):.2f} EUR",
                servers * months * extra * eur(given.traffic),
            ),
            ("work", f"{hours:.0f} hours x {hour:.2f} EUR, {providers} providers", hours * hour),
        ]
        holding = self._field.bought(servers, providers)
        chances = self.chances("servers", holding, months, providers)
        return Attack("servers", servers, (), months, tuple(bill), holding, chances)

    # -- nodes that there are ----------------------------------------------------------------------------
    def units(self, model: Model) -> Finding:
        """The cheapest set of networks, countries or operators, and the best that the limit buys."""
        units = list(self._units(model))
        if not units:
            return Finding(model, None, None, "no geo source says where nodes are")
        months = range(1, self._terms.months + 1)
        enough = [found for month in months if (found := self._gather(model, units, month)) is not None]
        bought = [
            found for month in months if (found := self._gather(model, units, month, spend=True)) is not None
        ]
        return Finding(
            model,
            min(enough, key=lambda attack: attack.cost_eur, default=None),
            max(bought, key=lambda attack: (attack.chances.both, -attack.cost_eur), default=None),
        )

    def _units(self, model: Model) -> Iterator[_Unit]:
        if model == "operators":
            found = self._field.by(_operator)
        else:
            found = self._field.by(lambda node: labels_of(node, "as" if model == "networks" else "country"))
        for name, nodes in found.items():
            providers = len({_provider(node) for node in nodes}) if model == "countries" else 1
            yield _Unit(name, nodes, len(nodes & self._entries), providers)

    def _gather(
        self, model: Model, units: Sequence[_Unit], months: int, *, spend: bool = False
    ) -> Attack | None:
        """The units that give most guards for their price, one after the other: at most one unit dearer than
        the best choice there is.

        :param spend: as many as the limit buys; else as few as succeed.
        """
        prices = {unit.name: self._unit_eur(model, unit, months) for unit in units}
        order = sorted(
            (unit for unit in units if unit.nodes),
            key=lambda unit: (prices[unit.name] / max(unit.entries, 1e-3), unit.name),
        )
        taken: list[_Unit] = []
        nodes: set[ChartNode] = set()
        spent = entries = 0.0
        wanted = self._entries_wanted(months)
        for unit in order:
            if spend and spent + prices[unit.name] > self._terms.limit_eur:
                continue
            taken.append(unit)
            spent += prices[unit.name]
            entries += len((unit.nodes - nodes) & self._entries)
            nodes |= unit.nodes
            if not spend and entries >= wanted and self._succeeds(model, nodes, months):
                break
        if not taken:
            return None
        attack = self._of_units(model, taken, frozenset(nodes), months)
        return attack if spend or attack.chances.newcomer >= self._terms.chance else None

    def _entries_wanted(self, months: int) -> float:
        """With fewer of a client's possible guards no attack succeeds, whatever else it has."""
        begun = GUARDS * (1.0 + months * MONTH_DAYS / GUARD_DAYS)
        share: float = 1.0 - (1.0 - self._terms.chance) ** (1.0 / begun)
        return share * len(self._entries) * (1.0 - ROUNDING)

    def _succeeds(self, model: Model, nodes: set[ChartNode], months: int) -> bool:
        chances = self.chances(model, self._field.held(nodes), months, 0)
        return chances.newcomer >= self._terms.chance

    def _of_units(
        self, model: Model, taken: Sequence[_Unit], nodes: frozenset[ChartNode], months: int
    ) -> Attack:
        holding = self._field.held(nodes)
        return Attack(
            model,
            len(taken),
            tuple(unit.name for unit in taken),
            months,
            self._bill(model, taken, months),
            holding,
            self.chances(model, holding, months, sum(unit.providers for unit in taken)),
        )

    def _unit_eur(self, model: Model, unit: _Unit, months: int) -> float:
        return sum(eur for _, _, eur in self._bill(model, [unit], months))

    def _bill(self, model: Model, taken: Sequence[_Unit], months: int) -> tuple[tuple[str, str, float], ...]:
        eur, given, guessed = self._prices.eur, self._prices.prices, self._prices.assumptions
        hour = eur(given.hour)
        if model == "countries":
            providers = sum(unit.providers for unit in taken)
            times = math.ceil(months * MONTH_DAYS / given.order_days.value)
            price, hours, count = eur(given.order), guessed.order_hours.value, providers * times
            what = f"{providers} providers x {times} orders x {price:.2f} EUR"
            return (
                ("orders", what, count * price),
                ("work", f"{count} x {hours:g} hours x {hour:.2f} EUR", count * hours * hour),
            )
        price = eur(given.network if model == "networks" else given.insider)
        hours = (guessed.network_hours if model == "networks" else guessed.insider_hours).value
        count, noun = len(taken), "networks" if model == "networks" else "operators"
        return (
            (noun, f"{count} {noun} x {months} months x {price:.2f} EUR", count * months * price),
            ("work", f"{count} x {hours:g} hours x {hour:.2f} EUR", count * hours * hour),
        )


def _operator(node: ChartNode) -> tuple[str]:
    """Who runs a node: who names no group is taken for somebody of his own."""
    return (node.owner or node.group or f"node {node.name}",)


def _provider(node: ChartNode) -> str:
    """To whom an order would go."""
    return min(labels_of(node, "as"), default=node.node_id)
