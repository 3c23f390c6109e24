"""Calls about guests: running, moving and looking at them, and restarting the node under them."""

from __future__ import annotations

import logging

import msgspec

from ganeti.actions import bridges, consoles, instance_queries, instances, metadata, migration, powercycle, reasons
from ganeti.actions.instances import RebootType
from ganeti.actions.node import Node
from ganeti.actions.reasons import ReasonTrail
from ganeti.errors import NodeError
from ganeti.model.base import Model, Parameters
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.instance import ConsoleKind, Instance, InstanceConsole
from ganeti.noded.table import Call, Lane

log = logging.getLogger(__name__)

_REASON_SOURCE = "gnt:daemon:noded:"

WireInfo = dict[str, int | float]


class ConsoleQuestion(Model, frozen=True, kw_only=True, rename={"hvparams": "hvParams", "beparams": "beParams"}):
    """What the query daemon sends of a guest: its definition unfilled, the filled parameters beside it."""

    instance: Instance
    node: ClusterNode
    group: NodeGroup
    hvparams: Parameters
    beparams: Parameters


def list_running(node: Node, hypervisors: list[str], hvparams: dict[str, Parameters]) -> list[str]:
    """`hvparams` is by hypervisor."""
    return instance_queries.list_instances(node, hypervisors, hvparams)


def info(node: Node, name: str, hypervisor: str, hvparams: Parameters) -> WireInfo:
    """A guest that is not there is an empty object."""
    found = instance_queries.info(node, name, hypervisor, hvparams)
    return {} if found is None else found.wire()


def all_info(node: Node, hypervisors: list[str], hvparams: dict[str, Parameters]) -> dict[str, WireInfo]:
    """By name of the guest."""
    return {name: found.wire() for name, found in instance_queries.all_info(node, hypervisors, hvparams).items()}


def start(node: Node, instance: Instance, startup_paused: bool, reason_trail: ReasonTrail) -> None:
    """The node adds itself to the reason trail."""
    reason = reasons.extend(node, reason_trail, f"{_REASON_SOURCE}start")
    instances.start(node, instance, startup_paused=startup_paused, reason=reason)


def shutdown(node: Node, instance: Instance, timeout: float, reason_trail: ReasonTrail) -> None:
    """The node adds itself to the reason trail."""
    reason = reasons.extend(node, reason_trail, f"{_REASON_SOURCE}shutdown")
    instances.shutdown(node, instance, timeout_s=timeout, reason=reason)


def reboot(
    node: Node, instance: Instance, reboot_type: RebootType, shutdown_timeout: float, reason_trail: ReasonTrail
) -> None:
    """The node adds itself to the reason trail."""
    reason = reasons.extend(node, reason_trail, f"{_REASON_SOURCE}reboot")
    instances.reboot(node, instance, reboot_type, shutdown_timeout_s=shutdown_timeout, reason=reason)


def migrate(node: Node, cluster_name: str, instance: Instance, target: str, live: bool) -> None:  # noqa: ARG001
    """The cluster's name is of no use to any hypervisor here."""
    migration.migrate(node, instance, target, live=live)


def console_info(node: Node, questions: dict[str, ConsoleQuestion]) -> dict[str, dict[str, object]]:
    """One guest whose console cannot be told gets a message, so that the others' answers are not lost with it."""
    return {name: _console(node, question) for name, question in questions.items()}


def _console(node: Node, question: ConsoleQuestion) -> dict[str, object]:
    try:
        console = consoles.console(node, question.instance, question.node, question.group, question.hvparams)
    except NodeError as err:
        log.warning("Instance %s: no console: %s", question.instance.name, err)
        console = InstanceConsole(
            instance=question.instance.name, kind=ConsoleKind.MESSAGE, message=f"Console not available: {err}"
        )
    wire: dict[str, object] = msgspec.to_builtins(console)
    if console.display is not None:
        # The query daemon takes a text only, and on a number discards the answer for all guests of the node.
        wire["display"] = str(console.display)
    return wire


CALLS = (
    Call("instance_list", list_running, shared=True),
    Call("instance_info", info, shared=True),
    Call("all_instances_info", all_info, shared=True),
    Call("instance_console_info", console_info, shared=True, body_is_argument=True),
    Call("hypervisor_validate_params", instances.validate_parameters, shared=True),
    Call("bridges_exist", bridges.check, shared=True),
    Call("instance_start", start, lane=Lane.LONG),
    Call("instance_shutdown", shutdown, lane=Lane.LONG),
    Call("instance_reboot", reboot, lane=Lane.LONG),
    Call("instance_balloon_memory", instances.balloon, lane=Lane.LONG),
    Call("instance_migratable", migration.check_migratable, shared=True),
    Call("migration_info", migration.migration_info, shared=True),
    Call("accept_instance", migration.accept, lane=Lane.LONG),
    Call("instance_migrate", migrate, lane=Lane.LONG),
    Call("instance_get_migration_status", migration.migration_status),
    Call("instance_finalize_migration_src", migration.finalize_source, lane=Lane.LONG),
    Call("instance_finalize_migration_dst", migration.finalize_target, lane=Lane.LONG),
    Call("instance_metadata_modify", metadata.update, lane=Lane.LONG),
    Call("node_powercycle", powercycle.powercycle),
)
