"""Charts as JSON, to keep one, to send it, and to judge policies by it. Reading files is whoever asks.

What only a client that dials needs is left out: prekeys. So no route over a chart from a file can be built.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from port17.errors import ConfigError, RecordError
from port17.navigator.chart import Chart, ChartNode, Fingerprint, Lane, LeftOut
from port17.navigator.geo import Place
from port17.records.bottle import (
    ADDRESSES_CAP,
    CAPACITY_CAP,
    FLAGS_CAP,
    LANES_CAP,
    LATENCY_CAP_US,
    LOAD_CAP,
    SUITES_CAP,
    TRANSPORTS_CAP,
    Address,
    Rule,
)
from port17.records.exit_rules import RULES_CAP, ExitRules
from port17.records.identity import node_id
from port17.records.record import DriverName, PortName

SCHEMA: Final = "port17.chart/1"
"""Name and version of the shape. A reader refuses what it doesn't know."""
NODES_CAP: Final = 200_000
"""Most nodes: twenty times the largest network that the navigator is made for."""
FILE_CAP: Final = 512 * 1024 * 1024
"""Longest file, bytes: what :data:`NODES_CAP` nodes with forty lanes each take."""
REASON_CAP: Final = 500
"""Longest reason why a node is not on the chart, characters; a longer one is cut."""
PLACES_CAP: Final = TRANSPORTS_CAP * ADDRESSES_CAP
"""Most places of a node: one per address."""
LAST_ASN: Final = (1 << 32) - 1

_CURE: Final = "Make it anew with `port17 route chart --out FILE`."

Index: TypeAlias = Annotated[int, Field(ge=0, lt=NODES_CAP)]


def _row(value: object) -> object:
    """A list; pydantic would take a map with the row's names too."""
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


class _Lane(NamedTuple):
    """A lane, written once for both its ends, which go by their place in the list of nodes."""

    one: Index
    other: Index
    latency_us: Annotated[int, Field(ge=0, le=LATENCY_CAP_US)]
    capacity: Annotated[int, Field(ge=0, le=CAPACITY_CAP)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class _Place(_Model):
    ip: Annotated[str, Field(max_length=45)]
    asn: Annotated[int, Field(ge=0, le=LAST_ASN)] = 0
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    continent: Literal["AF", "AN", "AS", "EU", "NA", "OC", "SA", ""] = ""
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None


class _Node(_Model):
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    group: PortName | Literal[""] = ""
    owner: PortName | Literal[""] = ""
    marks: Annotated[list[DriverName], Field(max_length=FLAGS_CAP)] = []
    addresses: Annotated[
        dict[DriverName, Annotated[list[Address], Field(max_length=ADDRESSES_CAP)]],
        Field(max_length=TRANSPORTS_CAP),
    ] = {}
    suites: Annotated[list[DriverName], Field(max_length=SUITES_CAP)] = []
    suite: DriverName | Literal[""] = ""
    exit: Annotated[list[Rule], Field(max_length=RULES_CAP)] | None = None
    plain_text: bool = False
    load: Annotated[int, Field(ge=0, le=LOAD_CAP)] = 0
    places: Annotated[list[_Place], Field(max_length=PLACES_CAP)] = []


class _LeftOut(_Model):
    name: Annotated[str, Field(max_length=64)]
    reason: Annotated[str, Field(max_length=REASON_CAP)]


class _File(_Model):
    schema_: Annotated[str, Field(alias="schema")]
    nodes: Annotated[list[_Node], Field(max_length=NODES_CAP)]
    lanes: Annotated[
        list[Annotated[_Lane, BeforeValidator(_row)]], Field(max_length=NODES_CAP * LANES_CAP // 2)
    ]
    left_out: Annotated[list[_LeftOut], Field(max_length=NODES_CAP)] = []


def encode(chart: Chart) -> bytes:
    """The chart as JSON: a line per node and lane, so that two of them can be compared line by line."""
    indices = {fingerprint: index for index, fingerprint in enumerate(chart.nodes)}
    nodes = (_written(node) for node in chart)
    lanes = (
        [index, indices[peer], lane.latency_us, lane.capacity]
        for index, node in enumerate(chart)
        for peer, lane in node.lanes.items()
        if index < indices.get(peer, -1)
    )
    left_out = ({"name": out.name, "reason": out.reason[:REASON_CAP]} for out in chart.left_out)
    text = (
        f'{{"schema":"{SCHEMA}",\n"nodes":{_lines(nodes)},\n"lanes":{_lines(lanes)},\n'
        f'"left_out":{_lines(left_out)}}}\n'
    )
    return text.encode()


def decode(data: bytes) -> Chart:
    """The chart of what :func:`encode` made.

    :raises ConfigError: it is no chart, not whole, of another version, or over a cap.
    """
    if len(data) > FILE_CAP:
        raise _bad(f"it is longer than {FILE_CAP} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 are a ValueError too
        raise _bad("it is no JSON, or only a part of it") from error
    if not isinstance(value, dict) or not isinstance(schema := value.get("schema"), str):
        raise _bad('it names no schema; a chart begins with {"schema":"' + SCHEMA + '"')
    if schema != SCHEMA:
        raise _bad(f"its schema is {schema[:64]!r}; this version reads {SCHEMA}")
    try:
        file = _File.model_validate(value)
    except ValidationError as error:
        raise _bad(_summary(error)) from error
    return _drawn(file)


def _written(node: ChartNode) -> dict[str, Any]:
    values: dict[str, Any] = {
        "fingerprint": node.fingerprint.hex(),
        "name": node.name,
        "group": node.group,
        "owner": node.owner,
        "marks": sorted(node.marks),
        "addresses": {transport: list(found) for transport, found in node.addresses.items()},
        "suites": list(node.suites),
        "suite": node.suite,
        "plain_text": node.plain_text,
        "load": node.load,
        "places": [
            _without_empty(
                {
                    "ip": str(place.ip),
                    "asn": place.asn,
                    "country": place.country,
                    "continent": place.continent,
                    "latitude": place.latitude,
                    "longitude": place.longitude,
                }
            )
            for place in node.places
        ],
    }
    rules = {} if node.exit is None else {"exit": list(node.exit.lines())}
    return _without_empty(values) | rules  # no rules at all is an exit that opens nothing


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is as by default needs no room. A place on the equator is no empty one."""
    return {name: value for name, value in values.items() if value or isinstance(value, float)}


def _lines(values: Iterable[object]) -> str:
    rows = [json.dumps(value, ensure_ascii=True, separators=(",", ":")) for value in values]
    return "[\n" + ",\n".join(rows) + "\n]" if rows else "[]"


def _drawn(file: _File) -> Chart:
    fingerprints = [bytes.fromhex(node.fingerprint) for node in file.nodes]
    if len(set(fingerprints)) != len(fingerprints):
        raise _bad("a node is there twice")
    lanes: list[dict[Fingerprint, Lane]] = [{} for _ in fingerprints]
    for row, (one, other, latency_us, capacity) in enumerate(file.lanes):
        if max(one, other) >= len(fingerprints) or one == other:
            raise _bad(f"lanes.{row}: it leads to no other node of the chart")
        if fingerprints[other] in lanes[one]:
            raise _bad(f"lanes.{row}: the lane is there twice")
        lanes[one][fingerprints[other]] = lanes[other][fingerprints[one]] = Lane(latency_us, capacity)
    for index, found in enumerate(lanes):
        if len(found) > LANES_CAP:
            raise _bad(f"nodes.{index}: it has {len(found)} lanes; a bottle names at most {LANES_CAP}")
    exits: dict[tuple[str, ...], ExitRules] = {}
    nodes = [
        _node(index, fingerprints[index], node, lanes[index], exits) for index, node in enumerate(file.nodes)
    ]
    return Chart(nodes, [LeftOut(out.name, out.reason) for out in file.left_out])


def _node(
    index: int,
    fingerprint: Fingerprint,
    node: _Node,
    lanes: Mapping[Fingerprint, Lane],
    exits: dict[tuple[str, ...], ExitRules],
) -> ChartNode:
    rules: ExitRules | None = None
    if node.exit is not None:
        lines = tuple(node.exit)
        try:
            rules = exits.get(lines) or exits.setdefault(lines, ExitRules.parse(lines))
        except RecordError as error:
            raise _bad(f"nodes.{index}.exit: {error.message}") from error
    return ChartNode(
        fingerprint=fingerprint,
        node_id=node_id(fingerprint),
        name=node.name,
        group=node.group,
        owner=node.owner,
        marks=frozenset(node.marks),
        addresses=MappingProxyType({name: tuple(found) for name, found in node.addresses.items()}),
        suites=tuple(node.suites),
        suite=node.suite,
        exit=rules,
        plain_text=node.plain_text,
        lanes=MappingProxyType(dict(sorted(lanes.items()))),
        load=node.load,
        places=tuple(_place(index, place) for place in node.places),
    )


def _place(index: int, place: _Place) -> Place:
    try:
        ip = ipaddress.ip_address(place.ip)
    except ValueError as error:
        raise _bad(f"nodes.{index}.places: not an address") from error
    return Place(ip, place.asn, place.country, place.continent, place.latitude, place.longitude)


def _summary(error: ValidationError) -> str:
    """The first thing wrong, by its place; never the value, which may be long or hostile."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:64] for part in first["loc"]) or "the whole"
    more = error.error_count() - 1
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" + (f" (and {more} more)" if more else "")


def _bad(what: str) -> ConfigError:
    return ConfigError(f"This is no chart: {what}.", cure=_CURE)
