"""What the kvm guests of a lab boot: a kernel and an initrd of the machine, and the hypervisor parameters for them."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from lab.processes import run

OS_DEFINITION = Path(__file__).resolve().parent.parent / "os" / "busybox"


def _default_directory() -> Path:
    return Path(os.environ.get("LAB_GUEST", "/var/cache/ganeti-lab"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Where kernel and initrd lie: LAB_GUEST, else a folder of /var/cache, which survives the labs.

    Not below the checkout: recordings hold these paths, and should be the same wherever they are made.
    """

    directory: Path = field(default_factory=_default_directory)

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    def is_there(self) -> bool:
        return self.kernel.exists() and self.initrd.exists()

    def make(self) -> None:
        """Make both with the tool of the busybox OS definition, which fetches a Debian kernel."""
        run([str(OS_DEFINITION / "make-kernel"), str(self.directory)])

    def kvm_parameters(self) -> str:
        """Return the argument of `gnt-cluster init -H` for guests by software emulation; make what they boot.

        Raises:
            LabError: kernel or initrd cannot be made.
        """
        if not self.is_there():
            self.make()
        parameters = {
            # under the name `kvm` the emulator insists on /dev/kvm, which need not work here
            "kvm_path": "/usr/bin/qemu-system-x86_64",
            "kvm_flag": "disabled",
            "kernel_path": str(self.kernel),
            "initrd_path": str(self.initrd),
            "root_path": "/dev/vda",
            "serial_console": "true",
            "migration_downtime": "1000",
        }
        return "kvm:" + ",".join(f"{key}={value}" for key, value in parameters.items())
