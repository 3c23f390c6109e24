"""The address of the cluster's master: set, dropped and re-masked on the node that is it, by a script.

The administrator may bring a script of his own with the same interface.
"""

from __future__ import annotations

import logging
from typing import Annotated, Final, Literal

from msgspec import Meta

from ganeti.actions import hooks
from ganeti.actions.node import Node
from ganeti.constants import IP4_FAMILY, IP6_FAMILY
from ganeti.errors import CommandError, InvalidParameter, NodeError
from ganeti.host import net
from ganeti.model.network import MasterNetworkParameters

log = logging.getLogger(__name__)

_IP_VERSION: Final = {IP4_FAMILY: "4", IP6_FAMILY: "6"}

PrefixLength = Annotated[int, Meta(ge=1, le=128)]


def activate(node: Node, parameters: MasterNetworkParameters, use_external_script: bool) -> None:
    """Give this node the master's address. Raises: HooksFailed, CommandError, ProgramNotFound."""
    env = _environment(parameters)
    hooks.around(
        node,
        "OP_CLUSTER_IP_TURNUP",
        "master-ip-turnup",
        lambda: env,
        lambda: _run_script(node, "start", env, use_external_script),
    )


def deactivate(node: Node, parameters: MasterNetworkParameters, use_external_script: bool) -> None:
    """Take the master's address from this node. Raises: HooksFailed, CommandError, ProgramNotFound."""
    env = _environment(parameters)
    hooks.around(
        node,
        "OP_CLUSTER_IP_TURNDOWN",
        "master-ip-turndown",
        lambda: env,
        lambda: _run_script(node, "stop", env, use_external_script),
    )


def change_netmask(node: Node, old: PrefixLength, new: PrefixLength, address: str, device: str) -> None:
    """Change the prefix length of the master's address on this node; the new one is there before the old one goes.

    Raises: NodeError when this node has not the address; CommandError, and then both may be there.
    """
    if old == new:
        return
    net.interface_name(device)
    if not net.is_own_address(address):
        raise NodeError(f"the master's address {address} is not on this node")
    for verb, length in (("add", new), ("del", old)):
        node.runner.check(["ip", "address", verb, f"{address}/{length}", "dev", device, "label", f"{device}:0"])


def _environment(parameters: MasterNetworkParameters) -> dict[str, str]:
    if parameters.ip_family not in _IP_VERSION:
        raise InvalidParameter(
            "parameters.ip_family", f"{parameters.ip_family} is neither {IP4_FAMILY} nor {IP6_FAMILY}"
        )
    return {
        "MASTER_NETDEV": parameters.netdev,
        "MASTER_IP": parameters.ip,
        "MASTER_NETMASK": str(parameters.netmask),
        "CLUSTER_IP_VERSION": _IP_VERSION[parameters.ip_family],
    }


def _run_script(node: Node, verb: Literal["start", "stop"], env: dict[str, str], use_external_script: bool) -> None:
    directory = node.paths.conf_dir / "scripts" if use_external_script else node.paths.tools_dir
    result = node.runner.run([directory / "master-ip-setup", verb], env=env, reset_env=True)
    if result.failed:
        log.error("The master IP script %s with %r: %s", result.reason, verb, result.output)
        raise CommandError(result.argv, result.reason, result.output)
