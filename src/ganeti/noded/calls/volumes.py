"""Calls about what disks are taken from: volume groups and volumes, directories, storage units of every kind."""

from __future__ import annotations

from ganeti.actions import external_storage, storage_units, volumes
from ganeti.noded.table import Call

CALLS = (
    Call("lv_list", volumes.list_volumes, shared=True),
    Call("vg_list", volumes.list_groups, shared=True),
    Call("node_volumes", volumes.list_node_volumes, shared=True),
    Call("storage_list", storage_units.list_units, shared=True),
    Call("storage_modify", storage_units.modify),
    Call("storage_execute", storage_units.execute),
    Call("extstorage_diagnose", external_storage.diagnose, shared=True),
)
