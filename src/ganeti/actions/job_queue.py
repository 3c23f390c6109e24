"""The copy of the master's job queue on a node: files below one directory, replaced and renamed whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ganeti.actions import uploads
from ganeti.actions.node import Node
from ganeti.errors import ConfigurationError, NodeError
from ganeti.host import files, locks
from ganeti.host.paths import below
from ganeti.host.safe_paths import SafeDirectory

VERSION: Final = "1"
FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750
LOCK_TIMEOUT_S: Final = 10.0
LOCK_FILE: Final = "lock"
DRAIN_FILE: Final = "drain"
ARCHIVE: Final = "archive"


def prepare(node: Node) -> None:
    """Make the queue's version and serial file where missing, before the first call.

    Raises: ConfigurationError when the queue is of another version or its owners do not exist; OSError.
    """
    accounts = node.system.accounts()
    for name, content in (("version", VERSION), ("serial", "0")):
        path = node.paths.queue_dir / name
        if not path.exists():
            owner, group = accounts.masterd_uid, accounts.daemons_gid
            files.write_atomic(path, f"{content}\n", mode=FILE_MODE, uid=owner, gid=group)
    version = files.read_text(node.paths.queue_dir / "version", limit=100).strip()
    if version != VERSION:
        raise ConfigurationError(f"the job queue is of version {version!r}, not {VERSION}")


def update(node: Node, path: str, content: uploads.Encoded) -> None:
    """Write a file of the queue; its directory must exist.

    Raises: UnsafePath, InvalidParameter, LockTimeout, OSError.
    """
    name = _queue_file(node, path)
    data = uploads.decode(content)
    accounts = node.system.accounts()
    with _locked(node) as queue:
        queue.write(name, data, mode=FILE_MODE, uid=accounts.masterd_uid, gid=accounts.daemons_gid)


def rename(node: Node, pairs: tuple[tuple[str, str], ...]) -> list[None]:
    """Rename files of the queue in order, making the new one's directory where missing; one None a pair.

    All names are judged first. The first rename that fails ends the call, and the earlier ones stay done.
    Raises: UnsafePath, LockTimeout, OSError.
    """
    judged = [(_queue_file(node, old), _queue_file(node, new)) for old, new in pairs]
    with _locked(node) as queue:
        for old, new in judged:
            if not queue.exists(old):
                raise NodeError(f"there is no job queue file {old}")
            if new.parent != Path() and not queue.exists(new.parent):
                _make_directory(node, queue, new.parent)
            queue.rename(old, new)
    return [None] * len(judged)


def set_drain_flag(node: Node, drained: bool) -> None:
    """Note that the queue takes no new jobs, or that it does again. Raises: LockTimeout, OSError."""
    accounts = node.system.accounts()
    with _locked(node) as queue:
        if drained:
            queue.write(DRAIN_FILE, "", mode=FILE_MODE, uid=accounts.masterd_uid, gid=accounts.daemons_gid)
        elif queue.exists(DRAIN_FILE):
            queue.unlink(DRAIN_FILE)


def purge(node: Node) -> None:
    """Remove the files of the queue but its lock, and those directly in the archive. Raises: LockTimeout, OSError."""
    with _locked(node) as queue:
        names = [Path(name) for name in queue.list()]
        if queue.exists(ARCHIVE):
            names += [Path(ARCHIVE, name) for name in queue.list(ARCHIVE)]
        for name in names:
            is_kept = name.name.startswith(".") or name == Path(LOCK_FILE)
            if not is_kept and stat.S_ISREG(queue.stat(name).st_mode):
                queue.unlink(name)


def _queue_file(node: Node, text: str) -> Path:
    """A queue file's path within the queue. Raises: UnsafePath when it is none."""
    return below(node.paths.queue_dir, node.paths.from_virtual(text)).relative_to(node.paths.queue_dir)


@contextmanager
def _locked(node: Node) -> Iterator[SafeDirectory]:
    """Hold the queue's lock and reach its files. The directory belongs to another user: no link in it is followed.

    It is a flock: the record lock that the master holds on the same file must not count.
    """
    lock = node.paths.queue_dir / LOCK_FILE
    with locks.exclusive(lock, node.clock, timeout_s=LOCK_TIMEOUT_S) as held, SafeDirectory(lock.parent) as queue:
        # the master removes the file when it ends, and must be able to open the one made here
        accounts = node.system.accounts()
        os.fchown(held.descriptor, accounts.masterd_uid, accounts.daemons_gid)
        os.fchmod(held.descriptor, FILE_MODE)
        yield queue


def _make_directory(node: Node, queue: SafeDirectory, name: Path) -> None:
    accounts = node.system.accounts()
    queue.mkdir(name, DIRECTORY_MODE)
    os.chown(node.paths.queue_dir / name, accounts.masterd_uid, accounts.daemons_gid, follow_symlinks=False)
