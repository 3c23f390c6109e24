"""Where the files of KVM guests lie on a node, and how they are removed. Knows no process and no monitor.

Source: a node with packaged Ganeti 3.0.2. Both daemons must find each other's guests, so names are the contract.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti.errors import HypervisorError, NodeError
from ganeti.host import files
from ganeti.host.paths import Paths, component

log = logging.getLogger(__name__)

DIRECTORY_MODE: Final = 0o775
LOG_DIRECTORY_MODE: Final = 0o750
CHROOT_MODE: Final = 0o700
LONGEST_SOCKET_PATH: Final = 107
"""Bytes in a Unix socket's address (unix(7): 108 with the final null); QEMU refuses longer ones."""

_SUBDIRECTORIES: Final = ("pid", "uid", "ctrl", "conf", "nic", "chroot", "chroot-quarantine")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestFiles:
    """The files of one guest."""

    name: str
    root: Path
    log_dir: Path

    @property
    def pid(self) -> Path:
        """QEMU's pid file, written by QEMU itself. The directory is the list of guests."""
        return self.root / "pid" / self.name

    @property
    def uid(self) -> Path:
        """User id taken from the cluster's pool."""
        return self.root / "uid" / self.name

    @property
    def monitor(self) -> Path:
        """Socket of the human monitor; the console wrapper and packaged tools speak to it."""
        return self._control("monitor")

    @property
    def serial(self) -> Path:
        """Socket of the serial console."""
        return self._control("serial")

    @property
    def qmp(self) -> Path:
        """Socket of the machine monitor this daemon uses."""
        return self._control("qmp")

    @property
    def kvmd(self) -> Path:
        """Second machine monitor, for the daemon that detects guests switching themselves off."""
        return self._control("kvmd")

    @property
    def guest_agent(self) -> Path:
        """Socket of the guest agent's channel."""
        return self._control("qga")

    @property
    def shutdown_marker(self) -> Path:
        """Exists when the guest switched itself off."""
        return self._control("shutdown")

    @property
    def runtime(self) -> Path:
        """What the guest was started with."""
        return self.root / "conf" / f"{self.name}.runtime"

    @property
    def nics(self) -> Path:
        """Directory with one file an interface: the name of its tap."""
        return self.root / "nic" / self.name

    @property
    def chroot(self) -> Path:
        """Empty directory QEMU may be confined to."""
        return self.root / "chroot" / self.name

    @property
    def log(self) -> Path:
        """QEMU's own log."""
        return self.log_dir / f"{self.name}.log"

    def nic(self, index: int) -> Path:
        """File with the name of the tap of interface `index` (from 0)."""
        return self.nics / str(index)

    def check_socket_paths(self) -> None:
        """Raises: HypervisorError when a socket's path is longer than the kernel allows."""
        longest = max((self.monitor, self.guest_agent, self.shutdown_marker), key=lambda path: len(os.fsencode(path)))
        if len(os.fsencode(longest)) > LONGEST_SOCKET_PATH:
            raise HypervisorError(
                f"instance {self.name}: {longest} is too long for a socket: "
                f"{len(os.fsencode(longest))} bytes, {LONGEST_SOCKET_PATH} are possible"
            )

    def remove(self) -> None:
        """Remove everything a guest that does not run left, but for the shutdown marker.

        Raises: HypervisorError.
        """
        try:
            for path in (self.pid, self.monitor, self.serial, self.qmp, self.kvmd, self.guest_agent, self.runtime):
                files.remove(path)
            files.remove(self.uid)
            shutil.rmtree(self.nics, ignore_errors=not self.nics.exists())
            self._remove_chroot()
        except OSError as err:
            raise HypervisorError(f"cannot remove the files of instance {self.name}: {err}") from err

    def _control(self, suffix: str) -> Path:
        return self.root / "ctrl" / f"{self.name}.{suffix}"

    def _remove_chroot(self) -> None:
        if not self.chroot.exists():
            return
        try:
            self.chroot.rmdir()
        except OSError:
            if not any(self.chroot.iterdir()):
                raise
            # somebody put files there: an operator decides what becomes of them
            stamp = time.strftime("%Y-%m-%d_%H_%M_%S")
            kept = self.root / "chroot-quarantine" / f"{self.name}-{stamp}-{os.urandom(4).hex()}"
            log.warning("The chroot of instance %s is not empty, moved to %s", self.name, kept)
            self.chroot.rename(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The directories of all guests."""

    root: Path
    log_dir: Path

    @classmethod
    def of(cls, paths: Paths) -> Layout:
        """The layout below a node's paths."""
        return cls(root=paths.run_dir / "kvm-hypervisor", log_dir=paths.log_dir / "kvm")

    def make_directories(self) -> None:
        """Make what is missing; parents must exist. Raises: HypervisorError."""
        try:
            files.ensure_directory(self.root, DIRECTORY_MODE)
            for name in _SUBDIRECTORIES:
                files.ensure_directory(self.root / name, DIRECTORY_MODE)
            if not self.log_dir.is_dir():
                files.ensure_directory(self.log_dir, LOG_DIRECTORY_MODE)
        except (OSError, NodeError) as err:
            raise HypervisorError(f"cannot make the directories of KVM guests: {err}") from err

    def guest(self, name: str) -> GuestFiles:
        """The files of a guest. Raises: UnsafePath."""
        return GuestFiles(name=component(name), root=self.root, log_dir=self.log_dir)

    def with_pid_file(self) -> list[str]:
        """Names of the guests that have a pid file, running or not."""
        return _names(self.root / "pid")

    def with_runtime(self) -> list[str]:
        """Names of the guests that have a runtime file, running or not."""
        return [name.removesuffix(".runtime") for name in _names(self.root / "conf") if name.endswith(".runtime")]


def _names(directory: Path) -> list[str]:
    try:
        return list(files.visible_names(directory))
    except FileNotFoundError:
        return []
