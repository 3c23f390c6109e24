"""The `rbd` program of ceph-common: images of a Ceph cluster, and the kernel's mappings of them on this node.

Knows no disk and no guest. Where the cluster is and who asks (monitors, user, key) is the program's own configuration,
/etc/ceph/ceph.conf. Every name is the value of an option, and is checked before: the program would read a pool, a name
space and a snapshot out of `pool/space/name@snapshot` even there. Exit statuses are error numbers. Source: rbd(8) of
Ceph 16, and its answers.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ganeti.errors import BlockDeviceError, CommandError, InvalidOutput
from ganeti.host.runner import Result, Runner

TIMEOUT_S: Final = 120.0
"""For what takes a second when the cluster answers. Without monitors the program itself waits for five minutes, and
without udevd the mapping for ever (udevd makes the device node it waits for)."""

Report = TypeVar("Report")

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=~-]*")
"""Letters that mean nothing to the program, to the kernel's interface (where blanks part words) or to QEMU (colons)."""

_DEVICE: Final = re.compile(r"/dev/rbd[0-9]+")


@dataclass(frozen=True, slots=True, order=True)
class Image:
    """Pool and name of an image. Raises: BlockDeviceError when made of a name that cannot be used."""

    pool: str
    name: str

    def __post_init__(self) -> None:
        """Refuse what would be read as something else than a name."""
        for what, value in (("pool", self.pool), ("image", self.name)):
            if not _NAME.fullmatch(value):
                raise BlockDeviceError(
                    f"{value!r} cannot be the name of an rbd {what}:"
                    " only letters, digits and _ . + = ~ - are allowed, the last five not at the beginning"
                )

    def __str__(self) -> str:
        """As people and QEMU write it."""
        return f"{self.pool}/{self.name}"

    @property
    def options(self) -> tuple[str, str]:
        """The options that name it."""
        return f"--pool={self.pool}", f"--image={self.name}"

    @property
    def destination(self) -> tuple[str, str]:
        """The options that name it as the goal of a clone or a renaming."""
        return f"--dest-pool={self.pool}", f"--dest={self.name}"


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `rbd showmapped`: an image, or one of its snapshots, as a block device."""

    pool: str
    name: str
    device: str
    snap: str = "-"
    namespace: str = ""

    def shows(self, image: Image) -> bool:
        """Whether it is the image itself."""
        return (self.pool, self.namespace, self.name, self.snap) == (image.pool, "", image.name, "-")


class _Parent(msgspec.Struct, frozen=True, kw_only=True):
    pool: str
    image: str
    pool_namespace: str = ""


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `rbd info` says of an image. `size` is in bytes; `parent` is set for a clone."""

    size: int
    parent: _Parent | None = None

    def is_clone_of(self, image: Image) -> bool:
        """Whether it was cloned from a snapshot of `image`."""
        parent = self.parent
        return parent is not None and (parent.pool, parent.pool_namespace, parent.image) == (image.pool, "", image.name)


class _Child(msgspec.Struct, frozen=True, kw_only=True):
    pool: str
    image: str


class _Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    name: str


# Images --------------------------------------------------------------------------------------------------------------


def create(runner: Runner, image: Image, *, size_mib: int) -> None:
    """Make an image in one step. Raises: CommandError, also when there is one of that name."""
    _checked(runner, ["rbd", "create", *image.options, f"--size={size_mib}M", "--no-progress"])


def names(runner: Runner, pool: str) -> frozenset[str]:
    """Names of all images of a pool. Raises: CommandError, InvalidOutput."""
    argv = ["rbd", "ls", f"--pool={pool}", "--format=json"]
    return frozenset(_decoded(_checked(runner, argv), list[str]))


def info(runner: Runner, image: Image) -> ImageInfo:
    """Size and origin of an image. Raises: CommandError, InvalidOutput."""
    return _decoded(_checked(runner, ["rbd", "info", *image.options, "--format=json"]), ImageInfo)


def resize(runner: Runner, image: Image, *, size_mib: int) -> None:
    """Give an image a size; the program refuses a smaller one, and the one it has. Raises: CommandError."""
    _checked(runner, ["rbd", "resize", *image.options, f"--size={size_mib}M", "--no-progress"])


def rename(runner: Runner, image: Image, new: Image) -> None:
    """Change an image's name within its pool; another image is never replaced. Raises: CommandError."""
    _checked(runner, ["rbd", "rename", *image.options, *new.destination])


def remove(runner: Runner, image: Image) -> bool:
    """Destroy an image and its data, however long that takes; a missing one is fine.

    False when snapshots of it forbid that. Raises: CommandError, also when some node has it mapped.
    """
    result = runner.run(["rbd", "rm", *image.options, "--no-progress"])
    if result.exit_code == errno.ENOTEMPTY:
        return False
    if not _is_missing(runner, image, result):
        result.raise_if_failed()
    return True


# Snapshots -----------------------------------------------------------------------------------------------------------


def create_snapshot(runner: Runner, image: Image, name: str) -> bool:
    """Freeze an image; False when it has a snapshot of that name. Raises: CommandError."""
    return _unless(errno.EEXIST, runner, ["rbd", "snap", "create", *image.options, f"--snap={name}", "--no-progress"])


def remove_snapshot(runner: Runner, image: Image, name: str) -> None:
    """Take a snapshot away; when there are clones of it, it goes by itself with the last. Raises: CommandError."""
    _checked(runner, ["rbd", "snap", "rm", *image.options, f"--snap={name}", "--no-progress"])


def snapshots(runner: Runner, image: Image) -> list[str]:
    """Names of an image's snapshots but those that only wait for their clones to go. Raises: CommandError."""
    argv = ["rbd", "snap", "ls", *image.options, "--format=json"]
    return [each.name for each in _decoded(_checked(runner, argv), list[_Snapshot])]


def clone(runner: Runner, image: Image, snapshot: str, new: Image) -> bool:
    """Make an image that shares the data of a snapshot; False when one of that name is there. Raises: CommandError.

    The second format (Ceph 13, Linux 5.1) needs no protected snapshot, which could not be removed before its clones.
    """
    options = [*image.options, f"--snap={snapshot}", *new.destination, "--rbd-default-clone-format=2"]
    return _unless(errno.EEXIST, runner, ["rbd", "clone", *options])


def clones(runner: Runner, image: Image) -> list[str]:
    """Images that share data with snapshots of this one, as `pool/name`. Raises: CommandError, InvalidOutput."""
    argv = ["rbd", "children", *image.options, "--all", "--format=json"]
    return [f"{each.pool}/{each.image}" for each in _decoded(_checked(runner, argv), list[_Child])]


# The kernel ----------------------------------------------------------------------------------------------------------


def mappings(runner: Runner) -> tuple[Mapping, ...]:
    """All images this node's kernel shows as block devices; the cluster is not asked. Raises: CommandError."""
    return parse_mappings(_checked(runner, ["rbd", "showmapped", "--format=json"]))


def parse_mappings(result: Result) -> tuple[Mapping, ...]:
    """Entries of `rbd showmapped`: a list, or until Ceph 13 an object by number. Raises: InvalidOutput."""
    is_object = result.stdout.lstrip().startswith("{")
    entries = tuple(_decoded(result, dict[str, Mapping]).values() if is_object else _decoded(result, list[Mapping]))
    for entry in entries:
        _check_device(result, entry.device)
    return entries


def map(runner: Runner, image: Image) -> Path | None:  # noqa: A001 - its name
    """Let the kernel show an image as a block device; None when there is no such image.

    A second call makes a second device. Raises: CommandError, InvalidOutput.
    """
    result = _run(runner, ["rbd", "map", *image.options])
    if _is_missing(runner, image, result):
        return None
    result.raise_if_failed()
    return Path(_check_device(result, result.stdout.strip()))


def unmap(runner: Runner, device: Path) -> None:
    """Take a block device away. Raises: CommandError, also when it is in use."""
    _checked(runner, ["rbd", "unmap", str(device)])


# Running -------------------------------------------------------------------------------------------------------------


def _run(runner: Runner, argv: Sequence[str]) -> Result:
    result = runner.run(argv, timeout_s=TIMEOUT_S)
    if result.timed_out:
        reason = f"no end in {TIMEOUT_S:.0f} s: do the monitors of the Ceph cluster answer, and does udevd run?"
        raise CommandError(result.argv, reason, result.output)
    return result


def _checked(runner: Runner, argv: Sequence[str]) -> Result:
    return _run(runner, argv).raise_if_failed()


def _is_missing(runner: Runner, image: Image, result: Result) -> bool:
    """Whether a command failed because there is no such image.

    The same status says that the cluster or the pool was not found; then asking for the names fails, and raises.
    """
    return result.exit_code == errno.ENOENT and image.name not in names(runner, image.pool)


def _unless(status: int, runner: Runner, argv: Sequence[str]) -> bool:
    result = _run(runner, argv)
    if result.exit_code == status:
        return False
    result.raise_if_failed()
    return True


def _decoded(result: Result, kind: type[Report]) -> Report:
    # warnings of the client are on the error output
    try:
        return msgspec.json.decode(result.stdout, type=kind)
    except msgspec.MsgspecError as err:
        raise InvalidOutput(result.argv, f"not the report it should be: {err}", result.stdout) from err


def _check_device(result: Result, device: str) -> str:
    if not _DEVICE.fullmatch(device):
        raise InvalidOutput(result.argv, "this is not one of the kernel's rbd devices", device)
    return device
