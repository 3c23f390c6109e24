"""What each storage driver says to the operations not all of them know: the one table, for tests and documentation.

The contract of `storage_contract` holds every driver to its row; the table in `docs/storage.md` is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ganeti.errors import BlockDeviceError, CommandError, NodeError, NotSupported
from ganeti.model.disk import DiskType


class Operation(StrEnum):
    """Operations whose answer depends on the driver."""

    FIND_ABSENT = "look for one that is not there"
    EXCLUSIVE_STORAGE = "exclusive storage"
    CREATE_TWICE = "create twice"
    GROW = "grow"
    RENAME = "rename"
    SNAPSHOT = "snapshot"
    USERSPACE = "user space access"
    EXPORT = "be copied"
    IMPORT = "be copied over"


Answer = type[NodeError] | None
WORKS: Final[Answer] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One driver's row: what it does with each operation, and what else differs."""

    operations: Mapping[Operation, Answer]
    """WORKS, or the error an operation is refused with."""
    new_is_whole: bool = True
    """Whether a new disk is not degraded; a mirror without its other half is."""
    new_space_is_zero: bool = True
    """Whether what was never written reads as zero; a volume shows what lay there before."""
    is_somebody_elses: bool = False
    """Whether the device is there before it is made and stays, with its data, when it is removed."""
    grows_alone: bool = True
    """Whether the larger size can be used at once; a mirror has to agree on it with its other half."""
    closed_is_usable: bool = True
    """Whether a closed disk can still be read and written; the passive half of a mirror cannot."""


_REFUSED_BY_MOST: Final[Mapping[Operation, Answer]] = {
    Operation.FIND_ABSENT: WORKS,
    Operation.EXCLUSIVE_STORAGE: BlockDeviceError,
    Operation.CREATE_TWICE: BlockDeviceError,
    Operation.GROW: WORKS,
    # The action collects what went wrong with each disk, so NotSupported arrives as its text.
    Operation.RENAME: BlockDeviceError,
    Operation.SNAPSHOT: NotSupported,
    Operation.USERSPACE: BlockDeviceError,
    Operation.EXPORT: WORKS,
    Operation.IMPORT: WORKS,
}

_FILE = Answers(operations={**_REFUSED_BY_MOST, Operation.RENAME: WORKS})

ANSWERS: Final[Mapping[DiskType, Answers]] = {
    DiskType.FILE: _FILE,
    DiskType.SHAREDFILE: _FILE,
    DiskType.GLUSTER: Answers(operations={**_REFUSED_BY_MOST, Operation.USERSPACE: WORKS}),
    DiskType.PLAIN: Answers(
        operations={
            **_REFUSED_BY_MOST,
            Operation.EXCLUSIVE_STORAGE: WORKS,
            Operation.RENAME: WORKS,
            Operation.SNAPSHOT: WORKS,
        },
        new_space_is_zero=False,
    ),
    DiskType.DRBD: Answers(
        # what is there with just the same disks needs no making; an interrupted creation goes on from there
        operations={**_REFUSED_BY_MOST, Operation.CREATE_TWICE: WORKS, Operation.SNAPSHOT: WORKS},
        new_is_whole=False,
        new_space_is_zero=False,
        grows_alone=False,
        closed_is_usable=False,
    ),
    DiskType.BLOCKDEV: Answers(
        operations={
            **_REFUSED_BY_MOST,
            Operation.CREATE_TWICE: WORKS,
            Operation.GROW: NotSupported,
            Operation.IMPORT: BlockDeviceError,
        },
        new_space_is_zero=False,
        is_somebody_elses=True,
    ),
    DiskType.RBD: Answers(
        operations={
            **_REFUSED_BY_MOST,
            Operation.CREATE_TWICE: CommandError,
            Operation.RENAME: WORKS,
            Operation.SNAPSHOT: WORKS,
            Operation.USERSPACE: WORKS,
        }
    ),
    DiskType.EXT: Answers(
        operations={
            **_REFUSED_BY_MOST,
            Operation.SNAPSHOT: WORKS,
            Operation.USERSPACE: WORKS,
        }
    ),
}
