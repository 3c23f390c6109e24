"""The node, composed once and handed to every action as its first parameter.

A test composes one with another root, a replaying runner and a clock that never sleeps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ganeti.actions.records import GuestRecords, NoRecords
from ganeti.config.ssconf import Ssconf
from ganeti.host import net
from ganeti.host.clock import Clock
from ganeti.host.paths import Paths
from ganeti.host.runner import Runner
from ganeti.host.system import System
from ganeti.hypervisor.registry import Hypervisors
from ganeti.storage.registry import BlockDevices


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Everything an action needs of this machine and its cluster."""

    system: System
    ssconf: Ssconf
    storage: BlockDevices
    hypervisors: Hypervisors
    records: GuestRecords = field(default_factory=NoRecords)

    @classmethod
    def compose(cls, system: System) -> Node:
        """Put a node together over a machine."""
        return cls(
            system=system,
            ssconf=Ssconf(system.paths),
            storage=BlockDevices(system),
            hypervisors=Hypervisors(system),
        )

    @classmethod
    def of_this_machine(cls, env: Mapping[str, str] = os.environ) -> Node:
        """The node this process runs on; virtual when the environment says so. Raises: ConfigurationError.

        Its name is the fully qualified one, as the master has it.
        """
        paths = Paths.from_environment(env)
        return cls.compose(System(paths=paths, hostname=paths.virtual_hostname or net.full_name()))

    @property
    def paths(self) -> Paths:
        """Where everything lies."""
        return self.system.paths

    @property
    def runner(self) -> Runner:
        """What starts programs."""
        return self.system.runner

    @property
    def clock(self) -> Clock:
        """What tells the time."""
        return self.system.clock

    @property
    def hostname(self) -> str:
        """This node's name."""
        return self.system.hostname
