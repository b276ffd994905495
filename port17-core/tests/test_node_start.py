"""A node as it is made: what goes wrong then must not cost the next start anything."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from port17.config.settings import NodeConfig
from port17.errors import Port17Error
from port17.node.node import Node
from port17.node.replays import MARK

from .amended_network import Amended


def start(net: Amended, config: NodeConfig) -> Node:
    async def made() -> Node:
        async with anyio.create_task_group() as tasks:
            return Node(config, net.registry, net.known(config), tasks)

    try:
        return anyio.run(made)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@pytest.mark.parametrize("wrong", ["exit rule", "transport", "lanes", "local network"])
def test_a_start_that_fails_is_no_unclean_stop(
    wrong: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = Amended(tmp_path)
    net.node()
    lanes = tmp_path / "lanes.json"
    lanes.write_text(json.dumps(7))
    changes: dict[str, dict[str, object]] = {
        "exit rule": {"exit": {"enabled": True, "allow": ["nonsense"]}},
        "transport": {"transports": {"pigeon": {}}},
        "lanes": {"lanes": lanes},
        "local network": {"local_network": {"driver": "pigeons"}},
    }
    with pytest.raises(Port17Error):
        start(net, net.config(**changes[wrong]))
    node = start(net, net.config())
    assert "unclean" not in caplog.text
    assert (tmp_path / "ash-state" / MARK).exists()
    node.stop()
    assert not (tmp_path / "ash-state" / MARK).exists()
