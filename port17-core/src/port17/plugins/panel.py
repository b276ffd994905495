"""The panel: asks all plugins a question, keeps who said what, and makes one judgement of it.

pluggy's own call ends at the first plugin that raises and forgets who answered; a judgement needs both.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, Literal, TypeAlias, TypeGuard, TypeVar, cast

from port17.bottles.validation import NOTHING_KNOWN, Known, Terms
from port17.bottles.verdict import Verdict, reject, together
from port17.links.transport import Transport
from port17.navigator.chart import ChartNode, Lane
from port17.navigator.policy import (
    AGREED,
    LEVELS,
    NO_KIN,
    USUAL_SPREAD,
    Demand,
    Judgement,
    Kin,
    Objection,
    Position,
    Request,
    Route,
    SecurityLevel,
    Spread,
)
from port17.plugins import faults
from port17.plugins.board import NAME_SEPARATOR, HookBoard
from port17.records.bottle import Bottle
from port17.wire.suite import CipherSuite

Asked: TypeAlias = tuple[str, Callable[..., object]]
"""A plugin's name and its answer to a hook, as a function of all of the hook's arguments in their order."""
T = TypeVar("T")

WITHOUT: Final = 0
WITH: Final = 1
FOR_ROUTES: Final = (
    "exclude_node",
    "node_cost",
    "exclude_lane",
    "lane_cost",
    "exclude_exit",
    "exit_cost",
    "veto_route",
)
"""Hooks of which it matters whether somebody has to be asked for each request."""
ABOUT_ROUTES: Final = (
    "choose_level",
    "refuse_request",
    "least_hops",
    "choose_spread",
    "families",
    *FOR_ROUTES,
)
FAMILIES_CAP: Final = 64
"""Families that one policy may name of one node: addresses are a few, and each has a prefix, a network and a
country."""
COST_CAP: Final = 1e300
"""Most microseconds that one policy may ask for: as good as endless, and many together are still a number."""
COUNT_CAP: Final = 1_000
"""Most nodes that one may ask for: far beyond any charter, and short enough to be shown."""


class _Crash(str):
    """Instead of an answer: how a plugin failed."""


def _crash(error: Exception) -> _Crash:
    return _Crash(f"it failed with {faults.said(error)}")


class Panel:
    """All opinions; it is the navigator's :class:`~port17.navigator.policy.Policies`.

    Whatever raises, or answers with the wrong type, objects.
    """

    def __init__(self, board: HookBoard, *, unasked: Collection[str] = ()) -> None:
        """:param unasked: names of plugins that are not asked."""
        self._board: Final = board
        self._unasked: Final = frozenset(unasked)
        self._askers: Final[dict[str, tuple[list[Asked], list[Asked]]]] = {}
        """Found out once: plugins come before anybody is asked."""

    @cached_property
    def _of_nodes(self) -> bool:
        """Somebody is asked about nodes without the request; and below about exits."""
        return bool(self._asked("exclude_node")[WITHOUT] or self._asked("node_cost")[WITHOUT])

    @cached_property
    def _of_exits(self) -> bool:
        return bool(self._asked("exclude_exit")[WITHOUT] or self._asked("exit_cost")[WITHOUT])

    @property
    def names(self) -> tuple[str, ...]:
        """All who are asked about routes, in the order of their names."""
        asked = (side for hook in ABOUT_ROUTES for side in self._asked(hook))
        return tuple(sorted({by for side in asked for by, _ in side}))

    def without(self, names: Collection[str]) -> Panel:
        """The same, but some are not asked."""
        return Panel(self._board, unasked=self._unasked.union(names))

    @property
    def by_request(self) -> frozenset[str]:
        """The hooks that somebody answers with the request at hand."""
        found = {hook for hook in FOR_ROUTES if self._asked(hook)[WITH]}
        # Routes are always those of a request, whoever takes it.
        return frozenset(found | {"veto_route"} if any(self._asked("veto_route")) else found)

    @property
    def wants_program(self) -> bool:
        """Whether a plugin looks at ``request.program``: what is called so of it, a policy or a module."""
        return any(getattr(one, "wants_program", False) is True for one in self._board.manager.get_plugins())

    def judge_request(self, request: Request) -> Demand:
        """By ``choose_level``, and of the request with that level by ``refuse_request``, ``least_hops`` and
        ``choose_spread``."""
        objections: list[Objection] = []
        chosen = self._chosen("choose_level", request, _is_level, f"one of {', '.join(LEVELS)}", objections)
        if chosen:
            request = replace(request, level=max(chosen, key=LEVELS.index))
        objections += self._objections("refuse_request", request)
        hops = self._chosen("least_hops", request, _is_count, "a number of nodes", objections)
        wanted = "a Spread of a share above 0 up to 1 and a ratio of at least 1"
        spreads = self._chosen("choose_spread", request, _is_spread, wanted, objections)
        spread = USUAL_SPREAD
        if spreads:
            spread = Spread(max(one.share for one in spreads), min(one.ratio for one in spreads))
        return Demand(request, max(hops, default=0), spread, tuple(objections))

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        """By ``exclude_node`` and ``node_cost``; of an exit also by ``exclude_exit`` and ``exit_cost``."""
        judgement = AGREED
        if self._of_nodes:
            judgement = self._judge("exclude_node", "node_cost", WITHOUT, node, position, level, None)
        if position != "exit" or not self._of_exits:
            return judgement
        return _both(judgement, self._judge("exclude_exit", "exit_cost", WITHOUT, node, None))

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        """The same with the request, but for ``exclude_exit`` and ``exit_cost``."""
        return self._judge("exclude_node", "node_cost", WITH, node, position, request.level, request)

    def families(self, node: ChartNode, level: SecurityLevel) -> Kin:
        """By ``families``."""
        names: set[str] = set()
        objections: list[Objection] = []
        for by, ask in self._asked("families")[WITHOUT]:
            try:
                value = ask(node, level)
            except Exception as error:  # noqa: BLE001 - as in all answers
                value = _crash(error)
            if value is None:
                continue
            if _are_names(value):
                names.update(map(sys.intern, value))
            else:
                objections.append(Objection(by, _wrong(value, f"at most {FAMILIES_CAP} names of families")))
        return Kin(frozenset(names), tuple(objections)) if names or objections else NO_KIN

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        """By ``exclude_lane`` and ``lane_cost``."""
        return self._judge("exclude_lane", "lane_cost", WITHOUT, source, target, lane, None)

    def judge_lane_for(self, source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> Judgement:
        """The same with the request."""
        return self._judge("exclude_lane", "lane_cost", WITH, source, target, lane, request)

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        """By ``exclude_exit`` and ``exit_cost`` with the request."""
        return self._judge("exclude_exit", "exit_cost", WITH, node, request)

    def weigh_exits(self, nodes: Iterable[ChartNode], request: Request) -> dict[ChartNode, float]:
        """The same of many nodes: the cost of each that nobody objects to."""
        excludes = [ask for _, ask in self._asked("exclude_exit")[WITH]]
        costs = [ask for _, ask in self._asked("exit_cost")[WITH]]
        weighed: dict[ChartNode, float] = {}
        if not excludes and not costs:
            return dict.fromkeys(nodes, 0.0)
        for node in nodes:
            us = 0.0
            try:
                for ask in excludes:
                    if ask(node, request) is not None:
                        break
                else:
                    for ask in costs:
                        more = ask(node, request)
                        if type(more) is float and 0.0 <= more <= COST_CAP:
                            us += more
                        elif more is not None:
                            if not _is_cost(more):
                                break
                            us += more
                    else:
                        weighed[node] = us
            except Exception:  # noqa: BLE001 - what fails objects; judge_exit says how
                continue
        return weighed

    def judge_route(self, route: Route, request: Request) -> Judgement:
        """By ``veto_route``."""
        return _judgement(self._objections("veto_route", route, request))

    def judge_suite(self, suite: CipherSuite) -> Judgement:
        """By ``refuse_suite``."""
        return _judgement(self._objections("refuse_suite", suite))

    def judge_transport(self, transport: Transport) -> Judgement:
        """By ``refuse_transport``."""
        return _judgement(self._objections("refuse_transport", transport))

    def verify_bottle(self, bottle: Bottle, terms: Terms) -> Verdict:
        """By ``verify_bottle``: as :meth:`judge_bottle`, and where nobody has an opinion it is a reject."""
        verdicts = self._verdicts("verify_bottle", bottle, terms)
        if not verdicts:
            return reject("no plugin has checked its signatures: the core's own is missing or blocked")
        return together(verdicts)

    def judge_bottle(self, bottle: Bottle, known: Known = NOTHING_KNOWN) -> Verdict:
        """By ``validate_bottle``: any reject wins, and what fails rejects."""
        return together(self._verdicts("validate_bottle", bottle, known))

    def _verdicts(self, hook: str, *arguments: object) -> list[Verdict]:
        verdicts = []
        for by, value in self._all_answers(hook, *arguments):
            if isinstance(value, Verdict):
                reasons = tuple(f"{by}: {reason}" for reason in value.reasons)
                verdicts.append(Verdict(value.ruling, reasons, value.kind))
            else:
                verdicts.append(reject(f"{by}: {_wrong(value, 'a verdict')}"))
        return verdicts

    def _chosen(
        self,
        hook: str,
        request: Request,
        fits: Callable[[object], TypeGuard[T]],
        wanted: str,
        objections: list[Objection],
    ) -> list[T]:
        """The answers that fit; what doesn't objects."""
        chosen = []
        for by, value in self._all_answers(hook, request):
            if fits(value):
                chosen.append(value)
            else:
                objections.append(Objection(by, _wrong(value, wanted)))
        return chosen

    def _objections(self, hook: str, *arguments: object) -> list[Objection]:
        return [_objection(by, value) for by, value in self._all_answers(hook, *arguments)]

    def _judge(self, excludes: str, costs: str, which: Literal[0, 1], *arguments: object) -> Judgement:
        asked, charging = self._asked(excludes)[which], self._asked(costs)[which]
        if not asked and not charging:
            return AGREED
        objections = [_objection(by, value) for by, value in _answers(asked, arguments)]
        charges: list[tuple[str, float]] = []
        for by, value in _answers(charging, arguments):
            if _is_cost(value):
                charges.append((by, value))
            else:
                objections.append(Objection(by, _wrong(value, f"{costs} of 0 or more microseconds")))
        return _judgement(objections, charges)

    def _all_answers(self, hook: str, *arguments: object) -> list[tuple[str, object]]:
        return [answer for asked in self._asked(hook) for answer in _answers(asked, arguments)]

    def _asked(self, hook: str) -> tuple[list[Asked], list[Asked]]:
        """Who is asked, without and with the request."""
        found = self._askers.get(hook)
        if found is None:
            found = ([], [])
            caller = getattr(self._board.manager.hook, hook)
            for one in caller.get_hookimpls():
                by = one.plugin_name.partition(NAME_SEPARATOR)[2]
                if by not in self._unasked:
                    which = WITH if "request" in one.argnames else WITHOUT
                    found[which].append((by, _fitted(one.function, one.argnames, caller.spec.argnames)))
            # Only now: an explanation in another thread would otherwise ask a part of them, and believe it.
            self._askers[hook] = found
        return found


def _answers(asked: list[Asked], arguments: tuple[object, ...]) -> list[tuple[str, object]]:
    """Who says what; without those who have no opinion."""
    answers: list[tuple[str, object]] = []
    for by, ask in asked:
        try:
            value = ask(*arguments)
        except Exception as error:  # noqa: BLE001 - anything a stranger's code raises is an objection
            value = _crash(error)
        if value is not None:
            answers.append((by, value))
    return answers


def _fitted(
    function: Callable[..., object], names: Sequence[str], all_names: Sequence[str]
) -> Callable[..., object]:
    """The function as one that takes all of a hook's arguments, in their order."""
    if tuple(names) == tuple(all_names):
        return function
    places = [all_names.index(name) for name in names]
    if len(places) == 1:
        (place,) = places
        return lambda *arguments: function(arguments[place])
    return lambda *arguments: function(*[arguments[place] for place in places])


def _objection(by: str, value: object) -> Objection:
    return Objection(by, value if isinstance(value, str) else _wrong(value, "a reason or None"))


def _judgement(objections: list[Objection], charges: Sequence[tuple[str, float]] = ()) -> Judgement:
    if not objections and not charges:
        return AGREED
    return Judgement(tuple(objections), sum(us for _, us in charges), tuple(charges))


def _both(one: Judgement, other: Judgement) -> Judgement:
    if one is AGREED:
        return other
    return Judgement(
        one.objections + other.objections, one.cost_us + other.cost_us, one.charges + other.charges
    )


def _is_cost(value: object) -> TypeGuard[float]:
    # Of these types alone: True is no number of microseconds, and this is asked thousands of times.
    return (type(value) is float or type(value) is int) and 0 <= value <= COST_CAP


def _is_level(value: object) -> TypeGuard[SecurityLevel]:
    return isinstance(value, str) and value in LEVELS


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= COUNT_CAP


def _is_spread(value: object) -> TypeGuard[Spread]:
    return (
        isinstance(value, Spread)
        and {type(value.share), type(value.ratio)} <= {float, int}
        and 0.0 < value.share <= 1.0 <= value.ratio < math.inf
    )


def _are_names(value: object) -> TypeGuard[Collection[str]]:
    # The usual types first: to ask an abstract one takes as long as all the rest.
    if type(value) not in (set, frozenset, tuple, list) and not isinstance(value, Collection):
        return False
    names = cast(Collection[object], value)
    return len(names) <= FAMILIES_CAP and set(map(type, names)) <= {str} and not isinstance(value, str)


def _wrong(value: object, wanted: str) -> str:
    if isinstance(value, _Crash):
        return str(value)
    # Python refuses to show integers of thousands of digits.
    short = type(value) in (bool, float) or (type(value) is int and abs(value) <= COUNT_CAP)
    shown = repr(value) if short else f"a {type(value).__name__}"
    return f"it answered {shown} instead of {wanted}"
