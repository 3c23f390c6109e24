"""The command line of QEMU for a machine of the lab, and the settings its first processes read.

Software emulation, so that it runs everywhere. It must not start anything.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.machine_kernel import MachineKernel
from lab.machine_network import Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a machine has: empty data disks (`size_mib` each), memory, processors, and whether it runs udev."""

    disks: int = 0
    size_mib: int = 1024
    memory_mib: int = 512
    cpus: int = 1
    udev: bool = False


def command(name: str, home: Path, port: Port, hardware: Hardware, kernel: MachineKernel) -> list[str]:
    """The command line of a machine whose files lie in `home`, its disks as `diskN` and its settings as `boot`."""
    append = [
        "console=ttyS0",
        "quiet",
        "loglevel=4",
        "tsc=reliable",
        *_counter(),
        "no_timer_check",
        "mitigations=off",
        "nokaslr",
        "panic=-1",
        f"lab.boot={home / 'boot'}",
    ]
    words = [
        *("qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        # no PCI: a second less at every boot
        *("-M", "microvm,acpi=on,rtc=on,ioapic2=on,auto-kernel-cmdline=off"),
        *("-accel", "tcg,thread=multi,tb-size=256", "-cpu", "qemu64"),
        *("-smp", str(hardware.cpus), "-m", str(hardware.memory_mib)),
        *("-serial", f"file:{home / 'console'}"),
        *("-kernel", str(kernel.kernel), "-initrd", str(kernel.initrd), "-append", " ".join(append)),
        *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-device,fsdev=root,mount_tag=labroot"),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng"),
    ]
    for number in range(hardware.disks):
        # A killed QEMU loses nothing it was given: only the host's crash would.
        drive = f"if=none,id=disk{number},file={home / f'disk{number}'},format=raw,cache=unsafe,discard=unmap"
        words += ["-drive", drive, "-device", f"virtio-blk-device,drive=disk{number},serial=disk{number}"]
    for wire in ("ctl", "lan"):
        words += ["-netdev", f"tap,id={wire},ifname={port.tap(wire)},script=no,downscript=no"]
        words += ["-device", f"virtio-net-device,netdev={wire},mac={port.mac(wire)}"]
    return words


def settings(values: Mapping[str, str | Path]) -> str:
    """The file of settings for `lab/machine/initrd-init` and `rc`, which read it as shell words."""
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())


def _counter() -> Sequence[str]:
    """Tell the kernel the rate of the time stamp counter, which is the host's.

    On a busy host an emulated machine cannot measure it, and then hangs at its boot.
    """
    found = re.search(r"cpu MHz\s*: (\S+)", Path("/proc/cpuinfo").read_text())
    return [f"tsc_early_khz={float(found[1]) * 1000:.0f}"] if found else []
