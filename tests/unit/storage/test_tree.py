"""A disk with its children: order, and which failures are borne."""

from __future__ import annotations

import pytest
from tests.unit.storage.scripted import Script, ScriptedDevice, ScriptedDevices, mirrored, plain, single

from ganeti.errors import BlockDeviceError, CommandError, FileStoragePathError, NotSupported
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage import tree
from ganeti.storage.base import BlockDevice

BROKEN = BlockDeviceError("broken")


@pytest.fixture
def script() -> Script:
    """What the devices do."""
    return Script()


@pytest.fixture
def devices(system: System, script: Script) -> ScriptedDevices:
    """Devices that follow the script."""
    return ScriptedDevices(system, script)


def assemble(devices: ScriptedDevices, disk: Disk, *, as_primary: bool) -> tuple[BlockDevice | None, list[str]]:
    activated: list[str] = []

    def note(device: BlockDevice) -> None:
        assert isinstance(device, ScriptedDevice)
        activated.append(device.name)

    return tree.assemble(devices, disk, as_primary=as_primary, activated=note), activated


def test_find_looks_for_children_before_their_parent(devices: ScriptedDevices, script: Script) -> None:
    assert tree.find(devices, mirrored("m")) is not None
    assert script.named("attach") == ["m.data", "m.meta", "m"]


def test_find_gives_the_parent_the_children_that_are_there(devices: ScriptedDevices, script: Script) -> None:
    script.missing = {"m.data"}
    found = tree.find(devices, mirrored("m"))
    assert found is not None
    assert [child is None for child in found.children] == [True, False]


def test_find_says_none_for_a_missing_device(devices: ScriptedDevices, script: Script) -> None:
    script.missing = {"d"}
    assert tree.find(devices, plain("d")) is None


def test_get_names_the_missing_disk(devices: ScriptedDevices, script: Script) -> None:
    script.missing = {"d"}
    with pytest.raises(BlockDeviceError, match="vg/d"):
        tree.get(devices, plain("d"))


@pytest.mark.parametrize("error", [BROKEN, CommandError(["lvs"], "exited with status 5")])
def test_find_leniently_counts_a_device_it_cannot_look_at_as_missing(
    devices: ScriptedDevices, script: Script, error: BlockDeviceError
) -> None:
    script.fail("attach", "d", error)
    assert tree.find_leniently(devices, plain("d")) is None


@pytest.mark.parametrize("error", [FileStoragePathError("not allowed"), NotSupported("plain", "anything")])
def test_find_leniently_still_refuses_what_must_not_be_done(
    devices: ScriptedDevices, script: Script, error: BlockDeviceError
) -> None:
    script.fail("attach", "d", error)
    with pytest.raises(type(error)):
        tree.find_leniently(devices, plain("d"))


def test_assemble_on_the_primary_opens_every_device_from_below(devices: ScriptedDevices, script: Script) -> None:
    device, activated = assemble(devices, mirrored("m"), as_primary=True)
    assert device is not None
    assert activated == ["m.data", "m.meta", "m"]
    assert script.calls == [(verb, name) for name in ("m.data", "m.meta", "m") for verb in ("assemble", "open")]


def test_assemble_on_a_secondary_leaves_the_role_of_the_mirror_alone(devices: ScriptedDevices, script: Script) -> None:
    _, activated = assemble(devices, mirrored("m"), as_primary=False)
    assert activated == ["m.data", "m.meta", "m"]
    assert script.named("open") == ["m.data", "m.meta"]


def test_assemble_on_a_secondary_touches_no_disk_of_the_primary_alone(devices: ScriptedDevices, script: Script) -> None:
    assert assemble(devices, single("s"), as_primary=False) == (None, [])
    assert script.calls == []


def test_a_mirror_goes_on_without_its_children(devices: ScriptedDevices, script: Script) -> None:
    script.fail("assemble", "m.data", BROKEN)
    script.fail("open", "m.meta", CommandError(["lvchange"], "exited with status 5"))
    device, activated = assemble(devices, mirrored("m"), as_primary=True)
    assert device is not None
    assert device.children == (None, None)
    assert activated == ["m"]


def test_a_disk_that_needs_its_children_fails_with_them(devices: ScriptedDevices, script: Script) -> None:
    disk = Disk(dev_type=DiskType.PLAIN, logical_id=("vg", "top"), children=(plain("low"),))
    script.fail("assemble", "low", BROKEN)
    with pytest.raises(BlockDeviceError, match="broken"):
        assemble(devices, disk, as_primary=True)
    assert script.named("assemble") == ["low"]


def test_a_mistake_of_the_caller_is_not_borne(devices: ScriptedDevices, script: Script) -> None:
    script.fail("assemble", "m.data", NotSupported("plain", "anything"))
    with pytest.raises(NotSupported):
        assemble(devices, mirrored("m"), as_primary=True)


def test_take_down_goes_from_the_top_and_on_after_failures(devices: ScriptedDevices, script: Script) -> None:
    script.fail("shutdown", "m", BROKEN)
    script.fail("shutdown", "m.data", CommandError(["lvchange"], "busy"))
    failures = tree.take_down(
        mirrored("m"), find_device=lambda disk: tree.find(devices, disk), act=lambda device: device.shutdown()
    )
    assert failures == ["broken", "lvchange failed: busy"]
    assert script.named("shutdown") == ["m", "m.data", "m.meta"]
