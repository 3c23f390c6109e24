"""The process that ends a lab of machines: it waits for a word or the end of its input, then removes everything.

The lab holds the other end of that input. However the lab's process ends, killed or not, the kernel closes it, so
nothing outlives it. What belongs to a lab is what runs in its network namespace, that namespace, and its directory;
the directory has the namespace's name. Standard library alone, and nothing of the project: it must start fast.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_NAMESPACES = Path("/run/netns")
_LIMIT_S = 60.0


def inside(namespace: Path) -> list[int]:
    """Processes in a network namespace."""
    wanted = namespace.stat()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                network = (process / "ns/net").stat()
            except OSError:  # it has ended meanwhile
                continue
            if (network.st_dev, network.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(process.name))
    return found


def end_all(namespace: Path) -> None:
    """End every process in a network namespace at once.

    Raises:
        TimeoutError: one is still there after a minute.
    """
    deadline = time.monotonic() + _LIMIT_S
    while pids := inside(namespace):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} do not end")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:  # it has ended meanwhile
                continue
        time.sleep(0.02)


def main(directory: Path) -> None:
    """Wait for the end of the lab whose directory this is, and remove what is left of it."""
    sys.stdin.buffer.read(1)
    namespace = _NAMESPACES / directory.name
    if namespace.exists():
        end_all(namespace)
        subprocess.run(["ip", "netns", "del", directory.name], check=True)
    shutil.rmtree(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
