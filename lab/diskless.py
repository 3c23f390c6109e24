"""The smallest guest: a kernel and an initrd that need no disk, for tests of a hypervisor rather than of a system.

Its initrd is that of the busybox definition with other files laid over it: the kernel unpacks archives that follow each
other into one another (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.own_nodes import KERNEL, ROOT, guest_kernel

HERE = Path(__file__).resolve().parent
DEFINITION = ROOT / "os" / "busybox"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisklessGuest:
    """What the guest boots."""

    kernel: Path
    initrd: Path


def diskless_guest() -> DisklessGuest:
    """Kernel and initrd, made unless they are there and newer than what they are made of. Raises: own_nodes.Failure."""
    guest_kernel()
    result = DisklessGuest(kernel=KERNEL / "vmlinuz", initrd=KERNEL / "diskless-initrd")
    sources = [HERE / "diskless-init", HERE / "diskless-power", KERNEL / "initrd"]
    if result.initrd.exists() and result.initrd.stat().st_mtime >= max(path.stat().st_mtime for path in sources):
        return result
    with tempfile.TemporaryDirectory() as work:
        overlay = _overlay(Path(work))
    # Renamed at the end, so that tests beside this one never see half a file.
    unfinished = result.initrd.with_name(f"diskless-initrd.{os.getpid()}")
    unfinished.write_bytes((KERNEL / "initrd").read_bytes() + overlay)
    unfinished.rename(result.initrd)
    return result


def _overlay(root: Path) -> bytes:
    """The archive of the files that differ."""
    (root / "etc/acpi").mkdir(parents=True)
    shutil.copy(HERE / "diskless-init", root / "init")
    shutil.copy(HERE / "diskless-power", root / "etc/acpi/power")
    for name in ("acpid.conf", "acpid.map"):
        shutil.copy(DEFINITION / "guest/etc" / name, root / "etc" / name)
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    packed = subprocess.run(
        ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"],
        cwd=root,
        input="".join(f"{name}\n" for name in names).encode(),
        capture_output=True,
        check=True,
    )
    return packed.stdout
