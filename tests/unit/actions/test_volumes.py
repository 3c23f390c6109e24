"""What the master asks about LVM with no disk in mind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ganeti.actions import volumes
from ganeti.actions.node import Node
from ganeti.errors import CommandError, InvalidParameter
from ganeti.host.transcript import ReplayRunner

On = Callable[[str], Node]

LVS = """\
$ lvs --reportformat=json --units=m --nosuffix --options=vg_name,lv_name,lv_size,lv_attr
> {"report": [{"lv": [
> {"vg_name":"xenvg", "lv_name":"open", "lv_size":"20.06", "lv_attr":"-wi-ao----"},
> {"vg_name":"xenvg", "lv_name":"off", "lv_size":"8.00", "lv_attr":"-wi-------"},
> {"vg_name":"othervg", "lv_name":"lost", "lv_size":"8.00", "lv_attr":"-wi-----p-"},
> {"vg_name":"othervg", "lv_name":"snap_vorigin", "lv_size":"8.00", "lv_attr":"vwi-a-----"},
> {"vg_name":"othervg", "lv_name":"suspended", "lv_size":"8.00", "lv_attr":"-wi-s-----"}
> ]}]}
= 0
"""

PLACES = """\
$ lvs --reportformat=json --units=m --nosuffix --options=lv_name,lv_size,devices,vg_name
> {"report": [{"lv": [
> {"lv_name":"striped", "lv_size":"16.00", "devices":"/dev/vda(2),/dev/vdb(0)", "vg_name":"xenvg"},
> {"lv_name":"three", "lv_size":"40.00", "devices":"/dev/vda(5)", "vg_name":"xenvg"},
> {"lv_name":"three", "lv_size":"40.00", "devices":"/dev/vdb(2)", "vg_name":"xenvg"},
> {"lv_name":"thin", "lv_size":"40.00", "devices":"", "vg_name":"xenvg"}
> ]}]}
= 0
"""


@pytest.fixture
def on(node: Node, replay: Callable[[str], ReplayRunner]) -> On:
    """The node, on which a transcript is played."""
    return lambda transcript: Node.compose(replace(node.system, runner=replay(transcript)))


@pytest.mark.parametrize("groups", [None, []])
def test_volumes_of_all_groups_but_lvms_own(on: On, groups: list[str] | None) -> None:
    assert volumes.list_volumes(on(LVS), groups) == {
        "xenvg/open": ("20.06", False, True),
        "xenvg/off": ("8.00", True, False),
        "othervg/lost": ("8.00", True, False),
        "othervg/suspended": ("8.00", False, False),
    }


def test_volumes_of_one_group_are_asked_of_lvm(on: On) -> None:
    transcript = LVS.replace("lv_attr\n", "lv_attr -- xenvg gone\n", 1).replace("= 0", '! "gone" not found\n= 5')
    with pytest.raises(CommandError, match="gone"):
        volumes.list_volumes(on(transcript), ["xenvg", "gone"])


@pytest.mark.parametrize(
    "name", ["", "--all", "@tag", "a/b", "x\n", "..", ".", "a b", "pvmove", "a_mlog", "snapshot", "ä"]
)
def test_what_is_no_name_of_a_group_is_refused(node: Node, name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"groups\[1\]"):
        volumes.list_volumes(node, ["xenvg", name])


def test_every_device_of_every_segment_is_an_entry(on: On) -> None:
    assert volumes.list_node_volumes(on(PLACES)) == [
        {"name": "striped", "size": "16.00", "dev": "/dev/vda", "vg": "xenvg"},
        {"name": "striped", "size": "16.00", "dev": "/dev/vdb", "vg": "xenvg"},
        {"name": "three", "size": "40.00", "dev": "/dev/vda", "vg": "xenvg"},
        {"name": "three", "size": "40.00", "dev": "/dev/vdb", "vg": "xenvg"},
        {"name": "thin", "size": "40.00", "dev": "", "vg": "xenvg"},
    ]


def test_groups_have_whole_mib(on: On) -> None:
    vgs = """\
$ vgs --reportformat=json --units=m --nosuffix --options=vg_name,vg_free,vg_size,vg_attr
> {"report": [{"vg": [{"vg_name":"xenvg", "vg_free":"12.50", "vg_size":"2040.99", "vg_attr":"wz--n-"}]}]}
= 0
"""
    assert volumes.list_groups(on(vgs)) == {"xenvg": 2040}
    assert volumes.list_groups(on(vgs.partition(">")[0] + "! locking failed\n= 5\n")) == {}
