"""What route policies are asked, and what they may answer.

Which policies there are and who calls them is the plugin frame's; what becomes of the answers is the route's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Final, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from port17.navigator.chart import ChartNode, Lane
from port17.navigator.geo import Place
from port17.navigator.selector import needs_places

PLAIN_TEXT_PORTS: Final = frozenset(
    {
        20, 21,  # FTP
        23,  # Telnet
        25, 587, 110, 143,  # mail: what starts in the clear stays there if the exit hides STARTTLS
        43, 70, 79,  # whois, gopher, finger
        53,  # DNS over TCP
        80, 81, 591, 8000, 8008, 8080, 8081, 8088, 8888, 3128,  # HTTP and its usual other ports
        109, 119, 194, 389,  # POP2, NNTP, IRC, LDAP
        512, 513, 514,  # rexec, rlogin, rsh
        554, 873, 1935,  # RTSP, rsync, RTMP
        1883, 5222, 5269,  # MQTT, XMPP
        5900, 5901,  # VNC
        6379, 11211,  # Redis, memcached
        6660, 6661, 6662, 6663, 6664, 6665, 6666, 6667, 6668, 6669,  # IRC
    }
)  # fmt: skip
"""Ports whose usual protocol begins unencrypted, STARTTLS included, since the exit could strip it: only exits
that the charter trusts for plain text get them. What runs on other ports is taken to protect itself."""


Position: TypeAlias = Literal["entry", "middle", "exit"]
"""Where in a route a node is to serve. The middle is all that is neither first nor last."""
SecurityLevel: TypeAlias = Literal["fast", "normal", "high"]
"""How much speed is given up for anonymity; what follows is the policies' to say."""
LEVELS: Final[tuple[SecurityLevel, ...]] = ("fast", "normal", "high")
"""The weakest first."""


@dataclass(frozen=True, slots=True)
class Request:
    """A connection that a program asks for.

    :param host: a name or an address, as the program gave it; names are resolved at the exit.
    :param port: 1 to 65535.
    :param isolation: requests of different values never share a circuit; holds what the ingress separates
        by (user and password, say), so it is secret.
    :param protocol: what the exit is to open.
    :param program: path of the program that asks; empty if that is not known.
    :param level: how much speed is given up for anonymity.
    :param place: where ``host`` is, if it is an address that the user's geo source knows.
    """

    host: str
    port: int
    isolation: bytes = b""
    protocol: Literal["tcp", "udp"] = "tcp"
    program: str = ""
    level: SecurityLevel = "normal"
    place: Place | None = None

    @property
    def plain_text(self) -> bool:
        """Whether the port's usual protocol begins unencrypted."""
        return self.port in PLAIN_TEXT_PORTS

    def __repr__(self) -> str:
        # A request that slips into a log or a traceback tells nobody who talks to whom.
        return "Request(<redacted>)"


@dataclass(frozen=True, slots=True)
class Spread:
    """Among how many of the routes that may be used one is drawn.

    Both bound what a liar can win: its routes can't be drawn more than ``ratio / share`` times as often as if
    all routes from an entry had the same chance.

    :param share: of an entry's routes that may be used, the quickest so many are drawn from; above 0, at most
        1.
    :param ratio: the quickest of these has at most so many times the chance of the slowest; at least 1.
    """

    share: float
    ratio: float


USUAL_SPREAD: Final = Spread(1 / 3, 2.0)
"""Where no policy says: a third of the routes, the quickest of which are at most twice as likely as the
slowest. A liar's routes are drawn at most six times as often as their number says."""


@dataclass(frozen=True, slots=True)
class Route:
    """The nodes of a circuit.

    :param nodes: from the entry to the exit, all different and of different groups.
    """

    nodes: tuple[ChartNode, ...]

    @property
    def entry(self) -> ChartNode:
        """The node that the client connects to."""
        return self.nodes[0]

    @property
    def exit(self) -> ChartNode:
        """The node that connects to the destination."""
        return self.nodes[-1]

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes between the nodes, one fewer than nodes."""
        return tuple(source.lanes[target.fingerprint] for source, target in pairwise(self.nodes))


@dataclass(frozen=True, slots=True)
class Objection:
    """Why something cannot be part of a route.

    :param by: who says so: a policy's name, or what of the network forbids it.
    :param reason: for the user, who may have written the policy.
    """

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all policies together say of one thing.

    :param objections: any excludes it.
    :param cost_us: microseconds that it counts as slower than it is.
    :param charges: of these, who asks for how many.
    """

    objections: tuple[Objection, ...] = ()
    cost_us: float = 0.0
    charges: tuple[tuple[str, float], ...] = field(default=(), compare=False)


AGREED: Final = Judgement()
"""Nobody has anything to say."""


@dataclass(frozen=True, slots=True)
class Kin:
    """The families of a node, as all policies together name them.

    :param families: no route has two nodes of one of these.
    :param objections: policies that should have said and failed; any excludes the node.
    """

    families: frozenset[str] = frozenset()
    objections: tuple[Objection, ...] = ()


NO_KIN: Final = Kin()


@dataclass(frozen=True, slots=True)
class Demand:
    """What all policies together want of a request's route.

    :param request: with the level that holds.
    :param hops: nodes of the route at least; 0 if nobody says.
    :param spread: among how many routes one is drawn.
    :param objections: any ends the connection.
    """

    request: Request
    hops: int
    spread: Spread
    objections: tuple[Objection, ...] = ()


class Policies(Protocol):
    """All policies of a client, as the navigator asks them.

    A policy that takes the request is asked for each one, by the methods that take it too; all others
    are asked once of each node and lane.
    """

    @property
    def by_request(self) -> frozenset[str]:
        """The hooks that somebody answers with the request at hand; ``veto_route`` if anybody answers it."""

    def judge_request(self, request: Request) -> Demand:
        """How shall its route be?"""

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        """May the node serve in this position of a route, and at what extra cost? By those who don't take
        the request."""

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        """The same by those who take it."""

    def families(self, node: ChartNode, level: SecurityLevel) -> Kin:
        """With which nodes must this one not be in a route?"""

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        """May a route go from source to target, and at what extra cost? By those who don't take the
        request."""

    def judge_lane_for(self, source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> Judgement:
        """The same by those who take it."""

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        """May the node open this connection, and at what extra cost? By those who take the request."""

    def weigh_exits(self, nodes: Iterable[ChartNode], request: Request) -> dict[ChartNode, float]:
        """What :meth:`judge_exit` says of many nodes: the cost of each that nobody objects to. It is what a
        search does most, so it has to be quick."""

    def judge_route(self, route: Route, request: Request) -> Judgement:
        """May the route as a whole be used?"""


class NoPolicies:
    """:class:`Policies` of a client that has none: agrees to everything."""

    by_request: frozenset[str] = frozenset()

    def judge_request(self, request: Request) -> Demand:
        """What holds if nobody says anything."""
        return Demand(request, 0, USUAL_SPREAD)

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        """Agrees."""
        return AGREED

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        """Agrees."""
        return AGREED

    def families(self, node: ChartNode, level: SecurityLevel) -> Kin:
        """None."""
        return NO_KIN

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        """Agrees."""
        return AGREED

    def judge_lane_for(self, source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> Judgement:
        """Agrees."""
        return AGREED

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        """Agrees."""
        return AGREED

    def weigh_exits(self, nodes: Iterable[ChartNode], request: Request) -> dict[ChartNode, float]:
        """As :meth:`judge_exit`."""
        judged = ((node, self.judge_exit(node, request)) for node in nodes)
        return {node: judgement.cost_us for node, judgement in judged if not judgement.objections}

    def judge_route(self, route: Route, request: Request) -> Judgement:
        """Agrees."""
        return AGREED


class RoutePolicy:
    """A driver of entry-point group ``port17.policies``, or a class in a local file.

    A client's configuration names it; its methods marked ``@hookimpl`` are then asked together with
    everybody else's. It has an opinion through any of the hooks for routes that :mod:`port17.hookspecs`
    describes, from ``choose_level`` to ``veto_route``; each may leave out the arguments that it doesn't
    need. They are pure: same arguments, same answer; no I/O, no waiting.

    Options are fields of a ``Config`` of its own; one that picks nodes is best a list of
    :class:`~port17.navigator.selector.Selectors`::

        class Config(RoutePolicy.Config):
            friends: Selectors = Selectors()

        config: Config
    """

    name: ClassVar[str]
    """Optional; if set, it is the entry point's name."""
    wants_places: bool = False
    """Whether it cannot do what its options ask for where no geo source says where nodes are. A client that
    has none then doesn't start; a policy that silently did nothing would be worse. Where an option holds
    selectors of AS, country or continent, it is set without further ado."""
    wants_program: bool = False
    """Whether it looks at ``request.program``, which is found out only if somebody wants it."""

    class Config(BaseModel):
        """The policy's own options, from ``[policy_options.NAME]``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()
        if needs_places(self.config):
            self.wants_places = True
