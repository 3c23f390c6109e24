"""The contract of storage on real logical volumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.storage_answers import ANSWERS
from tests.contract.storage_contract import StorageContract, Workbench
from tests.machines import volume_group

from ganeti.actions.node import Node
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import DiskType


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    """A volume group on two disks."""
    with volume_group.volume_group(SystemRunner(), "/dev/vda", "/dev/vdb") as name:
        yield name


@pytest.fixture
def bench(system: System, real_runner: SystemRunner, group: str) -> Iterator[Workbench]:
    """Volumes of the group; none is left."""
    node = Node.compose(replace(system, runner=real_runner))

    def leftovers() -> list[Path]:
        return [Path("/dev", group, name) for name in volume_group.names(real_runner)]

    yield Workbench(node=node, disk=volume_group.disk, answers=ANSWERS[DiskType.PLAIN], leftovers=leftovers)
    volume_group.empty(real_runner)


class TestVolumes(StorageContract):
    """The contract on volumes."""

    @pytest.fixture
    def bench(self, bench: Workbench) -> Workbench:
        """Volumes of the group."""
        return bench
