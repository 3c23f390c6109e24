"""Disks of type `gluster`: files in a GlusterFS volume that the node mounts, and QEMU can open without the mount.

Knows volumes, where the cluster wants them mounted, and that the right one is there; must not know guests. What it is
to be a file is `storage.regular_files`'s: allowed directories, links refused, modes, holes.

The mount point is the cluster's gluster storage directory; it must be allowed for file storage. A disk's identity is
its file driver and a path below the mount point; `host`, `port` and `volume` are its parameters.

Different from the packaged 3.0 on purpose:
- Another volume, or the same of another server, at the mount point is refused (there it is not looked at, so disks are
  made in whatever is there).
- The volume stays mounted after create and remove (there they try to unmount it under running guests).
- Two actions that find it unmounted mount it once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from ganeti.config.ssconf import Ssconf
from ganeti.errors import BlockDeviceError, CommandError, ConfigurationError, LockTimeout, NodeError, UnsafePath
from ganeti.host import net
from ganeti.host.locks import exclusive
from ganeti.host.paths import absolute, below, component
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage import allowed_paths
from ganeti.storage.base import BlockDevice, LogicalId, UserspaceAccess
from ganeti.storage.observations import Observations
from ganeti.storage.regular_files import RegularFileDisk
from ganeti.tools import glusterfs
from ganeti.tools.glusterfs import Mounted

log = logging.getLogger(__name__)

MOUNT_POINT_KEY: Final = "gluster_storage_dir"
DIRECTORY_MODE: Final = 0o700
VOLUME_PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
HOST_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9.:_-]*"
HYPERVISOR: Final = "kvm"
LOCK_TIMEOUT_S: Final = glusterfs.MOUNT_TIMEOUT_S + 10


class GlusterDisk(RegularFileDisk, UserspaceAccess, kinds=(DiskType.GLUSTER,)):
    """A sparse file in a GlusterFS volume."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk. Raises: BlockDeviceError for a wrong identity or parameter; FileStoragePathError."""
        self._mount_point = _mount_point(system)
        super().__init__(system, disk, children, observed)
        self._host = _word(disk, "host", HOST_PATTERN)
        self._volume = _word(disk, "volume", VOLUME_PATTERN)
        self._port = _port(disk)

    def create(self, *, exclusive_storage: bool) -> None:
        """Make the file, all hole, and the directories on the way to it. Raises: as every disk that is a file."""
        self._make_ready()
        if not exclusive_storage:
            with self._failing("make the directory of"):
                allowed_paths.make_directories(self.system.paths, self._file.parent, DIRECTORY_MODE)
        super().create(exclusive_storage=exclusive_storage)

    def userspace_uri(self, hypervisor: str) -> str:
        """Address by which QEMU opens the file without the mount. Raises: BlockDeviceError for other hypervisors."""
        if hypervisor != HYPERVISOR:
            raise BlockDeviceError(f"{self.disk.describe()} cannot be reached from user space by {hypervisor}")
        path = str(self._file.relative_to(self._mount_point))
        return glusterfs.uri(self._address, self._port, self._volume, path)

    def _place(self, logical_id: LogicalId) -> Path:
        if len(logical_id) != 2 or not all(isinstance(part, str) and part for part in logical_id):
            raise BlockDeviceError(
                f"{self.disk.describe()}: the identity of a gluster disk is its file driver and its path in the volume"
            )
        try:
            for part in str(logical_id[1]).split("/"):
                component(part)
            return below(self._mount_point, self._mount_point / str(logical_id[1]))
        except UnsafePath as err:
            raise BlockDeviceError(f"gluster disk {logical_id[1]!r}: {err.reason}") from err

    @cached_property
    def _address(self) -> net.Address:
        try:
            return net.resolve(self._host)
        except NodeError as err:
            raise BlockDeviceError(f"gluster volume {self._volume}: {err}") from err

    def _make_ready(self) -> None:
        """Mount the volume unless it is mounted. Raises: BlockDeviceError, also when another one is mounted there."""
        if self._is_mounted():
            return
        try:
            with exclusive(self.system.paths.gluster_lock, self.system.clock, timeout_s=LOCK_TIMEOUT_S):
                self.observed.forget(_mounted)
                if not self._is_mounted():
                    self._mount()
        except LockTimeout as err:
            raise BlockDeviceError(f"{self._what} cannot be mounted: {err}") from err
        except OSError as err:
            raise BlockDeviceError(f"{self._what} cannot be mounted at {self._mount_point}: {err}") from err

    def _mount(self) -> None:
        self._mount_point.mkdir(parents=True, exist_ok=True)
        try:
            result = glusterfs.mount(self.system.runner, self._address, self._port, self._volume, self._mount_point)
        except CommandError as err:
            raise BlockDeviceError(f"{self._what} cannot be mounted: {err}") from err
        self.observed.forget(_mounted)
        is_there = self._is_mounted()
        if is_there and not result.failed and self._answers():
            return
        if is_there:
            # A client that gives up (no such volume) is mounted for a moment; what it leaves answers to nothing.
            glusterfs.unmount(self.system.runner, self._mount_point)
            self.observed.forget(_mounted)
        output = " ".join(result.output.split()) or "no reason was given"
        raise BlockDeviceError(
            f"{self._what} cannot be mounted at {self._mount_point}: {result.reason or 'it was not'}: {output} "
            "(is it started, does `gluster volume info` on the server know it, can the server be reached?)"
        )

    def _answers(self) -> bool:
        try:
            self._mount_point.stat()
        except OSError as err:
            log.warning("%s is mounted at %s, but: %s", self._what, self._mount_point, err.strerror)
            return False
        return True

    def _is_mounted(self) -> bool:
        """Whether the volume is where it should be. Raises: BlockDeviceError when something else is there."""
        # The kernel tells places without links on the way, and /var/run is one.
        place = self._mount_point.parent.resolve() / self._mount_point.name
        found = self.observed.of(_mounted).get(place)
        if found is None:
            return False
        if found.volume != self._volume:
            raise BlockDeviceError(
                f"{found.source} ({found.file_system}) is mounted at {place} instead of {self._what}"
            )
        if self._host not in found.servers and str(self._address) not in found.servers:
            raise BlockDeviceError(f"{found.source} is mounted at {place}, which is not {self._what}: unmount it first")
        return True

    @property
    def _what(self) -> str:
        return f"gluster volume {self._volume} of {self._host}"


def _mounted(system: System) -> Mapping[Path, Mounted]:
    try:
        return glusterfs.mounted(system.runner)
    except OSError as err:
        raise BlockDeviceError(f"it cannot be told what is mounted: {err}") from err


def _mount_point(system: System) -> Path:
    try:
        return absolute(Ssconf(system.paths).text(MOUNT_POINT_KEY))
    except ConfigurationError as err:
        raise BlockDeviceError(f"the cluster has no gluster storage directory: {err}") from err
    except UnsafePath as err:
        raise BlockDeviceError(f"the cluster's gluster storage directory {err.path!r}: {err.reason}") from err


def _word(disk: Disk, name: str, pattern: str) -> str:
    value = (disk.params or {}).get(name)
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise BlockDeviceError(
            f"{disk.describe()}: parameter {name} is {value!r}, which is no {name} of a gluster volume"
        )
    return value


def _port(disk: Disk) -> int:
    value = (disk.params or {}).get("port")
    # a whole number may come as text, never as a truth value
    text = "" if isinstance(value, bool) else str(value)
    if re.fullmatch(r"[0-9]{1,5}", text) is None or not 0 < int(text) < 65536:
        raise BlockDeviceError(f"{disk.describe()}: parameter port is {value!r}, which is no TCP port")
    return int(text)
