"""Addresses, interfaces and tap devices of this node, and whether others answer.

Listening sockets are made by `listening` and `unix_sockets`. Netlink is used only where the kernel offers no file: for
the addresses of an interface.
"""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import os
import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from ganeti.errors import HypervisorError, InvalidParameter, NodeError, UnsafePath
from ganeti.host.paths import component

log = logging.getLogger(__name__)

SYS_NET: Final = Path("/sys/class/net")
LONGEST_INTERFACE_NAME: Final = 15

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# Tap devices ---------------------------------------------------------------------------------------------------------

# Source: linux/if_tun.h. The request is a struct ifreq: 16 bytes of name, a union of 24 bytes that starts with flags.
_TUNGETFEATURES: Final = 0x800454CF
_TUNSETIFF: Final = 0x400454CA
_IFREQ: Final = struct.Struct("16sH22x")
_IFF_TAP: Final = 0x0002
_IFF_MULTI_QUEUE: Final = 0x0100
_IFF_NO_PI: Final = 0x1000
_IFF_ONE_QUEUE: Final = 0x2000
_IFF_VNET_HDR: Final = 0x4000

TUN_DEVICE: Final = Path("/dev/net/tun")
VHOST_DEVICE: Final = Path("/dev/vhost-net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """A tap interface this process holds open: one descriptor a queue, and as many of vhost-net when asked for.

    The interface lives as long as somebody holds a descriptor of it: pass them on to the guest, then close it here.
    """

    name: str
    fds: tuple[int, ...]
    vhost_fds: tuple[int, ...] = ()

    def close(self) -> None:
        """Give up this process's descriptors."""
        for descriptor in (*self.fds, *self.vhost_fds):
            os.close(descriptor)

    def __enter__(self) -> Tap:
        """Use it; closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def open_tap(name: str = "", *, vnet_hdr: bool = True, queues: int = 1, vhost: bool = False) -> Tap:
    """Make a tap interface; the kernel picks a name (`tap<n>`) when none is given.

    `vnet_hdr` is left off with a warning where the kernel has it not. Descriptors are not inherited by programs unless
    passed on by number. Raises: HypervisorError; UnsafePath for a name no interface can have.
    """
    if name:
        interface_name(name)
    if queues < 1:
        raise InvalidParameter("queues", "a tap has at least one queue")
    with ExitStack() as undo:
        descriptors: list[int] = []
        for _ in range(queues):
            descriptor = _open_device(TUN_DEVICE)
            undo.callback(os.close, descriptor)
            flags = _tap_flags(descriptor, vnet_hdr=vnet_hdr, queues=queues)
            # the first queue's name makes the others queues of the same interface
            name = _attach(descriptor, name, flags)
            descriptors.append(descriptor)
        vhost_descriptors: list[int] = []
        for _ in range(queues if vhost else 0):
            descriptor = _open_device(VHOST_DEVICE)
            undo.callback(os.close, descriptor)
            vhost_descriptors.append(descriptor)
        undo.pop_all()
    return Tap(name=name, fds=tuple(descriptors), vhost_fds=tuple(vhost_descriptors))


def _open_device(device: Path) -> int:
    try:
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        raise HypervisorError(f"cannot open {device}: {err.strerror}") from err


def _tap_flags(descriptor: int, *, vnet_hdr: bool, queues: int) -> int:
    try:
        (features,) = struct.unpack("I", fcntl.ioctl(descriptor, _TUNGETFEATURES, struct.pack("I", 0)))
    except OSError as err:
        log.warning("The kernel does not tell what tap interfaces can do: %s", err.strerror)
        features = 0
    flags = _IFF_TAP | _IFF_NO_PI
    if vnet_hdr:
        if features & _IFF_VNET_HDR:
            flags |= _IFF_VNET_HDR
        else:
            log.warning("The kernel offers no virtio header on tap interfaces; going on without")
    if queues == 1:
        return flags | _IFF_ONE_QUEUE
    if not features & _IFF_MULTI_QUEUE:
        raise HypervisorError(f"the kernel offers one queue a tap interface, not {queues}")
    return flags | _IFF_MULTI_QUEUE


def _attach(descriptor: int, name: str, flags: int) -> str:
    try:
        answer = fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
    except OSError as err:
        raise HypervisorError(f"cannot make tap interface {name or '(any name)'}: {err.strerror}") from err
    chosen: bytes
    chosen, _ = _IFREQ.unpack(answer)
    return chosen.rstrip(b"\0").decode()


# Interfaces ----------------------------------------------------------------------------------------------------------


def interface_name(name: str) -> str:
    """Return `name` if an interface can be called so. Raises: UnsafePath."""
    component(name)
    if len(name.encode()) > LONGEST_INTERFACE_NAME or ":" in name or any(char.isspace() for char in name):
        raise UnsafePath(name, "an interface has up to 15 bytes of name without colon or blank")
    return name


def interface_exists(name: str, *, sys_net: Path = SYS_NET) -> bool:
    """Whether this node has an interface of that name. Raises: UnsafePath."""
    return (sys_net / interface_name(name)).exists()


def bridge_exists(name: str, *, sys_net: Path = SYS_NET) -> bool:
    """Whether this node has a bridge of that name. Raises: UnsafePath."""
    return (sys_net / interface_name(name) / "bridge").is_dir()


def interface_addresses(name: str) -> list[Interface]:
    """The addresses of an interface with their prefix lengths, in the kernel's order. Raises: NodeError."""
    # 170 ms and 20 MiB of memory: only who asks pays for it
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        messages = netlink.get_addr(index=_index(name))
        # a point-to-point link has its own address in LOCAL and the peer's in ADDRESS; IPv6 has ADDRESS alone
        return [
            ipaddress.ip_interface(f"{m.get_attr('IFA_LOCAL') or m.get_attr('IFA_ADDRESS')}/{m['prefixlen']}")
            for m in messages
        ]


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(interface_name(name))
    except OSError as err:
        raise NodeError(f"there is no interface {name}") from err


# Names and addresses -------------------------------------------------------------------------------------------------


def parse_address(text: str) -> Address:
    """The address `text` stands for. Raises: InvalidParameter."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as err:
        raise InvalidParameter("address", f"{text!r} is not an IP address") from err
    if getattr(address, "scope_id", None) is not None:
        raise InvalidParameter("address", f"{text!r} has a zone, which means nothing on another node")
    return address


def address_family(text: str) -> int:
    """2 for an IPv4 address, 10 for IPv6. Raises: InvalidParameter."""
    return int(socket.AF_INET if parse_address(text).version == 4 else socket.AF_INET6)


def resolve(host: str) -> Address:
    """The address of a host by its name, the first the resolver gives; an address is its own. Raises: NodeError."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise NodeError(f"the address of host {host!r} cannot be told: {err}") from err
    return parse_address(str(answers[0][4][0]))


def is_own_address(text: str) -> bool:
    """Whether this node has the address; the wildcards count as its own, what is no address does not.

    Asked by binding a datagram socket, which costs two system calls and sees every interface. True for any address when
    the administrator has set net.ipv4.ip_nonlocal_bind.
    """
    try:
        family = address_family(text)
    except InvalidParameter:
        return False
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.bind((text, 0))
        except OSError:
            return False
    return True


def format_address(host: str, port: int | None = None) -> str:
    """`host:port`, with brackets around an IPv6 address; the host alone without a port."""
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def full_name(name: str = "") -> str:
    """The fully qualified name of a host, of this one by default; the name itself when it cannot be resolved."""
    return socket.getfqdn(name).lower().rstrip(".")


# Connections ---------------------------------------------------------------------------------------------------------


def tcp_ping(
    target: str,
    port: int,
    *,
    timeout_s: float = 10,
    live_port_needed: bool = False,
    source: str | None = None,
) -> bool:
    """Whether `target` answers on `port`. A refusal shows a living host and counts, unless a live port is needed.

    An address `source` that is not this node's is ignored, and the connection is made from the default one: the
    original does so, and its cluster verification counts on it. Raises: InvalidParameter when `target` is no address.
    """
    family = address_family(target)
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        if source is not None:
            try:
                probe.bind((source, 0))
            except OSError as err:
                log.debug("Not pinging %s from %s: %s", target, source, err)
        probe.settimeout(timeout_s)
        try:
            probe.connect((target, port))
        except ConnectionRefusedError:
            return not live_port_needed
        except OSError:
            return False
    return True
