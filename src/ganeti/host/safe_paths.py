"""Files below a directory whose content others may change under our feet: no path in it leads out of it.

The kernel does the walking (openat2, Linux 5.6) and refuses to leave; where it cannot, the way is walked here component
by component without following a link. A check of the text, or of the resolved path, before the use would not do:
between the two the way can become another one. Not known here is which directories are allowed for what.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final

from ganeti.errors import UnsafePath
from ganeti.host import files
from ganeti.host.paths import below, component

# Source: linux/openat2.h. The system call has this number on every architecture.
_OPENAT2: Final = 437
_OPEN_HOW: Final = struct.Struct("QQQ")
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08

_ATTEMPTS: Final = 100
"""The kernel gives up with EAGAIN when something was renamed meanwhile; under a real attack that goes on and on."""

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Opener = Callable[[int, str, int, int], int]
"""Opens a relative path below an open directory: (directory, path, flags, mode of a new file)."""


class SafeDirectory:
    """A directory and what is strictly below it. Paths are relative to it, or absolute and below it by their text.

    Every method refuses with UnsafePath a path with `..`, or one that meets a symbolic link on its way or at its end
    (`unlink` and `rename` work on a link itself). With `inner_links` links that stay inside are followed, where the
    kernel can tell. The root itself may be a link: the administrator named it. Other failures are OSError.
    """

    def __init__(self, root: Path, *, inner_links: bool = False, opener: Opener | None = None) -> None:
        """Open the root. Raises: OSError."""
        self.root = root
        if opener is None:
            opener = open_beneath_following if inner_links else open_beneath
        self._open = opener
        self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give up the descriptor of the root."""
        os.close(self._descriptor)

    def __enter__(self) -> SafeDirectory:
        """Use it; closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # Using ---------------------------------------------------------------------------------------------------------

    def open(self, path: str | Path, flags: int, mode: int = 0o600, *, single_link: bool = False) -> int:
        """A descriptor of a regular file; a pipe, a device or a directory is refused, and none is waited for.

        `single_link` also refuses a file that has another name: who may not read it could have given it this one.
        """
        relative = self._relative(path)
        # emptied only when it is known to be what it should be
        careful = (flags & ~os.O_TRUNC) | os.O_NONBLOCK | os.O_NOCTTY
        try:
            descriptor = self._open(self._descriptor, str(relative), careful, mode)
        except OSError as err:
            if err.errno == errno.ENXIO:  # a pipe nobody reads, a socket, a device without hardware
                raise UnsafePath(path, "not a regular file") from err
            raise
        try:
            _check_file(descriptor, path, single_link=single_link)
            os.set_blocking(descriptor, True)
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def create(self, path: str | Path, mode: int = 0o600) -> int:
        """A descriptor, for writing, of a new file with exactly `mode`. Raises: FileExistsError."""
        descriptor = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        os.fchmod(descriptor, mode)
        return descriptor

    def write(
        self,
        path: str | Path,
        data: str | bytes,
        *,
        mode: int = 0o600,
        uid: int = -1,
        gid: int = -1,
        times: tuple[float, float] | None = None,
    ) -> None:
        """Replace a file in one step (see `files.write_atomic`); a link in its place is replaced, not followed."""
        with self._parent(path) as (directory, name):
            files.write_atomic_at(directory, name, data, mode=mode, uid=uid, gid=gid, times=times)

    def stat(self, path: str | Path) -> os.stat_result:
        """Status of what is there, of a link itself."""
        with self._parent(path) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def exists(self, path: str | Path) -> bool:
        """Whether something is there, be it a link that leads nowhere."""
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    def unlink(self, path: str | Path) -> None:
        """Remove a file, or a link itself."""
        with self._parent(path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def rename(self, old: str | Path, new: str | Path) -> None:
        """Move a file, directory or link within the root, replacing as rename(2) does."""
        with self._parent(old) as (old_directory, old_name), self._parent(new) as (new_directory, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_directory, dst_dir_fd=new_directory)

    def mkdir(self, path: str | Path, mode: int = 0o700) -> None:
        """Make a directory with exactly `mode`; its parent must exist."""
        with self._parent(path) as (directory, name):
            os.mkdir(name, mode, dir_fd=directory)
            made = self._open(directory, name, os.O_RDONLY | os.O_DIRECTORY, 0)
        try:
            os.fchmod(made, mode)
        finally:
            os.close(made)

    def rmdir(self, path: str | Path) -> None:
        """Remove an empty directory."""
        with self._parent(path) as (directory, name):
            os.rmdir(name, dir_fd=directory)

    def list(self, path: str | Path | None = None) -> list[str]:
        """Names in a directory, in the root by default, sorted."""
        if path is None:
            return _names(self._descriptor)
        descriptor = self._open(self._descriptor, str(self._relative(path)), os.O_RDONLY | os.O_DIRECTORY, 0)
        try:
            return _names(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, path: str | Path) -> Iterator[tuple[int, str]]:
        """A descriptor of the directory `path` lies in, and its name there."""
        relative = self._relative(path)
        if len(relative.parts) == 1:
            yield self._descriptor, relative.name
            return
        # not O_PATH: writing a file ends with an fsync of its directory
        descriptor = self._open(self._descriptor, str(relative.parent), os.O_RDONLY | os.O_DIRECTORY, 0)
        try:
            yield descriptor, relative.name
        finally:
            os.close(descriptor)

    def _relative(self, path: str | Path) -> PurePosixPath:
        text = str(path)
        relative = str(below(self.root, text).relative_to(self.root)) if text.startswith("/") else text
        return PurePosixPath(*(component(part) for part in relative.split("/")))


def _check_file(descriptor: int, path: str | Path, *, single_link: bool) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePath(path, "not a regular file")
    if single_link and status.st_nlink != 1:
        raise UnsafePath(path, "the file has another name")


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries)


# Openers -------------------------------------------------------------------------------------------------------------


def open_beneath(directory: int, path: str, flags: int, mode: int) -> int:
    """Open a path below an open directory without following any link. Raises: UnsafePath, OSError."""
    try:
        return _openat2(directory, path, flags, mode, _RESOLVE_NO_SYMLINKS)
    except OSError as err:
        if err.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        # an older kernel, or a container's system call filter that does not know the call
        return open_walking(directory, path, flags, mode)


def open_beneath_following(directory: int, path: str, flags: int, mode: int) -> int:
    """The same, but links that stay below the directory are followed where the kernel can tell which do."""
    try:
        return _openat2(directory, path, flags, mode, 0)
    except OSError as err:
        if err.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return open_walking(directory, path, flags, mode)


def open_walking(directory: int, path: str, flags: int, mode: int) -> int:
    """Like `open_beneath`, by system calls that every kernel has. Raises: UnsafePath, OSError."""
    *way, name = (component(part) for part in path.split("/"))
    current = os.dup(directory)
    try:
        for part in way:
            following = _open_at(current, part, _DIRECTORY, 0, path)
            os.close(current)
            current = following
        return _open_at(current, name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, path)
    finally:
        os.close(current)


def _open_at(directory: int, name: str, flags: int, mode: int, path: str) -> int:
    try:
        return os.open(name, flags, mode, dir_fd=directory)
    except OSError as err:
        # with O_DIRECTORY the kernel says of a link what it says of a file
        if err.errno == errno.ELOOP or (err.errno == errno.ENOTDIR and _is_link(directory, name)):
            raise UnsafePath(path, f"{name} is a symbolic link") from err
        raise


def _is_link(directory: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _openat2(directory: int, path: str, flags: int, mode: int, resolve: int) -> int:
    # Loading ctypes takes 5 ms and 1 MiB: only who opens such paths pays for it.
    import ctypes

    # the kernel refuses a mode where no file is made, and flags it does not know
    how = _OPEN_HOW.pack(
        flags | os.O_CLOEXEC,
        mode if flags & os.O_CREAT else 0,
        resolve | _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(_ATTEMPTS):
        result: int = libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.c_char_p(how),
            ctypes.c_size_t(len(how)),
        )
        if result >= 0:
            return result
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    if number == errno.EXDEV:
        raise UnsafePath(path, "a symbolic link in it leads out of the directory")
    if number == errno.ELOOP:
        raise UnsafePath(path, "there is a symbolic link in it")
    raise OSError(number, os.strerror(number), path)
