"""The contract of storage on mirrors over real volumes; the other node is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lab import master_defaults
from tests.contract.storage_answers import ANSWERS
from tests.contract.storage_contract import StorageContract, Workbench

from ganeti.actions.node import Node
from ganeti.host.clock import SystemClock
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.tools.drbd import proc

GROUP = "mirrors"
META_MIB = 128
SECRET = "0123456789abcdef0123456789abcdef01234567"
PARAMETERS: Parameters = {**master_defaults.DRBD, "default-metavg": GROUP}


@pytest.fixture(scope="module", autouse=True)
def _group() -> Iterator[None]:
    """A volume group on the machine's disk, and the kernel modules."""
    runner = SystemRunner()
    runner.check(["modprobe", "dm-mod"])
    runner.check(["modprobe", "drbd", "minor_count=128", "usermode_helper=/bin/true"])
    runner.check(["vgcreate", "-q", GROUP, "/dev/vda"])
    yield
    runner.check(["vgremove", "-q", GROUP])


@pytest.fixture
def bench(system: System, real_runner: SystemRunner) -> Iterator[Workbench]:
    """Mirrors over volumes of the group; none is left."""
    minors = {name: minor for minor, name in enumerate(("one", "two", "new", "absent"))}

    def volumes() -> list[str]:
        return sorted(real_runner.check(["lvs", "--noheadings", "--options=lv_name", GROUP]).stdout.split())

    def devices() -> list[str]:
        return [f"resource{minor}" for minor in proc.read(real_runner).used()]

    yield Workbench(
        node=Node.compose(replace(system, runner=real_runner, clock=SystemClock())),
        disk=lambda name, size: mirror(name, size, minors[name]),
        answers=ANSWERS[DiskType.DRBD],
        leftovers=lambda: [Path(name) for name in (*devices(), *volumes())],
    )
    for resource in devices():
        real_runner.check(["drbdsetup", "down", resource])
    if volumes():
        real_runner.check(["lvremove", "-q", "-y", GROUP])


def mirror(name: str, size: int, minor: int) -> Disk:
    """One half of a mirror whose other half answers nobody."""

    def volume(part: str, mib: int) -> Disk:
        return Disk(dev_type=DiskType.PLAIN, logical_id=(GROUP, f"{name}_{part}"), size=mib, params={"stripes": 1})

    return Disk(
        dev_type=DiskType.DRBD,
        logical_id=("uuid1", "uuid2", 11000 + minor, minor, minor, SECRET),
        size=size,
        iv_name="disk/0",
        mode=DiskMode.READ_WRITE,
        children=(volume("data", size), volume("meta", META_MIB)),
        params=PARAMETERS,
        dynamic_params={
            "local-ip": "127.0.0.1",
            "remote-ip": "127.0.0.2",
            "local-minor": minor,
            "remote-minor": minor,
        },
        uuid=f"uuid-{minor}",
    )


class TestMirrors(StorageContract):
    """The contract on mirrors, and what is a mirror's own."""

    @pytest.fixture
    def bench(self, bench: Workbench) -> Workbench:
        """Mirrors over volumes."""
        return bench
