"""The functions of ganeti.backend about mirrors, volumes, providers and raw devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.storage.scripted import Script, ScriptedDevice, ScriptedDevices

from ganeti import backend
from ganeti.actions.node import Node
from ganeti.backend import RPCFail
from ganeti.host.transcript import ReplayRunner
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import BlockDevice, Mirrored, MirrorState

NODES_IP = {"node1.example.com": "192.0.2.1", "node2.example.com": "192.0.2.2"}
LVM = {"dev_type": "lvm", "logical_id": ["xenvg", "d.data"], "size": 10}
MIRROR: dict[str, object] = {
    "dev_type": "drbd8",
    "logical_id": ["node2.example.com", "node1.example.com", 11000, 5, 7, "s3cret"],
    "size": 10,
    "iv_name": "disk/0",
    "children": [LVM, {**LVM, "logical_id": ["xenvg", "d.meta"]}],
}
WHOLE = MirrorState(
    is_standalone=False,
    is_connected=True,
    is_in_resync=False,
    is_diskless=False,
    is_up_to_date=True,
    is_peer_up_to_date=True,
    sync_percent=None,
)
SYNCING = replace(WHOLE, is_connected=False, is_in_resync=True, sync_percent=12.5)


class MirroredDevice(ScriptedDevice, Mirrored):
    """A mirror that notes what it is asked and by what it is found."""

    state = WHOLE

    def mirror_state(self) -> MirrorState:
        return self.state

    def disconnect_network(self) -> None:
        self.script.note("disconnect", repr(self.disk.dynamic_params))

    def attach_network(self, *, both_primary: bool) -> None:
        self.script.note("attach both" if both_primary else "attach one", repr(self.disk.dynamic_params))

    def add_children(self, children: Sequence[BlockDevice]) -> None:
        self.script.note("add", " ".join(child.disk.describe() for child in children))

    def remove_children(self, paths: Sequence[Path]) -> None:
        self.script.note("take", " ".join(map(str, paths)))


class Devices(ScriptedDevices):
    """Disks of which those of DRBD's type are mirrors."""

    def device(self, disk: Disk, children: Sequence[BlockDevice | None] = ()) -> BlockDevice:
        if disk.dev_type is DiskType.DRBD:
            return MirroredDevice(self.machine, disk, children, self.script, self.seen)
        return super().device(disk, children)

    def observing(self) -> Devices:
        return self


PLACES = """\
$ lvs --reportformat=json --units=m --nosuffix --options=lv_name,lv_size,devices,vg_name
> {"report":[{"lv":[
> {"lv_name":"striped", "lv_size":"16.00", "devices":"/dev/vda(2),/dev/vdb(0)", "vg_name":"xenvg"}]}]}
= 0
"""
OURS = repr({"local-ip": "192.0.2.1", "remote-ip": "192.0.2.2", "local-minor": 7, "remote-minor": 5})


@pytest.fixture
def script() -> Script:
    """What the devices do."""
    return Script()


@pytest.fixture(autouse=True)
def on_the_node(node: Node, script: Script) -> Iterator[None]:
    """All calls act on a node whose disks follow the script."""
    with backend.on_node(replace(node, storage=Devices(node.system, script))):
        yield


class TestMirrors:
    """Addresses and minors are those of the node that is asked."""

    def test_they_are_found_by_the_addresses_of_their_nodes(self) -> None:
        (device,) = backend._FindDisks(NODES_IP, [MIRROR])
        assert repr(device.disk.dynamic_params) == OURS

    def test_they_are_disconnected_and_connected(self, script: Script, node: Node) -> None:
        backend.DrbdDisconnectNet(NODES_IP, [MIRROR])
        backend.DrbdAttachNet(NODES_IP, [MIRROR], "inst1", False)
        assert [call for call in script.calls if call[0] != "attach"] == [("disconnect", OURS), ("attach one", OURS)]
        assert not node.paths.disk_link("inst1", 0).is_symlink()

    def test_both_nodes_may_open_them_and_they_are_linked(self, script: Script, node: Node) -> None:
        backend.DrbdAttachNet(NODES_IP, [MIRROR], "inst1", True)
        names = [method for method, _ in script.calls if method != "attach"]
        assert names == ["attach both", "open shared"]
        assert node.paths.disk_link("inst1", 0).is_symlink()

    def test_they_say_how_far_they_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert backend.DrbdWaitSync(NODES_IP, [MIRROR]) == (True, 100)
        monkeypatch.setattr(MirroredDevice, "state", SYNCING)
        assert backend.DrbdWaitSync(NODES_IP, [MIRROR]) == (False, 12.5)

    @pytest.mark.parametrize(
        ("addresses", "names"),
        [(NODES_IP, ["a", "b"]), ({"node1.example.com": "192.0.2.1"}, ["node2.example.com", "node1.example.com"])],
    )
    def test_one_that_is_not_ours_is_refused(self, addresses: dict[str, str], names: list[str]) -> None:
        disk = {**MIRROR, "logical_id": [*names, 11000, 5, 7, "s3cret"]}
        with pytest.raises(RPCFail) as caught:
            backend.DrbdWaitSync(addresses, [disk])
        assert "s3cret" not in str(caught.value)

    def test_their_local_copy_is_given_and_taken(self, script: Script) -> None:
        children = MIRROR["children"]
        assert isinstance(children, list)
        backend.BlockdevAddchildren(MIRROR, children)
        backend.BlockdevRemovechildren(MIRROR, children)
        assert script.named("add") == [
            "plain xenvg/d.data (not visible, 10m) plain xenvg/d.meta (not visible, 10m)",
        ]
        assert script.named("take") == ["/dev/scripted/d.data /dev/scripted/d.meta"]

    def test_the_program_the_kernel_calls(self, node: Node, replay: Callable[[str], ReplayRunner]) -> None:
        runner = replay("$ cat /sys/module/drbd/parameters/usermode_helper\n> /bin/true\n= 0\n")
        with backend.on_node(Node.compose(replace(node.system, runner=runner))):
            assert backend.GetDrbdUsermodeHelper() == "/bin/true"


class TestDevices:
    """Disks without being asked of the master."""

    def test_one_is_made_active_on_the_nodes_that_need_it(self, script: Script) -> None:
        device = backend._RecursiveAssembleBD(MIRROR, "inst1", False)
        assert isinstance(device, BlockDevice)
        assert script.named("assemble") == ["d.data", "d.meta", "node1.example.com"]
        assert backend._RecursiveAssembleBD({"dev_type": "rbd", "logical_id": ["rbd", "x"]}, "inst1", False) is True

    def test_a_device_is_wiped_by_its_path(self, node: Node, replay: Callable[[str], ReplayRunner]) -> None:
        command = "dd if=/dev/zero 'of=/dev/a b' bs=1048576 seek=2 count=3 iflag=fullblock"
        runner = replay(f"$ {command} conv=nocreat,notrunc,fsync oflag=direct\n= 0\n")
        with backend.on_node(Node.compose(replace(node.system, runner=runner))):
            backend._WipeDevice("/dev/a b", 2, 3)

    def test_one_goes_to_another_node(self, node: Node) -> None:
        with pytest.raises(RPCFail, match="absolute"):
            backend.BlockdevExport(LVM, "node2", "relative", "cluster")


class TestVolumes:
    """Physical and logical volumes, and providers."""

    def test_physical_volumes_that_are_shared(self) -> None:
        alone = SimpleNamespace(name="/dev/sda", vg_name="xenvg", size=1.0, free=1.0, attributes="a--", lv_list=["a"])
        shared = SimpleNamespace(name="/dev/sdb", vg_name="xenvg", lv_list=["a", "b"])
        empty = SimpleNamespace(name="/dev/sdc", vg_name="xenvg", lv_list=[])
        assert backend._CheckExclusivePvs([alone, shared, empty]) == [("/dev/sdb", ["a", "b"])]

    def test_segments_of_volumes(self, node: Node, replay: Callable[[str], ReplayRunner]) -> None:
        runner = replay(PLACES)
        with backend.on_node(Node.compose(replace(node.system, runner=runner))):
            assert backend.NodeVolumes() == [
                {"name": "striped", "size": "16.00", "dev": "/dev/vda", "vg": "xenvg"},
                {"name": "striped", "size": "16.00", "dev": "/dev/vdb", "vg": "xenvg"},
            ]

    def test_storage_providers(self, tmp_path: Path) -> None:
        assert backend.DiagnoseExtStorage([str(tmp_path / "none")]) == []
        provider = tmp_path / "providers/mine"
        provider.mkdir(parents=True)
        for name in ("create", "remove", "grow", "attach", "detach", "setinfo", "verify"):
            (provider / name).write_text("#!/bin/sh\n")
            (provider / name).chmod(0o755)
        (provider / "parameters.list").write_text("colour which colour\n")
        (provider.parent / "broken").write_text("")
        rows = backend.DiagnoseExtStorage([str(provider.parent)])
        assert [row[:3] for row in rows] == [
            ("broken", str(provider.parent / "broken"), False),
            ("mine", str(provider), True),
        ]
        assert rows[1][3:] == ("", [["colour", "which colour"]])
