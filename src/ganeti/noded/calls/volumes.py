"""Calls about what disks are taken from: volume groups and volumes, directories, storage units of every kind."""

from __future__ import annotations

from ganeti.actions import external_storage, file_storage
from ganeti.actions.node import Node
from ganeti.noded.table import Call
from ganeti.storage.units import Row


def list_storage(
    node: Node,
    type: str,  # noqa: A002 - the protocol's name, which an error about it shows
    arguments: list[list[str]],
    name: str | None,
    fields: list[str],
) -> list[Row]:
    """The arguments of file storage are one list of directories."""
    return file_storage.list_units(node, type, arguments[0] if arguments else [], name, fields)


CALLS = (
    Call("storage_list", list_storage, shared=True),
    Call("extstorage_diagnose", external_storage.diagnose, shared=True),
)
