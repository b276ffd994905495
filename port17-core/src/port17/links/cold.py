"""A cold call over one ship: ask a node for fresh prekeys, take its answer, close.

What is asked of whom, and what is made of an answer, is :mod:`port17.refreshing`'s; answering is part of
:func:`port17.links.crane.answer`, which takes whatever call comes.
"""

from __future__ import annotations

import logging

import anyio

from port17.errors import HandshakeFailed, Port17Error
from port17.links.crane import HANDSHAKE_S
from port17.links.transport import Ship, receive_exactly
from port17.wire.cold import Check, ColdCaller, Want
from port17.wire.prekey import Network
from port17.wire.suite import CipherSuite

_log = logging.getLogger(__name__)


async def cold_call(
    ship: Ship,
    network: Network,
    suite: CipherSuite,
    responder: bytes,
    now_s: float,
    check: Check,
    want: Want = Want.PREKEYS,
) -> bytes:
    """What a node says of itself, signed for this call.

    :param ship: a fresh one to the node; closed when this returns.
    :param suite: the one to use with the node.
    :param responder: its fingerprint.
    :param now_s: Unix time.
    :param check: says whether the answer is the node's.
    :raises HandshakeFailed: no answer came, or it is not the node's: who refuses is silent.
    """
    try:
        with anyio.fail_after(HANDSHAKE_S):
            caller = _caller(network, suite, responder, now_s, want)
            await ship.send(caller.flight)
            return caller.finish(await receive_exactly(ship, len(caller.flight)), check)
    except (TimeoutError, OSError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise HandshakeFailed(
            "a node does not answer a cold call",
            cure="If others do, it may be gone, or have answered too many; else check this machine's clock.",
        ) from error
    finally:
        with anyio.CancelScope(shield=True):
            await ship.aclose()


def _caller(network: Network, suite: CipherSuite, responder: bytes, now_s: float, want: Want) -> ColdCaller:
    """A plugin's suite that raises costs this call."""
    try:
        return ColdCaller(network, suite, responder, now_s, want)
    except Port17Error:
        raise
    except Exception as fault:
        _log.error("no call is begun: the cipher suite %s fails: %s", suite.name, type(fault).__name__)
        raise HandshakeFailed(f"the cipher suite {suite.name} fails here") from fault
