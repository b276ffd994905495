"""A key that passed when its bottle was taken in, and is none all the same: one circuit fails, no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from port17.errors import HandshakeFailed
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Route
from port17.wire.prekey import ResponderKey

from . import test_client_turnover as turnover
from .test_client_turnover import REQUEST, Client, on_virtual_clock
from .wire_unusable import publics

BAD = "oak"
CIRCUITS = 25
"""More than enough that a node of four would be in one, if it were not set aside."""


@pytest.mark.parametrize("what", ["empty", "a byte short", "point 0", "point of order 8"])
def test_its_node_is_set_aside(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnover, "NAMES", ("ash", "elm", BAD, "yew"))

    async def test(client: Client) -> None:
        prekeys = client.prekeys
        true = prekeys.keys

        async def keys(nodes: Sequence[ChartNode]) -> list[ResponderKey | None]:
            return [
                held
                if held is None or node.name != BAD
                else dataclasses.replace(held, public=publics(held.suite)[what])
                for node, held in zip(nodes, await true(nodes), strict=True)
            ]

        monkeypatch.setattr(prekeys, "keys", keys)
        failed: list[Any] = []
        built = []
        for _ in range(CIRCUITS):
            try:
                built.append(await client.circuits.build(REQUEST))
            except HandshakeFailed as error:
                failed.append(error)
        assert len(failed) == 1
        assert BAD not in {node.name for one in built for node in one.route.nodes}
        # The control: with its true key it is in routes, once it is no longer set aside.
        monkeypatch.setattr(prekeys, "keys", true)
        bad = next(node for node in client.known.chart() if node.name == BAD)
        client.draws.failures.worked(Route((bad,)), anyio.current_time())
        again = [await client.circuits.build(REQUEST) for _ in range(CIRCUITS)]
        assert BAD in {node.name for one in again for node in one.route.nodes}

    on_virtual_clock(tmp_path, test)
