"""Where the daemon's messages go: its log file, the system log, standard error; and reopening after rotation."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from ganeti.constants import NODED
from ganeti.daemon.options import Options, Syslog
from ganeti.errors import ConfigurationError

LINE = f"%(asctime)s: {NODED} pid=%(process)d %(levelname)s %(message)s"
SYSLOG_LINE = f"{NODED}[%(process)d]: %(levelname)s %(message)s"
CONSOLE = Path("/dev/console")
SYSLOG = "/dev/log"


class ReopeningFileHandler(logging.FileHandler):
    """Writes to a file of mode 0600 that can be opened again; what cannot be written goes to the console."""

    def reopen(self) -> None:
        """Write to the file that is now at the path."""
        old = self.setStream(self._open())
        if old is not None:
            old.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Write to the system's console instead."""
        try:
            with CONSOLE.open("w", encoding="utf-8") as console:
                console.write(f"Cannot log to {self.baseFilename}: {self.format(record)}\n")
        except OSError:
            # There is no place left where this could be told.
            return

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


class Logs:
    """The handlers of this process."""

    def __init__(self, options: Options, path: Path) -> None:
        """Set up logging as the command line asks. Raises: OSError, ConfigurationError when a log cannot be reached."""
        root = logging.getLogger()
        root.setLevel(logging.DEBUG if options.debug else logging.INFO)
        # The event loop's own debug lines say nothing about this node.
        logging.getLogger("asyncio").setLevel(logging.INFO)
        self._file: ReopeningFileHandler | None = None
        if options.syslog is not Syslog.ONLY:
            self._file = ReopeningFileHandler(path, encoding="utf-8")
            self._add(self._file, LINE)
        if options.syslog is not Syslog.NO:
            # Importing the handlers takes 3 ms that few need.
            from logging.handlers import SysLogHandler

            try:
                self._add(SysLogHandler(SYSLOG, SysLogHandler.LOG_DAEMON), SYSLOG_LINE)
            except OSError as err:
                raise ConfigurationError(f"the system log {SYSLOG} cannot be reached: {err.strerror}") from err
        if options.foreground:
            self._add(logging.StreamHandler(sys.stderr), LINE)

    @property
    def path(self) -> Path | None:
        """The log file, if there is one."""
        return Path(self._file.baseFilename) if self._file else None

    def reopen(self) -> None:
        """Open the log file again, after somebody moved it away. Raises: OSError."""
        if self._file is not None:
            self._file.reopen()

    @staticmethod
    def _add(handler: logging.Handler, line: str) -> None:
        handler.setFormatter(logging.Formatter(line))
        logging.getLogger().addHandler(handler)
