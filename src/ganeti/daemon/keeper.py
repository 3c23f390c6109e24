"""The process in the PID file: it starts the serving process, passes signals on, and goes when told to.

The cluster's scripts want the daemon gone within seconds of SIGTERM, but a call that runs (wiping a disk may take an
hour) must end and answer. So two processes share the work: the keeper can go at once, and the serving process follows
when its last call has been answered. A pipe ties them: when the keeper ends in any way, the serving process reads
end-of-file, closes its port at once and drains, so that a new daemon can start.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Final

from ganeti.constants import NODED
from ganeti.errors import NodeError
from ganeti.host import daemonize
from ganeti.host.daemonize import READY, PidFile, Pipe

log = logging.getLogger(__name__)

STOP_S = 20.0
"""How long the serving process may take to close its port; the scripts kill after 30 seconds."""

CLOSED: Final = b"\x01"
"""What the serving process writes when its port is closed."""

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})


class Lines:
    """The serving process's connection to its keeper."""

    def __init__(self, lifeline: Pipe, status: Pipe) -> None:
        """Keep the ends that belong to the serving process."""
        lifeline.keep_reading()
        status.keep_writing()
        self.lifeline = lifeline.reading
        self._status = status.writing

    def ready(self) -> None:
        """Say that the port is open."""
        os.write(self._status, READY)

    def failed(self, text: str) -> None:
        """Say why there is nothing to serve."""
        os.write(self._status, text.encode("utf-8", "backslashreplace")[:4096])

    def closed(self) -> None:
        """Say that the port is closed; nobody may be left to hear it."""
        try:
            os.write(self._status, CLOSED)
        except BrokenPipeError:
            log.debug("The keeper is gone already")


class Keeper:
    """Holds the PID file and looks after one serving process."""

    def __init__(self, pid_file: PidFile, serve: Callable[[Lines], int], reopen_logs: Callable[[], None]) -> None:
        """`serve` runs in the serving process, with SIGNALS blocked, and returns its exit status."""
        self._pid_file = pid_file
        self._reopen_logs = reopen_logs
        self._serve = serve
        self._child = -1
        self._lifeline = Pipe()
        self._status = Pipe()

    def start(self) -> None:
        """Start the serving process and wait until its port is open.

        Raises: AlreadyRunning, NodeError with the reason when it cannot serve, OSError.
        """
        self._pid_file.take()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._child = daemonize.start(self._become_child)
        self._lifeline.keep_writing()
        self._status.keep_reading()
        message = daemonize.read_message(self._status.reading)
        if message != READY:
            self._pid_file.remove()
            os.waitpid(self._child, 0)
            text = (message or b"").decode("utf-8", "replace")
            raise NodeError(text or "the serving process ended unexpectedly; the log says why")

    def keep(self) -> int:
        """Look after the serving process until told to stop. Returns the exit status."""
        while True:
            match signal.sigwait(SIGNALS):
                case signal.SIGHUP:
                    self._reopen_logs()
                    os.kill(self._child, signal.SIGHUP)
                case signal.SIGCHLD:
                    status = self._child_status()
                    if status is not None:
                        log.critical("The serving process %d ended by itself (status %d)", self._child, status)
                        self._pid_file.remove()
                        return 1
                case _:
                    return self._stop()

    def _stop(self) -> int:
        log.info("%s is told to stop; running calls will be answered", NODED)
        os.close(self._lifeline.writing)
        if daemonize.read_message(self._status.reading, STOP_S) is None:
            log.error("The serving process %d did not close its port within %g s", self._child, STOP_S)
            self._pid_file.remove()
            return 1
        self._pid_file.remove()
        return 0

    def _child_status(self) -> int | None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _become_child(self) -> int:
        self._pid_file.let_go()
        return self._serve(Lines(self._lifeline, self._status))
