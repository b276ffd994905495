"""The policy ``rules``: what may be different for some destinations, ports and programs.

Rules are tried in the order in which they are written. The first one whose conditions all hold decides, as a
whole, and no other is looked at; a connection for which none holds is not restricted by this policy.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Final
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field, model_validator

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Position, Request, RoutePolicy, SecurityLevel
from port17.navigator.selector import Selectors
from port17.policies.destination import Destinations, Ports, Programs
from port17.policies.only import missing

RULES_CAP: Final = 1024
"""Most rules: each connection may be compared with all of them."""
TEXT_CAP: Final = 200
"""Longest name or reason, characters: it stands in a line of a log."""
DECISIONS_KEPT: Final = 4
"""Connections whose rule is remembered: thousands of nodes are asked about with the same one in a row, and no
list of what was visited shall come of it."""

OPINIONS_KEPT: Final = 48
"""Rules times positions whose answers are remembered, of all nodes: sixteen rules in use, a few MiB for ten
thousand nodes each."""

LISTS: Final = (
    "only", "exclude", "entry_only", "entry_exclude",
    "middle_only", "middle_exclude", "exit_only", "exit_exclude",
)  # fmt: skip
_FORM: Final = (
    "conditions are to, ports and programs; what follows is only, exclude, entry_only, entry_exclude,"
    " middle_only, middle_exclude, exit_only, exit_exclude, level, unrestricted or block"
)
_MEANT: Final = {
    "allow": "there is no `allow`: what nothing restricts is allowed. To keep to some nodes write `only`,"
    " `entry_only`, `middle_only` or `exit_only`",
    "entry": "say `entry_only` or `entry_exclude`",
    "middle": "say `middle_only` or `middle_exclude`",
    "exit": "say `exit_only` or `exit_exclude`",
    "domain": "destinations stand under `to`",
    "host": "destinations stand under `to`",
    "destination": "destinations stand under `to`",
    "deny": 'say `block = "why"` to end such connections, or `exclude` to leave nodes out',
    "reject": 'say `block = "why"` to end such connections, or `exclude` to leave nodes out',
}
"""What people write who know other systems, and what they want."""


class Rule(BaseModel):
    """One rule: conditions, all of which must hold, and what follows.

    :param name: what explanations call it, beside its number.
    :param to: names, ``*.`` domains, addresses and networks; any of them. None matches all.
    :param ports: ports and ranges; any of them. None matches all.
    :param programs: paths or file names; any of them. None matches all, and one that is not known.
    :param only: no node that these don't pick serves in any position.
    :param exclude: no node that these pick serves in any position.
    :param entry_only: as ``only``, for the first node; ``middle_only`` and ``exit_only`` alike.
    :param entry_exclude: as ``exclude``, for the first node; ``middle_exclude`` and ``exit_exclude`` alike.
    :param unknown: exclusions also hit those of which nobody knows whether they are picked.
    :param level: the security level, instead of the client's.
    :param unrestricted: nothing follows: an exception from the rules below.
    :param block: no route at all; the reason, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(max_length=TEXT_CAP)] = ""
    to: Destinations | None = None
    ports: Ports | None = None
    programs: Programs | None = None
    only: Selectors | None = None
    exclude: Selectors | None = None
    entry_only: Selectors | None = None
    entry_exclude: Selectors | None = None
    middle_only: Selectors | None = None
    middle_exclude: Selectors | None = None
    exit_only: Selectors | None = None
    exit_exclude: Selectors | None = None
    unknown: bool = False
    level: SecurityLevel | None = None
    unrestricted: bool = False
    block: Annotated[str, Field(max_length=TEXT_CAP)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                close = get_close_matches(str(key), cls.model_fields, n=1)
                meant = _MEANT.get(str(key)) or (f"did you mean `{close[0]}`?" if close else _FORM)
                raise ValueError(f"there is no option {key!r}: {meant}")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Rule:
        lists = [name for name in LISTS if getattr(self, name) is not None]
        for name in lists:
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; leave it out to leave all nodes as they are")
        actions = [*lists, *(["level"] if self.level is not None else [])]
        if self.block is not None and not self.block.strip():
            raise ValueError("block wants the reason, for whoever wonders why there is no connection")
        alone = [
            *(["block"] if self.block is not None else []),
            *(["unrestricted"] if self.unrestricted else []),
        ]
        if alone and len(actions) + len(alone) > 1:
            others = ", ".join([*alone[1:], *actions])
            raise ValueError(f"{alone[0]} stands alone: with it, {others} would mean nothing")
        if not (actions or alone):
            raise ValueError(f"it says nothing about routes. {_FORM}")
        if self.unknown and not any(name.endswith("exclude") for name in lists):
            raise ValueError(
                "unknown belongs to an exclusion, and there is none; `only` leaves them out anyway"
            )
        return self

    def match(self, request: Request) -> bool:
        """Whether all conditions hold."""
        return (
            (self.ports is None or self.ports.match(request.port))
            and (self.programs is None or self.programs.match(request.program))
            and (self.to is None or self.to.match(request.host))
        )

    def cover(self, other: Rule) -> bool:
        """Whether it matches all that another matches."""
        return (
            (self.to is None or (other.to is not None and self.to.cover(other.to)))
            and (self.ports is None or (other.ports is not None and self.ports.cover(other.ports)))
            and (
                self.programs is None or (other.programs is not None and self.programs.cover(other.programs))
            )
        )

    def objection(self, node: ChartNode, position: Position) -> str:
        """Why the node must not serve in the position; empty if it may."""
        for selectors in (self.only, getattr(self, f"{position}_only")):
            if selectors is not None and not selectors.covers(node):
                return missing(selectors, node)
        for selectors in (self.exclude, getattr(self, f"{position}_exclude")):
            if selectors is None:
                continue
            found = selectors.touching(node)
            if found is not None:
                return f"you excluded {found}"
            if self.unknown and selectors.uncertain(node):
                return f"it is not known whether it is of {selectors}, and you excluded what is unknown"
        return ""


class Rules(RoutePolicy):
    """Tries rules in their order; the first that matches decides alone."""

    class Config(RoutePolicy.Config):
        """The rules.

        :param rule: each a table, in the order in which they are tried.
        """

        rule: Annotated[tuple[Rule, ...], Field(max_length=RULES_CAP)] = ()

        @model_validator(mode="after")
        def _all_are_reached(self) -> Rules.Config:
            if not self.rule:
                raise ValueError("there is no rule; each is a table [[policy_options.rules.rule]]")
            for later, rule in enumerate(self.rule):
                for earlier in range(later):
                    if self.rule[earlier].cover(rule):
                        raise ValueError(
                            f"{_called(later, rule)} is never reached: {_called(earlier, self.rule[earlier])}"
                            " matches all that it matches, and the first match decides. Put the narrower"
                            " one first, or remove one"
                        )
            return self

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        rules = self.config.rule
        self.wants_program = any(rule.programs is not None for rule in rules)
        self._known: dict[tuple[int, Position], WeakKeyDictionary[ChartNode, str | None]] = {}
        """What was answered of each node, since that is the same for all connections of one rule."""
        self._first = lru_cache(maxsize=DECISIONS_KEPT)(self._find)

    def rule_for(self, request: Request) -> tuple[int, Rule] | None:
        """The rule that decides, with its number from 0; None if no rule matches."""
        return self._first(request.host, request.port, request.program)

    @hookimpl
    def choose_level(self, request: Request) -> SecurityLevel | None:
        """As the rule says."""
        found = self.rule_for(request)
        return None if found is None else found[1].level

    @hookimpl
    def exclude_node(self, node: ChartNode, position: Position, request: Request) -> str | None:
        """As the rule says."""
        found = self.rule_for(request)
        if found is None:
            return None
        known = self._known.get((found[0], position))
        if known is None:
            if len(self._known) >= OPINIONS_KEPT:
                self._known.clear()
            known = self._known[found[0], position] = WeakKeyDictionary()
        if node not in known:
            reason = found[1].objection(node, position)
            known[node] = f"{_called(*found)}: {reason}" if reason else None
        return known[node]

    @hookimpl
    def refuse_request(self, request: Request) -> str | None:
        """Where the rule blocks."""
        found = self.rule_for(request)
        if found is None or found[1].block is None:
            return None
        return f"{_called(*found)} blocks: {found[1].block}"

    def _find(self, host: str, port: int, program: str) -> tuple[int, Rule] | None:
        request = Request(host, port, program=program)
        return next((found for found in enumerate(self.config.rule) if found[1].match(request)), None)


def _called(index: int, rule: Rule) -> str:
    return f"rule {index + 1} ({rule.name})" if rule.name else f"rule {index + 1}"
