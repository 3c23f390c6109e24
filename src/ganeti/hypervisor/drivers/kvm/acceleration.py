"""Whether this machine can run guests by KVM, found out by running a tiny one. Knows nothing of QEMU.

That /dev/kvm opens proves little: there are machines where it opens, makes guests and executes their code, but one
trapped instruction after the other, thousand times slower than software emulation. So the probe counts down a register
in a guest of one page and takes the time. Source: the kernel's Documentation/virt/kvm/api.rst.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

KVM_DEVICE: Final = Path("/dev/kvm")

_API_VERSION: Final = 12
_KVM_GET_API_VERSION: Final = 0xAE00
_KVM_CREATE_VM: Final = 0xAE01
_KVM_GET_VCPU_MMAP_SIZE: Final = 0xAE04
_KVM_CREATE_VCPU: Final = 0xAE41
_KVM_SET_USER_MEMORY_REGION: Final = 0x4020AE46
_KVM_RUN: Final = 0xAE80
_KVM_EXIT_HLT: Final = 5

_TURNS: Final = 10_000
_SLOWEST_S: Final = 0.001
"""A processor takes 10 to 50 microseconds for the loop, also nested; a machine that traps took 7 milliseconds."""
_ATTEMPTS: Final = 3

# A processor starts in real mode at 0xfffffff0, the last 16 bytes of the page mapped at 0xfffff000.
_PAGE: Final = 4096
_PAGE_ADDRESS: Final = 0xFFFFF000
_CODE_AT: Final = 0xF00
_RESET_AT: Final = 0xFF0
_CODE: Final = b"\xb9" + struct.pack("<H", _TURNS) + b"\xe2\xfe" + b"\xf4"  # mov cx, turns; loop to itself; hlt
_JUMP: Final = b"\xe9" + struct.pack("<h", _CODE_AT - (_RESET_AT + 3))


def why_not_usable(device: Path = KVM_DEVICE) -> str | None:
    """What keeps this machine from running guests by KVM; None when nothing does. Takes under 0.1 s."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as err:
        return f"{device} cannot be opened: {err.strerror}"
    try:
        version = fcntl.ioctl(kvm, _KVM_GET_API_VERSION, 0)
        if version != _API_VERSION:
            return f"{device} has version {version} of the interface, not {_API_VERSION}"
        # the best of several: another process may have had the processor in between
        seconds = min(_run_once(kvm) for _ in range(_ATTEMPTS))
    except OSError as err:
        return f"{device} opens, but a guest cannot run: {err.strerror}"
    finally:
        os.close(kvm)
    if seconds > _SLOWEST_S:
        return (
            f"{device} opens, but it executes {_TURNS / seconds / 1e6:.1f} million instructions a second: "
            "slower than software emulation, so guests would not boot"
        )
    return None


def _run_once(kvm: int) -> float:
    """Run the loop in a new guest; return how long it took in seconds. Raises: OSError."""
    with ExitStack() as close:
        machine = fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
        close.callback(os.close, machine)
        memory = close.enter_context(mmap.mmap(-1, _PAGE))
        memory[_CODE_AT : _CODE_AT + len(_CODE)] = _CODE
        memory[_RESET_AT : _RESET_AT + len(_JUMP)] = _JUMP
        view = ctypes.c_char.from_buffer(memory)
        region = struct.pack("<IIQQQ", 0, 0, _PAGE_ADDRESS, _PAGE, ctypes.addressof(view))
        del view  # a mapping with a view of it cannot be closed
        fcntl.ioctl(machine, _KVM_SET_USER_MEMORY_REGION, region)
        processor = fcntl.ioctl(machine, _KVM_CREATE_VCPU, 0)
        close.callback(os.close, processor)
        shared = close.enter_context(mmap.mmap(processor, fcntl.ioctl(kvm, _KVM_GET_VCPU_MMAP_SIZE, 0)))
        started = time.perf_counter()
        fcntl.ioctl(processor, _KVM_RUN, 0)
        elapsed = time.perf_counter() - started
        (reason,) = struct.unpack_from("<I", shared, 8)
        if reason != _KVM_EXIT_HLT:
            raise OSError(0, f"it ended for reason {reason} instead of halting")
        return elapsed
