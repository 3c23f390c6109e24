"""Which guests run, told by pid files and the processes' own command lines: cheap, without asking any guest.

Guests are found the same way by the packaged daemon, so either daemon takes over from the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganeti.errors import HypervisorError, NodeError
from ganeti.host import procfs
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles

END_TIMEOUT_S = 30.0
"""How long QEMU has to end after SIGTERM: it flushes disks then."""

_LONGEST_PID_FILE = 64
_SIZE = re.compile(r"(?:size=)?(\d+)([MGT]?)i?B?", re.IGNORECASE)
_MIB_IN = {"": 1, "M": 1, "G": 1024, "T": 1024 * 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProcess:
    """A running guest's process: memory in MiB and processors are those it was started with."""

    pid: int
    memory_mib: int
    vcpus: int


def find(files: GuestFiles, proc: Path = procfs.PROC) -> GuestProcess | None:
    """The process of a guest; None when it does not run, also when its number is by now another process's."""
    pid = read_pid(files.pid)
    if pid is None:
        return None
    command = procfs.cmdline(pid, proc=proc)
    # the name may be followed by options of QEMU's, which a guest's name cannot have
    if _last_value(command, "-name").partition(",")[0] != files.name:
        return None
    return GuestProcess(
        pid=pid,
        memory_mib=_memory(_last_value(command, "-m")),
        vcpus=_leading_number(_last_value(command, "-smp")) or 1,
    )


def wait_until_gone(files: GuestFiles) -> None:
    """Wait for a guest that is ending: it has lost its name by then, but still holds its disks and its pid file.

    Raises: HypervisorError when that takes more than 30 s.
    """
    pid = read_pid(files.pid)
    if pid is None or procfs.cmdline(pid):
        return
    try:
        with procfs.watched(pid) as descriptor:
            if not procfs.wait_for_end(descriptor, END_TIMEOUT_S):
                raise HypervisorError(f"process {pid} of instance {files.name} does not end")
    except ProcessLookupError:
        return


def read_pid(path: Path) -> int | None:
    """The number in a pid file; None when it is missing, empty or holds something else."""
    try:
        with path.open("rb") as file:
            words = file.read(_LONGEST_PID_FILE).split()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise HypervisorError(f"cannot read {path}: {err.strerror}") from err
    return int(words[0]) if words and words[0].isdigit() else None


def end(files: GuestFiles) -> None:
    """End a guest's process: SIGTERM, SIGKILL after 30 s. One that does not run is fine. Raises: HypervisorError."""
    process = find(files)
    if process is None:
        return
    try:
        procfs.terminate(process.pid, END_TIMEOUT_S, is_meant=lambda pid: _is_guest(pid, files.name))
    except (OSError, NodeError) as err:
        raise HypervisorError(f"cannot end instance {files.name}: {err}") from err


def _is_guest(pid: int, name: str) -> bool:
    return _last_value(procfs.cmdline(pid), "-name").partition(",")[0] == name


def _last_value(command: Sequence[str], option: str) -> str:
    """The value of an option; the last one counts, as for QEMU itself."""
    value = ""
    for index, word in enumerate(command[:-1]):
        if word == option:
            value = command[index + 1]
    return value


def _leading_number(text: str) -> int:
    match = re.match(r"(?:cpus=)?(\d+)", text)
    return int(match[1]) if match else 0


def _memory(text: str) -> int:
    match = _SIZE.match(text)
    return int(match[1]) * _MIB_IN[match[2].upper()] if match else 0
