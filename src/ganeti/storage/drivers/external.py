"""Disks of type `ext`: volumes of an administrator's own storage, handled by the scripts of a provider.

Knows which script does what and what its answer means; must not know guests, how a provider is found and judged
(`storage.providers`) or how a script is run (`storage.provider_scripts`). Source of the scripts' interface: the
provider format of 3.0.

Different from the packaged 3.0 on purpose:
- The directory of logs is made when it is missing (there every action but `attach` fails without it).
- `verify parameters` is run before `create`, so that bad parameters make nothing; the packaged daemon never runs it.
- `attach` runs once an action and disk, however often the action asks.
- `attach` that prints an empty line and nothing else is an error (there the disk counts as attached without device).
- A snapshot by a provider without that script is refused (there it is said to have been taken).
- A rename is refused (there it does nothing and says it worked, and the master loses the volume). No master sends one:
  only logical volumes that are converted or replaced get another name.
- A volume name that could be taken for an option or a path is refused, a parameter that makes no variable too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError, NotSupported, UnsafePath
from ganeti.host import block_devices, printable
from ganeti.host.paths import absolute
from ganeti.host.system import System
from ganeti.model.disk import Disk, DiskType
from ganeti.storage import labels, providers
from ganeti.storage.base import BlockDevice, Growable, LogicalId, Snapshotable, UserspaceAccess
from ganeti.storage.observations import Observations
from ganeti.storage.provider_scripts import VolumeScripts, volume_name

log = logging.getLogger(__name__)

CHECKS: Final = ("parameters",)
"""What `verify` is asked to judge."""


class ExternalDisk(BlockDevice, Growable, Snapshotable, UserspaceAccess, kinds=(DiskType.EXT,)):
    """A volume that a provider's scripts make, attach and remove."""

    def __init__(
        self,
        system: System,
        disk: Disk,
        children: Sequence[BlockDevice | None] = (),
        observed: Observations | None = None,
    ) -> None:
        """Describe the volume. Raises: BlockDeviceError for names and parameters that no script should see."""
        super().__init__(system, disk, children, observed)
        if children:
            raise BlockDeviceError(f"{disk.describe()}: a volume of a storage provider has no children")
        self._scripts = VolumeScripts(system, disk)
        self._is_known = False
        self._is_attached = False
        self._device: Path | None = None
        self._numbers: tuple[int, int] | None = None
        self._uris: tuple[str, ...] = ()

    @property
    def dev_path(self) -> Path | None:
        """The device the volume is attached as; None before that, and where it can be reached from user space only."""
        return self._device

    @property
    def numbers(self) -> tuple[int, int] | None:
        """Major and minor number while it is attached as a device."""
        return self._numbers

    def attach(self) -> bool:
        """Attach the volume, once; false when the script prints nothing, or a path that is no block device.

        Raises: BlockDeviceError when the script fails, or says that there is neither a device nor a URI.
        """
        if self._is_attached:
            return True
        printed = self._scripts.run(providers.ATTACH, {})
        first, *rest = (line.strip() for line in printed.split("\n"))
        uris = tuple(line for line in rest if line)
        if printed and not first and not uris:
            raise BlockDeviceError(f"{self._scripts}: script attach printed neither a device nor a URI")
        if first and not self._find_device(first):
            return False
        self._uris = uris
        self._is_attached = self._is_known = bool(printed)
        return self._is_attached

    def create(self, *, exclusive_storage: bool) -> None:
        """Let the provider judge its parameters and make the volume, then attach it.

        A volume that is made but cannot be attached stays: a script that calls an existing volume its own must not
        cost that volume's data. Raises: BlockDeviceError.
        """
        self._refuse_exclusive_storage(exclusive_storage)
        self._scripts.run(providers.VERIFY, {}, *CHECKS)
        self._scripts.run(providers.CREATE, {"VOL_SIZE": str(self.disk.size)})
        try:
            found = self.attach()
        except BlockDeviceError as err:
            raise BlockDeviceError(f"{err}; the volume was made and is left behind") from err
        if not found:
            raise BlockDeviceError(f"{self._scripts} was made and is left behind, since it cannot be attached")

    def assemble(self) -> None:
        """Attach the volume. Raises: BlockDeviceError when it is not there."""
        if not self.attach():
            raise BlockDeviceError(f"{self._scripts} does not exist")

    def open(self, *, force: bool = False, exclusive: bool = True) -> None:  # noqa: ARG002 - nothing to force
        """Run the provider's script for it, if it has one."""
        if self._scripts.has(providers.OPEN):
            self._scripts.run(providers.OPEN, {"VOL_OPEN_EXCLUSIVE": str(exclusive)})

    def close(self) -> None:
        """Run the provider's script for it, if it has one."""
        if self._scripts.has(providers.CLOSE):
            self._scripts.run(providers.CLOSE, {})

    def shutdown(self) -> None:
        """Detach the volume; one that is not there is fine."""
        if not self.attach():
            return
        self._scripts.run(providers.DETACH, {})
        self._is_attached = False
        self._device = self._numbers = None
        self._uris = ()

    def remove(self) -> None:
        """Detach the volume and destroy it; one that could not be attached is never touched.

        When a repetition finds it detached by the attempt before, it is only destroyed. Raises: BlockDeviceError.
        """
        if not self._is_known and not self.attach():
            return
        if self._is_attached:
            self.shutdown()
        self._scripts.run(providers.REMOVE, {})
        self._is_known = False

    def actual_size(self) -> int:
        """Size of the device in bytes. Raises: BlockDeviceError when it has none on this node."""
        if self._numbers is None:
            raise BlockDeviceError(f"the size of {self._scripts} cannot be told: it has no device on this node")
        return block_devices.size_bytes(self.system.runner, self._numbers)

    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Let the provider make it larger: to the described size and `amount_mib`, so a repetition changes nothing.

        A dry run asks nobody: the interface has no question for it. Raises: BlockDeviceError.
        """
        if amount_mib < 0:
            raise BlockDeviceError(f"{self._scripts} cannot grow by {amount_mib} MiB: disks never shrink")
        if not backing_store:
            return
        self._refuse_exclusive_storage(exclusive_storage)
        if self.disk.size == 0:
            raise BlockDeviceError(f"{self._scripts} cannot grow: what to grow from is not known, its size is 0")
        self.assemble()
        if not dry_run:
            sizes = {"VOL_SIZE": str(self.disk.size), "VOL_NEW_SIZE": str(self.disk.size + amount_mib)}
            self._scripts.run(providers.GROW, sizes)

    def set_info(self, text: str) -> None:
        """Note with the volume whose it is. Raises: BlockDeviceError."""
        self._scripts.run(providers.SET_INFO, {"VOL_METADATA": labels.sanitised(text)})

    def snapshot(self, name: str | None, size_mib: int | None) -> LogicalId:
        """Take a snapshot, called `<volume>.snap` and of the disk's size unless said otherwise.

        Raises: NotSupported when the provider has no script for it; BlockDeviceError.
        """
        provider = self._scripts.provider_name
        if not self._scripts.has(providers.SNAPSHOT):
            raise NotSupported(f"storage provider {provider}", "snapshots")
        taken = volume_name(f"{self._scripts.volume}.snap" if name is None else name)
        size = self.disk.size if size_mib is None else size_mib
        self._scripts.run(providers.SNAPSHOT, {"VOL_SNAPSHOT_NAME": taken, "VOL_SNAPSHOT_SIZE": str(size)})
        return (provider, taken)

    def userspace_uri(self, hypervisor: str) -> str:
        """The first address that `attach` printed for the hypervisor. Raises: BlockDeviceError when there is none."""
        self.assemble()
        prefix = f"{hypervisor}:".lower()
        for uri in self._uris:
            if uri.lower().startswith(prefix):
                return uri[len(prefix) :]
        raise BlockDeviceError(f"{self._scripts} cannot be reached from user space by hypervisor {hypervisor}")

    def _find_device(self, text: str) -> bool:
        """Look at the path that `attach` printed; whether it is a block device. Raises: BlockDeviceError."""
        try:
            path = absolute(text)
        except UnsafePath as err:
            shown = printable.safe(text)
            raise BlockDeviceError(f"{self._scripts}: script attach printed {shown!r}, which is no path") from err
        self._numbers = block_devices.numbers(self.system.runner, path)
        if self._numbers is None:
            log.warning("Script attach of %s printed %s, which is no block device", self._scripts, path)
            return False
        self._device = path
        return True

    def _refuse_exclusive_storage(self, is_asked: bool) -> None:
        if is_asked:
            raise BlockDeviceError(f"{self._scripts} cannot have physical disks of its own")
