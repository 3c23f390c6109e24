"""`ganeti-noded`: options, checks, becoming a daemon. What it serves is `daemon.serving`'s matter."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from ganeti.constants import NODED
from ganeti.daemon.options import Options, UsageError, parse
from ganeti.errors import ConfigurationError, NodeError
from ganeti.host import daemonize
from ganeti.host.daemonize import READY, PidFile, Pipe
from ganeti.host.paths import Paths

CONFIDENTIAL = f"{NODED}: debug messages hold requests with all their secrets; keep the log confidential"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; returns the exit status (0, or 1 on a failure whose reason is on standard error)."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        if options.list_calls:
            return _list_calls()
        paths = Paths.from_environment(os.environ)
        _check(paths, options)
        if options.debug:
            sys.stderr.write(f"{CONFIDENTIAL}\n")
        return _run(paths, options, None) if options.foreground else _run_detached(paths, options)
    except UsageError as err:
        sys.stderr.write(f"{err}\n")
        return 1
    except (NodeError, OSError) as err:
        sys.stderr.write(f"{NODED}: {err}\n")
        return 1


def _check(paths: Paths, options: Options) -> None:
    """What can be told before the terminal is left. Raises: ConfigurationError."""
    if options.use_ssl:
        for path in (options.ssl_cert or paths.server_pem, options.ssl_key or paths.server_pem):
            if not path.is_file():
                raise ConfigurationError(f"TLS needs the file {path}, which does not exist or is not a regular file")
    if os.geteuid() != 0 and paths.virtual_hostname is None:
        raise ConfigurationError("it must be run by root")


def _run_detached(paths: Paths, options: Options) -> int:
    """Become a daemon; returns when its port is open or it is clear that it will not be."""
    daemonize.forget_inherited()
    pipe = Pipe()

    def daemon() -> int:
        pipe.keep_writing()
        return _run(paths, options, pipe.writing)

    daemonize.detach(daemon)
    pipe.keep_reading()
    message = daemonize.read_message(pipe.reading)
    if message == READY:
        return 0
    text = (message or b"").decode("utf-8", "replace") or f"the daemon ended unexpectedly; see {paths.noded_log}"
    sys.stderr.write(f"{NODED}: {text}\n")
    return 1


def _run(paths: Paths, options: Options, waiting: int | None) -> int:
    """The keeper. `waiting` is the pipe to the process that waits for the port; None in the foreground."""
    # The process that only waits, and a command line that is wrong, need none of this.
    import logging

    from ganeti.daemon.keeper import Keeper, Lines
    from ganeti.daemon.logs import Logs

    log = logging.getLogger(__name__)
    try:
        logs = Logs(options, paths.noded_log)
        if not options.foreground:
            daemonize.settle(logs.path)
        daemonize.name_process(NODED)

        def reopen() -> None:
            logs.reopen()
            if not options.foreground:
                daemonize.redirect_output(logs.path)

        def serve(lines: Lines) -> int:
            # Nothing of what is loaded now is garbage; looking for some would take a tenth of the time.
            gc.disable()
            from ganeti.actions.node import Node
            from ganeti.daemon import serving

            return serving.run(Node.of_this_machine(), options, lines, reopen)

        keeper = Keeper(PidFile(paths.noded_pid_file), serve, reopen)
        keeper.start()
    except (NodeError, OSError) as err:
        log.critical("Cannot start: %s", err)
        if waiting is None:
            raise
        os.write(waiting, str(err).encode("utf-8", "backslashreplace")[:4096])
        return 1
    if waiting is not None:
        os.write(waiting, READY)
        os.close(waiting)
    return keeper.keep()


def _list_calls() -> int:
    # The table brings every action with it.
    from ganeti.noded import table

    states = table.states(table.load())
    for name, available in states:
        sys.stdout.write(f"{name:34} {'available' if available else 'not yet'}\n")
    sys.stdout.write(f"{sum(available for _, available in states)} of {len(states)} calls are available\n")
    return 0
