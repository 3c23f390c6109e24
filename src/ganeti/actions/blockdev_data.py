"""What is on a guest's disk, and how big it is: wiping, copying, images, sizes.

Contents are the guest's, so their format is never probed: everything here is raw. Life of the disk is `blockdev`'s.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.constants import IP6_FAMILY, MIB
from ganeti.errors import BlockDeviceError, InvalidParameter, NodeError, UnsafePath
from ganeti.host import block_devices
from ganeti.host.paths import absolute, below, component
from ganeti.model.base import Mib
from ganeti.model.disk import Disk
from ganeti.storage import tree
from ganeti.storage.base import BlockDevice, Wipeable
from ganeti.storage.registry import BlockDevices
from ganeti.tools import curl, dd, pipeline, ssh

log = logging.getLogger(__name__)

DEV = Path("/dev")
ZERO = Path("/dev/zero")


def wipe(node: Node, disk: Disk, offset: Mib, size: Mib) -> None:
    """Make `size` MiB from `offset` read as zero; the rest of the disk stays (a packaged node cuts a file there).

    Raises: InvalidParameter for a range beyond the disk; BlockDeviceError, CommandError.
    """
    _check_range(disk, offset, size)
    device = tree.get(node.storage.observing(), disk)
    if isinstance(device, Wipeable):
        device.wipe(offset, size)
        return
    write_zeros(node, _path(device), offset, size, direct=device.takes_direct_io())


def write_zeros(node: Node, path: Path, offset: Mib, size: Mib, *, direct: bool = True) -> None:
    """Write `size` MiB of zeros at `offset` of what lies at a path, and wait until they are there.

    Raises: CommandError.
    """
    node.runner.check(dd.copy_argv(ZERO, path, blocks=size, seek=offset, direct=direct))


def convert(node: Node, source: Disk, target: Disk) -> None:
    """Copy a disk's content over another one, which must not be smaller. Either side's failure counts.

    (A packaged node notices only that of the writing side.) Raises: InvalidParameter, BlockDeviceError, CommandError.
    """
    if source.size == 0:
        raise InvalidParameter("source", "how much of it to copy is not known: its size is 0")
    if target.size < source.size:
        raise InvalidParameter("target", f"its {target.size} MiB are less than the {source.size} MiB of the source")
    devices = node.storage.observing()
    exported, imported = tree.get(devices, source).export_argv(), tree.get(devices, target).import_argv()
    node.runner.check(pipeline.argv(exported, imported))
    log.info("Copied %s to %s", source.describe(), target.describe())


def export(node: Node, disk: Disk, destination_node: str, destination_path: str, cluster_name: str) -> None:
    """Copy a disk's content over what lies at a path of another node, which must exist and not be smaller. Long.

    Raises: UnsafePath for a path that is not absolute or a node that is no name; BlockDeviceError, CommandError.
    """
    target = absolute(destination_path)
    options = ssh.cluster_options(
        cluster_name, node.paths.data_dir / "known_hosts", is_ipv6=node.ssconf.primary_ip_family() == IP6_FAMILY
    )
    port = node.ssconf.ssh_ports().get(component(destination_node))
    if port is not None:
        options.append(f"-oPort={port}")
    device = tree.get(node.storage.observing(), disk)
    device.open()
    sink = ssh.argv(destination_node, shlex.join(dd.receive_argv(target)), options)
    node.runner.check(pipeline.argv(device.export_argv(), sink))
    log.info("Copied %s to %s on %s", disk.describe(), target, destination_node)


def image(node: Node, disk: Disk, image: str, size: Mib) -> None:
    """Copy a raw image of at most `size` MiB, a local path or a URL, to the beginning of a disk.

    A larger image is refused (a packaged node cuts a local one). Raises: InvalidParameter, BlockDeviceError,
    CommandError, ProgramNotFound.
    """
    _check_range(disk, 0, size)
    is_url = image.partition("://")[0].lower() in curl.SCHEMES and "://" in image
    path = None if is_url else _local_image(image, size)
    device = tree.get(node.storage.observing(), disk)
    target, direct = _path(device), device.takes_direct_io()
    if path is not None:
        node.runner.check(dd.copy_argv(path, target, blocks=size, direct=direct))
    else:
        sink = dd.write_argv(target, blocks=size, direct=direct)
        node.runner.check(pipeline.argv(curl.fetch_argv(image), sink, to_the_end=True))
    log.info("Copied the image %s to %s", image, disk.describe())


def dimensions(node: Node, disks: tuple[Disk, ...]) -> list[tuple[int, int | None] | None]:
    """Size in bytes and number of physical disks of each disk; None for one that cannot be told."""
    devices = node.storage.observing()
    return [_dimensions(devices, disk) for disk in disks]


def sizes(node: Node, devices: list[str]) -> dict[str, int]:
    """Sizes in MiB, rounded down, of those paths that are block devices below `/dev`; all others are left out.

    Links below `/dev` are followed wherever they lead; no device is opened, so the passive half of a mirror counts too.
    """
    found = ((path, _block_device_size(node, path)) for path in devices)
    return {path: size // MIB for path, size in found if size is not None}


def _check_range(disk: Disk, offset: int, size: int) -> None:
    for name, value in (("offset", offset), ("size", size)):
        if value < 0:
            raise InvalidParameter(name, f"{value} MiB is negative")
    if offset > disk.size:
        raise InvalidParameter("offset", f"{offset} MiB is beyond the end of {disk.describe()}")
    if offset + size > disk.size:
        raise InvalidParameter("size", f"{size} MiB from {offset} MiB on end beyond {disk.describe()}")


def _local_image(image: str, size: int) -> Path:
    try:
        path = absolute(image)
    except UnsafePath as err:
        schemes = ", ".join(curl.SCHEMES)
        raise InvalidParameter("image", f"{image!r} is neither a URL ({schemes}) nor an absolute path") from err
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        raise InvalidParameter("image", f"{path}: {err.strerror}") from err
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise InvalidParameter("image", f"{path} is neither a file nor a block device")
        length = os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)
    if length > size * MIB:
        raise InvalidParameter("image", f"{path} has {length} bytes, which are more than {size} MiB")
    return path


def _dimensions(devices: BlockDevices, disk: Disk) -> tuple[int, int | None] | None:
    try:
        device = tree.find(devices, disk)
        return None if device is None else (device.actual_size(), device.spindles())
    except NodeError as err:
        log.warning("The size of %s cannot be told: %s", disk.describe(), err)
        return None


def _block_device_size(node: Node, name: str) -> int | None:
    try:
        path = below(DEV, name)
    except UnsafePath:
        return None
    try:
        numbers = block_devices.numbers(node.runner, path)
        return None if numbers is None else block_devices.size_bytes(node.runner, numbers)
    except BlockDeviceError as err:
        log.warning("The size of %s cannot be told: %s", name, err)
        return None


def _path(device: BlockDevice) -> Path:
    if device.dev_path is None:
        raise BlockDeviceError(f"{device.disk.describe()} has no path on this node")
    return device.dev_path
