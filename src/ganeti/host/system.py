"""What a driver gets of the machine: one object instead of globals. Composed once, by `actions.node` or by a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ganeti.host.clock import Clock, SystemClock
from ganeti.host.paths import Paths
from ganeti.host.runner import Runner, SystemRunner
from ganeti.host.users import Accounts, accounts_of_this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The machine as drivers see it. A test gives other paths, a replaying runner, a clock that never sleeps."""

    paths: Paths = field(default_factory=Paths)
    runner: Runner = field(default_factory=SystemRunner)
    clock: Clock = field(default_factory=SystemClock)
    hostname: str = ""
    accounts: Callable[[], Accounts] = accounts_of_this_machine
