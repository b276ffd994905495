"""Runs a node as a process: what there is around it, from its start until it has left or is ended."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
from anyio.abc import TaskStatus

from port17.bootstrapping import Bootstrap
from port17.config.settings import NodeConfig
from port17.links.process import allow_descriptors, forbid_core_dumps, keep_buffers, settle
from port17.network import KnownNetwork
from port17.node.identity_file import Passphrase
from port17.node.node import Node
from port17.node.state_lock import alone
from port17.plugins.loader import Registry


async def run(
    config: NodeConfig,
    registry: Registry,
    *,
    passphrase: Passphrase | None = None,
    leave: anyio.Event | None = None,
    task_status: TaskStatus[dict[str, Any]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node until cancelled, or until it has left.

    :param passphrase: asked if the node's identity is locked; None asks where the configuration says.
    :param leave: when it is set, the node leaves in order; then this returns.
    :param task_status: gets the node's status once it listens.
    :raises Port17Error: the configuration, a file it names, or a plugin is unusable.
    """
    forbid_core_dumps()
    allow_descriptors()
    keep_buffers()
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(config.state))
        network = KnownNetwork.load(config, registry)
        stack.callback(network.close)
        bootstrap = Bootstrap(config.bootstrap, config.state, network, config.name)
        await bootstrap.begin()
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(bootstrap.tend)
        node = Node(config, registry, network, tasks, passphrase)
        try:
            status = await node.run(stack)
            settle()
            task_status.started(status)
            await (leave or anyio.Event()).wait()
            await node.leave()
            tasks.cancel_scope.cancel()
        finally:
            node.stop()
