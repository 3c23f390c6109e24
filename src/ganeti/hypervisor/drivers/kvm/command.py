"""The command line of a guest as a pure function of the guest, its devices, the emulator's facts and the node's paths.

Two parts, as in Ganeti 3.0. `saved_part` is kept in the runtime file: what must stay the same for the guest over soft
reboots and migration. `execution_part` is made anew each time: descriptors, disks' paths, monitors. Options QEMU
dropped (`-soundhw`, `-no-acpi`, `-chroot`, `-runas`, `-usbdevice`) are given in the form the probed QEMU has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.disks import boots_from, disk_options, media_options, value
from ganeti.hypervisor.drivers.kvm.display import Binding, display_options
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles
from ganeti.hypervisor.drivers.kvm.nics import TapHandle, nic_options
from ganeti.hypervisor.drivers.kvm.parameters import SCSI_DISK_TYPES, flag, number, text
from ganeti.hypervisor.drivers.kvm.runtime import Argument, Runtime
from ganeti.model.base import Parameters
from ganeti.model.instance import AttachedDisk, Instance
from ganeti.model.network import Nic

_SERVER: Final = "server,nowait"
"""The short form is what packaged tools look for; QEMU takes it for monitors and serial lines without a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the command line needs of the node."""

    files: GuestFiles
    data_dir: Path
    binding: Binding = field(default_factory=Binding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What holds for one run of the saved command only."""

    taps: tuple[TapHandle, ...] = ()
    incoming: str | None = None
    paused: bool = True
    pooled_user: str | None = None


def command(
    instance: Instance, disks: Sequence[AttachedDisk], nics: Sequence[Nic], facts: QemuFacts, place: Place
) -> list[Argument]:
    """The whole command line of a first start with placed devices and the taps `fd=100`, `101`..., for golden files."""
    runtime = Runtime(
        command=tuple(saved_part(instance, facts, place)),
        nics=tuple(nics),
        hvparams=instance.hvparams,
        disks=tuple(disks),
    )
    queues = number(instance.hvparams, "virtio_net_queues") if flag(instance.hvparams, "vhost_net") else 1
    numbers = iter(range(100, 100 + 2 * queues * len(nics)))
    taps = tuple(
        TapHandle(
            fds=tuple(next(numbers) for _ in range(queues)),
            vhost_fds=tuple(next(numbers) for _ in range(queues if flag(instance.hvparams, "vhost_net") else 0)),
        )
        for _ in nics
    )
    return [*runtime.command, *execution_part(runtime, instance.hvparams, facts, place.files, Execution(taps=taps))]


def saved_part(instance: Instance, facts: QemuFacts, place: Place) -> list[Argument]:
    """What is kept for the guest's life. Raises: HypervisorError when KVM is demanded and cannot be used."""
    hvparams, files = instance.hvparams, place.files
    result: list[Argument] = [text(hvparams, "kvm_path"), "-name", instance.name, "-m", instance.maximum_memory_mib]
    result += ["-smp", _processors(instance), "-pidfile", str(files.pid)]
    result += _sound(hvparams, facts)
    if text(hvparams, "disk_type") in SCSI_DISK_TYPES:
        result += ["-device", f"{text(hvparams, 'scsi_controller_type')},id=scsi"]
    result += ["-device", "virtio-balloon", "-daemonize", "-D", str(files.log)]
    if not flag(hvparams, "acpi") and facts.has_option("-no-acpi"):
        result.append("-no-acpi")
    if text(hvparams, "reboot_behavior") == "exit":
        result.append("-no-reboot")
    result += _machine(hvparams, facts)
    if boots_from(hvparams, "network"):
        result += ["-boot", "n"]
    result += media_options(hvparams, facts)
    result += _kernel(hvparams)
    if text(hvparams, "mem_path"):
        result += ["-mem-path", text(hvparams, "mem_path"), "-mem-prealloc"]
    result += ["-monitor", f"unix:{files.monitor},{_SERVER}"]
    result += ["-serial", f"unix:{files.serial},{_SERVER}" if flag(hvparams, "serial_console") else "none"]
    result += _usb(hvparams, facts)
    result += display_options(
        hvparams,
        facts,
        name=instance.name,
        port=instance.network_port,
        binding=place.binding,
        data_dir=place.data_dir,
    )
    result += _rest(instance, facts, files)
    return result


def execution_part(
    runtime: Runtime, hvparams: Parameters, facts: QemuFacts, files: GuestFiles, execution: Execution
) -> list[str]:
    """What one run adds to a saved command. `hvparams` are the current ones, the runtime's what the guest was given."""
    result: list[str] = []
    if text(hvparams, "keymap"):
        result += ["-k", text(hvparams, "keymap")]
    given = hvparams | runtime.hvparams
    result += nic_options(runtime.nics, given, facts, execution.taps)
    if execution.incoming is not None:
        result += ["-incoming", execution.incoming]
    result += ["-qmp", f"unix:{files.qmp},{_SERVER}", "-qmp", f"unix:{files.kvmd},{_SERVER}"]
    result += disk_options(runtime.disks, given, facts)
    if execution.paused and execution.incoming is None:
        result.append("-S")
    user = execution.pooled_user
    if text(hvparams, "security_model") == "user":
        user = text(hvparams, "security_domain")
    if user is not None:
        result += _run_as(user, facts)
    return result


def _run_as(user: str, facts: QemuFacts) -> list[str]:
    # -runas went in QEMU 9.1, -run-with user= came with it
    return ["-runas", user] if facts.has_option("-runas") else ["-run-with", f"user={user}"]


def _processors(instance: Instance) -> str:
    parts = [str(instance.vcpus)]
    for option, name in (("cores", "cpu_cores"), ("threads", "cpu_threads"), ("sockets", "cpu_sockets")):
        count = number(instance.hvparams, name)
        if count:
            parts.append(f"{option}={count}")
    return ",".join(parts)


def _sound(hvparams: Parameters, facts: QemuFacts) -> list[str]:
    card = text(hvparams, "soundhw")
    if not card:
        return []
    if facts.has_option("-soundhw") or not facts.has_option("-audio"):
        return ["-soundhw", card]
    # since QEMU 7.1; without SPICE nobody listens, and the machine's own sound card is no place for guests
    driver = "spice" if text(hvparams, "spice_bind") else "none"
    return ["-audio", f"driver={driver},model={card}"]


def _machine(hvparams: Parameters, facts: QemuFacts) -> list[str]:
    machine = text(hvparams, "machine_version") or facts.default_machine
    wanted = text(hvparams, "kvm_flag")
    if wanted == "enabled" and facts.kvm_problem is not None:
        raise HypervisorError(f"kvm_flag is enabled, but KVM cannot be used on this node: {facts.kvm_problem}")
    accelerator = ""
    if wanted == "enabled":
        accelerator = "kvm"
    elif wanted == "disabled" or facts.kvm_problem is not None:
        # a binary called `kvm` insists on /dev/kvm unless told otherwise
        accelerator = "tcg"
    if facts.has_option("-machine"):
        acpi = "" if flag(hvparams, "acpi") or facts.has_option("-no-acpi") else ",acpi=off"
        return ["-machine", machine + (f",accel={accelerator}" if accelerator else "") + acpi]
    result = ["-machine", machine]
    if accelerator == "kvm" and facts.has_option("-enable-kvm"):
        result.append("-enable-kvm")
    if accelerator == "tcg" and facts.has_option("-disable-kvm"):
        result.append("-disable-kvm")
    return result


def _kernel(hvparams: Parameters) -> list[str]:
    kernel = text(hvparams, "kernel_path")
    if not kernel:
        return []
    result = ["-kernel", kernel]
    if text(hvparams, "initrd_path"):
        result += ["-initrd", text(hvparams, "initrd_path")]
    words = [f"root={text(hvparams, 'root_path')}", text(hvparams, "kernel_args")]
    if flag(hvparams, "serial_console"):
        words.append(f"console=ttyS0,{number(hvparams, 'serial_speed')}")
    return [*result, "-append", " ".join(words)]


def _usb(hvparams: Parameters, facts: QemuFacts) -> list[str]:
    mouse = text(hvparams, "usb_mouse")
    if not mouse and text(hvparams, "vnc_bind_address"):
        mouse = "tablet"  # a mouse with absolute positions: the pointer stays where the viewer's is
    return ["-usb", *(_usb_device(mouse, facts) if mouse else ())]


def _usb_device(name: str, facts: QemuFacts) -> list[str]:
    if facts.has_option("-usbdevice"):
        return ["-usbdevice", name]
    return ["-device", f"usb-{'kbd' if name == 'keyboard' else name}"]


def _rest(instance: Instance, facts: QemuFacts, files: GuestFiles) -> list[str]:
    hvparams = instance.hvparams
    result: list[str] = []
    if flag(hvparams, "use_localtime"):
        result += ["-rtc", "base=localtime"]
    if flag(hvparams, "use_chroot"):
        new_form = not facts.has_option("-chroot")
        result += ["-run-with", f"chroot={value(str(files.chroot))}"] if new_form else ["-chroot", str(files.chroot)]
    if text(hvparams, "cpu_type"):
        result += ["-cpu", text(hvparams, "cpu_type")]
    vga = text(hvparams, "vga") or ("qxl" if text(hvparams, "spice_bind") else "")
    result += ["-vga", vga] if vga else []
    for device in text(hvparams, "usb_devices").split(","):
        result += _usb_device(device, facts) if device else []
    if instance.uuid and facts.has_option("-uuid"):
        result += ["-uuid", instance.uuid]
    if flag(hvparams, "use_guest_agent"):
        # the only short form QEMU warns of is the one of character devices
        form = "server=on,wait=off" if facts.option_has("-chardev", "server=on|off") else _SERVER
        result += ["-chardev", f"socket,path={files.guest_agent},{form},id=qga0"]
        result += ["-device", "virtio-serial,id=qga0", "-device"]
        result += ["virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"]
    extra = text(hvparams, "kvm_extra")
    return [*result, *(extra.split(" ") if extra else ())]
