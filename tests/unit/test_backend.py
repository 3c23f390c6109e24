"""The functions of ganeti.backend, from their arguments to what lies on the node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ganeti import backend
from ganeti.actions.node import Node
from ganeti.backend import RPCFail
from ganeti.host.transcript import ReplayRunner
from ganeti.model.os import OperatingSystem

GUEST: dict[str, object] = {
    "name": "inst1",
    "primary_node": "node1",
    "os": "os1",
    "hypervisor": "fake",
    "hvparams": {},
    "beparams": {"maxmem": 64, "minmem": 64, "vcpus": 2},
    "disk_template": "file",
    "disks": [],
}


LVM = {
    "VGS": """\
$ vgs --reportformat=json --units=m --nosuffix --options=vg_name,vg_free,vg_size,vg_attr
> {"report":[{"vg":[{"vg_name":"xenvg", "vg_free":"1000.00", "vg_size":"1020.00", "vg_attr":"wz--n-"}]}]}
= 0
""",
    "LVS": """\
$ lvs --reportformat=json --units=m --nosuffix --options=vg_name,lv_name,lv_size,lv_attr
> {"report":[{"lv":[{"vg_name":"xenvg", "lv_name":"disk0", "lv_size":"20.00", "lv_attr":"-wi-ao----"}]}]}
= 0
""",
    "LVS OF XENVG": """\
$ lvs --reportformat=json --units=m --nosuffix --options=vg_name,lv_name,lv_size,lv_attr -- xenvg
> {"report":[{"lv":[{"vg_name":"xenvg", "lv_name":"disk0", "lv_size":"20.00", "lv_attr":"-wi-ao----"}]}]}
= 0
""",
    "NO LVS": """\
$ lvs --reportformat=json --units=m --nosuffix --options=vg_name,lv_name,lv_size,lv_attr
= not found
""",
}


def with_lvm(node: Node, replay: Callable[[str], ReplayRunner], *programs: str) -> Node:
    """The node, on which these programs are asked in this order."""
    runner = replay("\n".join(LVM[program] for program in programs))
    return Node.compose(replace(node.system, runner=runner))


@pytest.fixture(autouse=True)
def on_the_node(node: Node) -> Iterator[None]:
    """All calls act on the test's node."""
    with backend.on_node(node):
        yield


@pytest.fixture
def disk(node: Node, tmp_path: Path) -> dict[str, object]:
    """A file disk that may be made."""
    directory = tmp_path / "disks"
    directory.mkdir()
    node.paths.file_storage_paths_file.parent.mkdir(parents=True, exist_ok=True)
    node.paths.file_storage_paths_file.write_text(f"{directory}\n")
    place = ["loop", str(directory / "disk0")]
    return {
        "dev_type": "file",
        "logical_id": place,
        "physical_id": place,
        "size": 1,
        "iv_name": "disk/0",
        "mode": "rw",
        "params": {},
    }


@pytest.fixture
def os1(node: Node) -> Path:
    """A definition of an operating system."""
    directory = node.paths.os_search_path[0] / "os1"
    directory.mkdir(parents=True)
    (directory / "ganeti_api_version").write_text("20\n")
    (directory / "variants.list").write_text("default\n")
    (directory / "parameters.list").write_text("colour which colour\n")
    for name in ("create", "import", "export", "rename", "verify"):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    return directory


class TestGuests:
    """Guests without disks."""

    def test_a_guest_is_started_seen_and_stopped(self) -> None:
        assert backend.GetInstanceInfo("inst1", "fake") == {}
        backend.StartInstance(GUEST, False)
        assert backend.GetInstanceList(["fake"]) == ["inst1"]
        assert backend.GetInstanceInfo("inst1", "fake") == {"memory": 64, "vcpus": 2, "state": "---b-", "time": 0}
        assert backend.GetAllInstancesInfo(["fake"]) == {"inst1": backend.GetInstanceInfo("inst1", "fake")}
        backend.InstanceShutdown(GUEST, 120)
        assert backend.GetInstanceList(["fake"]) == []
        assert backend.GetAllInstancesInfo(["fake"]) == {}

    def test_a_guest_is_started_with_its_disk(self, disk: dict[str, object], node: Node) -> None:
        backend.BlockdevCreate(disk, 1, "inst1", True, "", False)
        backend.StartInstance({**GUEST, "disks": [disk]}, False)
        assert node.paths.disk_link("inst1", 0).is_symlink()
        backend.InstanceShutdown({**GUEST, "disks": [disk]}, 120)
        assert not node.paths.disk_link("inst1", 0).is_symlink()

    def test_its_memory_and_kind_of_restart(self) -> None:
        backend.StartInstance(GUEST, False)
        backend.InstanceBalloonMemory(GUEST, 32)
        assert backend.GetInstanceInfo("inst1", "fake")["memory"] == 32
        backend.InstanceReboot(GUEST, "soft", 0)
        backend.InstanceReboot(GUEST, "hard", 0)
        assert backend.GetInstanceInfo("inst1", "fake")["memory"] == 64
        with pytest.raises(RPCFail, match="full"):
            backend.InstanceReboot(GUEST, "full", 0)

    def test_it_moves_from_one_node_to_the_other(self, node: Node, tmp_path: Path) -> None:
        paths = replace(node.paths, root=tmp_path / "node2")
        paths.run_dir.mkdir(parents=True)
        target = Node.compose(replace(node.system, paths=paths))
        backend.StartInstance(GUEST, False)
        backend.GetInstanceMigratable(GUEST)
        info = backend.MigrationInfo(GUEST)
        with backend.on_node(target):
            backend.AcceptInstance(GUEST, info, "192.0.2.2")
        backend.MigrateInstance(GUEST, "192.0.2.2", True)
        assert backend.GetMigrationStatus(GUEST).status == "completed"
        backend.FinalizeMigrationSource(GUEST, True, True)
        assert backend.GetInstanceList(["fake"]) == []
        with backend.on_node(target):
            backend.FinalizeMigrationDst(GUEST, info, True)
            assert backend.GetInstanceList(["fake"]) == ["inst1"]

    def test_parameters_are_judged(self) -> None:
        backend.ValidateHVParams("fake", {"migration_mode": "live"})
        with pytest.raises(RPCFail, match="migration_mode"):
            backend.ValidateHVParams("fake", {})


class TestFailures:
    """What callers see when something goes wrong."""

    def test_a_failure_is_rpcfail_with_its_text_and_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO), pytest.raises(RPCFail, match="not running") as caught:
            backend.InstanceReboot(GUEST, "soft", 0)
        assert caught.value.args == (str(caught.value),)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "not running" in caplog.text

    def test_a_guest_that_makes_no_sense_is_rpcfail(self) -> None:
        with pytest.raises(RPCFail, match="instance"):
            backend.StartInstance({"name": "inst1", "colour": "blue"}, False)

    def test_a_programming_error_is_none(self) -> None:
        with pytest.raises(TypeError):
            backend.GetInstanceList(17)  # type: ignore[arg-type]  # on purpose

    def test_fail_formats_logs_and_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(RPCFail, match=r"^50 of 100$"):
            backend._Fail("%d of %d", 50, 100)
        with pytest.raises(RPCFail, match=r"^100%$"):
            backend._Fail("100%", log=False)
        assert [record.getMessage() for record in caplog.records] == ["50 of 100"]


class TestDisks:
    """A file disk's life."""

    def test_it_is_made_found_measured_grown_and_removed(self, disk: dict[str, object]) -> None:
        assert backend.BlockdevFind(disk) is None
        identity = backend.BlockdevCreate(disk, 1, "inst1", True, "originstname+inst1", False)
        assert identity == tuple(disk["logical_id"])  # type: ignore[arg-type]  # a list
        found = backend.BlockdevFind(disk)
        assert found is not None
        assert (found.dev_path, found.ldisk_status, found.is_degraded) == (identity[1], 1, False)
        assert backend.BlockdevGetsize([disk]) == [1024 * 1024]
        backend.BlockdevGrow(disk, 1, True, True)
        backend.BlockdevGrow(disk, 1, False, True)
        assert backend.BlockdevGetsize([disk]) == [2 * 1024 * 1024]
        backend.BlockdevRemove(disk)
        assert backend.BlockdevGetsize([disk]) == [None]

    def test_it_is_assembled_on_the_primary_node_alone(self, disk: dict[str, object], node: Node) -> None:
        backend.BlockdevCreate(disk, 1, "inst1", True, "", False)
        path = backend.BlockdevAssemble(disk, "inst1", True, 0)
        assert path == disk["logical_id"][1]  # type: ignore[index]  # a list
        assert backend.BlockdevAssemble(disk, "inst1", False, 0) is True
        backend.BlockdevClose("inst1", [disk])
        assert not node.paths.disk_link("inst1", 0).is_symlink()
        backend.BlockdevShutdown(disk)

    def test_many_are_asked_for_their_state(self, disk: dict[str, object], tmp_path: Path) -> None:
        backend.BlockdevCreate(disk, 1, "inst1", True, "", False)
        place = ["loop", str(tmp_path / "disks/missing")]
        missing = {**disk, "logical_id": place, "physical_id": place}
        answers = backend.BlockdevGetmirrorstatusMulti([disk, missing])
        assert [worked for worked, _ in answers] == [True, False]
        assert backend.BlockdevGetmirrorstatus([disk]) == [answers[0][1]]
        assert "missing" in str(answers[1][1])
        with pytest.raises(RPCFail, match="missing"):
            backend.BlockdevGetmirrorstatus([disk, missing])

    def test_it_is_renamed(self, disk: dict[str, object], tmp_path: Path) -> None:
        backend.BlockdevCreate(disk, 1, "inst1", True, "", False)
        backend.BlockdevRename([(disk, ("loop", str(tmp_path / "disks/disk1")))])
        assert (tmp_path / "disks/disk1").exists()
        assert backend.BlockdevFind(disk) is None

    def test_links_are_made_and_removed(self, disk: dict[str, object], node: Node, tmp_path: Path) -> None:
        link = backend._SymlinkBlockDev("inst1", "/dev/x", 3)
        assert link == backend._GetBlockDevSymlinkPath("inst1", 3) == str(node.paths.disk_link("inst1", 3))
        assert backend._GetBlockDevSymlinkPath("inst1", 99, str(tmp_path)) == f"{tmp_path}/inst1:99"
        backend._RemoveBlockDevLinks("inst1", [disk] * 4)
        assert not Path(link).is_symlink()
        with pytest.raises(RPCFail):
            backend._GetBlockDevSymlinkPath("../inst1", 0)

    def test_disks_are_gathered_with_their_links(self, disk: dict[str, object]) -> None:
        backend.BlockdevCreate(disk, 1, "inst1", True, "", False)
        assert backend._OpenRealBD(disk).disk.size == 1
        gathered = backend._GatherAndLinkBlockDevs({**GUEST, "disks": [disk]})
        assert [link for _, link in gathered] == [backend._GetBlockDevSymlinkPath("inst1", 0)]

    def test_their_directories_are_made_renamed_and_removed(self, disk: dict[str, object], tmp_path: Path) -> None:
        backend.CreateFileStorageDir(str(tmp_path / "disks/inst1"))
        backend.RenameFileStorageDir(str(tmp_path / "disks/inst1"), str(tmp_path / "disks/inst2"))
        assert (tmp_path / "disks/inst2").is_dir()
        backend.RemoveFileStorageDir(str(tmp_path / "disks/inst2"))
        assert not (tmp_path / "disks/inst2").exists()
        with pytest.raises(RPCFail, match="/etc"):
            backend.CreateFileStorageDir("/etc/disks")


class TestOperatingSystems:
    """Definitions and their environment."""

    def test_a_definition_is_read_with_or_without_variant(self, os1: Path) -> None:
        found = backend.OSFromDisk("os1+default")
        assert isinstance(found, OperatingSystem)
        assert found.path == str(os1)
        assert backend._TryOSFromDisk("os1", str(os1.parent)) == (True, found)

    def test_a_missing_definition_is_rpcfail_or_a_message(self, os1: Path, tmp_path: Path) -> None:
        with pytest.raises(RPCFail, match="os2"):
            backend.OSFromDisk("os2")
        worked, text = backend._TryOSFromDisk("os1", str(tmp_path))
        assert not worked
        assert "os1" in str(text)

    def test_the_definitions_of_other_directories_are_diagnosed(self, os1: Path, tmp_path: Path) -> None:
        expected = ("os1", str(os1), True, "", ["default"], [["colour", "which colour"]], [20])
        assert backend.DiagnoseOS() == [expected]
        assert backend.DiagnoseOS([str(tmp_path / "nowhere")]) == []

    def test_the_environment_of_scripts(self, os1: Path, disk: dict[str, object]) -> None:
        backend.BlockdevCreate(disk, 1, "inst1", True, "", False)
        definition = backend.OSFromDisk("os1")
        core = backend.OSCoreEnv("os1+default", definition, {"colour": "blue"})
        assert core["OSP_COLOUR"] == "blue"
        full = backend.OSEnvironment({**GUEST, "os": "os1+default", "disks": [disk]}, definition, 1)
        assert full["INSTANCE_NAME"] == "inst1"
        assert full["DEBUG_LEVEL"] == "1"
        assert full["DISK_COUNT"] == "1"

    def test_unknown_parameters_are_named(self, os1: Path) -> None:
        backend._CheckOSPList(backend.OSFromDisk("os1"), ["colour"])
        with pytest.raises(RPCFail, match="size"):
            backend._CheckOSPList(backend.OSFromDisk("os1"), ["size"])

    def test_a_missing_definition_need_not_matter(self) -> None:
        assert backend.ValidateOS(False, "os2", ["parameters"], {}) is False
        with pytest.raises(RPCFail, match="os2"):
            backend.ValidateOS(True, "os2", ["parameters"], {})


class TestNode:
    """The node itself."""

    def test_its_facts(self) -> None:
        boot_id, groups, hypervisors = backend.GetNodeInfo(None, ["fake"], False)
        assert len(boot_id) == 36
        assert groups is None
        assert hypervisors is not None
        assert hypervisors[0].keys() == {
            "memory_total",
            "memory_free",
            "memory_dom0",
            "cpu_total",
            "cpu_nodes",
            "cpu_sockets",
        }
        assert backend._GetHvInfo("fake").keys() == hypervisors[0].keys()
        assert backend._GetNamedNodeInfo(["a", "b"], str.upper) == ["A", "B"]
        assert backend._GetNamedNodeInfo(None, str.upper) is None

    def test_it_is_verified(self, os1: Path, node: Node) -> None:
        backend.StartInstance(GUEST, False)
        answers = backend.VerifyNode(
            {
                "hypervisor": ["fake"],
                "instancelist": ["fake"],
                "hvinfo": "fake",
                "oslist": None,
                "bridges": ["no-such-bridge"],
                "vmnodes": [],
                "file-storage-paths": node.hostname,
                "time": None,
            },
            "cluster",
        )
        assert answers["hypervisor"] == {"fake": None}
        assert answers["instancelist"] == ["inst1"]
        assert answers["oslist"] == backend.DiagnoseOS()
        assert answers["bridges"] == ["no-such-bridge"]
        assert answers["file-storage-paths"] == []
        assert answers.keys() == {
            "hypervisor",
            "instancelist",
            "hvinfo",
            "oslist",
            "bridges",
            "file-storage-paths",
            "time",
        }

    def test_questions_about_guests_are_not_answered_where_there_are_none(self, node: Node) -> None:
        assert backend.VerifyNode({"instancelist": ["fake"], "vmnodes": [node.hostname]}, "cluster") == {}

    def test_nonsense_to_verify_is_rpcfail(self) -> None:
        with pytest.raises(RPCFail, match="what"):
            backend.VerifyNode({"hypervisor": 3}, "cluster")

    def test_its_volumes(self, node: Node, replay: Callable[[str], ReplayRunner]) -> None:
        with backend.on_node(with_lvm(node, replay, "VGS", "LVS OF XENVG", "LVS")):
            assert backend.ListVolumeGroups() == {"xenvg": 1020}
            assert backend.GetVolumeList(["xenvg"]) == {"xenvg/disk0": ("20.00", False, True)}
            assert backend.GetVolumeList(None) == {"xenvg/disk0": ("20.00", False, True)}
        with backend.on_node(with_lvm(node, replay, "VGS")):
            assert backend._GetVgInfo("xenvg", False) == {"name": "xenvg", "vg_free": 1000, "vg_size": 1020}

    def test_volumes_without_lvm(self, node: Node, replay: Callable[[str], ReplayRunner]) -> None:
        with backend.on_node(with_lvm(node, replay, "NO LVS")), pytest.raises(RPCFail, match="lvs"):
            backend.GetVolumeList(None)

    def test_missing_bridges_fail(self) -> None:
        backend.BridgesExist([])
        with pytest.raises(RPCFail, match="no-such-bridge"):
            backend.BridgesExist(["no-such-bridge"])

    def test_the_master_is_told_from_the_cluster_data(self, node: Node) -> None:
        for key, value in {
            "master_netdev": "eth0",
            "master_ip": "192.0.2.10",
            "master_node": "node1",
            "master_netmask": "24",
        }.items():
            node.paths.ssconf(key).write_text(f"{value}\n")
        assert backend.GetMasterInfo() == ("eth0", "192.0.2.10", "node1", 2, "24")

    def test_the_watcher_pauses(self, node: Node) -> None:
        backend.SetWatcherPause(node.clock.time() + 60)
        backend.SetWatcherPause(None)
        with pytest.raises(RPCFail, match="_filename"):
            backend.SetWatcherPause(None, "/elsewhere")  # type: ignore[arg-type]  # on purpose

    def test_only_files_of_the_list_may_be_uploaded(self) -> None:
        assert backend._BuildUploadFileList()
        with pytest.raises(RPCFail, match="passwd"):
            backend.UploadFile("/etc/passwd", (0, ""), None, "root", "root", None, None)
        assert backend._Decompress((0, "text")) == b"text"

    def test_notes_about_devices(self, node: Node) -> None:
        backend.DevCacheManager.UpdateCache("/dev/xenvg/disk", "inst1", True, "disk/0")
        note = Path(backend.DevCacheManager._ConvertPath("/dev/xenvg/disk"))
        assert note.read_text() == "inst1 primary disk/0\n"
        backend.DevCacheManager.RemoveCache("/dev/xenvg/disk")
        assert not note.exists()

    def test_hooks_without_scripts_are_none(self) -> None:
        assert backend.HooksRunner().RunHooks("node-add", "pre", {}) == []
        with pytest.raises(RPCFail, match="during"):
            backend.HooksRunner().RunHooks("node-add", "during", {})
        with pytest.raises(RPCFail, match="hooks_base_dir"):
            backend.HooksRunner("/elsewhere").RunHooks("node-add", "pre", {})

    def test_a_function_runs_between_the_nodes_own_hooks(self, node: Node) -> None:
        node.paths.ssconf("cluster_name").write_text("cluster\n")
        node.paths.ssconf("master_node").write_text("node1\n")
        seen: list[str] = []

        def environment(word: str) -> dict[str, str]:
            seen.append(f"environment for {word}")
            return {"WORD": word}

        @backend.RunLocalHooks("OP_TEST", "some-path", environment)
        def shout(word: str) -> str:
            """Make it loud."""
            seen.append(f"shout {word}")
            return word.upper()

        assert shout("hello") == "HELLO"
        assert shout.__doc__ == "Make it loud."
        assert seen == ["environment for hello", "shout hello", "environment for hello"]

    def test_an_unknown_allocator_is_named(self) -> None:
        with pytest.raises(RPCFail, match="no-such-allocator"):
            backend.IAllocatorRunner.Run("no-such-allocator", "{}")

    def test_exports_are_listed(self) -> None:
        assert backend.ListExports() == []


def test_the_node_of_this_machine_is_used_outside_of_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "node7"
    (root / "var/run/ganeti").mkdir(parents=True)
    monkeypatch.setenv("GANETI_ROOTDIR", str(root))
    monkeypatch.setenv("GANETI_HOSTNAME", "node7")
    machine = backend._this_machine.__wrapped__()
    assert machine.hostname == "node7"
    assert machine.paths.root == root
