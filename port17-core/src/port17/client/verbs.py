"""What a running client is asked about its circuits, and told to do with them, by its control socket."""

from __future__ import annotations

from typing import Any, Final

import anyio

from port17.client.circuits import Circuits
from port17.client.entries import Entries
from port17.client.shown import described, described_link
from port17.control import Verb
from port17.errors import NetworkError, UsageError
from port17.navigator.policy import Request, SecurityLevel
from port17.network import KnownNetwork
from port17.records.exit_rules import LAST_PORT

BUILDS_CAP: Final = 1000
"""Most circuits that one control request may build."""
BUILD_S: Final = 20.0
"""Seconds after which a circuit that was asked for by itself counts as failed."""
BUILD_PAUSE_S: Final = 0.15
"""Seconds between two of them, so that each is measured by itself."""


class Verbs:
    """The verbs of one client."""

    def __init__(
        self,
        network: KnownNetwork,
        circuits: Circuits,
        entries: Entries,
        level: SecurityLevel,
    ) -> None:
        """:param level: the user's."""
        self._network = network
        self._circuits = circuits
        self._entries = entries
        self._level = level

    @property
    def by_name(self) -> dict[str, Verb]:
        """What can be asked."""
        return {"circuits": self.circuits, "build": self.build, "renew": self.renew}

    async def circuits(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the control verb ``circuits`` answers."""
        now_s = anyio.current_time()
        return {
            "circuits": [
                described(built, now_s, spare=built in self._circuits.spares) for built in self._circuits
            ],
            "links": [described_link(crane, self._network, now_s) for crane in self._entries],
        }

    async def renew(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the control verb ``renew`` does: nothing new uses what stands now.

        Arguments: ``end``, to end what is open as well.
        """
        end = args.get("end", False)
        if type(end) is not bool:
            raise UsageError("renew takes end, true or false.")
        ended, left = self._circuits.renew(end=end)
        return {"ended": ended, "left": left}

    async def build(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the control verb ``build`` does: fresh circuits, one after the other, timed and ended.

        Arguments: ``count``, and ``host`` and ``port`` that the exits are to allow.
        """
        count, host, port = args.get("count", 1), args.get("host", "127.0.0.1"), args.get("port", 443)
        if type(count) is not int or not 1 <= count <= BUILDS_CAP or not isinstance(host, str):
            raise UsageError(f"build takes a count from 1 to {BUILDS_CAP}, a host and a port.")
        if type(port) is not int or not 0 < port <= LAST_PORT:
            raise UsageError(f"build takes a port from 1 to {LAST_PORT}.")
        answered_ms: list[float] = []
        whole_ms: list[float] = []
        for _ in range(count):
            begun_s = anyio.current_time()
            built = await self._circuits.build(Request(host, port, level=self._level))
            with anyio.move_on_after(BUILD_S):
                await built.waiting.wait()
            circuit = built.circuit
            if circuit.confirmed_s is None or circuit.written_s is None:
                self._circuits.end(built)
                raise NetworkError("a circuit could not be built")
            answered_ms.append((circuit.confirmed_s - circuit.written_s) * 1e3)
            whole_ms.append((circuit.confirmed_s - begun_s) * 1e3)
            self._circuits.end(built)
            await anyio.sleep(BUILD_PAUSE_S)
        return {"build_ms": answered_ms, "whole_ms": whole_ms}
