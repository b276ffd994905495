"""The SOCKS5 ingress: CONNECT for any program, names passed on as text, credentials as the isolation key.

Sockets and limits are here; what a handshake's bytes mean is :mod:`port17.client.ingress.socks5_handshake`'s.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated, ClassVar

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus
from pydantic import AfterValidator, Field

from port17.client.ingress import Ingress, Open
from port17.client.ingress.programs import Programs
from port17.client.ingress.socks5_handshake import Asked, Code, Handshake, Refused, code_of, reply
from port17.errors import ConveyorReset, NetworkError, NoRoute
from port17.links.splice import splice
from port17.links.tcp import TcpStream, bind, close, reset, split_address
from port17.navigator.policy import Request
from port17.wire.reasons import Reason

HANDSHAKE_READ = 16 * 1024
"""Bytes read at once during a handshake: its longest message is 513, the rest is early data."""
LINGER_S = 2.0
"""Seconds for which a refused program's last bytes are read and dropped, so that closing does not destroy
the reply on its way (a socket closed with unread data sends RST)."""
LINGER_CAP = 1024 * 1024
"""Bytes so dropped at most; a program that sends on regardless is reset."""

_log = logging.getLogger(__name__)


def _listen_address(text: str) -> str:
    split_address(text)
    return text


class Socks5(Ingress):
    """SOCKS5 (RFC 1928, 1929). BIND and UDP ASSOCIATE are refused with code 7."""

    name: ClassVar[str] = "socks5"

    class Config(Ingress.Config):
        """Options of the ingress.

        :param listen: ``HOST:PORT``; port 0 takes a free one. Whoever reaches it uses the network as you.
        :param handshake_timeout_s: seconds from connecting to a complete request; programs need
            milliseconds, and a connection that dawdles costs a slot.
        :param connect_timeout_s: seconds from the request to the destination's answer: above the exit's own.
        :param max_connections: connections at once; more are reset. A browser uses some hundred, and a
            process may commonly open 1024 files.
        """

        listen: Annotated[str, AfterValidator(_listen_address)] = "127.0.0.1:1080"
        handshake_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
        connect_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
        max_connections: Annotated[int, Field(ge=1, le=100_000)] = 960

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._connections = 0
        self._programs = Programs()

    async def serve(self, open: Open, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:  # noqa: A002
        """Serve programs until cancelled.

        :param task_status: is told ``HOST:PORT`` as bound.
        :raises OSError: the address cannot be bound.
        """
        bound = await bind(*split_address(self.config.listen))
        async with bound, anyio.create_task_group() as group:

            async def take(sock: socket.socket) -> None:
                stream = TcpStream(sock)
                if self._connections >= self.config.max_connections:
                    _log.warning("more than %d connections: one is refused", self.config.max_connections)
                    await reset(stream)
                    return
                self._connections += 1
                group.start_soon(self._serve_program, stream, open)

            if not ip_address(split_address(bound.address)[0]).is_loopback:
                _log.warning("SOCKS5 listens beyond this machine: whoever reaches it uses the network as you")
            task_status.started(bound.address)
            await bound.serve(take)

    async def _serve_program(self, stream: TcpStream, open_conveyor: Open) -> None:
        try:
            await self._converse(stream, open_conveyor)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            _log.debug("a program went away before it was served")
        except BaseException:
            await reset(stream)
            raise
        finally:
            self._connections -= 1
            await close(stream)

    async def _converse(self, stream: TcpStream, open_conveyor: Open) -> None:
        asked = None
        with anyio.move_on_after(self.config.handshake_timeout_s):
            asked = await self._shake_hands(stream)
        if asked is None:
            return
        try:
            program = await self._program(stream) if self.wants_program else ""
            conveyor = await open_conveyor(Request(asked.host, asked.port, asked.isolation, program=program))
        except NetworkError as error:
            await self._refuse(stream, error)
            return
        except Exception as error:  # noqa: BLE001
            # A route policy is a stranger's code: what it does wrong ends the connection that asked it.
            await self._refuse(stream, error)
            return

        async def accepted() -> bytes:
            try:
                with anyio.fail_after(self.config.connect_timeout_s):
                    await conveyor.accepted()
            except TimeoutError:
                raise ConveyorReset("the destination did not answer in time", Reason.TIMEOUT) from None
            return reply(Code.SUCCEEDED)

        try:
            await splice(stream, conveyor, ahead=asked.ahead, ready=accepted)
        except NetworkError as error:
            await self._refuse(stream, error)

    async def _program(self, stream: TcpStream) -> str:
        """The program's path. It takes a thread some milliseconds: the event loop does not wait."""
        return await anyio.to_thread.run_sync(self._programs.of, stream.beneath)

    async def _shake_hands(self, stream: TcpStream) -> Asked | None:
        """The program's request, or None if it got its last answer."""
        handshake = Handshake()
        while handshake.asked is None:
            try:
                answer = handshake.receive(await stream.receive(HANDSHAKE_READ))
            except Refused as refused:
                _log.info("a program's SOCKS5 handshake was refused: %s", refused)
                await _last_words(stream, refused.answer)
                return None
            if answer:
                await stream.send(answer)
        return handshake.asked

    async def _refuse(self, stream: TcpStream, error: Exception) -> None:
        """Answer with the true code. Only a conveyor's own end says something about the destination."""
        if isinstance(error, ConveyorReset):
            code, why = code_of(error.reason), Reason.read(error.reason).name
        elif isinstance(error, NoRoute):
            code = Code.NOT_ALLOWED if error.by_policy else Code.FAILURE
            why = f"{type(error).__name__}: {error.short}"
        else:
            code, why = Code.FAILURE, type(error).__name__
        # An error's text may name the destination, so only its kind is logged, or what it has for logs.
        _log.info("a connection was refused: %s", why)
        await _last_words(stream, reply(code))


async def _last_words(stream: TcpStream, answer: bytes) -> None:
    """Send an answer so that it arrives, then close."""
    with anyio.move_on_after(LINGER_S), suppress(anyio.EndOfStream, anyio.BrokenResourceError, OSError):
        if answer:
            await stream.send(answer)
        await stream.send_eof()
        dropped = 0
        while dropped < LINGER_CAP:
            dropped += len(await stream.receive(HANDSHAKE_READ))
    await close(stream)
