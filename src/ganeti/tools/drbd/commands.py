"""What the command lines of every DRBD version must be able to say. `commands84` and `commands9` say it.

A list of command lines is to be run in its order, each only when the one before it worked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ganeti.errors import CommandError
from ganeti.host.runner import Argument, Result, Runner, Secret
from ganeti.tools.drbd.devices import Configuration, Device
from ganeti.tools.drbd.parameters import DrbdParameters

CommandLine = list[Argument]


class Commands(Protocol):
    """The words of one version of drbdsetup and drbdmeta; a module can be one."""

    def create_metadata(self, minor: int, metadata: Path) -> CommandLine:
        """Write empty metadata. Fails unless `metadata` reads as zero and nobody uses it, or when `minor` has a disk.

        It is never forced: a forced drbdmeta writes over the metadata of a device that is running (tried).
        """
        ...

    def add(self, device: Device) -> list[CommandLine]:
        """Make the kernel know the device. May be repeated."""
        ...

    def attach(
        self, device: Device, data: Path, metadata: Path, size_mib: int, parameters: DrbdParameters
    ) -> list[CommandLine]:
        """Give it a local copy; `size_mib` 0 leaves the size to DRBD."""
        ...

    def connect(self, device: Device, parameters: DrbdParameters, *, dual_primary: bool) -> list[CommandLine]:
        """Begin to talk to the other node. Raises: BlockDeviceError when there are no two addresses."""
        ...

    def disconnect(self, device: Device, local: str, remote: str) -> list[CommandLine]:
        """Stop talking; the addresses are those in use, which may be others than the device's own."""
        ...

    def detach(self, device: Device) -> CommandLine:
        """Give up the local copy."""
        ...

    def primary(self, device: Device, *, force: bool) -> CommandLine:
        """Allow it to be opened here; `force` declares the local copy good."""
        ...

    def secondary(self, device: Device) -> CommandLine:
        """Forbid it to be opened here."""
        ...

    def down(self, device: Device) -> CommandLine:
        """Make the kernel forget the device. May be repeated."""
        ...

    def resize(self, device: Device, size_mib: int) -> CommandLine:
        """Use `size_mib` of the backing devices, which have to be that large on both nodes."""
        ...

    def pause_sync(self, device: Device, *, pause: bool) -> CommandLine:
        """Hold a resync, or let it go on. Fails when that is so already."""
        ...

    def configuration(self, runner: Runner, device: Device) -> Configuration:
        """What the kernel has for the device's minor. Raises: CommandError, BlockDeviceError; neither has a secret."""
        ...


def run(runner: Runner, argv: CommandLine) -> Result:
    """Run a command that has to succeed. Raises: CommandError, which has no secret even if the program told it."""
    result = runner.run(argv)
    if not result.failed:
        return result
    output = result.output
    for word in argv:
        if isinstance(word, Secret) and word:
            output = output.replace(word, "***")
    raise CommandError(result.argv, result.reason, output)


def secret_words(device: Device) -> Sequence[Argument]:
    """How both sides prove to each other who they are; nothing without a secret."""
    if device.secret is None:
        return ()
    return ("--cram-hmac-alg=md5", "--shared-secret", device.secret)


def size_words(size_mib: int) -> Sequence[Argument]:
    """The size of a device; nothing for 0, which means that it is not known."""
    return (f"--size={size_mib}m",) if size_mib else ()
