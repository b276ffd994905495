"""What a node announces on its local network: a beacon of its own bottle, signed when it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address

from port17.links.tcp import split_address
from port17.node.candidates import OFFLINE
from port17.records.beacon import Beacon, SignedBeacon
from port17.records.bottle import Bottle
from port17.records.scheme import IdentityScheme, SigningKey


class Announcement:
    """Asked before every beacon."""

    def __init__(
        self,
        network_id: bytes,
        scheme: IdentityScheme,
        key: SigningKey,
        own: Callable[[], Bottle | None],
        bound: Mapping[str, str],
        wall: Callable[[], float],
    ) -> None:
        """
        :param own: the node's bottle as it is now; None while there is none.
        :param bound: where it listens, by transport; may grow.
        :param wall: Unix time, seconds.
        """
        self._network_id = network_id
        self._scheme = scheme
        self._key = key
        self._own = own
        self._bound = bound
        self._wall = wall

    def __call__(self) -> bytes | None:
        """The beacon; None while nobody could call the node for it, or once it leaves."""
        bottle, ports = self._own(), self._ports()
        if bottle is None or not ports or OFFLINE in bottle.contents.flags:
            return None
        beacon = Beacon.made(
            network_id=self._network_id,
            identity=bottle.label.identity.to_value(),
            label=bottle.label.seq,
            contents=bottle.contents.seq,
            suites=list(bottle.label.suites),
            ports=ports,
            at=int(self._wall()),
        )
        return SignedBeacon.seal(self._scheme, self._key, beacon).encode()

    def _ports(self) -> dict[str, int]:
        """Of the transports that can be reached from another machine."""
        found: dict[str, int] = {}
        for name, address in self._bound.items():
            try:
                host, port = split_address(address)
            except ValueError:
                continue  # of a form that only its transport knows
            if port and not _is_loopback(host):
                found[name] = port
        return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
