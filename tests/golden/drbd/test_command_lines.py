"""Command lines for DRBD 8.4 and 9 against recorded ones, a file for each, a command a line.

Those of 8.4 were tried with the module 8.4.11 under drbd-utils 9.22. Those of 9 are UNVERIFIED ON A REAL KERNEL: they
follow from drbdsetup-9.0(8). After an intended change run the tests with REGENERATE_GOLDEN=1 and read the difference.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Secret, shown
from ganeti.tools.drbd import commands9, commands84
from ganeti.tools.drbd.commands import CommandLine, Commands
from ganeti.tools.drbd.devices import Device, Endpoint
from ganeti.tools.drbd.parameters import DrbdParameters

REGENERATE = os.environ.get("REGENERATE_GOLDEN") == "1"
HERE = Path(__file__).parent

DATA, METADATA = Path("/dev/xenvg/d_data"), Path("/dev/xenvg/d_meta")

PLAIN = DrbdParameters(
    resync_rate=61440,
    disabled_barriers="n",
    disable_meta_flush=False,
    disk_custom="",
    net_custom="",
    protocol="C",
    dynamic_resync=False,
    c_plan_ahead=20,
    c_fill_target=0,
    c_delay_target=1,
    c_max_rate=61440,
    c_min_rate=4096,
)
SPECIAL = DrbdParameters(
    resync_rate=61440,
    disabled_barriers="bf",
    disable_meta_flush=True,
    disk_custom="--al-extents=1009 --on-io-error 'pass_on'",
    net_custom="--ping-int 1 --max-buffers=8000",
    protocol="A",
    dynamic_resync=True,
    c_plan_ahead=30,
    c_fill_target=100,
    c_delay_target=2,
    c_max_rate=102400,
    c_min_rate=250,
)


def device(minor: int, local: str, remote: str, *, secret: bool = True) -> Device:
    port = 11000 + minor
    return Device(
        minor=minor,
        local=Endpoint.of(local, port),
        remote=Endpoint.of(remote, port),
        secret=Secret("0123456789abcdef") if secret else None,
    )


LOW = device(3, "192.0.2.1", "192.0.2.2")
HIGH = device(3, "192.0.2.2", "192.0.2.1")
IPV6 = device(4, "fd98::2", "fd98::1")
OPEN = device(5, "192.0.2.1", "192.0.2.2", secret=False)
ALONE = Device(minor=6)


def cases(commands: Commands) -> Iterator[tuple[str, list[CommandLine]]]:
    """What is asked, and the command lines for it."""
    yield "create metadata", [commands.create_metadata(3, METADATA)]
    for name, one in {"lower address": LOW, "higher address": HIGH, "no addresses": ALONE}.items():
        yield f"add, {name}", commands.add(one)
    yield "attach", commands.attach(LOW, DATA, METADATA, 2048, PLAIN)
    yield "attach, size not known", commands.attach(LOW, DATA, METADATA, 0, PLAIN)
    yield "attach, everything special", commands.attach(LOW, DATA, METADATA, 2048, SPECIAL)
    yield "connect", commands.connect(LOW, PLAIN, dual_primary=False)
    yield (
        "connect, both primary, the protocol is C whatever is asked",
        commands.connect(HIGH, SPECIAL, dual_primary=True),
    )
    yield "connect, everything special", commands.connect(LOW, SPECIAL, dual_primary=False)
    yield "connect, IPv6", commands.connect(IPV6, PLAIN, dual_primary=False)
    yield "connect, no secret", commands.connect(OPEN, PLAIN, dual_primary=False)
    yield "disconnect", commands.disconnect(LOW, "ipv4:192.0.2.1:1", "ipv4:192.0.2.2:2")
    yield "detach", [commands.detach(LOW)]
    yield "primary", [commands.primary(LOW, force=False)]
    yield "primary, forced", [commands.primary(LOW, force=True)]
    yield "secondary", [commands.secondary(LOW)]
    yield "down", [commands.down(LOW)]
    yield "resize", [commands.resize(LOW, 4096)]
    yield "pause", [commands.pause_sync(LOW, pause=True)]
    yield "resume", [commands.pause_sync(HIGH, pause=False)]


VERSIONS: dict[str, Commands] = {"commands84": commands84, "commands9": commands9}


@pytest.mark.parametrize("name", VERSIONS)
def test_the_command_lines_are_the_recorded_ones(name: str) -> None:
    lines = []
    for title, argvs in cases(VERSIONS[name]):
        lines += [f"# {title}", *(shlex.join(shown(argv)) for argv in argvs), ""]
    content = "\n".join(lines)
    recorded = HERE / f"{name}.txt"
    if REGENERATE:
        recorded.write_text(content)
    assert content == recorded.read_text()


@pytest.mark.parametrize("commands", VERSIONS.values(), ids=VERSIONS)
def test_the_secret_is_a_word_of_its_own_that_is_not_shown(commands: Commands) -> None:
    argv = commands.connect(LOW, PLAIN, dual_primary=False)[0]
    assert LOW.secret is not None
    assert argv[argv.index("--shared-secret") + 1] is LOW.secret
    assert not any("0123456789abcdef" in word for word in shown(argv))


@pytest.mark.parametrize("commands", VERSIONS.values(), ids=VERSIONS)
def test_a_device_without_addresses_cannot_be_connected(commands: Commands) -> None:
    with pytest.raises(BlockDeviceError, match="/dev/drbd6 has no addresses"):
        commands.connect(ALONE, PLAIN, dual_primary=False)


def test_both_nodes_come_to_different_numbers() -> None:
    assert (commands9.node_id(LOW), commands9.node_id(HIGH)) == (0, 1)
    near, far = device(1, "192.0.2.9", "192.0.2.10"), device(1, "192.0.2.10", "192.0.2.9")
    assert (commands9.node_id(near), commands9.node_id(far)) == (0, 1)
