"""Tap interfaces and addresses of this machine, made and removed again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti.errors import HypervisorError, NodeError
from ganeti.host import net
from ganeti.host.runner import SystemRunner

NAME = f"gt{os.getpid()}"
FLAGS = Path("/sys/class/net")

# from linux/if_tun.h
VNET_HDR, MULTI_QUEUE = 0x4000, 0x0100


@pytest.fixture
def tap() -> Iterator[net.Tap]:
    with net.open_tap(NAME) as opened:
        yield opened


def flags_of(name: str) -> int:
    return int((FLAGS / name / "tun_flags").read_text(), 16)


def test_the_kernel_picks_a_name_which_comes_back_as_text() -> None:
    with net.open_tap() as tap:
        assert tap.name.startswith("tap")
        assert net.interface_exists(tap.name)
        assert len(tap.fds) == 1
        assert not any(os.get_inheritable(descriptor) for descriptor in tap.fds)


def test_a_tap_lives_as_long_as_its_descriptor(tap: net.Tap) -> None:
    assert tap.name == NAME
    assert net.interface_exists(NAME)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, tap.fds[0])  # the number stays ours to close
    os.close(nothing)
    assert not net.interface_exists(NAME)


def test_a_tap_passed_on_lives_with_the_program_that_got_it(real_runner: SystemRunner) -> None:
    with net.open_tap(NAME) as tap:
        result = real_runner.run(["cat", f"/proc/self/fdinfo/{tap.fds[0]}"], pass_fds=tap.fds)
    assert f"iff:\t{NAME}" in result.stdout
    assert not net.interface_exists(NAME)


def test_the_virtio_header_is_there_unless_declined(tap: net.Tap) -> None:
    assert flags_of(tap.name) & VNET_HDR
    with net.open_tap(vnet_hdr=False) as plain:
        assert not flags_of(plain.name) & VNET_HDR


def test_several_queues_are_one_interface() -> None:
    with net.open_tap(queues=3) as tap:
        assert len(set(tap.fds)) == 3
        assert flags_of(tap.name) & MULTI_QUEUE


def test_a_name_in_use_is_an_error_and_leaves_no_descriptor(tap: net.Tap) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the descriptor of the listing itself is in both
    with pytest.raises(HypervisorError, match=f"{NAME}: Device or resource busy"):
        net.open_tap(NAME)
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_the_kernels_help_is_there_for_every_queue_or_missed_by_name() -> None:
    if net.VHOST_DEVICE.exists():
        with net.open_tap(queues=2, vhost=True) as tap:
            assert len(tap.vhost_fds) == 2
    else:
        with pytest.raises(HypervisorError, match="/dev/vhost-net"):
            net.open_tap(NAME, vhost=True)
        assert not net.interface_exists(NAME)


def test_addresses_are_told_with_their_prefixes(tap: net.Tap, real_runner: SystemRunner) -> None:
    for address in ("198.51.100.9/24", "198.51.100.9/32", "2001:db8::9/64"):
        real_runner.check(["ip", "address", "add", address, "dev", tap.name])
    assert {str(address) for address in net.interface_addresses(tap.name)} == {
        "198.51.100.9/24",
        "198.51.100.9/32",
        "2001:db8::9/64",
    }
    assert net.is_own_address("198.51.100.9")
    real_runner.check(["ip", "address", "flush", "dev", tap.name])
    assert net.interface_addresses(tap.name) == []
    assert not net.is_own_address("198.51.100.9")


def test_the_own_address_of_a_point_to_point_link_is_told_not_the_peers(
    tap: net.Tap, real_runner: SystemRunner
) -> None:
    real_runner.check(["ip", "address", "add", "198.51.100.9", "peer", "198.51.100.10/32", "dev", tap.name])
    assert [str(address) for address in net.interface_addresses(tap.name)] == ["198.51.100.9/32"]


def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(NodeError, match="there is no interface nosuch0"):
        net.interface_addresses("nosuch0")
