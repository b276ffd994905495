"""Port17, as plugin authors see it: what can be imported from here is public, and nothing else is.

Names are loaded when they are touched, so that ``import port17`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers take the name for true, whoever defines it; to import it from typing costs more than all else.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from port17.bottles.newest import Kept as Kept
    from port17.bottles.rack import BottleStore as BottleStore
    from port17.bottles.rack import Naming as Naming
    from port17.bottles.rack import Racked as Racked
    from port17.bottles.rack import Stamp as Stamp
    from port17.bottles.rack import bucket_bounds as bucket_bounds
    from port17.bottles.validation import Known as Known
    from port17.bottles.validation import Terms as Terms
    from port17.bottles.verdict import ACCEPT as ACCEPT
    from port17.bottles.verdict import Ruling as Ruling
    from port17.bottles.verdict import Verdict as Verdict
    from port17.bottles.verdict import distrust as distrust
    from port17.bottles.verdict import reject as reject
    from port17.client.ingress import Ingress as Ingress
    from port17.client.ingress import Open as Open
    from port17.errors import CircuitFailed as CircuitFailed
    from port17.errors import ConfigError as ConfigError
    from port17.errors import ConveyorReset as ConveyorReset
    from port17.errors import HandshakeFailed as HandshakeFailed
    from port17.errors import LinkLost as LinkLost
    from port17.errors import NetworkError as NetworkError
    from port17.errors import NoRoute as NoRoute
    from port17.errors import PeerViolation as PeerViolation
    from port17.errors import PluginError as PluginError
    from port17.errors import Port17Error as Port17Error
    from port17.errors import RecordError as RecordError
    from port17.hookspecs import hookimpl as hookimpl
    from port17.links.dialling import connect_any as connect_any
    from port17.links.dialling import resolve as resolve
    from port17.links.interfaces import on_link as on_link
    from port17.links.local_network import Announce as Announce
    from port17.links.local_network import Heard as Heard
    from port17.links.local_network import LocalNetwork as LocalNetwork
    from port17.links.stream import ConveyorStream as ConveyorStream
    from port17.links.tcp import TcpStream as TcpStream
    from port17.links.tcp import bind as bind
    from port17.links.tcp import join_address as join_address
    from port17.links.tcp import set_if_known as set_if_known
    from port17.links.tcp import split_address as split_address
    from port17.links.tcp import told_address as told_address
    from port17.links.transport import RECEIVE_SIZE as RECEIVE_SIZE
    from port17.links.transport import Listener as Listener
    from port17.links.transport import Ship as Ship
    from port17.links.transport import Transport as Transport
    from port17.navigator.chart import ChartNode as ChartNode
    from port17.navigator.chart import Lane as Lane
    from port17.navigator.geo import GeoSource as GeoSource
    from port17.navigator.geo import Place as Place
    from port17.navigator.policy import Position as Position
    from port17.navigator.policy import Request as Request
    from port17.navigator.policy import Route as Route
    from port17.navigator.policy import RoutePolicy as RoutePolicy
    from port17.navigator.policy import SecurityLevel as SecurityLevel
    from port17.navigator.policy import Spread as Spread
    from port17.navigator.selector import Selector as Selector
    from port17.navigator.selector import Selectors as Selectors
    from port17.node.operation import Caller as Caller
    from port17.node.operation import Operation as Operation
    from port17.records.beacon import BEACON_CAP as BEACON_CAP
    from port17.records.bottle import Bottle as Bottle
    from port17.records.exit_rules import ExitRules as ExitRules
    from port17.records.framing import BytesLike as BytesLike
    from port17.records.framing import framed as framed
    from port17.records.identity import Identity as Identity
    from port17.records.level import Level as Level
    from port17.records.level import Status as Status
    from port17.records.prekey import PrekeyRecord as PrekeyRecord
    from port17.records.scheme import IdentityScheme as IdentityScheme
    from port17.records.scheme import SigningKey as SigningKey
    from port17.wire.reasons import Reason as Reason
    from port17.wire.suite import KEY_SIZE as KEY_SIZE
    from port17.wire.suite import NONCE_SIZE as NONCE_SIZE
    from port17.wire.suite import TAG_SIZE as TAG_SIZE
    from port17.wire.suite import Aead as Aead
    from port17.wire.suite import CipherSuite as CipherSuite
    from port17.wire.suite import KemKey as KemKey

_HOMES = {
    "bottles.newest": "Kept",
    "bottles.rack": "BottleStore Naming Racked Stamp bucket_bounds",
    "bottles.validation": "Known Terms",
    "bottles.verdict": "ACCEPT Ruling Verdict distrust reject",
    "client.ingress": "Ingress Open",
    "errors": "CircuitFailed ConfigError ConveyorReset HandshakeFailed LinkLost NetworkError NoRoute"
    " PeerViolation PluginError Port17Error RecordError",
    "hookspecs": "hookimpl",
    "links.dialling": "connect_any resolve",
    "links.interfaces": "on_link",
    "links.local_network": "Announce Heard LocalNetwork",
    "links.stream": "ConveyorStream",
    "links.tcp": "TcpStream bind join_address set_if_known split_address told_address",
    "links.transport": "RECEIVE_SIZE Listener Ship Transport",
    "navigator.chart": "ChartNode Lane",
    "navigator.geo": "GeoSource Place",
    "navigator.policy": "Position Request Route RoutePolicy SecurityLevel Spread",
    "navigator.selector": "Selector Selectors",
    "node.operation": "Caller Operation",
    "records.beacon": "BEACON_CAP",
    "records.bottle": "Bottle",
    "records.exit_rules": "ExitRules",
    "records.framing": "BytesLike framed",
    "records.identity": "Identity",
    "records.level": "Level Status",
    "records.prekey": "PrekeyRecord",
    "records.scheme": "IdentityScheme SigningKey",
    "wire.reasons": "Reason",
    "wire.suite": "KEY_SIZE NONCE_SIZE TAG_SIZE Aead CipherSuite KemKey",
}
"""Where each public name is, for those who import at run time; the imports above say it to type checkers."""

_HOME_OF = {name: f"port17.{home}" for home, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME_OF)

if not TYPE_CHECKING:
    # Hidden from type checkers, which would take any misspelt name for one of these.
    def __getattr__(name: str) -> object:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'port17' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOME_OF})
