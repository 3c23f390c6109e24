"""Disks in GlusterFS volumes: what is asked of the kernel and of `mount`, and what is refused before that."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from ganeti.actions import blockdev
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, FileStoragePathError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.model.base import Scalar
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.drivers.gluster import GlusterDisk
from ganeti.tools import glusterfs
from ganeti.tools.glusterfs import Mounted

PATH = "ganeti/8d0c2f6e.0"
SERVER = "192.0.2.7"


@pytest.fixture
def mount_point(paths: Paths, tmp_path: Path) -> Path:
    """The cluster's gluster storage directory, allowed and not there yet."""
    directory = tmp_path / "gluster"
    paths.ssconf("gluster_storage_dir").write_text(f"{directory}\n")
    paths.file_storage_paths_file.write_text(f"{directory}\n")
    return directory


def disk_of(path: str = PATH, **params: Scalar) -> Disk:
    return Disk(
        dev_type=DiskType.GLUSTER,
        logical_id=("loop", path),
        size=8,
        iv_name="disk/0",
        params={"host": SERVER, "port": 24007, "volume": "gv0", "access": "kernelspace", **params},
    )


def device(paths: Paths, runner: ReplayRunner, disk: Disk) -> GlusterDisk:
    return GlusterDisk(System(paths=paths, runner=runner, clock=FakeClock()), disk)


def seen(*lines: str) -> Exchange:
    """What the kernel says is mounted."""
    text = "".join(f"{line} rw 0 0\n" for line in ("/dev/vda / ext4", *lines))
    return Exchange(argv=("cat", "/proc/self/mounts"), stdout=text)


def mount(directory: Path, source: str = f"{SERVER}:/gv0", port: int = 24007, *, status: int = 0) -> Exchange:
    argv = ("mount", "-t", "glusterfs", "-o", f"server-port={port}", source, str(directory))
    return Exchange(argv=argv, exit_code=status, stderr="Mounting glusterfs failed.\n" if status else "")


Replay = Callable[..., ReplayRunner]


# Mounting ------------------------------------------------------------------------------------------------------------


def test_it_is_mounted_when_it_is_not(paths: Paths, replay: Replay, mount_point: Path) -> None:
    # The second look is the one under the lock.
    there = seen(f"{SERVER}:/gv0 {mount_point} fuse.glusterfs")
    runner = replay([seen(), seen(), mount(mount_point), there])
    device(paths, runner, disk_of()).create(exclusive_storage=False)
    assert (mount_point / PATH).stat().st_size == 8 << 20


def test_it_is_looked_at_once_when_it_is_mounted(paths: Paths, replay: Replay, mount_point: Path) -> None:
    (mount_point / "ganeti").mkdir(parents=True)
    runner = replay([seen(f"{SERVER}:/gv0 {mount_point} fuse.glusterfs")])
    node = Node.compose(System(paths=paths, runner=runner, clock=FakeClock()))
    disks = tuple(disk_of(f"ganeti/{number}") for number in range(2))
    for disk in disks:
        (mount_point / str(disk.logical_id[1])).write_bytes(b"")
    devices = node.storage.observing()
    for disk in disks:
        assert devices.device(disk).attach()


def test_somebody_who_mounts_it_meanwhile_is_noticed(paths: Paths, replay: Replay, mount_point: Path) -> None:
    runner = replay([seen(), seen(f"{SERVER}:/gv0 {mount_point} fuse.glusterfs")])
    device(paths, runner, disk_of()).create(exclusive_storage=False)


@pytest.mark.parametrize("status", [0, 1])
def test_a_mount_that_is_not_there_afterwards_is_an_error_whatever_was_said(
    paths: Paths, replay: Replay, mount_point: Path, status: int
) -> None:
    runner = replay([seen(), seen(), mount(mount_point, status=status), seen()])
    with pytest.raises(BlockDeviceError, match=r"gluster volume gv0 of 192\.0\.2\.7 cannot be mounted at"):
        device(paths, runner, disk_of()).create(exclusive_storage=False)
    assert list(mount_point.iterdir()) == []


def test_a_client_that_gives_up_while_it_is_mounted_is_taken_away(
    paths: Paths, replay: Replay, mount_point: Path
) -> None:
    there = seen(f"{SERVER}:/gv0 {mount_point} fuse.glusterfs")
    unmount = Exchange(argv=("umount", str(mount_point)))
    runner = replay([seen(), seen(), mount(mount_point, status=1), there, unmount])
    with pytest.raises(BlockDeviceError, match="exited with status 1: Mounting glusterfs failed"):
        device(paths, runner, disk_of()).create(exclusive_storage=False)


def test_a_client_that_answers_to_nothing_is_taken_away(paths: Paths, replay: Replay, tmp_path: Path) -> None:
    """As one that has lost its server, whose place cannot be looked at; here it is a link to itself."""
    mount_point = tmp_path / "gluster"
    paths.ssconf("gluster_storage_dir").write_text(f"{mount_point}/point\n")
    paths.file_storage_paths_file.write_text(f"{mount_point}\n")
    mount_point.mkdir()
    place = mount_point / "point"
    there = seen(f"{SERVER}:/gv0 {place} fuse.glusterfs")
    unmount = Exchange(argv=("umount", str(place)))
    runner = Vanishing([seen(), seen(), mount(place), there, unmount], place)
    with runner, pytest.raises(BlockDeviceError, match="cannot be mounted at"):
        device(paths, runner, disk_of()).create(exclusive_storage=False)


class Vanishing(ReplayRunner):
    """Takes the mount point away when something is mounted there."""

    def __init__(self, exchanges: list[Exchange], place: Path) -> None:
        super().__init__(exchanges)
        self._place = place

    def read(self, path: Path) -> str:
        text = super().read(path)
        if str(self._place) in text:
            self._place.rmdir()
            self._place.symlink_to(self._place)
        return text


@pytest.mark.parametrize(
    "line",
    [
        "192.0.2.7:/other {} fuse.glusterfs",
        "192.0.2.7:/gv0/below {} fuse.glusterfs",
        "192.0.2.8:/gv0 {} fuse.glusterfs",
        "192.0.2.7:/gv0 {} nfs4",
        "tmpfs {} tmpfs",
    ],
)
def test_what_is_mounted_instead_is_refused(paths: Paths, replay: Replay, mount_point: Path, line: str) -> None:
    mount_point.mkdir()
    runner = replay([seen(line.format(mount_point))])
    with pytest.raises(BlockDeviceError, match="is mounted at"):
        device(paths, runner, disk_of()).create(exclusive_storage=False)
    assert list(mount_point.iterdir()) == []


@pytest.mark.parametrize("source", ["localhost:/gv0", "127.0.0.1:/gv0", "first,localhost,last:/gv0"])
def test_the_administrators_mount_by_name_or_with_more_servers_will_do(
    paths: Paths, replay: Replay, mount_point: Path, source: str
) -> None:
    runner = replay([seen(f"{source} {mount_point} fuse.glusterfs")])
    device(paths, runner, disk_of(host="localhost")).create(exclusive_storage=False)


def test_a_place_that_a_link_leads_to_is_known_by_its_real_name(paths: Paths, replay: Replay, tmp_path: Path) -> None:
    """As /var/run is one on Debian."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    paths.ssconf("gluster_storage_dir").write_text(f"{tmp_path}/link/gluster\n")
    paths.file_storage_paths_file.write_text(f"{tmp_path}/link/gluster\n")
    runner = replay([seen(f"{SERVER}:/gv0 {tmp_path}/run/gluster fuse.glusterfs")])
    (tmp_path / "run/gluster").mkdir()
    device(paths, runner, disk_of()).create(exclusive_storage=False)


def test_a_disk_that_is_gone_stays_gone_and_the_volume_mounted(paths: Paths, replay: Replay, mount_point: Path) -> None:
    mount_point.mkdir()
    there = seen(f"{SERVER}:/gv0 {mount_point} fuse.glusterfs")
    node = Node.compose(System(paths=paths, runner=replay([there]), clock=FakeClock()))
    blockdev.remove(node, disk_of())


def test_an_ipv6_server_has_brackets_in_the_address_of_a_file_alone(
    paths: Paths, replay: Replay, mount_point: Path
) -> None:
    there = seen(f"2001:db8::7:/gv0 {mount_point} fuse.glusterfs")
    runner = replay([seen(), seen(), mount(mount_point, "2001:db8::7:/gv0", 24100), there])
    made = device(paths, runner, disk_of(host="2001:db8::7", port=24100))
    made.create(exclusive_storage=False)
    assert made.userspace_uri("kvm") == f"gluster://[2001:db8::7]:24100/gv0/{PATH}"


def test_other_hypervisors_have_no_address(paths: Paths, replay: Replay, mount_point: Path) -> None:
    with pytest.raises(BlockDeviceError, match="from user space by xen-pvm"):
        device(paths, replay([]), disk_of()).userspace_uri("xen-pvm")


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a/", "a\0b", "a\nb", ".", "..", "x" * 300]
)
def test_a_path_that_may_leave_the_volume_is_refused(
    paths: Paths, replay: Replay, mount_point: Path, path: str
) -> None:
    with pytest.raises(BlockDeviceError):
        device(paths, replay([]), disk_of(path))


def test_a_mount_point_that_is_not_allowed_is_refused(paths: Paths, replay: Replay, mount_point: Path) -> None:
    paths.file_storage_paths_file.write_text("/srv/other\n")
    with pytest.raises(FileStoragePathError):
        device(paths, replay([]), disk_of())


@pytest.mark.parametrize("text", [None, "", "relative\n", "/a/../b\n"])
def test_a_cluster_without_mount_point_has_no_such_disks(paths: Paths, replay: Replay, text: str | None) -> None:
    if text is not None:
        paths.ssconf("gluster_storage_dir").write_text(text)
    with pytest.raises(BlockDeviceError, match="gluster storage directory"):
        device(paths, replay([]), disk_of())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("host", value) for value in (None, 5, "", "-o", "a b", "a,b", "a/b", "a\n", "[::1]")],
        *[("volume", value) for value in (None, 5, "", "-x", "a/b", "a b", "a,b", "..", "a\n")],
        *[("port", value) for value in (None, "", 0, 65536, -1, "24007,x", "1 ", True, 1.5, "٣")],
    ],
)
def test_a_parameter_that_is_none_is_refused_by_name(
    paths: Paths, replay: Replay, mount_point: Path, name: str, value: Scalar
) -> None:
    with pytest.raises(BlockDeviceError, match=f"parameter {name} is"):
        device(paths, replay([]), replace(disk_of(), params={**(disk_of().params or {}), name: value}))


def test_a_host_without_address_is_an_error(paths: Paths, replay: Replay, mount_point: Path) -> None:
    runner = replay([seen(), seen()])
    # the longest label of a name has 63 letters, so nobody has to be asked
    with pytest.raises(BlockDeviceError, match="cannot be told"):
        device(paths, runner, disk_of(host="x" * 64)).attach()


@pytest.mark.parametrize("identity", [(), ("loop",), ("loop", "a", "b"), ("loop", 5), (None, "a")])
def test_an_identity_of_another_shape_is_refused(
    paths: Paths, replay: Replay, mount_point: Path, identity: tuple[str | int | None, ...]
) -> None:
    with pytest.raises(BlockDeviceError, match="identity"):
        device(paths, replay([]), Disk(dev_type=DiskType.GLUSTER, logical_id=identity))


# The tool's words ----------------------------------------------------------------------------------------------------


def test_blanks_in_the_kernels_table_are_read(replay: Replay) -> None:
    runner = replay([seen("a:/v /mnt/with\\040blank\\134 fuse.glusterfs", "too short")])
    assert glusterfs.mounted(runner)[Path("/mnt/with blank\\")] == Mounted(source="a:/v", file_system="fuse.glusterfs")


def test_of_two_mounts_at_a_place_the_upper_one_counts(replay: Replay) -> None:
    runner = replay([seen("a:/v /mnt fuse.glusterfs", "tmpfs /mnt tmpfs")])
    assert glusterfs.mounted(runner)[Path("/mnt")].file_system == "tmpfs"


def test_what_means_something_in_an_address_is_escaped() -> None:
    address = ipaddress.ip_address("192.0.2.7")
    assert glusterfs.uri(address, 1, "v", "a b/c?d#e%f,ü") == "gluster://192.0.2.7:1/v/a%20b/c%3Fd%23e%25f%2C%C3%BC"
