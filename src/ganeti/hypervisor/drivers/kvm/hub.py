"""The monitor hub: one place through which the whole daemon speaks to the running guests, from any thread.

Status questions are answered from memory with the age of each figure; guests are asked for new ones all at the same
time, and one that hangs costs its own freshness only. Commands wait for their answer, each with its own time-out.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.monitor_types import GuestStatus, Timing

if TYPE_CHECKING:
    from ganeti.hypervisor.drivers.kvm.monitors import Monitors

T = TypeVar("T")

ANSWER_TIMEOUT_S = 10.0
"""How long a command may take; QEMU answers between two turns of its main loop, which a loaded node delays."""


class MonitorHub:
    """Speaks to guests. Its thread is started by the first question and ended by `close` or the end of the process."""

    def __init__(self, socket_of: Callable[[str], Path], timing: Timing | None = None) -> None:
        """Remember how a guest's socket is found."""
        self._socket_of = socket_of
        self._timing = timing or Timing()
        self._lock = threading.Lock()
        self._monitors: Monitors | None = None
        self._closed = False

    def execute(
        self,
        name: str,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> object:
        """Have a guest execute a QMP command and return what it answers. Raises: MonitorError, HypervisorError."""
        monitors = self._started()
        return _result(monitors.submit(monitors.execute(name, command, arguments or {}, timeout_s)))

    def status(self, guests: Mapping[str, int], *, wait_s: float) -> dict[str, GuestStatus]:
        """What is known of running guests (name to pid), after waiting at most about `wait_s` for what is not.

        Guests nothing is known of are absent.
        """
        if not guests:
            return {}
        monitors = self._started()
        known = self._known(monitors, guests)
        now = time.monotonic()
        if len(known) < len(guests) or not all(each.is_fresh(now, self._timing.fresh_s) for each in known.values()):
            _result(monitors.submit(monitors.refresh(dict(guests), wait_s)))
            known = self._known(monitors, guests)
        return known

    def forget(self, name: str) -> None:
        """Close the connection to a guest that is about to end, and forget what it said."""
        with self._lock:
            monitors = self._monitors
        if monitors is not None:
            _result(monitors.submit(monitors.forget(name)))

    def close(self) -> None:
        """End all connections and the thread. Any number of times."""
        with self._lock:
            self._closed = True
            monitors, self._monitors = self._monitors, None
        if monitors is not None:
            monitors.close()
            atexit.unregister(self.close)

    @staticmethod
    def _known(monitors: Monitors, guests: Mapping[str, int]) -> dict[str, GuestStatus]:
        found = ((name, pid, monitors.known(name)) for name, pid in guests.items())
        return {name: status for name, pid, status in found if status is not None and status.pid == pid}

    def _started(self) -> Monitors:
        with self._lock:
            if self._closed:
                raise HypervisorError("the monitor hub is closed")
            if self._monitors is None:
                # 60 ms: a daemon without KVM guests never pays them
                from ganeti.hypervisor.drivers.kvm.monitors import Monitors

                self._monitors = Monitors(self._socket_of, self._timing)
                atexit.register(self.close)
            return self._monitors


def _result(future: Future[T]) -> T:
    """What comes of work in the monitors' thread. Raises: HypervisorError when they are closed meanwhile."""
    try:
        return future.result()
    except CancelledError as err:
        raise HypervisorError("the monitor hub was closed before the instance answered") from err
