"""Storage units, what disks are taken from: directories, physical volumes, volume groups. Listed, changed, repaired."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter, NotSupported, UnsafePath
from ganeti.host.paths import absolute
from ganeti.model.base import Parameters
from ganeti.storage import lvm_units, units
from ganeti.tools import lvm

log = logging.getLogger(__name__)

PHYSICAL = "lvm-pv"
GROUP = "lvm-vg"

Arguments = list[list[str]]
"""What the protocol sends beside the type: for directories one list of them, for LVM nothing."""


def list_units(
    node: Node,
    type: str,  # noqa: A002 - the protocol's name, which an error about it shows
    arguments: Arguments,
    name: str | None,
    fields: list[str],
) -> list[units.Row]:
    """One row a unit (or that of `name` alone), its values in the order of `fields`; sizes in MiB, rounded.

    Raises: InvalidParameter for an unknown type or field; StorageError when a directory cannot be read; CommandError.
    """
    directories = _arguments(type, arguments)
    for index, field in enumerate(fields):
        if field not in units.FILE_COLUMNS:
            raise InvalidParameter(f"fields[{index}]", f"storage units have no field {field!r}")
    if type == PHYSICAL:
        return lvm_units.physical_rows(node.runner, None if name is None else _device(name), fields)
    if type == GROUP:
        return lvm_units.group_rows(node.runner, None if name is None else _group(name), fields)
    return [units.file_row(_absolute(path), fields) for path in (directories if name is None else [name])]


def modify(
    node: Node,
    type: str,  # noqa: A002 - as above
    arguments: Arguments,
    name: str,
    changes: Parameters,
) -> None:
    """Change a unit. All that can be changed is whether a physical volume is `allocatable`.

    Raises: InvalidParameter for any other change, before one is made; CommandError.
    """
    _arguments(type, arguments)
    for key, value in changes.items():
        if type != PHYSICAL or key != "allocatable":
            raise InvalidParameter(f"changes.{key}", f"it cannot be changed on storage units of type {type}")
        if not isinstance(value, bool):
            raise InvalidParameter(f"changes.{key}", f"{value!r} is neither true nor false")
    if changes:
        lvm_units.set_allocatable(node.runner, _device(name), bool(changes["allocatable"]))
        log.info("Physical volume %s: allocatable is now %s", name, changes["allocatable"])


def execute(
    node: Node,
    type: str,  # noqa: A002 - as above
    arguments: Arguments,
    name: str,
    operation: str,
) -> None:
    """Do an operation on a unit. The only one is `fix-consistency` of a volume group.

    Raises: InvalidParameter, NotSupported; StorageError when the group is still not whole; CommandError.
    """
    _arguments(type, arguments)
    if type != GROUP or operation != "fix-consistency":
        raise NotSupported(type, f"operation {operation!r}")
    lvm_units.fix_consistency(node.runner, _group(name))


def _arguments(kind: str, arguments: Arguments) -> Sequence[str]:
    if kind in units.FILE_TYPES:
        if len(arguments) > 1:
            raise InvalidParameter("arguments", f"storage units of type {kind} take one list of directories")
        return arguments[0] if arguments else ()
    if kind not in (PHYSICAL, GROUP):
        raise InvalidParameter("type", f"there are no storage units of type {kind!r}")
    if arguments:
        raise InvalidParameter("arguments", f"storage units of type {kind} take none")
    return ()


def _absolute(directory: str) -> Path:
    try:
        return absolute(directory)
    except UnsafePath as err:
        raise InvalidParameter("directories", str(err)) from err


def _device(name: str) -> str:
    try:
        return str(absolute(name))
    except UnsafePath as err:
        raise InvalidParameter("name", f"no physical volume is called so: {err}") from err


def _group(name: str) -> str:
    if not lvm.is_valid_name(name):
        raise InvalidParameter("name", f"{name!r} is no name of a volume group")
    return name
