"""What file disks need of the kernel that Python does not offer: holes, zeroed ranges, a rename that never overwrites.

Works on open descriptors alone; knows nothing of disks and of which paths are allowed.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable

log = logging.getLogger(__name__)

KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02
RENAME_NOREPLACE = 0x01
BLOCK = 1024 * 1024
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})
"""What kernels and file systems answer to a request they do not know; NFS before 4.2 is one of them."""


def zero_range(descriptor: int, offset: int, length: int, *, punch: Callable[[int, int, int], None]) -> None:
    """Make `length` bytes from `offset` read as zero, without changing the file's size.

    `punch` is tried first (see `punch_hole`); when the file system cannot do it, or the range does not read as zero
    afterwards, zeros are written. What lies beyond the end of the file is left alone. Raises: OSError.
    """
    end = min(offset + length, os.fstat(descriptor).st_size)
    if end <= offset:
        return
    try:
        punch(descriptor, offset, end - offset)
    except OSError as err:
        if err.errno not in UNSUPPORTED:
            raise
        log.debug("This file system makes no holes (%s), zeros are written instead", err)
    if not reads_as_zero(descriptor, offset, end):
        write_zeros(descriptor, offset, end)
    os.fsync(descriptor)


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Give a range's blocks back to the file system; it reads as zero afterwards. Raises: OSError."""
    import ctypes  # 4 ms of start-up, used by a wipe alone

    libc = ctypes.CDLL(None, use_errno=True)
    flags = PUNCH_HOLE | KEEP_SIZE
    if libc.fallocate(descriptor, flags, ctypes.c_longlong(offset), ctypes.c_longlong(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def reads_as_zero(descriptor: int, offset: int, end: int) -> bool:
    """Whether every byte from `offset` to `end` is zero; holes are skipped, not read."""
    position = offset
    while position < end:
        try:
            position = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as err:
            if err.errno == errno.ENXIO:
                return True  # no data from here to the end of the file
            raise
        if position >= end:
            return True
        data = os.pread(descriptor, min(BLOCK, end - position), position)
        if not data:
            return True
        if data.count(0) != len(data):
            return False
        position += len(data)
    return True


def write_zeros(descriptor: int, offset: int, end: int) -> None:
    """Write zeros from `offset` to `end`. Raises: OSError."""
    zeros = memoryview(bytes(min(BLOCK, end - offset)))
    while offset < end:
        offset += os.pwrite(descriptor, zeros[: end - offset], offset)


def rename_without_replacing(source_dir: int, source: str, target_dir: int, target: str) -> None:
    """Move a file or directory between two open directories in one step.

    Raises: FileExistsError when the target is there; OSError.
    """
    import ctypes  # 4 ms of start-up, used by a rename alone

    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(source), os.fsencode(target)
    if libc.renameat2(source_dir, names[0], target_dir, names[1], RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in UNSUPPORTED:
        raise OSError(number, os.strerror(number), source, None, target)
    rename_by_links(source_dir, source, target_dir, target)


def rename_by_links(source_dir: int, source: str, target_dir: int, target: str) -> None:
    """The same where the file system knows no such rename (NFS).

    A file gets a second link and loses the first: a crash between leaves both names, never none. A directory cannot
    have two links; a plain rename of one never replaces more than an empty directory. Raises: as above.
    """
    if stat.S_ISDIR(os.stat(source, dir_fd=source_dir, follow_symlinks=False).st_mode):
        if os.access(target, os.F_OK, dir_fd=target_dir, follow_symlinks=False):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
        return
    os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
    os.unlink(source, dir_fd=source_dir)
