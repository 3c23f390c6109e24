"""The shipped `busybox` definition: its scripts with the documented environment, and its guest under emulation."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hosts.emulated_guest import run_os_script, running_guest

pytestmark = pytest.mark.host

DEFINITION = Path(__file__).resolve().parents[2] / "os" / "busybox"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `vmlinuz` and `initrd`, made by the definition's own tool."""
    directory = tmp_path_factory.mktemp("kernel")
    made = subprocess.run([DEFINITION / "make-kernel", directory], capture_output=True, text=True, check=False)
    if "cannot download" in made.stderr:
        pytest.skip(f"no kernel package to be had: {made.stderr.strip()}")
    assert made.returncode == 0, made.stderr
    return directory


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    return path


@pytest.fixture
def loop_device(disk: Path) -> Iterator[Path]:
    attached = subprocess.run(["losetup", "--find", "--show", disk], capture_output=True, text=True, check=False)
    if attached.returncode != 0:
        pytest.skip(f"no loop devices here: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    yield Path(device)
    subprocess.run(["losetup", "--detach", device], check=True)


def environment(disk: Path, **more: str) -> dict[str, str]:
    base = {"OS_NAME": "busybox", "OS_VARIANT": "default", "INSTANCE_NAME": "guest1.example.com", "HYPERVISOR": "kvm"}
    disks = {"DISK_COUNT": "1", "DISK_0_PATH": str(disk), "DISK_0_ACCESS": "rw"}
    nics = {"NIC_COUNT": "1", "NIC_0_MAC": "aa:00:00:11:22:33", "NIC_0_MODE": "bridged", "NIC_0_BRIDGE": "br0"}
    return base | disks | nics | more


def create(disk: Path, **more: str) -> None:
    done = run_os_script(DEFINITION, "create", environment(disk, **more))
    assert done.returncode == 0, done.stderr.decode()


def guest_file(disk: Path, path: str) -> str:
    done = subprocess.run(["debugfs", "-R", f"cat {path}", disk], capture_output=True, text=True, check=True)
    return done.stdout


def assert_clean(disk: Path) -> None:
    checked = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_guest_becomes_ready_and_powers_off_on_the_button(kernel: Path, disk: Path, tmp_path: Path) -> None:
    create(disk)
    with running_guest(disk, tmp_path, kernel=kernel / "vmlinuz", initrd=kernel / "initrd") as guest:
        guest.wait_for(r"(?m)^GUEST-READY guest1\.example\.com$", 60)
        guest.wait_for(rf"(?m)^GUEST-TICK uptime=[\d.]+ mem=\d+ disk0={64 * MIB} nics=1 cpus=1$", 60)
        guest.press_power_button()
        guest.wait_for("GUEST-POWERBUTTON", 60)
        guest.wait_until_off(60)
    assert_clean(disk)


def test_guest_sees_its_disk_grow_and_its_memory_shrink(kernel: Path, disk: Path, tmp_path: Path) -> None:
    create(disk)
    with running_guest(disk, tmp_path, kernel=kernel / "vmlinuz", initrd=kernel / "initrd", memory_mib=192) as guest:
        before = int(guest.wait_for(r"GUEST-TICK .* mem=(\d+) ", 60)[1])
        guest.monitor("block_resize", device="disk0", size=96 * MIB)
        guest.monitor("balloon", value=160 * MIB)
        guest.wait_for(rf"GUEST-TICK .* mem={before - 32 * 1024} disk0={96 * MIB} ", 60)


def test_console_answers_commands_between_the_ticks(kernel: Path, disk: Path, tmp_path: Path) -> None:
    create(disk, NIC_0_IP="192.0.2.7", NIC_0_NETWORK_SUBNET="192.0.2.0/28", NIC_0_NETWORK_GATEWAY="192.0.2.1")
    with running_guest(disk, tmp_path, kernel=kernel / "vmlinuz", initrd=kernel / "initrd") as guest:
        guest.wait_for("GUEST-TICK", 60)
        typed = guest.type_line("cd /etc; echo answer-$((6 * 7)) from $PWD")
        guest.wait_for(r"(?m)^answer-42 from /etc$", 60, start=typed)
        typed = guest.type_line("ip -4 address show eth0; ip route")
        guest.wait_for(r"inet 192\.0\.2\.7/28 [\s\S]*default via 192\.0\.2\.1 ", 60, start=typed)


def test_without_ticks_the_console_is_a_shell_with_a_prompt_and_dhcp_gives_the_address(
    kernel: Path, disk: Path, tmp_path: Path
) -> None:
    create(disk, OSP_TICKS="no", OSP_DHCP="yes", OSP_HOSTNAME="other")
    with running_guest(disk, tmp_path, kernel=kernel / "vmlinuz", initrd=kernel / "initrd") as guest:
        guest.wait_for(r"GUEST-READY other\n", 60)
        guest.wait_for(r"other:~# ", 60)
        typed = guest.type_line("until ip -4 address show eth0 | grep 10[.]0[.]2; do usleep 100000; done; ip route")
        guest.wait_for(r"default via 10\.0\.2\.2 ", 20, start=typed)
        assert "GUEST-TICK" not in guest.console


def test_create_leaves_holes(disk: Path) -> None:
    os.truncate(disk, 1024 * MIB)
    create(disk)
    assert disk.stat().st_blocks * 512 < 80 * MIB
    assert_clean(disk)


def test_create_works_on_a_block_device_and_over_an_old_system(loop_device: Path) -> None:
    create(loop_device)
    create(loop_device, INSTANCE_NAME="second", INSTANCE_REINSTALL="1")
    assert guest_file(loop_device, "/etc/hostname") == "second\n"
    assert_clean(loop_device)


def test_definition_works_when_copied_alone(disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "busybox"
    shutil.copytree(DEFINITION, copy)
    assert run_os_script(copy, "create", environment(disk)).returncode == 0
    assert guest_file(disk, "/etc/hostname") == "guest1.example.com\n"


@pytest.mark.parametrize("kind", ["disk", "loop_device"])
def test_rename_changes_the_host_name_without_a_mount(kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(kind)
    create(path)
    new = environment(path, INSTANCE_NAME="guest2.example.com", OLD_INSTANCE_NAME="guest1.example.com")
    done = run_os_script(DEFINITION, "rename", new)
    assert done.returncode == 0, done.stderr.decode()
    assert guest_file(path, "/etc/hostname") == "guest2.example.com\n"
    assert_clean(path)


def test_rename_holds_after_the_guest_was_stopped_by_force(kernel: Path, disk: Path, tmp_path: Path) -> None:
    create(disk)
    with running_guest(disk, tmp_path, kernel=kernel / "vmlinuz", initrd=kernel / "initrd") as guest:
        guest.wait_for("GUEST-TICK", 60)
        typed = guest.type_line("echo lost >/etc/hostname; sync; echo wr''itten")
        guest.wait_for("(?m)^written$", 60, start=typed)
    done = run_os_script(DEFINITION, "rename", environment(disk, INSTANCE_NAME="guest2.example.com"))
    assert done.returncode == 0, done.stderr.decode()
    with running_guest(disk, tmp_path, kernel=kernel / "vmlinuz", initrd=kernel / "initrd") as guest:
        guest.wait_for(r"(?m)^GUEST-READY guest2\.example\.com$", 60)


def test_rename_of_a_disk_without_a_system_fails(disk: Path) -> None:
    done = run_os_script(DEFINITION, "rename", environment(disk))
    assert done.returncode != 0
    assert b"needs repair" in done.stderr


def test_export_and_import_carry_the_disk_and_tell_its_size(disk: Path, tmp_path: Path) -> None:
    create(disk)
    reader, writer = os.pipe()
    variables = environment(disk, EXPORT_DEVICE=str(disk), EXPORT_INDEX="0", EXP_SIZE_FD=str(writer))
    dump = run_os_script(DEFINITION, "export", variables, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader) as size:
        assert size.read() == f"{64 * MIB}\n"
    assert dump.returncode == 0

    target = tmp_path / "target"
    target.write_bytes(b"old data " * (64 * MIB // 9))
    os.truncate(target, 64 * MIB)
    variables = environment(target, IMPORT_DEVICE=str(target), IMPORT_INDEX="0")
    done = run_os_script(DEFINITION, "import", variables, stdin=dump.stdout)
    assert done.returncode == 0, done.stderr.decode()
    assert target.read_bytes() == disk.read_bytes()
    assert target.stat().st_blocks * 512 < 32 * MIB


def test_export_works_without_a_descriptor_for_the_size(disk: Path) -> None:
    create(disk)
    dump = run_os_script(DEFINITION, "export", environment(disk, EXPORT_DEVICE=str(disk), EXPORT_INDEX="0"))
    assert dump.returncode == 0
    assert dump.stdout == disk.read_bytes()


def test_import_overwrites_a_block_device_completely(disk: Path, loop_device: Path) -> None:
    disk.write_bytes(b"x" * 64 * MIB)
    dump = bytes(64 * MIB)
    variables = environment(loop_device, IMPORT_DEVICE=str(loop_device), IMPORT_INDEX="0")
    assert run_os_script(DEFINITION, "import", variables, stdin=dump).returncode == 0
    assert loop_device.read_bytes() == dump


def test_import_refuses_a_dump_larger_than_the_disk(disk: Path) -> None:
    variables = environment(disk, IMPORT_DEVICE=str(disk), IMPORT_INDEX="0")
    done = run_os_script(DEFINITION, "import", variables, stdin=bytes(64 * MIB + 1))
    assert done.returncode != 0
    assert b"larger than" in done.stderr
    assert disk.stat().st_size == 64 * MIB


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"OSP_TICKS": "maybe"}, b"parameter ticks must be yes or no, not 'maybe'"),
        ({"OSP_DHCP": "YES"}, b"parameter dhcp must be yes or no, not 'YES'"),
        ({"OSP_HOSTNAME": "a_b"}, b"parameter hostname is not a host name: 'a_b'"),
        ({"OS_VARIANT": "fancy"}, b"unknown variant 'fancy'"),
    ],
)
def test_verify_and_create_refuse_bad_values(disk: Path, more: dict[str, str], message: bytes) -> None:
    core = {"OS_NAME": "busybox", "OS_VARIANT": "default"} | more
    for done in (
        run_os_script(DEFINITION, "verify", core, "parameters"),
        run_os_script(DEFINITION, "create", environment(disk, **more)),
    ):
        assert done.returncode != 0
        assert message in done.stderr
    assert disk.stat().st_blocks == 0


def test_verify_accepts_good_values_and_knows_its_checks() -> None:
    core = {"OS_NAME": "busybox", "OS_VARIANT": "", "OSP_TICKS": "no", "OSP_DHCP": "yes", "OSP_HOSTNAME": "a.b-c"}
    assert run_os_script(DEFINITION, "verify", core, "parameters").returncode == 0
    assert run_os_script(DEFINITION, "verify", core).returncode == 0
    unknown = run_os_script(DEFINITION, "verify", core, "weather")
    assert unknown.returncode != 0
    assert b"unknown check 'weather'" in unknown.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"DISK_0_PATH": "/nonexistent"}, b"neither a file nor a block device"),
        ({"DISK_0_PATH": ""}, b"DISK_0_PATH is not set"),
        ({"DISK_0_ACCESS": "ro"}, b"read-only"),
        ({"INSTANCE_NAME": "$(reboot)"}, b"not a host name"),
        ({"NIC_0_IP": "10.0.0.1; reboot"}, b"not an address"),
        ({"NIC_COUNT": "many"}, b"not a number"),
    ],
)
def test_create_refuses_a_bad_environment(disk: Path, more: dict[str, str], message: bytes) -> None:
    done = run_os_script(DEFINITION, "create", environment(disk) | more)
    assert done.returncode != 0
    assert message in done.stderr
    assert disk.stat().st_blocks == 0


def test_create_refuses_a_disk_which_is_too_small(disk: Path) -> None:
    os.truncate(disk, 4 * MIB)
    done = run_os_script(DEFINITION, "create", environment(disk))
    assert done.returncode != 0
    assert b"are needed" in done.stderr
