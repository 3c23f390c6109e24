"""The serving process: one event loop that opens the doors, and drains when its keeper goes.

Imported only in that process: the keeper stays small.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from ganeti.actions import job_queue
from ganeti.actions.node import Node
from ganeti.constants import IP6_FAMILY, MIB, NODED, NODED_PORT, RELEASE_VERSION
from ganeti.daemon.keeper import SIGNALS, Lines
from ganeti.daemon.options import Options
from ganeti.errors import NodeError
from ganeti.host import certificates
from ganeti.host.listening import interface_address, open_listener, service_port
from ganeti.host.memory import lock_memory
from ganeti.noded import dispatch, table
from ganeti.noded.dispatch import Dispatcher
from ganeti.noded.http import Limits
from ganeti.noded.server import Server
from ganeti.noded.tls import Gate, server_context

if TYPE_CHECKING:
    from ganeti.operator.server import Door

log = logging.getLogger(__name__)


def run(node: Node, options: Options, lines: Lines, reopen_logs: Callable[[], None]) -> int:
    """Serve until the keeper goes and the last call has been answered. Returns the exit status."""
    try:
        # Before the event loop runs: the netlink library has one of its own.
        address = _address(node, options)
        asyncio.run(_serve(node, options, address, lines, reopen_logs))
    except (NodeError, OSError, ValueError) as err:
        log.critical("Cannot serve: %s", err, exc_info=options.debug)
        lines.failed(str(err))
        return 1
    return 0


async def _serve(node: Node, options: Options, address: str, lines: Lines, reopen_logs: Callable[[], None]) -> None:
    keeper = os.getppid()
    stop = _listen_to_keeper(lines, reopen_logs)
    log.info("%s %s starts", NODED, RELEASE_VERSION)
    if options.lock_memory:
        _lock_memory()
    _prepare_job_queue(node)
    door: Door | None = None
    if options.operator:
        # The operator's door brings a web framework with it; a node that does not open it does not pay for it.
        from ganeti.operator.server import open_door, own_node

        node = own_node(node)
        door = await open_door(node, options.operator_socket or node.paths.operator_socket)
    dispatcher = Dispatcher(
        node,
        table.load(),
        short_threads=options.max_clients or dispatch.SHORT_THREADS,
        long_threads=options.max_clients or dispatch.LONG_THREADS,
        end=lambda: _end(keeper, stop),
    )
    context, gate = _tls(node, options) if options.use_ssl else (None, None)
    server = Server(dispatcher, context=context, gate=gate, limits=Limits(body_bytes=options.max_body_mib * MIB))
    listener = open_listener(node.clock, address, _port(options))
    await server.listen([listener])
    # What was loaded stays; the garbage collector need never look at it.
    gc.freeze()
    gc.enable()
    log.info("Listening on %s port %d", *listener.getsockname()[:2])
    lines.ready()
    await stop.wait()
    server.stop_listening()
    lines.closed()
    if door is not None:
        await door.close()
    await server.drained()
    dispatcher.close()
    log.info("All calls have been answered; the serving process ends")


def _listen_to_keeper(lines: Lines, reopen_logs: Callable[[], None]) -> asyncio.Event:
    """An event that is set when this process shall stop to accept: the keeper is gone, or SIGTERM came."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def keeper_gone() -> None:
        loop.remove_reader(lines.lifeline)
        stop.set()

    loop.add_reader(lines.lifeline, keeper_gone)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reopen_logs)
    # A terminal's interrupt goes to all its processes; the keeper alone decides.
    loop.add_signal_handler(signal.SIGINT, log.debug, "Interrupt left to the keeper")
    # Blocked since the keeper forked; programs that are started from here on must not inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return stop


def _lock_memory() -> None:
    try:
        lock_memory()
    except NodeError as err:
        log.warning("Going on without locked memory: %s", err)


def _end(keeper: int, stop: asyncio.Event) -> None:
    """Let the keeper stop the daemon; when it is gone, stop without it."""
    log.info("The node leaves its cluster; the daemon stops")
    if os.getppid() == keeper:
        os.kill(keeper, signal.SIGTERM)
    else:
        stop.set()


def _prepare_job_queue(node: Node) -> None:
    """Make the queue's first files. Raises: ConfigurationError when the queue is of another version."""
    try:
        job_queue.prepare(node)
    except OSError as err:
        # As the original: a node without a queue can do everything else.
        log.critical("The job queue cannot be used: %s", err)


def _tls(node: Node, options: Options) -> tuple[ssl.SSLContext, Gate]:
    certificate = options.ssl_cert or node.paths.server_pem
    key = options.ssl_key or node.paths.server_pem
    # Clients are issued by the cluster's certificate, whatever this daemon itself shows.
    authority = node.paths.server_pem if node.paths.server_pem.is_file() else certificate
    context = server_context(certificate, key, authority)
    return context, Gate(node.paths, certificates.first_der(authority))


def _port(options: Options) -> int:
    return service_port(NODED, NODED_PORT) if options.port is None else options.port


def _address(node: Node, options: Options) -> str:
    family = node.ssconf.primary_ip_family()
    if options.interface is not None:
        return interface_address(options.interface, family)
    return options.bind or ("::" if family == IP6_FAMILY else "0.0.0.0")  # noqa: S104 - every address, also later ones
