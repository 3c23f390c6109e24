"""Operating system scripts as real processes working on a real file disk."""

from __future__ import annotations

import tarfile
from pathlib import Path

import msgspec
import pytest

from ganeti.actions import os_definitions, os_export, os_scripts
from ganeti.actions.node import Node
from ganeti.errors import OsScriptError
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.model.instance import Instance

pytestmark = pytest.mark.host

LABOS = Path(__file__).parents[2] / "lab" / "labos"
MIB = 1024 * 1024


@pytest.fixture
def node(tmp_path: Path) -> Node:
    paths = Paths(root=tmp_path, os_search_path=(LABOS.parent, tmp_path / "os"))
    for directory in (paths.data_dir, paths.run_dir, paths.conf_dir, paths.temporary_dir):
        directory.mkdir(parents=True)
    paths.file_storage_paths_file.write_text(f"{tmp_path}/disks\n")
    return Node.compose(System(paths=paths, hostname="node1"))


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    disk = tmp_path / "disks" / "guest1" / "disk0"
    disk.parent.mkdir(parents=True)
    with disk.open("wb") as file:
        file.truncate(MIB)
    data = {
        "name": "guest1",
        "os": "labos+default",
        "hypervisor": "fake",
        "disks_info": [{"dev_type": "file", "logical_id": ["loop", str(disk)], "size": 1, "mode": "rw"}],
    }
    return msgspec.convert(data, Instance)


def make_definition(node: Node, create: str) -> None:
    directory = node.paths.os_search_path[1] / "demo"
    directory.mkdir(parents=True)
    (directory / "ganeti_api_version").write_text("10\n")
    for name in ("create", "import", "export", "rename"):
        (directory / name).write_text(create)
        (directory / name).chmod(0o755)


def test_create_and_rename_write_to_the_disk(node: Node, instance: Instance, tmp_path: Path) -> None:
    os_scripts.create(node, instance, reinstall=False, debug=0)
    os_scripts.rename(node, instance, "old-name", debug=0)

    content = (tmp_path / "disks" / "guest1" / "disk0").read_bytes()
    assert content.startswith(b"guest1 disk 0\n")
    assert content[4096:].startswith(b"renamed old-name guest1\n")
    assert len(list(node.paths.os_log_dir.iterdir())) == 2


def test_a_script_inherits_nothing_and_reads_end_of_file(node: Node, instance: Instance) -> None:
    make_definition(node, "#!/bin/sh\nenv | cut -d= -f1 | sort\npwd\ncat\nexit 3\n")

    with pytest.raises(OsScriptError, match="status 3"):
        os_scripts.create(node, msgspec.structs.replace(instance, os="demo", disks_info=()), reinstall=False, debug=0)

    [log_file] = node.paths.os_log_dir.iterdir()
    *names, directory = log_file.read_text().splitlines()
    assert directory == str(node.paths.os_search_path[1] / "demo")
    assert set(names) - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        *("OS_API_VERSION", "OS_NAME", "OS_VARIANT", "DEBUG_LEVEL", "PATH", "HYPERVISOR", "DISK_COUNT", "NIC_COUNT"),
        *(f"INSTANCE_{name}" for name in ("NAME", "OS", "UUID", "CTIME", "MTIME", "PRIMARY_NODE", "SECONDARY_NODES")),
    }


def test_a_script_that_is_no_program_or_has_no_interpreter_fails_by_name(node: Node, instance: Instance) -> None:
    make_definition(node, "neither format nor interpreter\n")
    bare = msgspec.structs.replace(instance, os="demo", disks_info=())

    with pytest.raises(OsScriptError, match="demo/create"):
        os_scripts.create(node, bare, reinstall=False, debug=0)


def test_the_verify_script_of_the_lab_accepts_its_own_name(node: Node) -> None:
    assert os_scripts.validate(node, True, "labos+default", ("parameters",), {}) is True


def test_an_export_holds_the_scripts_and_the_environment(node: Node, instance: Instance) -> None:
    archive = os_export.export(node, instance, {"OS_SCRIPT": "create_untrusted"})

    with tarfile.open(archive) as tar:
        assert {"./environment", "./os/create"} <= set(tar.getnames())
        environment = tar.extractfile("./environment")
        assert environment is not None
        assert b"OS_SCRIPT=create_untrusted\n" in environment.read()


@pytest.mark.parametrize(
    "directory", sorted((Path(__file__).parents[2] / "os").glob("[a-z]*")), ids=lambda path: path.name
)
def test_the_shipped_definitions_are_valid(directory: Path) -> None:
    assert os_definitions.read_directory(directory).name == directory.name
