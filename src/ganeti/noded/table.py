"""The wire's table: one row a call. Nothing else in the tree knows a call's name.

A row joins a name to an action (or to a short adapter in this door where the wire's form differs). The annotations of
its parameters after the node are the schema of the arguments. The names of the protocol that have no row yet are
listed too, so that what is missing is never hidden.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

CALL_MODULES = ("instances", "disks", "mirrors", "volumes", "os", "node")
"""Modules of `ganeti.noded.calls` whose `CALLS` make the table."""

_NAMES = """
    instance_info all_instances_info instance_list instance_console_info instance_start instance_shutdown
    instance_reboot instance_balloon_memory instance_run_rename instance_os_add instance_migratable migration_info
    accept_instance instance_migrate instance_get_migration_status instance_finalize_migration_src
    instance_finalize_migration_dst hotplug_device hotplug_supported instance_metadata_modify
    hypervisor_validate_params
    bdev_sizes blockdev_create blockdev_convert blockdev_image blockdev_wipe blockdev_remove
    blockdev_pause_resume_sync blockdev_assemble blockdev_shutdown blockdev_addchildren blockdev_removechildren
    blockdev_close blockdev_open blockdev_getdimensions blockdev_grow blockdev_snapshot blockdev_rename blockdev_find
    blockdev_getmirrorstatus blockdev_getmirrorstatus_multi blockdev_setinfo drbd_disconnect_net drbd_attach_net
    drbd_wait_sync drbd_needs_activation drbd_helper
    lv_list vg_list node_volumes storage_list storage_modify storage_execute extstorage_diagnose
    file_storage_dir_create file_storage_dir_remove file_storage_dir_rename
    import_start export_start impexp_status impexp_abort impexp_cleanup export_info export_list export_remove
    finalize_export x509_cert_create x509_cert_remove
    os_diagnose os_validate os_export
    version node_info node_verify node_verify_light node_has_ip_address node_demote_from_mc node_powercycle
    node_configure_ovs node_crypto_tokens node_ensure_daemon node_ssh_key_add node_ssh_key_remove node_ssh_keys_renew
    bridges_exist etc_hosts_modify hooks_runner iallocator_runner restricted_command run_oob get_file_info
    get_watcher_pause set_watcher_pause test_delay
    jobqueue_update jobqueue_rename jobqueue_set_drain_flag jobqueue_purge upload_file upload_file_single
    write_ssconf_files master_node_name node_activate_master_ip node_deactivate_master_ip node_change_master_netmask
    node_start_master_daemons node_stop_master node_leave_cluster
"""

PROTOCOL_CALLS = tuple(_NAMES.split())
"""All 108 calls of the 3.0 protocol, by subject."""


class Lane(Enum):
    """Which threads a call runs on, so that a day-long call never starves a short one.

    INSTANT calls answer from memory and run on the event loop itself: no load can keep them waiting.
    """

    INSTANT = "instant"
    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Call:
    """One row: `shared` lets identical questions in flight share one answer (read-only calls alone).

    With `body_is_argument` the whole body is the one argument, not an array of arguments. After a call that
    `ends_daemon` the daemon stops, as soon as all running calls have been answered.
    """

    name: str
    action: Callable[..., object]
    lane: Lane = Lane.SHORT
    shared: bool = False
    body_is_argument: bool = False
    ends_daemon: bool = False


def load() -> dict[str, Call]:
    """Import the modules of calls and put their rows together. Raises: ValueError when a row is wrong."""
    package = __name__.rpartition(".")[0]
    modules = (importlib.import_module(f"{package}.calls.{name}") for name in CALL_MODULES)
    return join(call for module in modules for call in module.CALLS)


def join(calls: Iterable[Call]) -> dict[str, Call]:
    """Rows by name. Raises: ValueError for a double or unknown name or an action without annotations."""
    table: dict[str, Call] = {}
    for call in calls:
        if call.name in table:
            raise ValueError(f"two rows for the call {call.name}")
        if call.name not in PROTOCOL_CALLS:
            raise ValueError(f"the protocol has no call {call.name}")
        _check_parameters(call)
        table[call.name] = call
    return table


def states(table: Mapping[str, Call]) -> list[tuple[str, bool]]:
    """Every call of the protocol with whether it is available here, sorted by name."""
    return sorted((name, name in table) for name in PROTOCOL_CALLS)


def _check_parameters(call: Call) -> None:
    parameters = list(inspect.signature(call.action).parameters.values())
    if not parameters or parameters[0].name != "node":
        raise ValueError(f"the action of {call.name} must have the node as its first parameter")
    for parameter in parameters[1:]:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise ValueError(f"the action of {call.name} must not collect its arguments in {parameter.name!r}")
        if parameter.annotation is parameter.empty:
            raise ValueError(f"parameter {parameter.name!r} of {call.name} has no annotation")
    if call.body_is_argument and len(parameters) != 2:
        raise ValueError(f"the action of {call.name} must have exactly one parameter after the node")
