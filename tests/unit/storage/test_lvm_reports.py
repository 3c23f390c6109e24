"""Reports of lvm2 2.03.16 as it printed them, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ganeti.errors import InvalidOutput
from ganeti.host.transcript import ReplayRunner
from ganeti.tools import lvm

Replay = Callable[[str], ReplayRunner]

LVS = """\
$ lvs --reportformat=json --units=b --nosuffix --options=@FIELDS@
>   {
>       "report": [
>           {
>               "lv": [
>                   {"vg_name":"xenvg", "lv_name":"one", "lv_attr":"owi-a-s---", "lv_size":"12582912", \
"lv_kernel_major":"253", "lv_kernel_minor":"0", "vg_extent_size":"4194304", "stripes":"1", \
"devices":"/dev/vda(0)", "lv_tags":"ganeti:unfinished,other", "origin":"", "vg_free":"3137339392"},
>                   {"vg_name":"xenvg", "lv_name":"one.snap", "lv_attr":"swi-a-s---", "lv_size":"8388608", \
"lv_kernel_major":"253", "lv_kernel_minor":"4", "vg_extent_size":"4194304", "stripes":"1", \
"devices":"/dev/vda(9)", "lv_tags":"", "origin":"one", "vg_free":"3137339392"},
>                   {"vg_name":"xenvg", "lv_name":"three", "lv_attr":"-wi-s-----", "lv_size":"41943040", \
"lv_kernel_major":"253", "lv_kernel_minor":"1", "vg_extent_size":"4194304", "stripes":"1", \
"devices":"/dev/vda(5)", "lv_tags":"", "origin":"", "vg_free":"3137339392"},
>                   {"vg_name":"xenvg", "lv_name":"three", "lv_attr":"-wi-s-----", "lv_size":"41943040", \
"lv_kernel_major":"253", "lv_kernel_minor":"1", "vg_extent_size":"4194304", "stripes":"2", \
"devices":"/dev/vdb(2),/dev/vda(7)", "lv_tags":"", "origin":"", "vg_free":"3137339392"},
>                   {"vg_name":"othervg", "lv_name":"b", "lv_attr":"-wi-----p-", "lv_size":"8388608", \
"lv_kernel_major":"-1", "lv_kernel_minor":"-1", "vg_extent_size":"4194304", "stripes":"2", \
"devices":"/dev/vda(2),[unknown](253)", "lv_tags":"", "origin":"", "vg_free":"0"}
>               ]
>           }
>       ]
>   }
! WARNING: Couldn't find device with uuid AduyiE-2E84-13Jl-W2a2-33Ah-kgcn-Uqsjp1.
= 0
""".replace(
    "@FIELDS@",
    "vg_name,lv_name,lv_attr,lv_size,lv_kernel_major,lv_kernel_minor,vg_extent_size,stripes,devices,lv_tags,origin,vg_free",
)

PVS = """\
$ pvs --reportformat=json --units=m --nosuffix --options=pv_uuid,pv_name,vg_name,pv_free,pv_size,pv_used,pv_attr,lv_name
> {"report": [{"pv": [
> {"pv_uuid":"d", "pv_name":"[unknown]", "vg_name":"xenvg", "pv_free":"4.00", "pv_size":"1020.00", "pv_used":"1016.00",\
"pv_attr":"a-m", "lv_name":"big"},
> {"pv_uuid":"c", "pv_name":"[unknown]", "vg_name":"xenvg", "pv_free":"4.00", "pv_size":"1020.00", "pv_used":"1016.00",\
"pv_attr":"a-m", "lv_name":"b"},
> {"pv_uuid":"a", "pv_name":"/dev/vda", "vg_name":"xenvg", "pv_free":"8.00", "pv_size":"1020.00", "pv_used":"1012.00", \
"pv_attr":"a--", "lv_name":"c"},
> {"pv_uuid":"a", "pv_name":"/dev/vda", "vg_name":"xenvg", "pv_free":"8.00", "pv_size":"1020.00", "pv_used":"1012.00", \
"pv_attr":"a--", "lv_name":"b"},
> {"pv_uuid":"a", "pv_name":"/dev/vda", "vg_name":"xenvg", "pv_free":"8.00", "pv_size":"1020.00", "pv_used":"1012.00", \
"pv_attr":"a--", "lv_name":"c"},
> {"pv_uuid":"a", "pv_name":"/dev/vda", "vg_name":"xenvg", "pv_free":"8.00", "pv_size":"1020.00", "pv_used":"1012.00", \
"pv_attr":"a--", "lv_name":""},
> {"pv_uuid":"b", "pv_name":"/dev/vdb", "vg_name":"othervg", "pv_free":"8.00", "pv_size":"8.00", "pv_used":"0", \
"pv_attr":"ax-", "lv_name":""}
> ]}]}
= 0
"""


def test_a_volume_has_the_physical_ones_of_all_its_segments_and_the_stripes_of_the_last(replay: Replay) -> None:
    found = lvm.volumes(replay(LVS))
    assert list(found) == [("xenvg", "one"), ("xenvg", "one.snap"), ("xenvg", "three"), ("othervg", "b")]
    assert found["xenvg", "one"] == lvm.Volume(
        group="xenvg",
        name="one",
        attributes="owi-a-s---",
        size_bytes=12 << 20,
        numbers=(253, 0),
        extent_bytes=4 << 20,
        stripes=1,
        physical_volumes=("/dev/vda",),
        tags=("ganeti:unfinished", "other"),
        origin="",
        group_free_bytes=3137339392,
    )
    assert found["xenvg", "one.snap"].origin == "one"
    three = found["xenvg", "three"]
    assert (three.physical_volumes, three.stripes) == (("/dev/vda", "/dev/vdb"), 2)
    assert [volume.is_active for volume in found.values()] == [True, True, False, False]
    assert [volume.is_broken for volume in found.values()] == [False, False, False, True]
    assert found["othervg", "b"].numbers is None


def test_a_physical_volume_is_told_once_with_what_lies_on_it(replay: Replay) -> None:
    found = lvm.physical_volumes(replay(PVS))
    assert [(volume.name, volume.volumes) for volume in found] == [
        ("/dev/vda", ("b", "c")),
        ("/dev/vdb", ()),
        ("[unknown]", ("b",)),
        ("[unknown]", ("big",)),
    ]
    assert [volume.is_usable for volume in found] == [True, False, False, False]
    assert [volume.is_allocatable for volume in found] == [True] * 4
    assert [volume.is_empty for volume in found] == [False, True, False, False]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"report": []}', '{"report": [{"lv": []}]}', '{"report": [{"vg": [{"vg_name": "xenvg"}]}]}', '{"rep'],
)
def test_what_is_no_report_is_an_error_with_what_was_printed(replay: Replay, text: str) -> None:
    command = "vgs --reportformat=json --units=m --nosuffix --options=vg_name,vg_free,vg_size,vg_attr"
    with pytest.raises(InvalidOutput, match="not the report") as caught:
        lvm.volume_groups(replay(f"$ {command}\n> {text}\n= 0\n"))
    assert caught.value.output.strip() == text
