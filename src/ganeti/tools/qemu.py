"""The QEMU system emulator asked about itself. What the answers mean is not known here."""

from __future__ import annotations

from pathlib import Path

from ganeti.errors import ProgramNotFound
from ganeti.host.runner import Runner

PROBE_TIMEOUT_S = 60.0


def help_text(runner: Runner, program: Path) -> str:
    """Version and options. Raises: CommandError, ProgramNotFound."""
    return runner.check([program, "--help"], timeout_s=PROBE_TIMEOUT_S).output


def machine_list(runner: Runner, program: Path) -> str:
    """Machines it can be, one a line. Raises: CommandError, ProgramNotFound."""
    return runner.check([program, "-machine", "help"], timeout_s=PROBE_TIMEOUT_S).output


def device_list(runner: Runner, program: Path) -> str:
    """Devices it knows, one a line. Old versions print the list and fail. Raises: ProgramNotFound."""
    return runner.run([program, "-device", "help"], timeout_s=PROBE_TIMEOUT_S).output


def stamp(program: Path) -> tuple[str, int, int]:
    """What tells one installed version from another: resolved path, time of change, size. Raises: ProgramNotFound."""
    try:
        real = program.resolve(strict=True)
        status = real.stat()
    except OSError as err:
        raise ProgramNotFound(str(program)) from err
    return str(real), status.st_mtime_ns, status.st_size
