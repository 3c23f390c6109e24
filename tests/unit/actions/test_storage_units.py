"""Storage units: directories, physical volumes and volume groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ganeti.actions import storage_units
from ganeti.actions.node import Node
from ganeti.errors import CommandError, InvalidParameter, NotSupported, StorageError
from ganeti.host.transcript import ReplayRunner
from ganeti.model.base import Scalar

Unit = tuple[str, list[list[str]], str | None, list[str]]
On = Callable[[str], Node]


@pytest.fixture
def store(node: Node, tmp_path: Path) -> Path:
    """A directory."""
    directory = tmp_path / "srv/store"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def on(node: Node, replay: Callable[[str], ReplayRunner]) -> On:
    """The node, on which a transcript is played."""
    return lambda transcript: Node.compose(replace(node.system, runner=replay(transcript)))


# Directories ---------------------------------------------------------------------------------------------------------


def test_a_unit_is_one_row_of_the_fields_asked_for(node: Node, store: Path) -> None:
    with (store / "disk").open("wb") as file:
        file.truncate(5 << 20)
    (store / "g").mkdir()
    with (store / "g/disk").open("wb") as file:
        file.truncate(3 << 20)
    (store / "link").symlink_to("/usr")
    directories = [str(store), str(store / "g")]
    rows = storage_units.list_units(node, "file", [directories], None, ["used", "name", "allocatable"])
    assert rows == [[8, directories[0], True], [3, directories[1], True]]
    free, size = storage_units.list_units(node, "sharedfile", [[str(store)]], None, ["free", "size"])[0]
    assert isinstance(free, int)
    assert isinstance(size, int)
    assert free <= size


def test_a_named_unit_is_that_path_alone(node: Node, store: Path) -> None:
    assert storage_units.list_units(node, "file", [["/srv/a"]], str(store), ["name"]) == [[str(store)]]


@pytest.mark.parametrize(
    ("unit", "refused"),
    [
        (("tape", [], None, ["name"]), "type"),
        (("file", [["/srv"]], None, ["name", "colour"]), r"fields\[1\]"),
        (("file", [["/srv"], ["/srv"]], None, ["name"]), "arguments"),
        (("lvm-vg", [[]], None, ["name"]), "arguments"),
        (("lvm-vg", [], "--all", ["name"]), "name"),
        (("lvm-vg", [], "@tag", ["name"]), "name"),
        (("lvm-pv", [], "--all", ["name"]), "name"),
        (("lvm-pv", [], "/dev/../etc", ["name"]), "name"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(node: Node, unit: Unit, refused: str) -> None:
    with pytest.raises(InvalidParameter, match=f"'{refused}'"):
        storage_units.list_units(node, *unit)


def test_a_missing_directory_has_no_usage(node: Node, store: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        storage_units.list_units(node, "file", [[str(store / "missing")]], None, ["used"])


@pytest.mark.parametrize("directory", ["", "relative", "/srv/../etc", "/a\0b"])
def test_a_directory_that_is_no_absolute_path_is_refused_by_name(node: Node, directory: str) -> None:
    with pytest.raises(InvalidParameter, match="'directories'"):
        storage_units.list_units(node, "file", [[directory]], None, ["size"])


def test_what_a_directory_takes_from_is_told_for_its_file_system(node: Node) -> None:
    with pytest.raises(StorageError, match="No such file"):
        storage_units.list_units(node, "file", [["/no/such/directory"]], None, ["free"])


# LVM -----------------------------------------------------------------------------------------------------------------

PVS = """\
$ pvs --reportformat=json --units=m --nosuffix --options=pv_uuid,pv_name,vg_name,pv_free,pv_size,pv_used,pv_attr,lv_name
> {"report": [{"pv": [
> {"pv_uuid":"a", "pv_name":"/dev/vda", "vg_name":"xenvg", "pv_free":"8.40", "pv_size":"1020.00", "pv_used":"1011.60",
>  "pv_attr":"a--", "lv_name":"a"},
> {"pv_uuid":"a", "pv_name":"/dev/vda", "vg_name":"xenvg", "pv_free":"8.40", "pv_size":"1020.00", "pv_used":"1011.60",
>  "pv_attr":"a--", "lv_name":""},
> {"pv_uuid":"b", "pv_name":"/dev/vdb", "vg_name":"", "pv_free":"1024.00", "pv_size":"1024.00", "pv_used":"0",
>  "pv_attr":"---", "lv_name":""}
> ]}]}
= 0
"""

VGS = """\
$ vgs --reportformat=json --units=m --nosuffix --options=vg_name,vg_free,vg_size,vg_attr -- xenvg
> {"report": [{"vg": [{"vg_name":"xenvg", "vg_free":"12.50", "vg_size":"2040.40", "vg_attr":"wz--n-"}]}]}
= 0
"""


def missing(count: int) -> str:
    """How many physical volumes the group lacks."""
    return f"""
$ vgs --reportformat=json --units=m --nosuffix --options=vg_missing_pv_count -- xenvg
> {{"report": [{{"vg": [{{"vg_missing_pv_count":"{count}"}}]}}]}}
! WARNING: Couldn't find device with uuid AduyiE-2E84-13Jl-W2a2-33Ah-kgcn-Uqsjp1.
= 0
"""


GENTLE = """
$ vgreduce --removemissing -- xenvg
! There are still partial LVs in VG xenvg.
! To remove them unconditionally use: vgreduce --removemissing --force.
= 5
"""

FORCED = """
$ vgreduce --removemissing --force -- xenvg
> Wrote out consistent volume group xenvg.
= 0
"""


def test_physical_volumes_are_rows_once_each(on: On) -> None:
    fields = ["allocatable", "name", "used", "free", "size"]
    assert storage_units.list_units(on(PVS), "lvm-pv", [], None, fields) == [
        [True, "/dev/vda", 1012, 8, 1020],
        [False, "/dev/vdb", 0, 1024, 1024],
    ]


def test_one_volume_group_is_a_row(on: On) -> None:
    fields = ["name", "size", "free", "used", "allocatable"]
    assert storage_units.list_units(on(VGS), "lvm-vg", [], "xenvg", fields) == [["xenvg", 2040, 12, 2028, True]]


def test_a_group_that_is_not_there_is_an_error(on: On) -> None:
    gone = 'vg_attr -- gone\n! Volume group "gone" not found\n= 5\n'
    transcript = VGS.partition("vg_attr")[0] + gone
    with pytest.raises(CommandError, match="gone"):
        storage_units.list_units(on(transcript), "lvm-vg", [], "gone", ["name"])


@pytest.mark.parametrize(("value", "letter"), [(True, "y"), (False, "n")])
def test_a_physical_volume_is_made_allocatable_or_not(on: On, value: bool, letter: str) -> None:
    node = on(f"$ pvchange --allocatable={letter} -- /dev/vda\n= 0\n")
    storage_units.modify(node, "lvm-pv", [], "/dev/vda", {"allocatable": value})


@pytest.mark.parametrize("kind", ["file", "sharedfile", "gluster", "lvm-vg", "lvm-pv"])
def test_no_changes_are_fine_for_every_type(node: Node, kind: str) -> None:
    storage_units.modify(node, kind, [], "/srv", {})


@pytest.mark.parametrize(
    ("kind", "changes", "refused"),
    [
        ("lvm-pv", {"allocatable": True, "size": 1}, "changes.size"),
        ("lvm-pv", {"allocatable": "yes"}, "changes.allocatable"),
        ("lvm-vg", {"allocatable": True}, "changes.allocatable"),
        ("file", {"name": "/x"}, "changes.name"),
        ("tape", {}, "type"),
    ],
)
def test_other_changes_are_refused_before_any_is_made(
    node: Node, kind: str, changes: dict[str, Scalar], refused: str
) -> None:
    with pytest.raises(InvalidParameter, match=f"'{refused}'"):
        storage_units.modify(node, kind, [], "/dev/vda", changes)


@pytest.mark.parametrize(("kind", "operation"), [("lvm-vg", "defragment"), ("lvm-pv", "fix-consistency")])
def test_other_operations_are_not_supported(node: Node, kind: str, operation: str) -> None:
    with pytest.raises(NotSupported):
        storage_units.execute(node, kind, [], "xenvg", operation)


def test_a_whole_group_is_left_alone(on: On) -> None:
    storage_units.execute(on(missing(0)), "lvm-vg", [], "xenvg", "fix-consistency")


def test_nothing_is_given_up_when_the_missing_ones_were_empty(on: On) -> None:
    transcript = missing(1) + GENTLE.replace("= 5", "= 0") + missing(0)
    storage_units.execute(on(transcript), "lvm-vg", [], "xenvg", "fix-consistency")


def test_volumes_on_missing_ones_are_given_up(on: On) -> None:
    transcript = missing(1) + GENTLE + missing(1) + FORCED + missing(0)
    storage_units.execute(on(transcript), "lvm-vg", [], "xenvg", "fix-consistency")


def test_a_group_that_cannot_be_repaired_is_an_error(on: On) -> None:
    transcript = missing(2) + GENTLE + missing(1) + FORCED + missing(1)
    with pytest.raises(StorageError, match="partial LVs"):
        storage_units.execute(on(transcript), "lvm-vg", [], "xenvg", "fix-consistency")
