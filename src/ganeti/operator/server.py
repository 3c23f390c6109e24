"""Opens the operator's door on a Unix socket, in the event loop of the process it is part of."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from ganeti.actions.node import Node
from ganeti.errors import ConfigurationError
from ganeti.host import unix_sockets
from ganeti.operator.api import application
from ganeti.operator.guests import Guests
from ganeti.operator.inventory import Inventory
from ganeti.operator.overview import Overview

if TYPE_CHECKING:
    from socket import socket

SOCKET_MODE = 0o660
SOCKET_DIRECTORY_MODE = 0o770
DRAIN_S = 3600
SHIPPED_DEFINITIONS = (Path(__file__).resolve().parents[1] / "os", Path(__file__).resolve().parents[3] / "os")
"""The operating system definitions that come with this program: when it is installed, and in a checkout."""


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers (the process has its own), saying when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Door:
    """The open door."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None], socket_path: Path) -> None:
        """Remember what has to be closed."""
        self._server = server
        self._task = task
        self._socket_path = socket_path

    async def close(self) -> None:
        """Accept nothing more, and return when the running requests have been answered."""
        self._socket_path.unlink(missing_ok=True)
        self._server.should_exit = True
        await self._task


def own_node(node: Node) -> Node:
    """The node as its own master: it keeps an inventory and knows the operating systems that come with this program.

    Raises: NodeError when the inventory is of a newer version than this program.
    """
    search_path = (*node.paths.os_search_path, *(place for place in SHIPPED_DEFINITIONS if place.is_dir()))
    system = dataclasses.replace(node.system, paths=dataclasses.replace(node.paths, os_search_path=search_path))
    composed = Node.compose(system)
    return dataclasses.replace(composed, records=Inventory(system.paths.inventory, system.clock))


async def open_door(node: Node, socket_path: Path) -> Door:
    """Serve the operator's HTTP interface on `socket_path`; return when it can be asked.

    `node` is one made by `own_node`. Raises: NodeError when something else answers there; OSError.
    """
    if not isinstance(node.records, Inventory):
        raise ConfigurationError("the operator's door needs a node with an inventory")
    inventory = node.records
    socket_path.parent.mkdir(mode=SOCKET_DIRECTORY_MODE, parents=True, exist_ok=True)
    listener = unix_sockets.listen(socket_path, mode=SOCKET_MODE)
    config = uvicorn.Config(
        application(Guests(node, inventory), Overview(node)),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]), name="operator's door")
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        await task
    return Door(server, task, socket_path)
