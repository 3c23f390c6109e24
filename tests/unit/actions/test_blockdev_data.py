"""Contents and sizes of disks."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.storage.scripted import Script, ScriptedDevices, mirrored, single

from ganeti.actions import blockdev_data
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, CommandError, InvalidParameter, UnsafePath
from ganeti.host.system import System
from ganeti.host.transcript import ReplayRunner
from ganeti.tools import curl

Replay = Callable[[str], ReplayRunner]
IMPORT = "bs=1048576 iflag=fullblock conv=nocreat,notrunc,fsync"


@pytest.fixture
def script() -> Script:
    """What the devices do."""
    return Script()


@pytest.fixture
def node_running(system: System, script: Script, replay: Replay) -> Callable[[str], Node]:
    """A node whose disks follow the script and whose programs answer from a transcript."""

    def make(transcript: str = "") -> Node:
        machine = replace(system, runner=replay(transcript))
        return replace(Node.compose(machine), storage=ScriptedDevices(machine, script))

    return make


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A raw image of a MiB and a byte."""
    path = tmp_path / "image"
    path.write_bytes(b"i" * (1024 * 1024 + 1))
    return path


def test_a_device_without_a_faster_way_is_wiped_by_writing(node_running: Callable[[str], Node]) -> None:
    command = f"dd if=/dev/zero of=/dev/scripted/d bs=1048576 seek=2 count=3 {IMPORT.partition(' ')[2]} oflag=direct"
    blockdev_data.wipe(node_running(f"$ {command}\n= 0\n"), single("d"), 2, 3)


def test_a_wipe_that_fails_is_told(node_running: Callable[[str], Node]) -> None:
    command = f"dd if=/dev/zero of=/dev/scripted/d bs=1048576 seek=0 count=1 {IMPORT.partition(' ')[2]} oflag=direct"
    with pytest.raises(CommandError, match="No space left"):
        blockdev_data.wipe(node_running(f"$ {command}\n! dd: No space left on device\n= 1\n"), single("d"), 0, 1)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(-5, 30), size=st.integers(-5, 30), limit=st.integers(0, 20))
def test_a_range_is_refused_before_anything_is_asked(
    node_running: Callable[[str], Node], script: Script, offset: int, size: int, limit: int
) -> None:
    script.missing = {"d"}
    script.calls.clear()
    is_inside = offset >= 0 and size >= 0 and offset + size <= limit
    with pytest.raises(BlockDeviceError if is_inside else InvalidParameter):
        blockdev_data.wipe(node_running(""), single("d", size=limit), offset, size)
    assert bool(script.calls) == is_inside


def test_a_copy_is_one_pipeline_of_both_sides(node_running: Callable[[str], Node]) -> None:
    text = f"dd if=/dev/scripted/a bs=1048576 count=10 iflag=direct | dd of=/dev/scripted/b {IMPORT} oflag=direct"
    node = node_running(f"$ /bin/bash -o pipefail -c '{text}'\n= 0\n")
    blockdev_data.convert(node, single("a"), single("b"))


def test_a_failed_side_of_a_copy_counts(node_running: Callable[[str], Node]) -> None:
    text = f"dd if=/dev/scripted/a bs=1048576 count=10 iflag=direct | dd of=/dev/scripted/b {IMPORT} oflag=direct"
    node = node_running(f"$ /bin/bash -o pipefail -c '{text}'\n! dd: error reading\n= 1\n")
    with pytest.raises(CommandError, match="error reading"):
        blockdev_data.convert(node, single("a"), single("b"))


def test_a_copy_needs_both_disks(node_running: Callable[[str], Node], script: Script) -> None:
    script.missing = {"b"}
    with pytest.raises(BlockDeviceError, match="rbd/b"):
        blockdev_data.convert(node_running(""), single("a"), single("b"))


def test_a_copy_to_a_smaller_disk_is_refused(node_running: Callable[[str], Node]) -> None:
    with pytest.raises(InvalidParameter, match="'target'"):
        blockdev_data.convert(node_running(""), single("a", size=11), single("b", size=10))


def test_a_copy_of_a_disk_without_size_is_refused(node_running: Callable[[str], Node]) -> None:
    with pytest.raises(InvalidParameter, match="'source'"):
        blockdev_data.convert(node_running(""), single("a", size=0), single("b"))


def test_an_export_is_one_pipeline_to_the_other_node_with_every_word_quoted(
    node_running: Callable[[str], Node], script: Script, replay: Replay
) -> None:
    node = exporting(node_running(""))
    ssh = f"ssh -oEscapeChar=none -oHashKnownHosts=no -oGlobalKnownHostsFile={node.paths.data_dir}/known_hosts"
    ssh += " -oUserKnownHostsFile=/dev/null -oCheckHostIp=no -oConnectTimeout=10 -oBatchMode=yes -4"
    ssh += " '-oHostKeyAlias=the cluster' -oStrictHostKeyChecking=yes -oPort=2222 -- root@node2"
    remote = "dd 'of=/dev/x y/z' conv=nocreat,notrunc bs=65536 oflag=dsync"
    line = f"dd if=/dev/scripted/d bs=1048576 count=10 iflag=direct | {ssh} {shlex.quote(remote)}"
    runner = replay(f"$ {shlex.join(['/bin/bash', '-o', 'pipefail', '-c', line])}\n= 0\n")
    machine = replace(node.system, runner=runner)
    blockdev_data.export(replace(node, system=machine), single("d"), "node2", "/dev/x y/z", "the cluster")
    assert script.named("open") == ["d"]


@pytest.mark.parametrize(
    ("host", "path"), [("../x", "/dev/x"), ("", "/dev/x"), ("a\nb", "/dev/x"), ("node2", "x"), ("node2", "/dev/../x")]
)
def test_an_export_to_nowhere_is_refused_before_anything_is_asked(
    node_running: Callable[[str], Node], script: Script, host: str, path: str
) -> None:
    with pytest.raises(UnsafePath):
        blockdev_data.export(exporting(node_running("")), single("d"), host, path, "cluster")
    assert script.calls == []


def exporting(node: Node) -> Node:
    """The node, which knows the members' ports."""
    node.ssconf.write({"ssh_ports": ["node2=2222", "node3=22"], "primary_ip_family": "2"}, node.clock)
    return node


def test_a_local_image_is_copied_as_it_is(node_running: Callable[[str], Node], image: Path) -> None:
    command = f"dd if={image} of=/dev/scripted/d bs=1048576 seek=0 count=2 {IMPORT.partition(' ')[2]} oflag=direct"
    blockdev_data.image(node_running(f"$ {command}\n= 0\n"), single("d"), str(image), 2)


@pytest.mark.parametrize("url", ["http://h/i", "HTTPS://h/i?a=b&c", "ftp://h/i"])
def test_an_image_from_a_url_goes_straight_to_the_disk(node_running: Callable[[str], Node], url: str) -> None:
    sink = f"{{ dd of=/dev/scripted/d {IMPORT} count=2 oflag=direct && cmp - /dev/null; }}"
    argv = ["/bin/bash", "-o", "pipefail", "-c", f"{shlex.join(curl.fetch_argv(url))} | {sink}"]
    blockdev_data.image(node_running(f"$ {shlex.join(argv)}\n= 0\n"), single("d"), url, 2)


@pytest.mark.parametrize(
    "image_name",
    ["", "relative", "file:///etc/passwd", "scp://h/i", "/no/such/image", "/srv/../etc/passwd", "/tmp", "a\0"],
)
def test_what_is_no_image_is_refused_by_name(node_running: Callable[[str], Node], image_name: str) -> None:
    with pytest.raises(InvalidParameter, match="'image'"):
        blockdev_data.image(node_running(""), single("d"), image_name, 1)


def test_an_image_larger_than_asked_for_is_refused(node_running: Callable[[str], Node], image: Path) -> None:
    with pytest.raises(InvalidParameter, match="more than 1 MiB"):
        blockdev_data.image(node_running(""), single("d"), str(image), 1)


@pytest.mark.parametrize("size", [-1, 11])
def test_an_image_size_outside_of_the_disk_is_refused(
    node_running: Callable[[str], Node], image: Path, size: int
) -> None:
    with pytest.raises(InvalidParameter, match="'size'"):
        blockdev_data.image(node_running(""), single("d"), str(image), size)


def test_dimensions_answer_for_every_disk(node_running: Callable[[str], Node], script: Script) -> None:
    script.missing = {"a"}
    script.fail("actual_size", "b", CommandError(["blockdev"], "exited with status 1"))
    disks = (single("a"), single("b"), msgspec.structs.replace(single("c"), spindles=2), single("d"))
    found = blockdev_data.dimensions(node_running(""), disks)
    assert found == [None, None, (10 << 20, 2), (10 << 20, None)]


SIZES = """\
$ stat -Lc %Hr:%Lr /dev/null
= 1

$ stat -Lc %Hr:%Lr /dev/xenvg/disk0
> 253:4
= 0

$ cat /sys/dev/block/253:4/size
> 20479
= 0

$ stat -Lc %Hr:%Lr /dev/gone
> 253:5
= 0

$ cat /sys/dev/block/253:5/size
= 1
"""


def test_sizes_of_block_devices_come_from_the_kernel_and_open_none(node_running: Callable[[str], Node]) -> None:
    names = ["/dev/null", "/dev/xenvg/disk0", "/dev/gone"]
    assert blockdev_data.sizes(node_running(SIZES), names) == {"/dev/xenvg/disk0": 9}


def test_sizes_are_told_of_nothing_outside_of_dev(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    names = [str(tmp_path / "file"), "relative", "/dev", "/dev/../etc/passwd", "", "/dev/\0", "/development/x"]
    assert blockdev_data.sizes(node, names) == {}


def test_many_disks_are_one_look_at_the_machine(node_running: Callable[[str], Node], script: Script) -> None:
    disks = tuple(mirrored(f"d{number}") for number in range(30))
    assert len(blockdev_data.dimensions(node_running(""), disks)) == 30
    assert script.looks == 1
