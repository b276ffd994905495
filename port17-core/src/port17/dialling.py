"""Calling a node, its addresses in turn; and when a link that stands is to end for another."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import anyio

from port17.errors import NetworkError
from port17.links.crane import Crane, Terms, dial
from port17.links.reaching import reach
from port17.links.transport import Transport
from port17.navigator.agreement import Standing
from port17.network import KnownNetwork

DIAL_S = 10.0
"""Seconds for a ship to one address."""

LINGER_S = 3.0
"""Seconds for which a link stays though another has taken its place and nothing uses it: what is on its way
to it gets there."""

_log = logging.getLogger(__name__)


async def call(
    fingerprint: bytes, network: KnownNetwork, transports: Mapping[str, Transport], terms: Terms
) -> Crane:
    """A crane to a node, by the first of its addresses that answers.

    :raises NetworkError: it has no address or prekey that we can use, or none answered.
    """
    bottle = network.rack.get(fingerprint)
    if bottle is None or fingerprint in network.reputation.said.blocked:
        raise NetworkError("the node is not known, or not to be used")
    name, to = bottle.label.name, network.responder_of(fingerprint)
    if to is None:
        raise NetworkError(f"{name} has no prekey that can be used now")
    for kind, address in network.ways(bottle.label):
        transport = transports.get(kind)
        if transport is None:
            continue
        try:
            with anyio.fail_after(DIAL_S):
                ship = await reach(
                    transport, address, bottle.label.flavour, allow_private=network.terms().allow_private
                )
            return await dial(ship, terms, to)
        except (OSError, ValueError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            _log.debug("an address of %s does not answer: %s", name, type(error).__name__)
    raise NetworkError(f"no address of {name} answers")


class Turnover:
    """When links that we dialled under a suite that is no longer the right one are to end."""

    def __init__(self, network: KnownNetwork) -> None:
        self._network = network
        self._since: WeakKeyDictionary[Crane, tuple[Standing, float]] = WeakKeyDictionary()

    def standing(self, crane: Crane) -> Standing:
        """What has become of a link's suite."""
        return self._network.standing(crane.peer or b"", crane.suite)

    def is_over(self, crane: Crane, now_s: float, *, replaced: bool) -> bool:
        """Whether a link is to end now. To be asked again and again.

        One with a suite that is no longer allowed ends after the grace, whatever uses it; any other once
        nothing does.

        :param now_s: any clock, seconds.
        :param replaced: nobody needs it but the circuits that it carries.
        """
        standing = self.standing(crane)
        if standing is Standing.GOOD:
            self._since.pop(crane, None)
            return False
        before, since_s = self._since.get(crane, (Standing.GOOD, 0.0))
        if before is not standing:
            since_s = now_s
            self._since[crane] = standing, since_s
        waited_s = now_s - since_s
        if standing is Standing.FORBIDDEN and waited_s >= self._network.grace_s:
            return True
        # What only keeps bottles current begins anew on another link.
        return replaced and crane.link.legs <= crane.link.background and waited_s >= LINGER_S
