"""Parameters of a DRBD disk, and its identity: what is refused, naming what is wrong and never the secret."""

from __future__ import annotations

import msgspec
import pytest
from lab import master_defaults

from ganeti.errors import BlockDeviceError, InvalidParameter
from ganeti.model.disk import Disk, DiskType
from ganeti.storage.drivers.drbd import identity
from ganeti.tools.drbd.devices import Device, Endpoint
from ganeti.tools.drbd.parameters import DrbdParameters

PARAMS: dict[str, object] = {**master_defaults.DRBD}
SECRET = "0123456789abcdef0123"


def parameters(**changed: object) -> DrbdParameters:
    return DrbdParameters.of({**PARAMS, **{key.replace("_", "-"): value for key, value in changed.items()}})


# Parameters ----------------------------------------------------------------------------------------------------------


def test_all_that_is_missing_is_named() -> None:
    given = {key: value for key, value in PARAMS.items() if key not in ("protocol", "c-max-rate")}
    with pytest.raises(InvalidParameter, match=r"disk\.params.*also needs c-max-rate, protocol$"):
        DrbdParameters.of(given)
    with pytest.raises(InvalidParameter, match="also needs c-delay-target, c-fill-target"):
        DrbdParameters.of(None)


def test_what_a_node_has_no_use_for_may_be_missing() -> None:
    assert DrbdParameters.of({key: value for key, value in PARAMS.items() if key != "default-metavg"}) == parameters()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resync-rate", 0),
        ("resync-rate", "fast"),
        ("protocol", "D"),
        ("protocol", "-x"),
        ("c-min-rate", -1),
        ("dynamic-resync", 1),
        ("disabled-barriers", ""),
        ("disabled-barriers", "nb"),
        ("disabled-barriers", "x"),
        ("disk-custom", "'"),
        ("net-custom", '--a "b'),
        ("net-custom", "--a\x00b"),
        ("disk-custom", None),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match=name):
        DrbdParameters.of({**PARAMS, name: value})


@pytest.mark.parametrize(
    ("letters", "meta", "options"),
    [
        ("n", False, []),
        ("n", True, ["--md-flushes=no"]),
        ("b", False, ["--disk-barrier=no"]),
        ("bf", True, ["--md-flushes=no", "--disk-flushes=no", "--disk-barrier=no"]),
        ("bdf", False, ["--disk-flushes=no", "--disk-drain=no", "--disk-barrier=no"]),
        ("d", False, ["--disk-drain=no"]),
    ],
)
def test_letters_and_flag_become_options(letters: str, meta: bool, options: list[str]) -> None:
    assert parameters(disabled_barriers=letters, disable_meta_flush=meta).barrier_options() == options


def test_a_fixed_rate_turns_the_regulation_off() -> None:
    assert parameters(resync_rate=1000).sync_options() == ["--resync-rate=1000", "--c-plan-ahead=0"]


def test_a_regulated_rate_has_all_its_figures_in_order() -> None:
    assert parameters(dynamic_resync=True).sync_options() == [
        "--c-plan-ahead=20",
        "--c-fill-target=0",
        "--c-delay-target=1",
        "--c-max-rate=61440",
        "--c-min-rate=4096",
    ]


def test_a_regulation_that_is_turned_off_is_an_error() -> None:
    with pytest.raises(InvalidParameter, match=r"c-plan-ahead.*dynamic resync"):
        parameters(dynamic_resync=True, c_plan_ahead=0)


def test_own_words_are_split_as_a_shell_does() -> None:
    found = parameters(disk_custom="--al-extents=1009  '--a b'", net_custom="--timeout 60")
    assert found.disk_words() == ["--al-extents=1009", "--a b"]
    assert found.net_words() == ["--timeout", "60"]


# Identity ------------------------------------------------------------------------------------------------------------

HERE: dict[str, bool | int | float | str | None] = {
    "local-ip": "192.0.2.1",
    "remote-ip": "192.0.2.2",
    "local-minor": 3,
    "remote-minor": 5,
}
DISK = Disk(
    dev_type=DiskType.DRBD,
    logical_id=("uuid-a", "uuid-b", 11007, 3, 5, SECRET),
    size=2048,
    iv_name="disk/0",
    dynamic_params=HERE,
)


def changed(logical_id: tuple[str | int | None, ...] = DISK.logical_id, **here: bool | int | str | None) -> Disk:
    there = {**HERE, **{key.replace("_", "-"): value for key, value in here.items()}}
    return msgspec.structs.replace(DISK, logical_id=logical_id, dynamic_params=there)


def test_the_device_is_what_holds_for_this_node() -> None:
    found = identity.device_of(DISK)
    assert found.minor == 3
    assert str(found.local) == "ipv4:192.0.2.1:11007"
    assert str(found.remote) == "ipv4:192.0.2.2:11007"
    assert (found.resource, str(found.path)) == ("resource3", "/dev/drbd3")
    assert found.secret == SECRET


def test_ipv6_addresses_stand_in_brackets_however_they_are_written() -> None:
    found = identity.device_of(changed(local_ip="fd98:0:0::1", remote_ip="fd98::2"))
    assert str(found.local) == "ipv6:[fd98::1]:11007"


def test_without_port_or_address_a_device_talks_to_nobody() -> None:
    assert identity.device_of(changed(("a", "b", None, 3, 5, SECRET))).local is None
    assert identity.device_of(changed(local_ip=None)).local is None
    assert identity.device_of(changed(remote_ip=None)).remote is None


def test_a_secret_may_be_missing() -> None:
    assert identity.device_of(changed(("a", "b", 11007, 3, 5))).secret is None


@pytest.mark.parametrize(
    ("disk", "reason"),
    [
        (changed(("a", "b", 11007, 3)), "6 parts"),
        (changed((*DISK.logical_id, "more")), "6 parts"),
        (msgspec.structs.replace(DISK, dynamic_params={}), "local-ip, remote-ip, local-minor, remote-minor missing"),
        (msgspec.structs.replace(DISK, dynamic_params=None), "missing"),
        (changed(local_minor=-1), "-1 is no minor"),
        (changed(local_minor=2**20), "1048576 is no minor"),
        (changed(local_minor="3"), "'3' is no minor"),
        (changed(local_minor=True), "True is no minor"),
        (changed(remote_ip="192.0.2.1"), "both sides have the address"),
        (changed(remote_ip="fd98::1"), "different families"),
        (changed(remote_ip="-x"), "'-x'"),
        (changed(remote_ip="192.0.2.2,"), r"'192\.0\.2\.2,'"),
        (changed(remote_ip=7), "remote-ip 7"),
        (changed(("a", "b", 0, 3, 5, SECRET)), "0 is no port"),
        (changed(("a", "b", 65536, 3, 5, SECRET)), "65536 is no port"),
        (changed(("a", "b", "11007", 3, 5, SECRET)), "port '11007'"),
        (changed(("a", "b", 11007, 3, 5, f"{SECRET}\n")), "1 to 63 bytes"),
        (changed(("a", "b", 11007, 3, 5, SECRET * 4)), "1 to 63 bytes"),
        (changed(("a", "b", 11007, 3, 5, "")), "1 to 63 bytes"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_without_the_secret(disk: Disk, reason: str) -> None:
    with pytest.raises(BlockDeviceError, match=reason) as info:
        identity.device_of(disk)
    assert SECRET not in str(info.value)


def test_no_text_form_of_a_device_has_the_secret() -> None:
    found = identity.device_of(DISK)
    for text in (repr(found), str(found), repr(found.secret), repr(DISK)):
        assert SECRET not in text
    assert found == Device(
        minor=3, local=Endpoint.of("192.0.2.1", 11007), remote=Endpoint.of("192.0.2.2", 11007), secret=found.secret
    )
