"""The node's part of cluster verification: what is asked is answered, key by key, in the order of 3.0.2.

The subjects are in `verify_host`, `verify_network`, `verify_ssh`, `verify_storage`, `verify_drbd`; guests are here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import UNSET

from ganeti.actions import (
    bridges,
    instance_queries,
    os_definitions,
    verify_drbd,
    verify_host,
    verify_network,
    verify_ssh,
    verify_storage,
    volumes,
)
from ganeti.actions.node import Node
from ganeti.constants import PROTOCOL_VERSION, RELEASE_VERSION
from ganeti.errors import HypervisorError, InvalidParameter, NodeError
from ganeti.model.base import Parameters
from ganeti.model.verify import VerifyRequest
from ganeti.storage.observations import Observations

log = logging.getLogger(__name__)

HvParams = dict[str, Parameters]


def verify(node: Node, what: VerifyRequest, cluster_name: str, hvparams: HvParams) -> dict[str, object]:
    """Answer the questions of `what`; a key that is not asked, or has nothing to say, is not in the answer.

    `hvparams` holds the cluster's parameters of each hypervisor. Raises: NodeError when a question cannot be answered.
    """
    asked = _Questions(node, what, cluster_name, hvparams)
    answers: dict[str, object] = {}
    for key, question in asked.table().items():
        answer = question()
        if answer is not UNSET:
            answers[key] = answer
    return answers


class _Questions:
    """One request: which questions it has, and what answers them."""

    def __init__(self, node: Node, what: VerifyRequest, cluster_name: str, hvparams: HvParams) -> None:
        self.node = node
        self.what = what
        self.cluster_name = cluster_name
        self.hvparams = hvparams
        self.observed = Observations(node.system)

    def table(self) -> Mapping[str, Callable[[], object]]:
        """The questions asked of this node, in order."""
        node, what, host, ssh = self.node, self.what, verify_host, verify_ssh
        network, storage = verify_network, verify_storage
        every: dict[str, Callable[[], object]] = {
            "hypervisor": self._hypervisors,
            "hvparms": self._parameters,
            "filelist": lambda: host.file_digests(node, what.filelist or ()),
            "client-cert": lambda: host.client_certificate(node),
            "ssh-setup": lambda: ssh.setup(node, *(what.ssh_setup or (None, ""))),
            "ssh-clutter": lambda: ssh.clutter(node, what.ssh_setup[0] if what.ssh_setup else None),
            "nodelist": lambda: network.reach(node, self.cluster_name, *(what.nodelist or ((), {}, ()))),
            "node-net-test": lambda: network.net_test(node, *(what.node_net_test or ((), ()))),
            "master-ip": lambda: network.master_answers(node, *(what.master_ip or ("", "", ()))),
            "user-scripts": lambda: host.not_executable(what.user_scripts or ()),
            "oob-paths": lambda: host.program_problems(what.oob_paths or ()),
            "lvlist": lambda: storage.logical_volumes(node),
            "instancelist": self._guests,
            "vglist": lambda: volumes.list_groups(node),
            "pvlist": lambda: storage.physical_volumes(self.observed, what.pvlist or ()),
            "exclusive-pvs": lambda: storage.shared_volumes(self.observed, what.pvlist or ()),
            "version": lambda: (PROTOCOL_VERSION, RELEASE_VERSION),
            "hvinfo": self._facts,
            "drbd-version": lambda: verify_drbd.version(node),
            "drbd-list": lambda: verify_drbd.used_minors(node),
            "drbd-helper": lambda: verify_drbd.helper(node),
            "nodesetup": host.set_up_problems,
            "time": lambda: host.clock(node),
            "oslist": lambda: os_definitions.diagnose(node),
            "bridges": lambda: bridges.missing(what.bridges or ()),
            "allowed-file-storage-paths": self._allowed_paths,
            "file-storage-path": lambda: storage.path_problem(node, what.file_storage_path or ""),
            "shared-file-storage-path": lambda: storage.path_problem(node, what.shared_file_storage_path or ""),
        }
        return {key: question for key, question in every.items() if self._is_asked(key)}

    def _is_asked(self, key: str) -> bool:
        if getattr(self.what, key.replace("-", "_")) is UNSET:
            return False
        needed = _ONLY_WITH.get(key)
        if needed is not None and getattr(self.what, needed) is UNSET:
            return False
        return key not in _OF_GUESTS or self.node.hostname not in self.what.nonvmnodes

    def _hypervisors(self) -> dict[str, str | None]:
        problems: dict[str, str | None] = {}
        for kind in self.what.hypervisor or ():
            try:
                problems[kind] = self.node.hypervisors.get(kind).verify(self._of(kind))
            except HypervisorError as err:
                problems[kind] = f"hypervisor {kind} cannot be verified: {err}"
        return problems

    def _parameters(self) -> list[tuple[str, str, str]]:
        problems: list[tuple[str, str, str]] = []
        for source, kind, parameters in self.what.hvparms or ():
            try:
                self.node.hypervisors.get(kind).validate_parameters(parameters)
            except HypervisorError as err:
                problems.append((source, kind, str(err)))
        return problems

    def _guests(self) -> list[str] | str:
        kinds = self.what.instancelist or ()
        for kind in kinds:
            self._of(kind)
        try:
            return instance_queries.list_instances(self.node, kinds, self.hvparams)
        except NodeError as err:
            return str(err)

    def _facts(self) -> object:
        kind = self.what.hvinfo or ""
        return self.node.hypervisors.get(kind).node_facts(self._of(kind))

    def _allowed_paths(self) -> object:
        is_asked = self.what.allowed_file_storage_paths == self.node.hostname
        return verify_storage.forbidden_paths(self.node) if is_asked else UNSET

    def _of(self, kind: str) -> Parameters:
        if kind not in self.hvparams:
            raise InvalidParameter("hvparams", f"no parameters for hypervisor {kind!r}")
        return self.hvparams[kind]


_ONLY_WITH: Final = {"ssh-clutter": "ssh_setup", "exclusive-pvs": "pvlist"}
"""Questions that are answered together with another one alone."""

_OF_GUESTS: Final = frozenset(
    {"hypervisor", "hvparms", "instancelist", "hvinfo", "oslist", "bridges"}
    | {"lvlist", "vglist", "pvlist", "exclusive-pvs", "drbd-version", "drbd-list", "drbd-helper"}
)
"""Questions that make no sense on a node without guests."""
