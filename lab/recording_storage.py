"""Recording a scenario of `lab.scenarios`: from the host, and as a program where it is recorded.

python -m lab.recording_storage NAME    lives through it here and prints the transcript
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from ganeti.host.clock import SystemClock
from ganeti.host.runner import SystemRunner
from ganeti.host.transcript import RecordingRunner
from lab import machines, scenarios

LIMIT_S = 1800.0


def record(name: str) -> Path:
    """Record a scenario where it belongs and keep the transcript, whose path is returned.

    Raises:
        LabError: it failed; the text says how far it came.
    """
    module = scenarios.load(name)
    argv = [str(machines.PYTHON), "-P", "-m", __name__, name]
    env = {"PYTHONPATH": str(scenarios.ROOT)}
    with machines.lab(f"r-{name[:12]}") as lab:
        booted = lab.boot(module.MACHINES) if module.MACHINES else ()
        if (prepare := getattr(module, "prepare", None)) is not None:
            prepare(lab)
        if booted:
            done = booted[0].check(argv, timeout_s=LIMIT_S, env=env)
        else:
            done = lab.execute(argv, timeout_s=LIMIT_S, env=env).raise_if_failed("the host")
    target = scenarios.transcript_of(name)
    target.parent.mkdir(exist_ok=True)
    target.write_text(f"# Recorded by `scripts/lab record {name}`, on Linux {done.stdout}")
    return target


def live_through(name: str) -> str:
    """Live through a scenario here and return the transcript, with the kernel's release on a line before it.

    Raises:
        AssertionError: something was not as it must be; the commands so far are in its notes.
    """
    with tempfile.TemporaryDirectory(prefix="scenario-") as directory:
        root = Path(directory, "root")
        transcript = Path(directory, "transcript")
        runner = RecordingRunner(SystemRunner(), transcript, scenarios.values(root))
        try:
            scenarios.load(name).scenario(scenarios.node(root, runner, SystemClock()))
        except BaseException as err:
            err.add_note(f"commands until then:\n{transcript.read_text(errors='backslashreplace')[-4000:]}")
            raise
        return f"{os.uname().release}\n\n{transcript.read_text(errors='surrogateescape')}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=scenarios.names())
    sys.stdout.buffer.write(live_through(parser.parse_args().name).encode(errors="surrogateescape"))
