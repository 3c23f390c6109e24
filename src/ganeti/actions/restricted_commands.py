"""Programs of one directory that the master may run on a node, without arguments and without environment.

Whoever guesses names is slowed down: any problem before the program runs costs ten seconds, during which no other
restricted command starts, and tells nothing but the name.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from ganeti.actions.node import Node
from ganeti.errors import CommandError, NodeError, UnsafePath
from ganeti.host import locks, plugins

log = logging.getLogger(__name__)

LOOSEST_MODE: Final = 0o755
PENALTY_S: Final = 10.0
LOCK_TIMEOUT_S: Final = 8.0

Owner = tuple[int, int]
ROOT: Final[Owner] = (0, 0)


def run(node: Node, name: str) -> str:
    """Run a restricted command; its standard output and error. Raises: NodeError, CommandError."""
    return run_owned(node, name, ROOT)


def run_owned(node: Node, name: str, owner: Owner) -> str:
    """The same with the user and group that directory and program must belong to."""
    log.info("Restricted command %r is asked for", name)
    lock: locks.Lock | None = None
    try:
        try:
            lock = locks.exclusive(node.paths.restricted_commands_lock, node.clock, timeout_s=LOCK_TIMEOUT_S)
            program = find(node.paths.restricted_commands_dir, name, owner)
        except (NodeError, OSError) as err:
            log.error("Restricted command %r is refused: %s", name, err)  # noqa: TRY400 - the text says it all
            node.clock.sleep(PENALTY_S)
            raise NodeError(f"executing command {name!r} failed") from None
    finally:
        # held through the penalty, not while a good command runs
        if lock is not None:
            lock.release()
    result = node.runner.run([program], env={}, reset_env=True)
    if result.failed:
        raise CommandError([name], result.reason, result.output)
    return result.output


def find(directory: Path, name: str, owner: Owner) -> Path:
    """The program of that name, if nobody but its owner can have changed it. Raises: UnsafePath, OSError."""
    _check_owner(directory, owner)
    if not directory.is_dir():
        raise UnsafePath(directory, "not a directory")
    if not plugins.is_plugin_name(name):
        raise UnsafePath(name, "not a name of a command")
    program = directory / name
    _check_owner(program, owner)
    if not program.is_file() or not os.access(program, os.X_OK):
        raise UnsafePath(program, "not an executable file")
    return program


def _check_owner(path: Path, owner: Owner) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~LOOSEST_MODE:
        raise UnsafePath(path, f"its mode {mode:04o} allows more than {LOOSEST_MODE:04o}")
    if (status.st_uid, status.st_gid) != owner:
        raise UnsafePath(path, f"it belongs to {status.st_uid}:{status.st_gid}, not to {owner[0]}:{owner[1]}")
