"""The contract of storage on images of a real Ceph cluster, mapped by the machine's own kernel."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from tests.contract.storage_answers import ANSWERS
from tests.contract.storage_contract import StorageContract, Workbench

from ganeti.actions.node import Node
from ganeti.host.clock import SystemClock
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.tools import rbd

NUMBERS = count()
"""Of the tests: each has images of its own. They stay, for the cluster and the machine are thrown away afterwards."""

MODE = DiskMode.READ_WRITE


@pytest.fixture
def bench(system: System, real_runner: SystemRunner) -> Workbench:
    """Images of the cluster that this machine's /etc/ceph/ceph.conf names."""
    prefix = f"test{next(NUMBERS)}."
    params: Parameters = {"pool": "rbd", "access": "kernelspace"}

    def disk(name: str, size: int) -> Disk:
        identity = ("rbd", f"{prefix}{name}.rbd.disk0")
        return Disk(dev_type=DiskType.RBD, logical_id=identity, size=size, iv_name="disk/0", mode=MODE, params=params)

    def leftovers() -> list[Path]:
        mapped = {each.name: Path(each.device) for each in rbd.mappings(real_runner)}
        images = {name for name in (*rbd.names(real_runner, "rbd"), *mapped) if name.startswith(prefix)}
        return sorted(mapped.get(name, Path(name)) for name in images)

    node = Node.compose(replace(system, runner=real_runner, clock=SystemClock()))
    return Workbench(node=node, disk=disk, answers=ANSWERS[DiskType.RBD], leftovers=leftovers)


class TestImages(StorageContract):
    """The contract on images, and what is an image's own."""

    @pytest.fixture
    def bench(self, bench: Workbench) -> Workbench:
        """Images of the cluster."""
        return bench
