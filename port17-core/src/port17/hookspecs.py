"""The hooks: questions that Port17 asks all plugins which have an opinion.

Write a function of the same name, mark it ``@hookimpl``, take those of the arguments that you need; put it
into a module (or a :class:`~port17.navigator.policy.RoutePolicy`) that an entry point of group ``port17``
(or ``port17.policies``) names. Answer None to have no opinion.

Every hook is synchronous and pure: same arguments, same answer, no I/O. Answers can only narrow what is
used; none overrides another's. One that raises, or answers something else than is said here, counts as an
objection: an opinion that was lost must not open what it would have closed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import pluggy

from port17.bottles.validation import Known, Terms
from port17.bottles.verdict import Verdict
from port17.links.transport import Transport
from port17.navigator.chart import ChartNode, Lane
from port17.navigator.policy import Position, Request, Route, SecurityLevel, Spread
from port17.records.bottle import Bottle
from port17.wire.suite import CipherSuite

PROJECT = "port17"
"""The name that pluggy's markers carry; also the entry-point group of hooks."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's function as an implementation of the hook of its name."""


# -- cipher suites and transports: drivers, chosen by name; these can only take away -------------------
@hookspec
def refuse_suite(suite: CipherSuite) -> str | None:
    """Must this cipher suite not be used on this machine?

    Asked once per suite, when configuration or charter name it.

    :returns: the reason, or None.
    """


@hookspec
def refuse_transport(transport: Transport) -> str | None:
    """Must this transport not be used on this machine?

    Asked once per transport, when the configuration names it.

    :returns: the reason, or None.
    """


# -- route policies ------------------------------------------------------------------------------------
# Of each question a policy takes the arguments that it needs. Who takes ``request`` is asked for every
# connection, of what a route for it may use; who doesn't is asked once per chart and level, which is quicker.
@hookspec
def choose_level(request: Request) -> SecurityLevel | None:
    """How much speed shall this connection give up for anonymity?

    Asked once per connection, before all else. ``request.level`` is what the user has set for all of them; it
    holds if nobody answers. Of all answers the strictest holds.

    :returns: ``"fast"``, ``"normal"``, ``"high"``, or None.
    """


@hookspec
def least_hops(request: Request) -> int | None:
    """How many nodes must a route have for this connection?

    The largest answer holds. Three is the least whatever is answered, the charter's ``max_hops`` the most:
    who asks for more gets no route.

    :returns: a number of nodes, or None.
    """


@hookspec
def choose_spread(request: Request) -> Spread | None:
    """Among how many of the routes that may be used shall one be drawn?

    Of all answers the largest ``share`` and the smallest ``ratio`` hold.

    :returns: a :class:`~port17.navigator.policy.Spread`, or None.
    """


@hookspec
def refuse_request(request: Request) -> str | None:
    """Must the connection not be made, whatever the route?

    Asked once per connection, with the level that holds. Who answers so of every exit instead has all of them
    looked at.

    :returns: the reason, or None.
    """


@hookspec
def exclude_node(node: ChartNode, position: Position, level: SecurityLevel, request: Request) -> str | None:
    """Must the node not serve in this position of a route?

    Asked for ``"entry"``, ``"middle"`` and ``"exit"``; who leaves ``position`` out answers for all three.

    :returns: the reason, or None.
    """


@hookspec
def node_cost(node: ChartNode, position: Position, level: SecurityLevel, request: Request) -> float | None:
    """How much slower shall a route count than it is if the node serves in this position?

    The answers of all policies are added.

    :returns: microseconds, at least 0.
    """


@hookspec
def families(node: ChartNode, level: SecurityLevel) -> Collection[str] | None:
    """To which families does the node belong? No route has two nodes of one family.

    Asked once per node, chart and level. All policies share one name space, so that each may add to
    another's: begin a family of your own with a word of your own, ``"owner:acme"``.

    :returns: names of families, or None.
    """


@hookspec
def exclude_lane(source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> str | None:
    """Must no route go from source to target? (The other direction is asked about separately.)

    Asked when a route could go there.

    :returns: the reason, or None.
    """


@hookspec
def lane_cost(source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> float | None:
    """How much slower shall the way from source to target count than it is?

    Asked when a route could go there; the answers of all policies are added.

    :returns: microseconds, at least 0.
    """


@hookspec
def exclude_exit(node: ChartNode, request: Request) -> str | None:
    """Must the node not open this connection? Its exit rules allow it.

    Asked once per possible exit and connection.

    :returns: the reason, or None.
    """


@hookspec
def exit_cost(node: ChartNode, request: Request) -> float | None:
    """How much slower shall this exit count for this connection? So are exits preferred: add cost to others.

    Asked once per possible exit and connection; the answers of all policies are added.

    :returns: microseconds, at least 0.
    """


@hookspec
def veto_route(route: Route, request: Request) -> str | None:
    """Must this route not be used for this connection?

    Asked of routes that are about to be used. What can be said of a node, a lane or a family alone is better
    said there: where a route is vetoed another has to be found.

    :returns: the reason, or None.
    """


# -- bottle validators ---------------------------------------------------------------------------------
@hookspec
def verify_bottle(bottle: Bottle, terms: Terms) -> Verdict | None:
    """Is a bottle what it claims to be: of this network, signed by its node, of its time, of a fair size?

    Asked of every bottle that is not held already, maybe in a thread. Any reject wins, and at least one
    plugin must answer ``ACCEPT``: the core's own does, if the signatures are right. Who answers so without
    having checked them opens the door when that one is blocked: answer None.

    :returns: ``ACCEPT``, ``reject(reason)``, or None.
    """


@hookspec
def validate_bottle(bottle: Bottle, known: Known) -> Verdict | None:
    """What is to become of a bottle that is what it claims to be?

    Asked once per new or changed bottle, and again when something is found out about its addresses. Any
    reject wins.

    :returns: ``ACCEPT``, ``distrust(reason)``, ``reject(reason)``, or None.
    """


class Hooks(Protocol):
    """The hooks as they are called: keywords only, and the opinions of all plugins that have one.

    pluggy's own relay is untyped; a cast to this lets the type checker see calls.
    """

    def refuse_suite(self, *, suite: CipherSuite) -> list[str]: ...

    def refuse_transport(self, *, transport: Transport) -> list[str]: ...

    def choose_level(self, *, request: Request) -> list[SecurityLevel]: ...

    def least_hops(self, *, request: Request) -> list[int]: ...

    def choose_spread(self, *, request: Request) -> list[Spread]: ...

    def refuse_request(self, *, request: Request) -> list[str]: ...

    def exclude_node(
        self, *, node: ChartNode, position: Position, level: SecurityLevel, request: Request
    ) -> list[str]: ...

    def node_cost(
        self, *, node: ChartNode, position: Position, level: SecurityLevel, request: Request
    ) -> list[float]: ...

    def families(self, *, node: ChartNode, level: SecurityLevel) -> list[Collection[str]]: ...

    def exclude_lane(
        self, *, source: ChartNode, target: ChartNode, lane: Lane, request: Request
    ) -> list[str]: ...

    def lane_cost(
        self, *, source: ChartNode, target: ChartNode, lane: Lane, request: Request
    ) -> list[float]: ...

    def exclude_exit(self, *, node: ChartNode, request: Request) -> list[str]: ...

    def exit_cost(self, *, node: ChartNode, request: Request) -> list[float]: ...

    def veto_route(self, *, route: Route, request: Request) -> list[str]: ...

    def verify_bottle(self, *, bottle: Bottle, terms: Terms) -> list[Verdict]: ...

    def validate_bottle(self, *, bottle: Bottle, known: Known) -> list[Verdict]: ...
