"""What hypervisors whose node is an ordinary Linux system share: its facts, and how it is restarted at once.

Knows no guest and no kind of hypervisor.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ganeti.errors import HypervisorError, InvalidOutput
from ganeti.host import procfs
from ganeti.host.runner import Runner
from ganeti.model.cluster import HypervisorFacts

log = logging.getLogger(__name__)

_COUNTED_AS_FREE = ("MemFree", "Buffers", "Cached")


def node_facts(proc: Path = procfs.PROC) -> HypervisorFacts:
    """Memory in MiB and processors of the node, read from `proc`.

    Each figure is rounded down to MiB before it is added, as in Ganeti 3.0. Free is what is free, in buffers or page
    cache; the node's own is what the kernel calls active. Raises: HypervisorError.
    """
    try:
        memory = {name: kib // 1024 for name, kib in procfs.memory_info(proc=proc).items()}
        processors = procfs.cpu_count(proc=proc)
        total, active = memory["MemTotal"], memory["Active"]
    except OSError as err:
        raise HypervisorError(f"cannot read {err.filename}: {err.strerror}") from err
    except InvalidOutput as err:
        raise HypervisorError(str(err)) from err
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


def powercycle(runner: Runner, proc: Path = procfs.PROC) -> None:
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
