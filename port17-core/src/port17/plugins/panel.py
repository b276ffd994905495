"""The panel: asks all plugins a question, keeps who said what, and makes one judgement of it.

pluggy's own call ends at the first plugin that raises and forgets who answered; a judgement needs both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from port17.bottles.validation import NOTHING_KNOWN, Known, Terms
from port17.bottles.verdict import Verdict, reject, together
from port17.links.transport import Transport
from port17.navigator.chart import ChartNode, Lane
from port17.navigator.policy import AGREED, Judgement, Objection, Request, Route
from port17.plugins import faults
from port17.plugins.board import NAME_SEPARATOR, HookBoard
from port17.records.bottle import Bottle
from port17.wire.suite import CipherSuite


@dataclass(frozen=True, slots=True)
class Answer:
    """One plugin's answer that is not None.

    :param by: the plugin's name.
    :param value: as given, of whatever type.
    """

    by: str
    value: object


class _Crash(str):
    """Instead of an answer: how a plugin failed."""


class Panel:
    """All opinions; it is the navigator's :class:`~port17.navigator.policy.Policies`.

    Whatever raises, or answers with the wrong type, objects.
    """

    def __init__(self, board: HookBoard) -> None:
        self._board: Final = board

    def judge_node(self, node: ChartNode) -> Judgement:
        """By ``exclude_node``."""
        return _judgement(self._objections("exclude_node", node=node))

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        """By ``exclude_lane`` and ``lane_cost``."""
        objections = self._objections("exclude_lane", source=source, target=target, lane=lane)
        return self._with_cost(objections, "lane_cost", source=source, target=target, lane=lane)

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        """By ``exclude_exit`` and ``exit_cost``."""
        objections = self._objections("exclude_exit", node=node, request=request)
        return self._with_cost(objections, "exit_cost", node=node, request=request)

    def judge_route(self, route: Route, request: Request) -> Judgement:
        """By ``veto_route``."""
        return _judgement(self._objections("veto_route", route=route, request=request))

    def judge_suite(self, suite: CipherSuite) -> Judgement:
        """By ``refuse_suite``."""
        return _judgement(self._objections("refuse_suite", suite=suite))

    def judge_transport(self, transport: Transport) -> Judgement:
        """By ``refuse_transport``."""
        return _judgement(self._objections("refuse_transport", transport=transport))

    def verify_bottle(self, bottle: Bottle, terms: Terms) -> Verdict:
        """By ``verify_bottle``: as :meth:`judge_bottle`, and where nobody has an opinion it is a reject."""
        verdicts = self._verdicts("verify_bottle", bottle=bottle, terms=terms)
        if not verdicts:
            return reject("no plugin has checked its signatures: the core's own is missing or blocked")
        return together(verdicts)

    def judge_bottle(self, bottle: Bottle, known: Known = NOTHING_KNOWN) -> Verdict:
        """By ``validate_bottle``: any reject wins, and what fails rejects."""
        return together(self._verdicts("validate_bottle", bottle=bottle, known=known))

    def _verdicts(self, hook: str, **arguments: object) -> list[Verdict]:
        verdicts = []
        for answer in self._ask(hook, **arguments):
            if isinstance(answer.value, Verdict):
                reasons = tuple(f"{answer.by}: {reason}" for reason in answer.value.reasons)
                verdicts.append(Verdict(answer.value.ruling, reasons, answer.value.kind))
            else:
                verdicts.append(reject(f"{answer.by}: {_wrong(answer.value, 'a verdict')}"))
        return verdicts

    def _ask(self, hook: str, **arguments: object) -> Iterator[Answer]:
        for implementation in getattr(self._board.manager.hook, hook).get_hookimpls():
            by = implementation.plugin_name.partition(NAME_SEPARATOR)[2]
            try:
                value = implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:  # noqa: BLE001 - anything a stranger's code raises is an objection
                yield Answer(by, _Crash(f"it failed with {faults.said(error)}"))
                continue
            if value is not None:
                yield Answer(by, value)

    def _objections(self, hook: str, **arguments: object) -> list[Objection]:
        return [
            Objection(
                answer.by,
                answer.value if isinstance(answer.value, str) else _wrong(answer.value, "a reason or None"),
            )
            for answer in self._ask(hook, **arguments)
        ]

    def _with_cost(self, objections: list[Objection], hook: str, **arguments: object) -> Judgement:
        cost = 0.0
        for answer in self._ask(hook, **arguments):
            value = answer.value
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
                cost += value
            else:
                wanted = f"{hook} of 0 or more microseconds"
                objections.append(Objection(answer.by, _wrong(value, wanted)))
        return _judgement(objections, cost)


def _judgement(objections: list[Objection], cost_us: float = 0.0) -> Judgement:
    return Judgement(tuple(objections), cost_us) if objections or cost_us else AGREED


def _wrong(value: object, wanted: str) -> str:
    if isinstance(value, _Crash):
        return str(value)
    shown = repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
    return f"it answered {shown} instead of {wanted}"
