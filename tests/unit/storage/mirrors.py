"""What tests of the DRBD driver are made of: a disk, the two below it, and the machine's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from lab import master_defaults

from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.base import BlockDevice, Growable, LogicalId, Snapshotable
from ganeti.storage.drivers.drbd import DrbdDisk

SECRET = "0123456789abcdef0123456789abcdef01234567"
PARAMS: Parameters = {**master_defaults.DRBD}
DATA, META = Path("/dev/xenvg/d_data"), Path("/dev/xenvg/d_meta")
LOCAL, REMOTE = "ipv4:10.98.0.1:11003", "ipv4:10.98.0.2:11003"

DISK = Disk(
    dev_type=DiskType.DRBD,
    logical_id=("uuid-a", "uuid-b", 11003, 3, 5, SECRET),
    size=64,
    iv_name="disk/0",
    params=PARAMS,
    dynamic_params={"local-ip": "10.98.0.1", "remote-ip": "10.98.0.2", "local-minor": 3, "remote-minor": 5},
    children=(
        Disk(dev_type=DiskType.PLAIN, logical_id=("xenvg", "d_data"), size=64),
        Disk(dev_type=DiskType.PLAIN, logical_id=("xenvg", "d_meta"), size=128),
    ),
)
WITHOUT_PORT = msgspec.structs.replace(DISK, logical_id=("uuid-a", "uuid-b", None, 3, 5, SECRET))


class Volume(BlockDevice, Growable, Snapshotable):
    """A disk below a mirror. It notes what it was asked in a list the test holds."""

    calls: list[str]
    is_there = True
    pauses = True

    @property
    def dev_path(self) -> Path:
        """As logical volumes have it."""
        return Path("/dev/{}/{}".format(*self.disk.logical_id))

    def note(self, what: str) -> None:
        """Remember a call."""
        self.calls.append(f"{what} {self.disk.logical_id[1]}")

    def attach(self) -> bool:
        """Say what the test wants."""
        return self.is_there

    def create(self, *, exclusive_storage: bool) -> None:
        """Nobody makes a child through its parent."""
        raise AssertionError("create")

    def assemble(self) -> None:
        """Note it."""
        self.note("assemble")

    def open(self, *, force: bool = False, exclusive: bool = True) -> None:
        """Note it."""
        self.note("open")

    def shutdown(self) -> None:
        """Nobody shuts a child down through its parent."""
        raise AssertionError("shutdown")

    def remove(self) -> None:
        """Nobody removes a child through its parent."""
        raise AssertionError("remove")

    def actual_size(self) -> int:
        """Its size."""
        return self.disk.size * 2**20

    def pause_resume_sync(self, *, pause: bool) -> bool:
        """Note it and say what the test wants."""
        self.note(f"pause={pause}")
        return self.pauses

    def set_info(self, text: str) -> None:
        """Note it."""
        self.note(text)

    def grow(self, amount_mib: int, *, dry_run: bool, backing_store: bool, exclusive_storage: bool) -> None:
        """Note it."""
        self.note(f"grow {amount_mib} {dry_run} {backing_store} {exclusive_storage}")

    def snapshot(self, name: str | None, size_mib: int | None) -> LogicalId:
        """Note it."""
        self.note(f"snapshot {name} {size_mib}")
        return ("xenvg", "d_data.snap")


@dataclass
class Bench:
    """A mirror on a machine whose answers are given."""

    paths: Paths
    replay: Callable[..., ReplayRunner]
    clock: FakeClock
    calls: list[str] = field(default_factory=list)

    def volume(self, disk: Disk, system: System) -> Volume:
        """A disk below the mirror."""
        made = Volume(system, disk)
        made.calls = self.calls
        return made

    def mirror(self, *answers: Exchange, disk: Disk = DISK, children: bool | Sequence[str] = True) -> DrbdDisk:
        """The mirror, on a machine that gives these answers in this order; `children` by name, or all or none."""
        system = System(paths=self.paths, runner=self.replay(answers), clock=self.clock)
        below: list[BlockDevice | None] = []
        if children:
            wanted = ("d_data", "d_meta") if children is True else children
            below = [
                self.volume(child, system) if child.logical_id[1] in wanted else None for child in disk.children or ()
            ]
        return DrbdDisk(system, disk, below)


# The machine's answers -----------------------------------------------------------------------------------------------


def ran(*argv: str | Path, stdout: str = "", stderr: str = "", code: int = 0) -> Exchange:
    """A command and its answer."""
    return Exchange(argv=tuple(map(str, argv)), stdout=stdout, stderr=stderr, exit_code=code)


def proc(*records: str, version: str = "8.4.11 (api:1/proto:86-101)") -> Exchange:
    """/proc/drbd with these devices."""
    return ran("cat", "/proc/drbd", stdout="\n".join((f"version: {version}", "srcversion: X ", *records, "")))


def device(
    connection: str = "Connected", roles: str = "Secondary/Primary", disks: str = "UpToDate/UpToDate", more: str = ""
) -> Exchange:
    """/proc/drbd with minor 3 in this state."""
    return proc(f" 3: cs:{connection} ro:{roles} ds:{disks} C r-----\n    ns:0 nr:0 oos:0{more}")


NOTHING = proc()
NEW_MINOR = proc(" 3: cs:Unconfigured")


def shown(
    *,
    data: Path | None = DATA,
    meta: Path | None = META,
    local: str = "",
    remote: str = "",
    resource: str = "resource3",
) -> Exchange:
    """`drbdsetup show 3`; addresses like `10.98.0.1:11003`."""
    lines = [f"resource {resource} {{", "options {", "}"]
    if local:
        lines += ["net {", f'shared-secret "{SECRET}";', "}", "_remote_host {", f"address ipv4 {remote};", "}"]
    lines += ["_this_host {", *([f"address ipv4 {local};"] if local else []), "volume 0 {", "device minor 3;"]
    if data is not None:
        lines += [f'disk "{data}";', f'meta-disk "{meta}";', "disk {", "size 131072s; # bytes", "}"]
    return ran("drbdsetup", "show", "3", stdout="\n".join((*lines, "}", "}", "}", "")))


def shown_ours(*, data: Path | None = DATA, meta: Path | None = META) -> Exchange:
    """`drbdsetup show 3` with our addresses."""
    return shown(data=data, meta=meta, local="10.98.0.1:11003", remote="10.98.0.2:11003")


ADD = (ran("drbdsetup", "new-resource", "resource3"), ran("drbdsetup", "new-minor", "resource3", "3", "0"))


def apply_al(meta: Path = META, **answer: object) -> Exchange:
    """The command before attaching."""
    return answered(ran("drbdmeta", "/dev/drbd3", "v08", meta, "flex-external", "apply-al"), **answer)


def attach(data: Path = DATA, meta: Path = META, **answer: object) -> Exchange:
    """The command that gives a device its disks."""
    options = ["--on-io-error=detach", "--size=64m", "--resync-rate=61440", "--c-plan-ahead=0"]
    return answered(ran("drbdsetup", "attach", "3", data, meta, "flexible", *options), **answer)


def connect(*, dual: bool = False, **answer: object) -> Exchange:
    """The command that gives a device its addresses."""
    options = ["--protocol=C", "--after-sb-0pri=discard-zero-changes", "--after-sb-1pri=consensus"]
    options += ["--allow-two-primaries"] if dual else []
    secret = ["--cram-hmac-alg=md5", "--shared-secret", "***"]
    return answered(ran("drbdsetup", "connect", "resource3", LOCAL, REMOTE, *options, *secret), **answer)


def disconnect(local: str = LOCAL, remote: str = REMOTE, **answer: object) -> Exchange:
    """The command that takes a device's addresses."""
    return answered(ran("drbdsetup", "disconnect", local, remote), **answer)


def metadata_size(mib: int = 128) -> tuple[Exchange, Exchange]:
    """The questions for the size of the metadata disk."""
    return (
        ran("stat", "-Lc", "%Hr:%Lr", META, stdout="253:7\n"),
        ran("cat", "/sys/dev/block/253:7/size", stdout=f"{mib * 2048}\n"),
    )


def zero(**answer: object) -> Exchange:
    """The command that zeroes the metadata disk."""
    argv = ("blkdiscard", "--zeroout", "--offset=0", "--length=134217728", "--", META)
    return answered(ran(*argv), **answer)


def create_md(minor: int = 3, **answer: object) -> Exchange:
    """The command that makes metadata."""
    argv = ("drbdmeta", f"/dev/drbd{minor}", "v08", META, "flex-external", "create-md")
    return answered(ran(*argv), **answer)


def answered(exchange: Exchange, **answer: object) -> Exchange:
    """The command with another answer."""
    values = {"code": 0, "stderr": "", "stdout": "", **answer}
    return ran(
        *exchange.argv, stdout=str(values["stdout"]), stderr=str(values["stderr"]), code=int(str(values["code"]))
    )
