"""The kernel of the lab's machines and the archive their first process comes from, made once and kept.

The kernel is Debian's, unpacked without being installed: the machine that runs the lab need not boot it. It must know
nothing of networks and guests.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import lzma
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.processes import LabError, run

CACHE = Path("/var/cache/ganeti-lab")
# Debian's -cloud-amd64 kernel has no 9p file system.
_PACKAGE = "linux-image-amd64"
_FIRST_PROCESS = Path(__file__).with_name("machine") / "initrd-init"
_BUSYBOX = Path("/bin/busybox")
_MODULES = ("virtio_mmio", "9pnet_virtio", "9p", "overlay", "virtio_blk", "virtio_net")
_DIRECTORIES = ("bin", "proc", "sys", "dev", "lib", "lower", "rw", "new")
_XZ = b"\xfd7zXZ\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineKernel:
    """What a machine boots: the kernel uncompressed, the archive of its first process, the tree of kernel modules."""

    kernel: Path
    initrd: Path
    modules: Path


def machine_kernel(cache: Path = CACHE) -> MachineKernel:
    """Return what machines boot, making what is not there; may be called by several processes at once.

    Raises:
        LabError: the package cannot be fetched, or a program for it is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "machine.lock"):
        unpacked = cache / "machine-kernel"
        if not unpacked.exists():
            _fetch(unpacked)
        version = (unpacked / "version").read_text()
        # the name changes with what the archive is made of, so nobody boots an old one
        initrd = cache / f"machine-initrd-{_digest(version)}"
        if not initrd.exists():
            unfinished = initrd.with_suffix(".new")
            unfinished.write_bytes(_archive(_initrd(unpacked, version)))
            unfinished.rename(initrd)
    return MachineKernel(kernel=unpacked / "vmlinux", initrd=initrd, modules=unpacked / "lib/modules")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(version: str) -> str:
    parts = [version.encode(), _FIRST_PROCESS.read_bytes(), " ".join((*_MODULES, *_DIRECTORIES)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _fetch(target: Path) -> None:
    """Unpack Debian's newest kernel into `target`."""
    run(["apt-get", "-qq", "update"])
    depends = run(["apt-cache", "depends", _PACKAGE]).stdout
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if found is None:
        raise LabError(f"the package {_PACKAGE} is not known to apt: {depends}")
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        # apt fetches into the directory it is started in; as an unprivileged user, where it can write there
        run(["sh", "-c", 'cd "$0" && exec apt-get -qq -o APT::Sandbox::User=root download "$1"', work, found[1]])
        (package,) = Path(work).glob("*.deb")
        tree = Path(work, "tree")
        run(["dpkg-deb", "-x", str(package), str(tree)])
        (modules,) = (tree / "lib/modules").iterdir()
        run(["depmod", "-b", str(tree), modules.name])
        image = (tree / f"boot/vmlinuz-{modules.name}").read_bytes()
        # Started uncompressed (PVH): unpacking it under emulation would take 3 s of every boot.
        (tree / "vmlinux").write_bytes(lzma.LZMADecompressor().decompress(image[image.index(_XZ) :]))
        (tree / "version").write_text(modules.name)
        shutil.rmtree(tree / "boot")
        tree.rename(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    name: str
    mode: int
    data: bytes = b""


def _initrd(unpacked: Path, version: str) -> list[_Entry]:
    entries = [_Entry(name=name, mode=stat.S_IFDIR | 0o755) for name in _DIRECTORIES]
    entries.append(_Entry(name="bin/busybox", mode=stat.S_IFREG | 0o755, data=_BUSYBOX.read_bytes()))
    entries.append(_Entry(name="init", mode=stat.S_IFREG | 0o755, data=_FIRST_PROCESS.read_bytes()))
    order: list[Path] = []
    for module in _MODULES:
        shown = run(["modprobe", "-S", version, "-d", str(unpacked), "--show-depends", module]).stdout
        files = [Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod")]
        order += [file for file in files if file not in order]
    entries += [_Entry(name=f"lib/{file.name}", mode=stat.S_IFREG | 0o644, data=file.read_bytes()) for file in order]
    names = "".join(f"{file.name}\n" for file in order)
    entries.append(_Entry(name="lib/order", mode=stat.S_IFREG | 0o644, data=names.encode()))
    return entries


def _archive(entries: Sequence[_Entry]) -> bytes:
    """A `newc` cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst of Linux)."""
    blob = bytearray()
    for number, entry in enumerate([*entries, _Entry(name="TRAILER!!!", mode=0)], 1):
        name = os.fsencode(entry.name) + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
        blob += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        blob += b"\0" * (-len(blob) % 4) + entry.data
        blob += b"\0" * (-len(blob) % 4)
    return bytes(blob)
