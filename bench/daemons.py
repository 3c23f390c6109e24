"""The daemons under measurement: starting, stopping, and what they take of processor and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, run
from bench.site import RUN_DIR, TARGET

COMM = "ganeti-noded"
PID_FILE = RUN_DIR / "ganeti-noded.pid"
PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that can be `ganeti-noded`."""

    label: str
    program: Path

    def start(self) -> float:
        """Start it; returns how long it took until `version` was answered, in seconds."""
        begun = time.perf_counter()
        subprocess.run([self.program], check=True, cwd="/")
        run(TARGET, Load(name="version", body=b"[]", seconds=0))
        return time.perf_counter() - begun

    def stop(self) -> None:
        """End it, and wait until nothing of it is left."""
        os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while processes():
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: the {self.label} daemon did not end")
            threading.Event().wait(0.02)


def processes() -> list[int]:
    """All processes of the daemon that runs."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text()
            except OSError:
                continue
            name, state = fields[fields.index("(") + 1 : fields.rindex(")")], fields[fields.rindex(")") + 2]
            if name == COMM and state != "Z":
                found.append(int(entry.name))
    return found


def cpu_seconds() -> float:
    """Processor time of the daemon with the children it waited for, so far."""
    total = 0
    for pid in processes():
        try:
            fields = (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def pss_mib() -> float:
    """Memory of the daemon's processes, shared pages counted by share."""
    total = 0
    for pid in processes():
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total / 1024


class Peak:
    """The highest memory while a block runs."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.mib = max(self.mib, pss_mib())
