"""The contract of storage against every registered driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.storage_contract import StorageContract, Workbench, file_bench, make

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.errors import NotSupported
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import BlockDevice
from ganeti.storage.registry import BlockDevices

BENCHES = {DiskType.FILE: file_bench, DiskType.SHAREDFILE: file_bench}


@pytest.mark.parametrize("kind", sorted(BENCHES))
class TestDrivers(StorageContract):
    """Every driver that can run without a machine of its own."""

    @pytest.fixture
    def bench(self, node: Node, tmp_path: Path, kind: DiskType) -> Workbench:
        """Disks of the type in a directory of their own."""
        store = tmp_path / "srv/store"
        store.mkdir(parents=True)
        return BENCHES[kind](node, store, kind)


def test_every_registered_driver_is_held_to_the_contract() -> None:
    assert set(BlockDevices.kinds()) == set(BENCHES)


def test_a_registered_class_serves_the_types_it_says() -> None:
    for kind in BlockDevices.kinds():
        assert kind in BlockDevice.registered[kind].kinds


@pytest.mark.parametrize("kind", sorted(set(DiskType) - set(BENCHES)))
def test_a_type_without_driver_is_refused_by_name(node: Node, kind: DiskType) -> None:
    with pytest.raises(NotSupported, match=kind):
        node.storage.device(Disk(dev_type=kind, logical_id=("a", "b")))


@pytest.mark.parametrize("kind", sorted(set(DiskType) - set(BENCHES)))
def test_a_type_without_driver_spoils_no_answer_about_others(node: Node, kind: DiskType, tmp_path: Path) -> None:
    bench = file_bench(node, tmp_path, DiskType.FILE)
    disks = (Disk(dev_type=kind, logical_id=("a", "b")), make(bench, "disk", 1))
    assert [worked for worked, _ in blockdev.mirror_status_multi(node, disks)] == [False, True]
    assert [worked for worked, _ in blockdev.pause_resume_sync(node, disks, True)] == [False, True]
    assert blockdev_data.dimensions(node, disks) == [None, (1 << 20, None)]
