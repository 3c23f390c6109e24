"""A place in the middle of a node's work: just before or after a program that its daemon runs.

Every program of interest is covered by a script of its name in a directory that comes first in the daemon's PATH. When
a command matches the place that is armed, the script tells and waits; so a test can end the daemon exactly there.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lab.machine_nodes import MachineNode

DIRECTORY = "/tmp/points"
PROGRAMS = ("drbdmeta", "drbdsetup", "lvextend")
SCRIPT = f"""#!/bin/sh
PATH=${{PATH#{DIRECTORY}:}}
name=${{0##*/}}
cd {DIRECTORY}
if [ -e place ] && printf '%s\\n' "$name $*" | grep -qx -- ".*$(cat place).*"; then
    when=$(cat when)
    rm place
    [ "$when" = before ] || "$name" "$@" || exit
    echo $$ >reached
    read -r _ <go
    [ "$when" = before ] || exit 0
fi
exec "$name" "$@"
"""


class StoppingPoint:
    """A place in a node's work."""

    def __init__(self, node: MachineNode, command: str, when: str) -> None:
        """`command` is a basic regular expression in a command line, `when` is `before` or `after`."""
        self._node = node
        self._command = command
        self._when = when

    @staticmethod
    def install(node: MachineNode) -> None:
        """Cover the programs."""
        links = " ".join(PROGRAMS)
        script = (
            f"mkdir {DIRECTORY} && cd {DIRECTORY} && mkfifo reached go && cat >point && chmod 755 point"
            f" && for name in {links}; do ln -s point $name; done"
        )
        node.machine.check(["sh", "-e", "-c", script], stdin=SCRIPT.encode())

    @staticmethod
    def environment(node: MachineNode) -> dict[str, str]:
        """What a daemon is started with."""
        path = node.machine.check(["sh", "-c", "echo $PATH"]).stdout.strip()
        return {"PATH": f"{DIRECTORY}:{path}"}

    def kill_during(self, call: Callable[[], object]) -> None:
        """Begin a call, end its daemon when the place is reached, let the program go on, and start a new daemon."""
        script = f'printf %s "$1" >{DIRECTORY}/when; printf %s "$2" >{DIRECTORY}/place'
        self._node.machine.check(["sh", "-c", script, "sh", self._when, self._command])
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(call)
            self._node.machine.check(["cat", f"{DIRECTORY}/reached"])
            self._node.kill()
            error = running.exception()
        assert isinstance(error, OSError | http.client.HTTPException), error
        # the program outlives the daemon, as it would after a real kill, and ends before there is a new one
        self._node.machine.check(["sh", "-c", f"echo >{DIRECTORY}/go"])
        self._node.start(self.environment(self._node))
