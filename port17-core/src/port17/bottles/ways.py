"""Which of a bottle's addresses may be dialled from here, and how they are written for that."""

from __future__ import annotations

from typing import TypeAlias

from port17.bottles.intake import LOCAL
from port17.bottles.neighbours import Neighbours
from port17.records.bottle import Label
from port17.records.host import host_of, objection

Way: TypeAlias = tuple[str, str]
"""A transport's name, and an address as it is dialled."""


def ways(
    label: Label, neighbours: Neighbours | None, now_s: float, *, allow_private: bool = False
) -> list[Way]:
    """The ways to a node, in the label's order.

    What the node's flavour forbids is left out: it would make us call somebody's neighbours. A link-local
    address of a local node is good only on the link where its beacons are heard.

    :param neighbours: who is known by beacons.
    :param now_s: of the clock that those go by.
    :param allow_private: of the configuration.
    """
    found: list[Way] = []
    for transport, addresses in label.addresses.items():
        for address in addresses:
            if objection(address, label.flavour, allow_private=allow_private):
                continue
            written = _with_scope(label, address, neighbours, now_s)
            if written is not None:
                found.append((transport, written))
    return found


def _with_scope(label: Label, address: str, neighbours: Neighbours | None, now_s: float) -> str | None:
    host = host_of(address)
    if label.flavour != LOCAL or host.ip is None or not host.ip.is_link_local or host.ip.version == 4:
        return address
    if neighbours is None:
        return None
    scoped = neighbours.scoped(label.identity.fingerprint, host.name, now_s)
    return None if scoped is None else f"[{scoped}]:{host.port}"
