"""What hypervisors whose node is an ordinary Linux system share: its facts, and how it is restarted at once.

Knows no guest and no kind of hypervisor.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from ganeti.errors import HypervisorError
from ganeti.host.runner import Runner
from ganeti.model.cluster import HypervisorFacts

log = logging.getLogger(__name__)

PROC = Path("/proc")

_PROCESSOR = re.compile(rb"^processor\s*:\s*\d+", re.MULTILINE)
_COUNTED_AS_FREE = ("MemFree", "Buffers", "Cached")


def node_facts(proc: Path = PROC) -> HypervisorFacts:
    """Memory in MiB and processors of the node, read from `proc`.

    Each figure is rounded down to MiB before it is added, as in Ganeti 3.0. Free is what is free, in buffers or page
    cache; the node's own is what the kernel calls active. Raises: HypervisorError.
    """
    memory = _memory_mib(proc / "meminfo")
    processors = len(_PROCESSOR.findall(_read(proc / "cpuinfo")))
    try:
        total, active = memory["MemTotal"], memory["Active"]
    except KeyError as err:
        raise HypervisorError(f"{proc / 'meminfo'} has no line {err.args[0]}") from err
    return HypervisorFacts(
        memory_total=total,
        memory_free=sum(memory.get(name, 0) for name in _COUNTED_AS_FREE),
        memory_dom0=active,
        cpu_total=processors,
        cpu_nodes=1,
        cpu_sockets=1,
        cpu_dom0=processors,
    )


def powercycle(runner: Runner, proc: Path = PROC) -> None:
    """Restart the machine without shutting anything down: by the kernel's trigger, else by the program `reboot`.

    Returns only where the restart takes a moment to happen. Raises: HypervisorError when both ways fail.
    """
    trigger = proc / "sysrq-trigger"
    try:
        descriptor = os.open(trigger, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"b")
        finally:
            os.close(descriptor)
    except OSError as err:
        log.warning("Cannot restart through %s (%s), trying the program reboot", trigger, err)
        result = runner.run(["reboot", "-n", "-f"])
        if result.failed:
            raise HypervisorError(f"cannot restart the node: {trigger}: {err}; reboot {result.reason}") from err


def _memory_mib(path: Path) -> dict[str, int]:
    """Lines `<name>: <KiB> ...` of a memory statistics file, in MiB."""
    figures: dict[str, int] = {}
    for line in _read(path).decode("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if not words:
            continue
        if not words[0].isdigit():
            raise HypervisorError(f"{path} has a line that is not a number: {line!r}")
        figures[name.strip()] = int(words[0]) // 1024
    return figures


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise HypervisorError(f"cannot read {path}: {err.strerror}") from err
