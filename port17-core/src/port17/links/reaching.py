"""Dialling what a bottle advertises: nothing that its flavour forbids, also not where a name leads to it."""

from __future__ import annotations

import errno
from typing import Final

import anyio

from port17.links.dialling import interleave, resolve
from port17.links.tcp import join_address
from port17.links.transport import Ship, Transport
from port17.records.host import Flavour, forbidden, host_of, objection

NUMBERS_CAP: Final = 3
"""Most numbers tried of one name, in turn: one of each family, and one more."""
NUMBER_S: Final = 4.0
"""Seconds until the next number of a name is tried."""


async def reach(transport: Transport, address: str, flavour: Flavour, *, allow_private: bool = False) -> Ship:
    """A ship to an address.

    :param flavour: of the bottle that names it.
    :param allow_private: of the configuration.
    :raises OSError: it cannot be reached, or is not to be. The caller sets the time limit.
    :raises ValueError: it is not of the transport's form.
    """
    transport.check_address(address)
    why = objection(address, flavour, allow_private=allow_private)
    if why:
        raise PermissionError(errno.EACCES, f"an address that is not dialled: {why}")
    host = host_of(address)
    if not transport.resolves or not host.is_name or allow_private:
        return await transport.dial(address)
    found = interleave(await resolve(host.name, host.port))
    if any(forbidden(ip, flavour) for ip in found):
        raise PermissionError(errno.EACCES, "a name that leads to an address that is not dialled")
    trouble: OSError = OSError(errno.EHOSTUNREACH, "a name that leads nowhere")
    for ip in found[:NUMBERS_CAP]:
        try:
            with anyio.fail_after(NUMBER_S):
                # By number: another answer to the same question could lead elsewhere.
                return await transport.dial(join_address(str(ip), host.port))
        except OSError as error:
            trouble = error
    raise trouble
