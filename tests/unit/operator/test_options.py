"""Options of the command line that hold more than one value."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.operator.cli.options import key_values, parse_disk, parse_nic
from ganeti.operator.models import DiskSpec, NicSpec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("512", DiskSpec(size_mib=512)),
        ("512M", DiskSpec(size_mib=512)),
        ("2g:sharedfile", DiskSpec(size_mib=2048, template="sharedfile")),
        ("1T:file", DiskSpec(size_mib=1024 * 1024)),
    ],
)
def test_disks_are_read(text: str, spec: DiskSpec) -> None:
    assert parse_disk(text) == spec


@pytest.mark.parametrize("text", ["", "0", "1K", "-5", "1G:drbd", "G", "1 G", "999999999999"])
def test_bad_disks_are_refused_by_option_name(text: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        parse_disk(text)
    assert error.value.param_hint == "--disk"


def test_a_nic_without_options_has_the_defaults() -> None:
    assert parse_nic("") == NicSpec()


def test_a_nic_is_read() -> None:
    spec = parse_nic("link=br1,mode=openvswitch,mac=aa:00:00:01:02:03,ip=192.0.2.1")

    assert spec == NicSpec(link="br1", mode="openvswitch", mac="aa:00:00:01:02:03", ip="192.0.2.1")


@pytest.mark.parametrize("text", ["link", "mode=wild", "mac=AA:00", "colour=red", "=br0"])
def test_bad_nics_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_nic(text)


def test_only_the_first_equals_sign_parts_name_and_value() -> None:
    assert key_values(["a=true", "d=x=y", "e="]) == {"a": "true", "d": "x=y", "e": ""}


@given(st.text())
def test_no_text_makes_the_reader_fall_over(text: str) -> None:
    for read in (parse_disk, parse_nic):
        try:
            read(text)
        except click.BadParameter:
            continue
