"""Facts about the node's emulators, kept until a binary changes. One object a driver, used by many threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ganeti.errors import CommandError, HypervisorError, ProgramNotFound
from ganeti.host.runner import Runner
from ganeti.hypervisor.drivers.kvm import acceleration
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.tools import qemu

log = logging.getLogger(__name__)


class Prober:
    """Asks each binary once (0.2 s and three processes) and the machine's KVM once."""

    def __init__(self, runner: Runner, kvm_check: Callable[[], str | None] = acceleration.why_not_usable) -> None:
        """Ask nothing yet."""
        self._runner = runner
        self._kvm_check = kvm_check
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, int], QemuFacts] = {}
        self._kvm: tuple[str | None] | None = None

    def facts(self, program: Path) -> QemuFacts:
        """What `program` can do. Raises: HypervisorError."""
        try:
            stamp = qemu.stamp(program)
            with self._lock:
                if stamp not in self._known:
                    self._known[stamp] = QemuFacts(
                        help=qemu.help_text(self._runner, program),
                        machine_list=qemu.machine_list(self._runner, program),
                        device_list=qemu.device_list(self._runner, program),
                        kvm_problem=self._kvm_problem(),
                    )
                return self._known[stamp]
        except (CommandError, ProgramNotFound) as err:
            raise HypervisorError(f"cannot find out what {program} can do: {err}") from err

    def kvm_problem(self) -> str | None:
        """Why KVM cannot be used on this machine; None when it can."""
        with self._lock:
            return self._kvm_problem()

    def _kvm_problem(self) -> str | None:
        if self._kvm is None:
            self._kvm = (self._kvm_check(),)
            if self._kvm[0] is not None:
                log.warning("KVM cannot be used on this node, guests run by software emulation: %s", self._kvm[0])
        return self._kvm[0]
