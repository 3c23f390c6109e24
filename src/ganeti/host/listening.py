"""Opening a daemon's port, also when it takes over from one that is just ending."""

from __future__ import annotations

import errno
import socket

from ganeti.errors import ConfigurationError, NodeError
from ganeti.host.clock import Clock, TryAgain, retry

Listener = socket.socket

BACKLOG = 1024
TAKE_OVER_S = 5.0


def service_port(name: str, default: int) -> int:
    """The TCP port of a service in the services database, or `default` when it is not known there."""
    try:
        return socket.getservbyname(name, "tcp")
    except OSError:
        return default


def interface_address(interface: str, family: int) -> str:
    """The first address of a family (2 or 10) an interface has. Raises: NodeError."""
    # Only who asks for an interface pays for what asks the kernel.
    from ganeti.host import net

    version = 4 if family == socket.AF_INET else 6
    for found in net.interface_addresses(interface):
        if found.version == version:
            return str(found.ip)
    raise NodeError(f"interface {interface} has no address of the cluster's family")


def open_listener(clock: Clock, address: str, port: int) -> Listener:
    """A listening TCP socket that does not block, on `address` (IPv4 or IPv6).

    A port in use is tried for some seconds: a daemon that was killed gives it back only when its serving process has
    noticed. Raises: TimedOut when it stays in use; ConfigurationError when the address is not one of this machine.
    """

    def attempt() -> Listener:
        try:
            return _listen(address, port)
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                raise TryAgain(f"address {address} port {port} is in use") from err
            raise ConfigurationError(f"cannot listen on address {address} port {port}: {err.strerror}") from err

    return retry(clock, attempt, delay_s=0.02, timeout_s=TAKE_OVER_S, factor=1.5, longest_s=0.5)


def _listen(address: str, port: int) -> Listener:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
