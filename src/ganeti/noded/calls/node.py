"""Calls about the node itself: its facts, files, hooks, its part in the cluster."""

from __future__ import annotations

from ganeti.actions import (
    allocator,
    crypto_tokens,
    ensure_daemon,
    etc_hosts,
    exports,
    file_info,
    hooks,
    job_queue,
    master_ip,
    membership,
    node_info,
    open_vswitch,
    out_of_band,
    restricted_commands,
    ssh_keys,
    uploads,
    verify,
    watcher,
)
from ganeti.actions.node import Node
from ganeti.constants import PROTOCOL_VERSION
from ganeti.model.os import OsDiagnosis
from ganeti.model.verify import VerifyRequest
from ganeti.noded.calls.os import diagnosis_row
from ganeti.noded.table import Call, Lane

UploadArguments = tuple[str, uploads.Encoded, uploads.FileMode, str, str, float | None, float | None]
"""Path, content, mode, user, group, access and modification time."""


def version(node: Node) -> int:
    """The protocol's version."""
    del node
    return PROTOCOL_VERSION


def info(
    node: Node,
    units: tuple[node_info.UnitRequest, ...] | None,
    hypervisors: tuple[node_info.HypervisorRequest, ...] | None,
) -> list[object]:
    """Three elements: boot id, storage units, hypervisors."""
    answer = node_info.get(node, units, hypervisors)
    return [answer.boot_id, answer.units, answer.hypervisors]


def verify_node(node: Node, what: VerifyRequest, cluster_name: str, all_hvparams: verify.HvParams) -> dict[str, object]:
    """Definitions of operating systems become rows, as in `os_diagnose`."""
    answers = verify.verify(node, what, cluster_name, all_hvparams)
    diagnoses = answers.get("oslist")
    if isinstance(diagnoses, list):
        answers["oslist"] = [diagnosis_row(each) for each in diagnoses if isinstance(each, OsDiagnosis)]
    return answers


def upload(node: Node, arguments: UploadArguments) -> None:
    """All seven values in one argument."""
    path, content, mode, user, group, atime, mtime = arguments
    uploads.upload(node, path, content, mode, user=user, group=group, atime=atime, mtime=mtime)


def write_ssconf(node: Node, values: dict[str, str | tuple[str, ...]]) -> None:
    """Values are texts or lists of lines."""
    node.ssconf.write(values, node.clock)


def get_file_info(node: Node, path: str) -> tuple[bool, dict[str, int]]:
    """Whether there is such a file, and its size in bytes."""
    size = file_info.size(node, path)
    return (False, {}) if size is None else (True, {"size": size})


def list_exports(node: Node) -> list[str]:
    """The arguments do not count: the query daemon sends an object in place of none."""
    return exports.names(node)


CALLS: tuple[Call, ...] = (
    Call("version", version, lane=Lane.INSTANT),
    Call("node_info", info, shared=True),
    Call("node_verify", verify_node, lane=Lane.LONG),
    Call("node_verify_light", verify_node, lane=Lane.LONG),
    Call("master_node_name", node_info.master_name),
    Call("node_has_ip_address", node_info.has_address),
    Call("node_crypto_tokens", crypto_tokens.get),
    Call("node_ssh_key_add", ssh_keys.add, lane=Lane.LONG),
    Call("node_ssh_key_remove", ssh_keys.remove, lane=Lane.LONG),
    Call("node_ensure_daemon", ensure_daemon.ensure),
    Call("node_demote_from_mc", membership.demote_from_candidate),
    Call("etc_hosts_modify", etc_hosts.modify),
    Call("hooks_runner", hooks.run, lane=Lane.LONG),
    Call("iallocator_runner", allocator.run, lane=Lane.LONG),
    Call("restricted_command", restricted_commands.run, lane=Lane.LONG),
    Call("run_oob", out_of_band.run, lane=Lane.LONG),
    Call("node_configure_ovs", open_vswitch.configure, lane=Lane.LONG),
    Call("get_file_info", get_file_info),
    Call("get_watcher_pause", watcher.pause),
    Call("set_watcher_pause", watcher.set_pause),
    Call("export_list", list_exports),
    Call("jobqueue_update", job_queue.update),
    Call("jobqueue_rename", job_queue.rename),
    Call("jobqueue_set_drain_flag", job_queue.set_drain_flag),
    Call("jobqueue_purge", job_queue.purge),
    Call("upload_file", upload),
    Call("upload_file_single", uploads.upload),
    Call("write_ssconf_files", write_ssconf),
    Call("node_activate_master_ip", master_ip.activate, lane=Lane.LONG),
    Call("node_deactivate_master_ip", master_ip.deactivate, lane=Lane.LONG),
    Call("node_change_master_netmask", master_ip.change_netmask, lane=Lane.LONG),
    Call("node_start_master_daemons", ensure_daemon.start_master, lane=Lane.LONG),
    Call("node_stop_master", ensure_daemon.stop_master, lane=Lane.LONG),
    Call("node_leave_cluster", membership.leave_cluster, lane=Lane.LONG, ends_daemon=True),
    Call("test_delay", node_info.delay, lane=Lane.LONG),
)
