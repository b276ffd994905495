"""Where a local node says that it is: at private and link-local addresses alone, which lead nobody from
beyond its network anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from port17.errors import ConfigError
from port17.links.interfaces import own_addresses
from port17.links.tcp import join_address
from port17.records.bottle import ADDRESSES_CAP
from port17.records.host import objection

EVERYWHERE: Final = frozenset({"*", "0.0.0.0", "[::]"})
"""Hosts that are listened at by who listens at all of the machine's addresses."""


def local_addresses(advertised: Sequence[str], *, allow_private: bool) -> list[str]:
    """What a local node's bottle names for one transport.

    :param advertised: as configured; who listens everywhere is at each of this machine's addresses that a
        local network can know. There may be none at the moment.
    :param allow_private: of the configuration: any address will do.
    :raises ConfigError: one of them is no local network's.
    """
    found: list[str] = []
    for address in advertised:
        host, _, port = address.rpartition(":")
        if host in EVERYWHERE:
            own = (join_address(str(one), int(port)) for one in own_addresses())
            found += [one for one in own if not objection(one, "local")]
            continue
        why = objection(address, "local", allow_private=allow_private)
        if why:
            raise ConfigError(
                f"A local node cannot be at {address}: {why}.",
                cure="Set listen and advertise to private or link-local addresses, or make it a public node.",
            )
        found.append(address)
    return list(dict.fromkeys(found))[:ADDRESSES_CAP]
