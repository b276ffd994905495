"""Calling a node of the chart: its addresses in turn, by the transports at hand."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio

from port17.errors import NetworkError
from port17.links.crane import Crane, Terms, dial
from port17.links.transport import Transport
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork

DIAL_S = 10.0
"""Seconds for a ship to one address."""

_log = logging.getLogger(__name__)


async def call(
    node: ChartNode, network: KnownNetwork, transports: Mapping[str, Transport], terms: Terms
) -> Crane:
    """A crane to a node, by the first of its addresses that answers.

    :raises NetworkError: it has no address or prekey that we can use, or none answered.
    """
    to = network.responder(node)
    if to is None:
        raise NetworkError(f"{node.name} has no prekey that can be used now")
    for name, addresses in node.addresses.items():
        transport = transports.get(name)
        if transport is None:
            continue
        for address in addresses:
            try:
                transport.check_address(address)
                with anyio.fail_after(DIAL_S):
                    ship = await transport.dial(address)
                return await dial(ship, terms, to)
            except (OSError, ValueError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
                _log.debug("an address of %s does not answer: %s", node.name, type(error).__name__)
    raise NetworkError(f"no address of {node.name} answers")
