"""Disks of storage providers, over scripts that answer as a test says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ganeti.actions import blockdev
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, NotSupported
from ganeti.host import printable
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk, DiskType
from ganeti.storage import providers
from ganeti.storage.drivers.external import ExternalDisk

VOLUME = "8d0c2f6e.ext.disk0"


@pytest.fixture
def provider(paths: Paths) -> Path:
    """A provider with all scripts."""
    directory = paths.ext_search_path[0] / "nas"
    directory.mkdir()
    for name in (*providers.REQUIRED, *providers.OPTIONAL):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    (directory / providers.PARAMETERS_FILE).write_text("pool where it is\n")
    return directory


def disk_of(volume: str = VOLUME, *, size: int = 8, params: Parameters | None = None, name: str | None = None) -> Disk:
    return Disk(
        dev_type=DiskType.EXT,
        logical_id=("nas", volume),
        size=size,
        iv_name="disk/0",
        name=name,
        uuid="11111111-2222-3333-4444-555555555555",
        params={"provider": "nas", "pool": "fast", "access": "kernelspace"} if params is None else params,
    )


class Bench:
    """A device over a transcript: `> ` answers of `attach`, failures by exit status."""

    def __init__(self, paths: Paths, provider: Path, runner: ReplayRunner, disk: Disk) -> None:
        self.runner = runner
        self.system = System(paths=paths, runner=runner, clock=FakeClock(), hostname="node1")
        self.device = ExternalDisk(self.system, disk)
        self.node = Node.compose(self.system)
        self.provider = provider

    @property
    def asked(self) -> list[str]:
        """What was run, scripts by their names."""
        return [" ".join(asked.argv).replace(f"{self.provider}/", "") for asked in self.runner.asked]

    def env(self, index: int) -> dict[str, str]:
        return dict(self.runner.asked[index].env)


@pytest.fixture
def bench(paths: Paths, provider: Path, replay: Callable[..., ReplayRunner]) -> Callable[..., Bench]:
    """Call it with exchanges (see `did`, `attached`) to get a device."""

    def make(*exchanges: Exchange | list[Exchange], disk: Disk | None = None) -> Bench:
        flat = [each for some in exchanges for each in (some if isinstance(some, list) else [some])]
        absolute = [with_directory(each, provider) for each in flat]
        return Bench(paths, provider, replay(absolute), disk or disk_of())

    return make


def with_directory(exchange: Exchange, provider: Path) -> Exchange:
    first, *rest = exchange.argv
    return exchange if first == "stat" or first == "cat" else replace(exchange, argv=(str(provider / first), *rest))


def did(action: str, *arguments: str, stdout: str = "", status: int = 0) -> Exchange:
    return Exchange(argv=(action, *arguments), stdout=stdout, exit_code=status)


def attached(printed: str = "/dev/nas0\n", path: str = "/dev/nas0") -> list[Exchange]:
    return [did("attach", stdout=printed), Exchange(argv=("stat", "-Lc", "%Hr:%Lr", path), stdout="250:3\n")]


# What scripts see ----------------------------------------------------------------------------------------------------


COMMON = {
    "VOL_NAME": VOLUME,
    "VOL_UUID": "11111111-2222-3333-4444-555555555555",
    "EXTP_PROVIDER": "nas",
    "EXTP_POOL": "fast",
    "EXTP_ACCESS": "kernelspace",
}


def test_create_lets_the_provider_judge_the_parameters_first(bench: Callable[..., Bench]) -> None:
    made = bench(did("verify", "parameters"), did("create"), attached())
    made.device.create(exclusive_storage=False)
    assert made.env(0) == COMMON
    assert made.env(1) == {**COMMON, "VOL_SIZE": "8"}
    assert made.env(2) == COMMON
    assert (made.device.dev_path, made.device.numbers) == (Path("/dev/nas0"), (250, 3))


def test_parameters_that_the_provider_refuses_make_nothing(bench: Callable[..., Bench]) -> None:
    made = bench(did("verify", "parameters", stdout="no pool fast\n", status=1))
    with pytest.raises(BlockDeviceError, match=r"(?s)script verify exited with status 1.*no pool fast"):
        made.device.create(exclusive_storage=False)


def test_scripts_run_in_the_providers_directory_with_the_inherited_environment(bench: Callable[..., Bench]) -> None:
    made = bench(attached())
    assert made.device.attach()
    asked = made.runner.asked[0]
    assert (asked.cwd, asked.reset_env, asked.stdin) == (str(made.provider), False, "")


def test_the_name_of_the_disk_is_told_when_it_has_one(bench: Callable[..., Bench]) -> None:
    made = bench(attached(), disk=disk_of(name="data"))
    made.device.attach()
    assert made.env(0) == {**COMMON, "VOL_CNAME": "data"}


def test_grow_tells_both_sizes(bench: Callable[..., Bench]) -> None:
    made = bench(attached(), did("grow"))
    made.device.grow(4, dry_run=False, backing_store=True, exclusive_storage=False)
    assert made.env(-1) == {**COMMON, "VOL_SIZE": "8", "VOL_NEW_SIZE": "12"}


@pytest.mark.parametrize(("exclusive", "word"), [(True, "True"), (False, "False")])
def test_open_tells_whether_others_may_too(bench: Callable[..., Bench], exclusive: bool, word: str) -> None:
    made = bench(did("open"))
    made.device.open(exclusive=exclusive)
    assert made.env(0) == {**COMMON, "VOL_OPEN_EXCLUSIVE": word}


def test_set_info_makes_the_text_fit(bench: Callable[..., Bench]) -> None:
    made = bench(did("setinfo"))
    made.device.set_info("-origin stname+guest1.example.com\n" + "x" * 200)
    assert made.env(0)["VOL_METADATA"] == ("_origin_stname+guest1.example.com_" + "x" * 200)[:128]


def test_a_snapshot_is_another_volume_so_it_has_not_the_disks_uuid(bench: Callable[..., Bench]) -> None:
    made = bench(did("snapshot"))
    assert made.device.snapshot(None, None) == ("nas", f"{VOLUME}.snap")
    expected = {**COMMON, "VOL_SNAPSHOT_NAME": f"{VOLUME}.snap", "VOL_SNAPSHOT_SIZE": "8"}
    del expected["VOL_UUID"]
    assert made.env(0) == expected


def test_a_snapshot_may_have_a_name_and_a_size_of_its_own(bench: Callable[..., Bench]) -> None:
    made = bench(did("snapshot"))
    assert made.device.snapshot("kept", 3) == ("nas", "kept")
    assert (made.env(0)["VOL_SNAPSHOT_NAME"], made.env(0)["VOL_SNAPSHOT_SIZE"]) == ("kept", "3")


@pytest.mark.parametrize("name", ["", "-rf", "a/b", "..", "a\nb"])
def test_a_snapshots_name_is_judged(bench: Callable[..., Bench], name: str) -> None:
    with pytest.raises(BlockDeviceError, match="volume "):
        bench().device.snapshot(name, None)


def test_values_of_every_kind_become_text_and_null_is_left_out(bench: Callable[..., Bench]) -> None:
    params: Parameters = {"a": 5, "b_c": True, "d-e": 1.5, "f": None, "g": "x y"}
    made = bench(attached(), disk=disk_of(params=params))
    made.device.attach()
    seen = {key: value for key, value in made.env(0).items() if key.startswith("EXTP_")}
    assert seen == {"EXTP_A": "5", "EXTP_B_C": "True", "EXTP_D-E": "1.5", "EXTP_G": "x y"}


@pytest.mark.parametrize("key", ["", "a b", "a=b", "a\nb", "ü", "a\0b", "a.b", "PATH=/tmp:"])
def test_a_parameter_that_makes_no_variable_is_refused_by_name(system: System, provider: Path, key: str) -> None:
    with pytest.raises(BlockDeviceError, match=re.escape(f"parameter {printable.safe(key)!r} makes no variable")):
        ExternalDisk(system, disk_of(params={key: "x"}))


def test_parameters_that_make_the_same_variable_are_refused(system: System, provider: Path) -> None:
    with pytest.raises(BlockDeviceError, match="'Pool' is given twice, both as EXTP_POOL"):
        ExternalDisk(system, disk_of(params={"pool": "a", "Pool": "b"}))


@pytest.mark.parametrize("name", ["-rf", "a/b", "..", ".", "a\nb", "a\0b", "x" * 256, "/dev/sda"])
def test_a_volume_that_no_script_should_see_is_refused(system: System, provider: Path, name: str) -> None:
    with pytest.raises(BlockDeviceError):
        ExternalDisk(system, disk_of(name))


@pytest.mark.parametrize("identity", [(), ("nas",), ("nas", "a", "b"), ("nas", 5), (None, "a"), ("", "a"), ("nas", "")])
def test_an_identity_of_another_shape_is_refused(
    system: System, provider: Path, identity: tuple[str | int | None, ...]
) -> None:
    with pytest.raises(BlockDeviceError, match="identity"):
        ExternalDisk(system, Disk(dev_type=DiskType.EXT, logical_id=identity))


# What attach answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("printed", ["/dev/nas0", "/dev/nas0\n", "/dev/nas0 \n\n", "/dev/nas0\nkvm:nas:x\n"])
def test_the_first_line_is_the_device(bench: Callable[..., Bench], printed: str) -> None:
    made = bench(attached(printed))
    assert made.device.attach()
    assert made.device.dev_path == Path("/dev/nas0")


def test_nothing_printed_means_that_it_is_not_there(bench: Callable[..., Bench]) -> None:
    made = bench(did("attach"))
    assert blockdev.find(made.node, disk_of()) is None


@pytest.mark.parametrize("printed", ["\n", "\n\n", " \n"])
def test_neither_device_nor_address_is_an_error(bench: Callable[..., Bench], printed: str) -> None:
    with pytest.raises(BlockDeviceError, match="printed neither a device nor a URI"):
        bench(did("attach", stdout=printed)).device.attach()


def test_what_is_no_block_device_is_not_there(bench: Callable[..., Bench]) -> None:
    missing = Exchange(argv=("stat", "-Lc", "%Hr:%Lr", "/dev/nas0"), exit_code=1)
    assert not bench(did("attach", stdout="/dev/nas0\n"), missing).device.attach()


@pytest.mark.parametrize("printed", ["nas0\n", "attached as /dev/nas0\n", "/dev/../etc\n"])
def test_what_is_no_path_is_an_error(bench: Callable[..., Bench], printed: str) -> None:
    with pytest.raises(BlockDeviceError, match="which is no path"):
        bench(did("attach", stdout=printed)).device.attach()


def test_a_disk_may_be_reachable_from_user_space_alone(bench: Callable[..., Bench]) -> None:
    made = bench(did("attach", stdout="\nkvm:nas://host/volume\n"))
    assert made.device.attach()
    assert (made.device.dev_path, made.device.numbers) == (None, None)
    assert made.device.userspace_uri("kvm") == "nas://host/volume"
    assert made.device.status().dev_path is None
    with pytest.raises(BlockDeviceError, match="size"):
        made.device.actual_size()
    with pytest.raises(BlockDeviceError, match="no path"):
        made.device.export_argv()


def test_the_first_address_for_the_hypervisor_counts(bench: Callable[..., Bench]) -> None:
    made = bench(attached("/dev/nas0\nxen-pvm:x\nKVM:nas:one\nkvm:nas:two\n"))
    assert made.device.userspace_uri("kvm") == "nas:one"


def test_no_address_for_the_hypervisor_is_an_error(bench: Callable[..., Bench]) -> None:
    with pytest.raises(BlockDeviceError, match="by hypervisor kvm"):
        bench(attached("/dev/nas0\nxen:x\n")).device.userspace_uri("kvm")


# How often scripts run -----------------------------------------------------------------------------------------------


def test_one_action_attaches_once(bench: Callable[..., Bench]) -> None:
    made = bench(attached("/dev/nas0\nkvm:nas:x\n"), did("open"))
    disk = disk_of(params={"access": "userspace"})
    assembled = blockdev.assemble(made.node, disk, "guest1", True, 0, hypervisor="kvm")
    assert assembled is not None
    assert assembled.uri == "nas:x"
    assert made.asked == ["attach", "stat -Lc %Hr:%Lr /dev/nas0", "open"]


def test_making_a_disk_runs_each_script_once(bench: Callable[..., Bench]) -> None:
    made = bench(did("verify", "parameters"), did("create"), attached(), did("open"), did("setinfo"))
    blockdev.create(made.node, disk_of(), 8, "guest1", True, "originstname+guest1", exclusive_storage=False)


def test_removing_a_disk_attaches_detaches_and_removes(bench: Callable[..., Bench]) -> None:
    made = bench(attached(), did("detach"), did("remove"))
    blockdev.remove(made.node, disk_of())


def test_a_removal_that_failed_goes_on_where_it_was(bench: Callable[..., Bench]) -> None:
    made = bench(attached(), did("detach"), did("remove", status=1), did("remove", status=1), did("remove"))
    blockdev.remove(made.node, disk_of())
    assert made.asked.count("attach") == 1


def test_what_cannot_be_attached_is_never_removed(bench: Callable[..., Bench]) -> None:
    made = bench(did("attach", status=1))
    blockdev.remove(made.node, disk_of())
    assert made.asked == ["attach"]


def test_a_dry_run_of_growing_and_the_other_layer_run_no_script_for_it(bench: Callable[..., Bench]) -> None:
    made = bench(attached())
    made.device.grow(4, dry_run=True, backing_store=True, exclusive_storage=False)
    made.device.grow(4, dry_run=False, backing_store=False, exclusive_storage=False)


@pytest.mark.parametrize(("size", "amount"), [(8, -1), (0, 4)])
def test_growing_by_less_or_from_nothing_is_refused(bench: Callable[..., Bench], size: int, amount: int) -> None:
    with pytest.raises(BlockDeviceError, match="cannot grow"):
        bench(disk=disk_of(size=size)).device.grow(amount, dry_run=False, backing_store=True, exclusive_storage=False)


def test_exclusive_storage_is_refused_before_any_script(bench: Callable[..., Bench]) -> None:
    with pytest.raises(BlockDeviceError, match="physical disks of its own"):
        bench().device.create(exclusive_storage=True)


def test_optional_scripts_may_be_missing_but_a_snapshot_is_not_pretended(
    bench: Callable[..., Bench], provider: Path
) -> None:
    for name in providers.OPTIONAL:
        (provider / name).unlink()
    made = bench()
    made.device.open()
    made.device.close()
    with pytest.raises(NotSupported, match="storage provider nas does not support snapshots"):
        made.device.snapshot(None, None)


# Logs ----------------------------------------------------------------------------------------------------------------


def test_a_log_is_named_for_action_provider_volume_and_time(bench: Callable[..., Bench], paths: Paths) -> None:
    made = bench(did("setinfo", stdout="noted\n"))
    made.device.set_info("x")
    (log,) = paths.ext_log_dir.iterdir()
    assert re.fullmatch(rf"setinfo-nas-{VOLUME}-\d{{4}}(-\d\d){{2}}(_\d\d){{3}}\.log", log.name)
    assert log.read_text() == "noted\n"


def test_attach_has_no_log(bench: Callable[..., Bench], paths: Paths) -> None:
    bench(attached()).device.attach()
    assert not paths.ext_log_dir.exists()


@pytest.mark.parametrize("action", ["attach", "close"])
def test_the_error_has_the_last_twenty_lines(bench: Callable[..., Bench], action: str) -> None:
    output = "".join(f"line {number}\n" for number in range(30))
    made = bench(did(action, stdout=output, status=2))
    with pytest.raises(BlockDeviceError) as failure:
        getattr(made.device, action)()
    first, *lines = str(failure.value).splitlines()
    assert f"volume {VOLUME} of storage provider nas: script {action} exited with status 2" in first
    assert lines == [f"line {number}" for number in range(10, 30)]


def test_a_log_that_cannot_be_written_is_an_error(bench: Callable[..., Bench], paths: Paths) -> None:
    paths.log_dir.mkdir(parents=True, exist_ok=True)
    paths.ext_log_dir.write_text("")
    with pytest.raises(BlockDeviceError, match="cannot make the log of script setinfo"):
        bench().device.set_info("x")
