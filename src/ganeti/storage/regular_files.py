"""Disks that are regular files below the directories allowed for it: what all drivers of such disks have in common.

Knows descriptors and the list of allowed directories; must not know why a file is where it is, guests, or caches of
device names. The way to a file is opened without following a link, at every use.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ganeti.constants import MIB
from ganeti.errors import BlockDeviceError, FileStoragePathError
from ganeti.host.system import System
from ganeti.model.disk import Disk
from ganeti.storage import allowed_paths, file_system
from ganeti.storage.base import BlockDevice, Growable, LogicalId, Wipeable
from ganeti.storage.observations import Observations

log = logging.getLogger(__name__)

DISK_MODE: Final = 0o600


class RegularFileDisk(BlockDevice, Growable, Wipeable):
    """A sparse file of the disk's size. A driver says where it is."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the disk. Raises: BlockDeviceError; FileStoragePathError when its path is not allowed."""
        super().__init__(system, disk, children, observed)
        if children:
            raise BlockDeviceError(f"{disk.describe()}: a file disk has no children")
        self._file = self._place(disk.logical_id)
        allowed_paths.check(system.paths, self._file)

    @abstractmethod
    def _place(self, logical_id: LogicalId) -> Path:
        """Where the file of an identity is, by the text alone. Raises: BlockDeviceError."""

    def _make_ready(self) -> None:
        """Make the place usable before a file in it is looked for, made or removed. Raises: BlockDeviceError."""

    @property
    def dev_path(self) -> Path:
        """The file."""
        return self._file

    def attach(self) -> bool:
        """Say whether the file is there. Raises: FileStoragePathError when a link is in its place."""
        self._make_ready()
        with self._failing("look for"):
            try:
                with allowed_paths.open_parent(self.system.paths, self._file) as directory:
                    found = os.stat(self._file.name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                return False
        if stat.S_ISLNK(found.st_mode):
            raise FileStoragePathError(f"{self._file} is a symbolic link")
        return stat.S_ISREG(found.st_mode)

    def create(self, *, exclusive_storage: bool) -> None:
        """Make the file, all hole. Raises: BlockDeviceError when something is in its place."""
        if exclusive_storage:
            raise BlockDeviceError(f"{self._file}: file disks cannot have physical disks of their own")
        self._make_ready()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._failing("create"), allowed_paths.open_parent(self.system.paths, self._file) as directory:
            descriptor = os.open(self._file.name, flags, DISK_MODE, dir_fd=directory)
            try:
                os.fchmod(descriptor, DISK_MODE)
                os.ftruncate(descriptor, self.disk.size * MIB)
                os.fsync(descriptor)
                os.fsync(directory)
            except BaseException:
                os.unlink(self._file.name, dir_fd=directory)
                raise
            finally:
                os.close(descriptor)

    def assemble(self) -> None:
        """Check that the file is there."""
        if not self.attach():
            raise BlockDeviceError(f"file disk {self._file} does not exist")

    def shutdown(self) -> None:
        """Nothing to do for a file."""

    def remove(self) -> None:
        """Remove the file; one that is missing is fine."""
        self._make_ready()
        with self._failing("remove"):
            try:
                with allowed_paths.open_parent(self.system.paths, self._file) as directory:
                    os.unlink(self._file.name, dir_fd=directory)
            except FileNotFoundError:
                log.debug("%s was not there to be removed", self._file)

    def actual_size(self) -> int:
        """Size of the file in bytes; how much of it is allocated does not matter."""
        with self._failing("read the size of"), self._opened(os.O_RDONLY) as descriptor:
            return os.fstat(descriptor).st_size

    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Add a hole at the end. The base is the actual size, whatever the description says.

        Raises: BlockDeviceError; in a dry run also when the file system has less than `amount_mib` free.
        """
        if amount_mib < 0:
            raise BlockDeviceError(f"{self._file} cannot grow by {amount_mib} MiB: disks never shrink")
        if not backing_store:
            return
        if exclusive_storage:
            raise BlockDeviceError(f"{self._file}: file disks cannot have physical disks of their own")
        with self._failing("grow"), self._opened(os.O_RDWR) as descriptor:
            if dry_run:
                self._check_space(descriptor, amount_mib)
            else:
                os.ftruncate(descriptor, os.fstat(descriptor).st_size + amount_mib * MIB)
                os.fsync(descriptor)

    def wipe(self, offset_mib: int, size_mib: int) -> None:
        """Make the range a hole (or zeros where there are no holes); the rest stays as it is."""
        with self._failing("wipe"), self._opened(os.O_RDWR) as descriptor:
            file_system.zero_range(descriptor, offset_mib * MIB, size_mib * MIB, punch=file_system.punch_hole)

    def takes_direct_io(self) -> bool:
        """Whether the file system can bypass the page cache; tmpfs, for one, only can since Linux 6.6."""
        with self._failing("open"):
            try:
                with self._opened(os.O_RDWR | os.O_DIRECT):
                    return True
            except OSError as err:
                if err.errno == errno.EINVAL:
                    return False
                raise

    def _check_space(self, descriptor: int, amount_mib: int) -> None:
        state = os.fstatvfs(descriptor)
        free_mib = state.f_bavail * state.f_frsize // MIB
        if free_mib < amount_mib:
            raise BlockDeviceError(f"{self._file} cannot grow by {amount_mib} MiB: {free_mib} MiB are free")

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        with allowed_paths.open_parent(self.system.paths, self._file) as directory:
            # Without O_NONBLOCK a named pipe in the disk's place would make the call hang.
            flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._file.name, flags, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BlockDeviceError(f"{self._file} is not a regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            reason = os.strerror(err.errno) if err.errno else str(err)
            raise BlockDeviceError(f"cannot {verb} file disk {self._file}: {reason}") from err
        except OverflowError as err:
            raise BlockDeviceError(f"cannot {verb} file disk {self._file}: no file is that large") from err
