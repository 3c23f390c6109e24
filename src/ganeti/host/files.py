"""Files written so that a crash leaves the old content or the new, never a mixture; and careful reading."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ganeti.errors import NodeError

log = logging.getLogger(__name__)


def write_atomic(
    path: Path,
    data: str | bytes,
    *,
    mode: int = 0o600,
    uid: int = -1,
    gid: int = -1,
    times: tuple[float, float] | None = None,
) -> None:
    """Replace `path` by a file with `data`: temporary file beside it, fsync, rename, fsync of the directory.

    `mode` holds whatever the umask is; `uid` and `gid` of -1 mean the process's own; `times` are (access, change) in
    seconds. Raises: OSError, and then `path` is as it was unless it was the very last step that failed.
    """
    with opened_directory(path.parent) as directory:
        write_atomic_at(directory, path.name, data, mode=mode, uid=uid, gid=gid, times=times)


def write_atomic_at(
    directory: int,
    name: str,
    data: str | bytes,
    *,
    mode: int = 0o600,
    uid: int = -1,
    gid: int = -1,
    times: tuple[float, float] | None = None,
) -> None:
    """Replace file `name` of an open directory (see `write_atomic`)."""
    content = data.encode() if isinstance(data, str) else data
    temporary = temporary_name(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            if uid != -1 or gid != -1:
                os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, stat.S_IMODE(mode))  # after chown, which takes set-id bits away
            if times is not None:
                os.utime(descriptor, times)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)


def temporary_name(name: str) -> str:
    """A name for the unfinished version of `name`, in the same directory; nobody can guess it."""
    # cut by bytes, of which a name may have 255: letters outside ASCII have several
    return f"{os.fsdecode(os.fsencode(name)[:200])}.{secrets.token_hex(6)}.new"


@contextmanager
def opened_directory(path: Path) -> Iterator[int]:
    """A descriptor of a directory. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_text(path: Path, *, limit: int | None = None) -> str:
    """Read a UTF-8 file of at most `limit` bytes. Raises: OSError; NodeError when it is larger or not text."""
    with path.open("rb") as file:
        data = file.read(-1 if limit is None else limit + 1)
    if limit is not None and len(data) > limit:
        raise NodeError(f"{path} is larger than {limit} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise NodeError(f"{path} is not UTF-8 text: {err.reason} at byte {err.start}") from err


def ensure_directory(path: Path, mode: int) -> None:
    """Make `path` a directory with exactly `mode`, whatever the umask; its parent must exist.

    Raises: NodeError when something else is in its place; OSError.
    """
    try:
        path.mkdir(mode)
    except FileExistsError as err:
        if not path.is_dir():
            raise NodeError(f"{path} exists and is not a directory") from err
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def remove(path: Path) -> bool:
    """Remove a file; say whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def replace_link(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target` in one step: there is no moment without it. Raises: OSError."""
    if link.is_symlink() and link.readlink() == target:
        return
    temporary = link.with_name(temporary_name(link.name))
    temporary.symlink_to(target)
    try:
        temporary.rename(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def tail(path: Path, lines: int = 20, window: int = 4096) -> list[str]:
    """The last `lines` lines within the last `window` bytes; the first may be cut at its beginning."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - window))
        return file.read().decode("utf-8", "backslashreplace").splitlines()[-lines:]


def significant_lines(text: str) -> list[str]:
    """Lines without surrounding blanks, empty ones and those that start with `#` left out."""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def visible_names(directory: Path) -> Sequence[str]:
    """Names in `directory` without leading dot, sorted; `lost+found` of a mount point is hidden too."""
    names = sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))
    if "lost+found" in names and directory.is_mount() and (directory / "lost+found").is_dir():
        names.remove("lost+found")
    return names
