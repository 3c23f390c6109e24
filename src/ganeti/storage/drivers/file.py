"""Disks that are files: `file`, and `sharedfile` whose directory other nodes see too.

Knows files and the list of allowed directories; must not know guests, caches of device names or other drivers.

Different from the packaged 3.0 on purpose:
- A disk is readable and writable by its owner alone (0600); the packaged daemon gives 0700, whose execute bit serves
  nothing. QEMU opens disks before it gives up root.
- Directory and disk paths are checked at every use, links on the way are refused, a link in the disk's place too.
- A rename never overwrites a file that is in the way.
- A wipe leaves the rest of the file alone (a packaged one cuts the file at the end of the range).
- A dry run of growing also asks whether the file system has the space now.
- The guest writes the content, so nothing in it is ever probed: the format is always given as raw.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from ganeti.errors import BlockDeviceError
from ganeti.model.disk import DiskType
from ganeti.storage import allowed_paths, file_system
from ganeti.storage.base import LogicalId, Renamable
from ganeti.storage.regular_files import RegularFileDisk


class FileDisk(RegularFileDisk, Renamable, kinds=(DiskType.FILE, DiskType.SHAREDFILE)):
    """A sparse file at the path that its identity names."""

    def rename(self, new_id: LogicalId) -> None:
        """Move the file to the path in `new_id`. Raises: BlockDeviceError; FileStoragePathError."""
        target = self._place(new_id)
        if target == self._file:
            return
        paths = self.system.paths
        with (
            self._failing(f"rename to {target}"),
            allowed_paths.open_parent(paths, self._file) as source_dir,
            allowed_paths.open_parent(paths, target) as target_dir,
        ):
            file_system.rename_without_replacing(source_dir, self._file.name, target_dir, target.name)
            os.fsync(target_dir)
            os.fsync(source_dir)
        self.disk = replace(self.disk, logical_id=new_id)
        self._file = target

    def _place(self, logical_id: LogicalId) -> Path:
        if len(logical_id) != 2 or not all(isinstance(part, str) and part for part in logical_id):
            raise BlockDeviceError(
                f"{self.disk.describe()}: the identity of a file disk is its file driver and its path"
            )
        return Path(str(logical_id[1]))
