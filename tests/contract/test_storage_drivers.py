"""The contract of storage against drivers that need no machine of their own; and that every driver is held to it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.storage_answers import ANSWERS, Operation
from tests.contract.storage_contract import StorageContract, Workbench, file_bench, make

from ganeti.actions import blockdev, blockdev_data
from ganeti.actions.node import Node
from ganeti.errors import NotSupported
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import BlockDevice
from ganeti.storage.registry import BlockDevices

FAST = (DiskType.FILE, DiskType.SHAREDFILE)
TESTS = Path(__file__).parents[1]
ELSEWHERE = ("hosts", "machines")
"""Directories of tests that have real devices."""
DRIVERLESS = sorted(set(DiskType) - set(BlockDevices.kinds()))


@pytest.mark.parametrize("kind", FAST)
class TestDrivers(StorageContract):
    """Every driver that can run without a machine of its own."""

    @pytest.fixture
    def bench(self, system: System, real_runner: SystemRunner, tmp_path: Path, kind: DiskType) -> Workbench:
        """Disks of the type in a directory of their own; copies are made by the real `dd`."""
        store = tmp_path / "srv/store"
        store.mkdir(parents=True)
        return file_bench(Node.compose(replace(system, runner=real_runner)), store, kind)


def test_every_registered_driver_has_answers() -> None:
    assert set(BlockDevices.kinds()) <= set(ANSWERS)
    assert all(set(answers.operations) == set(Operation) for answers in ANSWERS.values())


@pytest.mark.parametrize("kind", sorted(set(BlockDevices.kinds()) - set(FAST)))
def test_every_other_driver_is_held_to_its_answers_on_real_devices(kind: DiskType) -> None:
    modules = [path for directory in ELSEWHERE for path in sorted((TESTS / directory).glob("test_*.py"))]
    assert [path for path in modules if is_contract_of(kind, path)]


def is_contract_of(kind: DiskType, path: Path) -> bool:
    """Whether a module has a class of the contract's tests and takes the answers of a disk type."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    bases = {ast.unparse(base) for one in nodes if isinstance(one, ast.ClassDef) for base in one.bases}
    answers = {ast.unparse(one) for one in nodes if isinstance(one, ast.Subscript)}
    return "StorageContract" in bases and f"ANSWERS[DiskType.{kind.name}]" in answers


DOCUMENT = TESTS.parent / "docs/storage.md"
COLUMNS = ("plain", "drbd", "file, sharedfile", "gluster", "rbd", "ext", "blockdev")


def documented() -> str:
    """The answers as a table: `yes`, or the error."""
    kinds = [DiskType(names.partition(",")[0]) for names in COLUMNS]
    lines = [["", *(f"`{names}`" for names in COLUMNS)], ["---"] * (len(COLUMNS) + 1)]
    for operation in Operation:
        errors = [ANSWERS[kind].operations[operation] for kind in kinds]
        lines.append([operation, *("yes" if error is None else error.__name__ for error in errors)])
    for text, name in (
        ("a new one is whole", "new_is_whole"),
        ("what was never written reads as zero", "new_space_is_zero"),
        ("growing needs no other node", "grows_alone"),
        ("a closed one can be read and written", "closed_is_usable"),
        ("removing it leaves the data alone", "is_somebody_elses"),
    ):
        lines.append([text, *("yes" if getattr(ANSWERS[kind], name) else "no" for kind in kinds)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def test_the_document_has_the_table_of_answers() -> None:
    assert ANSWERS[DiskType.FILE] == ANSWERS[DiskType.SHAREDFILE]
    assert documented() in DOCUMENT.read_text(), f"docs/storage.md should have\n{documented()}"


def test_a_registered_class_serves_the_types_it_says() -> None:
    for kind in BlockDevices.kinds():
        assert kind in BlockDevice.registered[kind].kinds


@pytest.mark.parametrize("kind", DRIVERLESS)
def test_a_type_without_driver_is_refused_by_name(node: Node, kind: DiskType) -> None:
    with pytest.raises(NotSupported, match=kind):
        node.storage.device(Disk(dev_type=kind, logical_id=("a", "b")))


@pytest.mark.parametrize("kind", DRIVERLESS)
def test_a_type_without_driver_spoils_no_answer_about_others(node: Node, kind: DiskType, tmp_path: Path) -> None:
    bench = file_bench(node, tmp_path, DiskType.FILE)
    disks = (Disk(dev_type=kind, logical_id=("a", "b")), make(bench, "disk", 1))
    assert [worked for worked, _ in blockdev.mirror_status_multi(node, disks)] == [False, True]
    assert [worked for worked, _ in blockdev.pause_resume_sync(node, disks, True)] == [False, True]
    assert blockdev_data.dimensions(node, disks) == [None, (1 << 20, None)]
