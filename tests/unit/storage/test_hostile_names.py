"""No name from the wire changes a command: it is refused, or it is one word (or the rest of one) wherever it appears.

Every place a name can be in is given an ordinary one first; the commands that come of it are the only ones there may
be, with the hostile name in the ordinary one's place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.storage.watched import WatchedRunner

from ganeti.actions import blockdev, blockdev_data, storage_units, volumes
from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType

HOSTILE = (
    *("", " ", "-", "--", "-f", "-rf", "--force", "--help", "--config=x", "-oProxyCommand=x", "--=", "- x"),
    *("a b", " a", "a ", "a\tb", "a\nb", "a\n", "\na", "a\rb", "a\0b", "\0", "a\x7fb", "\x1b[2J"),
    *("a,b", "a=b", "a:b", "a@b", "a#b", "a%b", "a+b", "a~b", "@tag", "%s", "{}", "[a]", "!x", "~root", "*", "?"),
    *("'", '"', "a'b", 'a"b', "a\\b", "\\", "$(touch x)", "`touch x`", "${x}", "a;b", "a|b", "a&b", "a&&b", ">x", "<x"),
    *("/", "//", ".", "..", "../x", "a/b", "a/../../x", "/etc/passwd", "/dev/../etc/passwd", "/dev/sda", "a/", "/x//y"),
    *("é", "名", "\u202ex", "\ud800", "a\u2028b", "\ufeffa"),
    *("snapshot", "pvmove", "a_mlog", "a_mimage", "lost+found", "disk0,snap=x", "http://x/", "rbd:x:conf=y"),
    *("x" * 256, "x" * 5000, "0", "-1", "1e9", "True", "None"),
)

WORST = ("", "--force", "a b", "a\nb", "a,b", "'", "$(touch x)", "a;b", "a\0b", "..", "/etc/passwd", "x" * 5000)
"""What is tried with every action; all of them with those that begin with the driver's own judgement of names."""
JUDGED_BY = {"create", "assemble", "copy"}

ORDINARY = "ordinary"
OWNER = "guest1"
SECRET = "s3cret-of-both"
SAFE_TAG = re.compile(r"--(?:add|del)tag=[A-Za-z0-9_.+:][A-Za-z0-9_.+:-]*")
TAKES_NEXT_WORD = {"--shared-secret"}
"""Options whose next word is their value, whatever it begins with (getopt_long(3), required_argument)."""


# Disks with a name in one of their places ----------------------------------------------------------------------------


def plain(group: str = "xenvg", name: str = "disk0", *, size: int = 8, iv_name: str | None = "disk/0") -> Disk:
    params: Parameters = {"stripes": 1}
    return Disk(dev_type=DiskType.PLAIN, logical_id=(group, name), size=size, iv_name=iv_name, params=params)


def rbd(name: str = "disk0", pool: str = "rbd") -> Disk:
    return Disk(dev_type=DiskType.RBD, logical_id=("rbd", name), size=8, params={"pool": pool})


def ext(provider: str = "mine", volume: str = "disk0", **params: str) -> Disk:
    return Disk(dev_type=DiskType.EXT, logical_id=(provider, volume), size=8, params={**params})


def gluster(path: str = "ganeti/disk0", host: str = "192.0.2.9", volume: str = "gv0", port: int | str = 24007) -> Disk:
    params: Parameters = {"host": host, "volume": volume, "port": port, "access": "kernelspace"}
    return Disk(dev_type=DiskType.GLUSTER, logical_id=("loop", path), size=8, params=params)


def file(path: str) -> Disk:
    return Disk(dev_type=DiskType.FILE, logical_id=("loop", path), size=8)


def existing_file(path: str) -> Disk:
    """A file disk that is there, where the name may be that of a file at all."""
    if path.rpartition("/")[0].endswith("/store"):
        with suppress(OSError, ValueError), Path(path).open("ab") as made:
            made.truncate(8 << 20)
    return file(path)


def adopted(path: str) -> Disk:
    return Disk(dev_type=DiskType.BLOCKDEV, logical_id=("manual", path), size=8)


DRBD_PARAMETERS: Parameters = {
    "resync-rate": 61440,
    "disabled-barriers": "n",
    "disable-meta-flush": False,
    "disk-custom": "",
    "net-custom": "",
    "protocol": "C",
    "dynamic-resync": False,
    "c-plan-ahead": 20,
    "c-fill-target": 0,
    "c-delay-target": 1,
    "c-max-rate": 61440,
    "c-min-rate": 4096,
}


def drbd(
    *, secret: str = SECRET, local: str = "192.0.2.1", remote: str = "192.0.2.2", data: str = "data", **params: str
) -> Disk:
    return Disk(
        dev_type=DiskType.DRBD,
        logical_id=("node1", "node2", 11000, 0, 1, secret),
        size=8,
        children=(plain(name=data, iv_name=None), plain(name="meta", size=128, iv_name=None)),
        dynamic_params={"local-ip": local, "remote-ip": remote, "local-minor": 0, "remote-minor": 1},
        params={**DRBD_PARAMETERS, **params},
    )


ON_DISKS: dict[str, Callable[[Node, Disk], object]] = {
    "create": lambda node, disk: create(node, disk),
    "create apart": lambda node, disk: create(node, disk, exclusive_storage=True),
    "assemble": lambda node, disk: blockdev.assemble(node, disk, OWNER, True, 0, hypervisor="kvm"),
    "open": lambda node, disk: blockdev.open(node, OWNER, (disk,), True),
    "close": lambda node, disk: blockdev.close(node, OWNER, (disk,)),
    "shutdown": blockdev.shutdown,
    "grow": lambda node, disk: grow(node, disk),
    "grow apart": lambda node, disk: grow(node, disk, exclusive_storage=True),
    "snapshot": lambda node, disk: blockdev.snapshot(node, disk, None, None),
    "set info": lambda node, disk: blockdev.set_info(node, disk, "text"),
    "find": blockdev.find,
    "wipe": lambda node, disk: blockdev_data.wipe(node, disk, 0, 1),
    "copy": lambda node, disk: blockdev_data.convert(node, disk, disk),
    "image": lambda node, disk: blockdev_data.image(node, disk, "http://example.com/image", 1),
    "export": lambda node, disk: blockdev_data.export(node, disk, "node2", "/dev/x", "cluster"),
    "remove": blockdev.remove,
}


def create(node: Node, disk: Disk, *, exclusive_storage: bool = False) -> None:
    blockdev.create(node, disk, disk.size, OWNER, True, "text", exclusive_storage=exclusive_storage)


def grow(node: Node, disk: Disk, *, exclusive_storage: bool = False) -> None:
    blockdev.grow(node, disk, 4, dry_run=False, backing_store=True, exclusive_storage=exclusive_storage)


# Places --------------------------------------------------------------------------------------------------------------

Acts = dict[str, Callable[[Node, str], object]]


@dataclass(frozen=True)
class Place:
    """What is done with a name there; `ordinary` is one that is fine."""

    what: str
    acts: Acts
    ordinary: str = ORDINARY
    fine: frozenset[str] = frozenset()
    """Names of the list that mean something else here, and may."""
    prefix: str = ""
    """What the name stands behind; `@STORE@` in it is the directory of file disks."""
    runs_nothing: bool = False


def of_disk(what: str, disk: Callable[[str], Disk], ordinary: str = ORDINARY, *fine: str, prefix: str = "") -> Place:
    """Everything that can be done to a disk with the name in it."""
    acts: Acts = {}
    for verb, act in ON_DISKS.items():
        acts[verb] = lambda node, name, act=act: act(node, disk(name))  # type: ignore[misc]  # a lambda's default
    return Place(what, acts, ordinary, frozenset(fine), prefix)


def beside(
    what: str,
    act: Callable[[Node, str], object],
    ordinary: str = ORDINARY,
    *fine: str,
    prefix: str = "",
    runs_nothing: bool = False,
) -> Place:
    """One thing that is done with a name that is in no disk."""
    return Place(what, {what: act}, ordinary, frozenset(fine), prefix, runs_nothing)


PLACES = (
    of_disk("group", plain),
    of_disk("volume", lambda name: plain(name=name)),
    of_disk("image", rbd),
    of_disk("pool", lambda name: rbd(pool=name)),
    of_disk("provider", ext, "mine"),
    of_disk("volume of a provider", lambda name: ext(volume=name)),
    of_disk("parameter of a provider", lambda name: ext(colour=name)),
    of_disk("name of a provider's parameter", lambda name: ext(**{name: "x"})),
    of_disk("name of a disk", lambda name: msgspec.structs.replace(ext(), name=name, uuid=name)),
    of_disk("gluster path", gluster),
    of_disk("gluster volume", lambda name: gluster(volume=name)),
    of_disk("gluster host", lambda name: gluster(host=name), "192.0.2.8", "0"),  # that is 0.0.0.0
    of_disk("gluster port", lambda name: gluster(port=name), "24008"),
    of_disk("file", existing_file, ORDINARY, "a/", prefix="@STORE@/"),  # the same file as "a"
    of_disk("path of a file", file, "@STORE@/there"),
    of_disk("path of a device", adopted, "/dev/sda"),
    of_disk("device", adopted, "sda", prefix="/dev/"),
    of_disk("mirror's data", lambda name: drbd(data=name)),
    of_disk("mirror's secret", lambda name: drbd(secret=name)),
    of_disk("mirror's address", lambda name: drbd(local=name), "192.0.2.7"),
    of_disk("mirror's other address", lambda name: drbd(remote=name), "192.0.2.7"),
    of_disk("mirror's protocol", lambda name: drbd(protocol=name), "A"),
    of_disk("mirror's resync rate", lambda name: drbd(**{"resync-rate": name}), "4097"),
    of_disk("mirror's barriers", lambda name: drbd(**{"disabled-barriers": name}), "bf"),
    of_disk("role in the guest", lambda name: msgspec.structs.replace(plain(), iv_name=name)),
    beside("new name of a volume", lambda node, name: blockdev.rename(node, ((plain(), ("xenvg", name)),))),
    beside("new group of a volume", lambda node, name: blockdev.rename(node, ((plain(), (name, "d")),)), "xenvg"),
    beside("new name of an image", lambda node, name: blockdev.rename(node, ((rbd(), ("rbd", name)),))),
    beside(
        "new name of a file",
        lambda node, path: blockdev.rename(node, ((file(f"{store(node)}/there"), ("loop", path)),)),
        prefix="@STORE@/",
        runs_nothing=True,
    ),
    beside("snapshot of a volume", lambda node, name: blockdev.snapshot(node, plain(), name, 4)),
    beside("snapshot of a mirror", lambda node, name: blockdev.snapshot(node, drbd(), name, 4)),
    beside("snapshot of an image", lambda node, name: blockdev.snapshot(node, rbd(), name, 4), ORDINARY, ""),
    beside("snapshot of a provider", lambda node, name: blockdev.snapshot(node, ext(), name, 4)),
    beside("note with a volume", lambda node, text: blockdev.set_info(node, plain(), text), ORDINARY, ""),
    beside("note with a provider", lambda node, text: blockdev.set_info(node, ext(), text)),
    beside("guest", lambda node, name: blockdev.open(node, name, (plain(),), True)),
    beside("guest whose disks are closed", lambda node, name: blockdev.close(node, name, (plain(),))),
    beside("hypervisor", lambda node, name: userspace(node, rbd(), name), "kvm"),
    beside("page", lambda node, url: blockdev_data.image(node, plain(), url, 1), prefix="http://example.com/"),
    beside(
        "file that is an image",
        lambda node, path: blockdev_data.image(node, plain(), path, 8),
        "there",
        prefix="@STORE@/",
    ),
    # a file of this node is copied as it is
    beside("image", lambda node, name: blockdev_data.image(node, plain(), name, 1), "http://a/b", "/etc/passwd"),
    beside("other node", lambda node, name: blockdev_data.export(node, plain(), name, "/dev/x", "c"), "node3"),
    beside("path there", lambda node, name: blockdev_data.export(node, plain(), "node2", name, "c"), "/dev/x"),
    beside("cluster", lambda node, name: blockdev_data.export(node, plain(), "node2", "/dev/x", name)),
    beside(
        "device that is measured", lambda node, name: blockdev_data.sizes(node, [name]), "/dev/sda", runs_nothing=True
    ),
    beside("groups", lambda node, name: volumes.list_volumes(node, [name])),
    beside("group that is listed", lambda node, name: storage_units.list_units(node, "lvm-vg", [], name, ["name"])),
    beside(
        "device that is listed",
        lambda node, name: storage_units.list_units(node, "lvm-pv", [], name, ["name"]),
        "/dev/sda",
    ),
    beside("kind of unit", lambda node, name: storage_units.list_units(node, name, [], None, ["name"]), "lvm-vg"),
    beside("field of a unit", lambda node, name: storage_units.list_units(node, "lvm-vg", [], None, [name]), "free"),
    beside(
        "device that is changed",
        lambda node, name: storage_units.modify(node, "lvm-pv", [], name, {"allocatable": True}),
        "/dev/sda",
    ),
    beside("group to repair", lambda node, name: storage_units.execute(node, "lvm-vg", [], name, "fix-consistency")),
    beside("operation", lambda node, name: storage_units.execute(node, "lvm-vg", [], "vg", name), "fix-consistency"),
)


def userspace(node: Node, disk: Disk, hypervisor: str) -> object:
    wanting = msgspec.structs.replace(disk, params={**(disk.params or {}), "access": "userspace"})
    return blockdev.assemble(node, wanting, OWNER, True, 0, hypervisor=hypervisor)


# The machine ---------------------------------------------------------------------------------------------------------

DRBD_IN_USE = """\
version: 8.4.11 (api:1/proto:86-101)
 0: cs:StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown   r-----
    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
"""
IN_USE, IDLE = "in use", "idle"


def store(node: Node) -> Path:
    """Where file disks may lie."""
    return node.paths.root / "store"


@pytest.fixture
def prepared(node: Node) -> Node:
    """A node with a directory for file disks, one for gluster volumes, and a provider."""
    places = (store(node), node.paths.root / "gluster")
    for place in places:
        place.mkdir()
    (store(node) / "there").write_bytes(bytes(1024))
    node.paths.file_storage_paths_file.write_text("".join(f"{place}\n" for place in places))
    values = {"gluster_storage_dir": str(places[1]), "ssh_ports": ["node2=22"], "primary_ip_family": "2"}
    node.ssconf.write(values, node.clock)
    provider = node.paths.ext_search_path[0] / "mine"
    provider.mkdir()
    for name in ("create", "remove", "grow", "attach", "detach", "setinfo", "verify", "snapshot", "open", "close"):
        (provider / name).touch()
        (provider / name).chmod(0o755)
    (provider / "parameters.list").write_text("colour which\n")
    return node


def commands_of(
    node: Node, name: str, mode: str, act: Callable[[Node, str], object]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """What is run for a name, and the variables that are set; failures of the node are fine."""
    names = ["disk0", "data", "meta", name]
    files = {"/proc/self/mounts": ""}
    if mode == IN_USE:
        mounted = f"192.0.2.9:/gv0 {node.paths.root}/gluster fuse.glusterfs rw 0 0\n"
        files = {"/proc/self/mounts": mounted, "/proc/drbd": DRBD_IN_USE}
    runner = WatchedRunner([("xenvg", one) for one in names] + [(name, "disk0")], names, files)
    with suppress(NodeError):
        act(Node.compose(replace(node.system, runner=runner)), name)
    return runner.commands, [key for env in runner.variables for key in env]


def is_same(words: Sequence[str], usual: Sequence[str], ordinary: str, name: str) -> bool:
    """Whether a command is the usual one with the name in the ordinary one's place, and no option because of it."""
    if len(words) != len(usual):
        return False
    for index, (word, before) in enumerate(zip(words, usual, strict=True)):
        if word == before or (SAFE_TAG.fullmatch(word) and SAFE_TAG.fullmatch(before)):
            continue
        if word != before.replace(ordinary, name):
            return False
        is_like_an_option = word.startswith("-") and not before.startswith("-")
        if is_like_an_option and "--" not in usual[:index] and words[index - 1] not in TAKES_NEXT_WORD:
            return False
    return True


ONLY_IDLE = {"gluster volume", "gluster host"}
"""Another one than is mounted is refused."""
MODES = [(place, IN_USE) for place in PLACES if place.what not in ONLY_IDLE]
MODES += [(place, IDLE) for place in PLACES if place.what.startswith("mirror") or place.what in ONLY_IDLE]


@pytest.mark.parametrize(("place", "mode"), MODES, ids=lambda part: getattr(part, "what", part))
def test_a_name_changes_no_command(prepared: Node, place: Place, mode: str) -> None:
    prefix, ordinary = (text.replace("@STORE@", str(store(prepared))) for text in (place.prefix, place.ordinary))
    reached = 0
    for verb, act in place.acts.items():
        usual, _ = commands_of(prepared, prefix + ordinary, mode, act)
        reached += len(usual)
        for name in WORST if verb in ON_DISKS and verb not in JUDGED_BY else HOSTILE:
            commands, variables = commands_of(prepared, prefix + name, mode, act)
            strange = [
                words
                for words in commands
                if not any(is_same(words, before, prefix + ordinary, prefix + name) for before in usual)
            ]
            assert not strange or name in place.fine, f"{verb}: {name!r} makes {strange[0]}"
            assert all(re.fullmatch("(VOL|EXTP)_[A-Z0-9_-]+", key) for key in variables), name
    assert bool(reached) is not place.runs_nothing, "an ordinary name has to reach the programs"
