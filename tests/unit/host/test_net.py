"""Addresses, names and connections, as far as loopback and a made /sys go."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti.errors import InvalidParameter, UnsafePath
from ganeti.host import net

UNUSED = "192.0.2.77"
"""An address of the range for documentation, which no machine should have."""


@pytest.fixture
def sys_net(tmp_path: Path) -> Path:
    (tmp_path / "br0" / "bridge").mkdir(parents=True)
    (tmp_path / "eth0").mkdir()
    return tmp_path


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A listening socket on loopback; IPv6 is left out where the machine has none."""
    if not net.is_own_address(request.param):
        pytest.skip("this machine has no IPv6 loopback address")
    with socket.create_server((request.param, 0), family=net.address_family(request.param)) as server:
        yield server


# Interfaces ----------------------------------------------------------------------------------------------------------


def test_a_bridge_is_told_from_other_interfaces(sys_net: Path) -> None:
    assert net.bridge_exists("br0", sys_net=sys_net)
    assert not net.bridge_exists("eth0", sys_net=sys_net)
    assert not net.bridge_exists("br1", sys_net=sys_net)
    assert net.interface_exists("eth0", sys_net=sys_net)


@pytest.mark.parametrize("name", ["", "..", "../etc", "a/b", "eth0:1", "eth 0", "x" * 16, "é" * 8, "a\n"])
def test_what_no_interface_can_be_called_is_refused(name: str, sys_net: Path) -> None:
    with pytest.raises(UnsafePath):
        net.bridge_exists(name, sys_net=sys_net)
    with pytest.raises(UnsafePath):
        net.interface_exists(name, sys_net=sys_net)


def test_a_tap_needs_a_queue_and_a_name_an_interface_can_have() -> None:
    with pytest.raises(InvalidParameter, match="queue"):
        net.open_tap(queues=0)
    with pytest.raises(UnsafePath):
        net.open_tap("tap/0")


# Addresses -----------------------------------------------------------------------------------------------------------


def test_own_addresses_are_told_from_others() -> None:
    assert net.is_own_address("127.0.0.1")
    assert net.is_own_address("0.0.0.0")  # noqa: S104 - asked about, not bound for use
    assert not net.is_own_address(UNUSED)


@pytest.mark.parametrize("text", ["", "node1", "1.2.3", "127.0.0.1/8", "::1%lo", "127.0.0.01", " 127.0.0.1"])
def test_what_is_no_address_is_nobodys_and_refused_by_name(text: str) -> None:
    assert not net.is_own_address(text)
    with pytest.raises(InvalidParameter, match="address"):
        net.address_family(text)


def test_families_have_the_numbers_of_the_wire() -> None:
    assert (net.address_family("192.0.2.1"), net.address_family("2001:db8::1")) == (2, 10)


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [("h", 1, "h:1"), ("2001:db8::1", 1, "[2001:db8::1]:1"), ("2001:db8::1", None, "2001:db8::1"), ("h", None, "h")],
)
def test_an_address_with_a_port_is_unmistakable(host: str, port: int | None, text: str) -> None:
    assert net.format_address(host, port) == text


# Connections ---------------------------------------------------------------------------------------------------------


def test_a_listening_port_answers(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    assert net.tcp_ping(host, port, timeout_s=5, live_port_needed=True)
    assert net.tcp_ping(host, port, timeout_s=5, source=host)


def test_a_source_that_is_not_ours_is_ignored(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    assert net.tcp_ping(host, port, timeout_s=5, source=UNUSED)


def test_a_refusal_shows_a_living_host_but_no_live_port(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    listener.close()
    assert net.tcp_ping(host, port, timeout_s=5)
    assert not net.tcp_ping(host, port, timeout_s=5, live_port_needed=True)


def test_only_addresses_are_pinged() -> None:
    with pytest.raises(InvalidParameter):
        net.tcp_ping("localhost", 1)
