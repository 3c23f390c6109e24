"""The shipped `debootstrap` definition: its scripts with the documented environment, and its guest under emulation."""

import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.hosts.emulated_guest import PATH, EmulatedGuest, run_os_script, running_guest

pytestmark = pytest.mark.host

DEFINITION = Path(__file__).resolve().parents[2] / "os" / "debootstrap"
MIB = 1024 * 1024
PARTITION_OFFSET = MIB
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where installed systems are kept for the tests of this file. Skips without a mirror."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)dists/$(RELEASE)/Release", "Created-By: Packages"]
    listed = subprocess.run(targets, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("apt of this machine knows no mirror")
    try:
        with urllib.request.urlopen(listed[0], timeout=10):  # noqa: S310  the address is apt's own
            pass
    except (urllib.error.URLError, TimeoutError) as err:
        pytest.skip(f"the mirror of this machine's apt cannot be reached: {err}")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(2048 * MIB)
    return path


def environment(disk: Path, **more: str) -> dict[str, str]:
    base = {"OS_NAME": "debootstrap", "OS_VARIANT": "bookworm", "INSTANCE_NAME": "guest1.example.com"}
    disks = {"HYPERVISOR": "kvm", "DISK_COUNT": "1", "DISK_0_PATH": str(disk), "DISK_0_ACCESS": "rw"}
    nics = {"NIC_COUNT": "1", "NIC_0_MAC": "aa:00:00:11:22:33", "NIC_0_MODE": "bridged", "NIC_0_BRIDGE": "br0"}
    # The node does not set TMPDIR; it keeps the traces of the tests together.
    return base | disks | nics | {"TMPDIR": str(disk.parent)} | more


def create(disk: Path, cache: Path, **more: str) -> str:
    parameters = {"OSP_CACHE_DIR": str(cache), "OSP_ROOT_PASSWORD": PASSWORD}
    done = run_os_script(DEFINITION, "create", environment(disk, **parameters, **more))
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def small_system(disk: Path, offset: int) -> None:
    """Put on the disk what `rename` and `extract-kernel` look for, without Debian around it."""
    root = disk.parent / "small"
    files = {
        "etc/hostname": "old.example.com\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 old.example.com old\n192.0.2.1 router\n",
        "boot/vmlinuz-6.9.0-cloud": "older kernel",
        "boot/initrd.img-6.9.0-cloud": "older initrd",
        "boot/vmlinuz-6.10.0-cloud": "newer kernel",
        "boot/initrd.img-6.10.0-cloud": "newer initrd",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    make = ["mkfs.ext4", "-q", "-F", "-d", str(root), "-E", f"offset={offset},nodiscard", str(disk), "32M"]
    subprocess.run(make, check=True, capture_output=True)


def guest_file(disk: Path, offset: int, path: str) -> str:
    read = ["debugfs", "-R", f"cat {path}", f"{disk}?offset={offset}"]
    return subprocess.run(read, capture_output=True, text=True, check=True).stdout


def assert_clean(disk: Path, offset: int = 0) -> None:
    check = ["e2fsck", "-fn", f"{disk}?offset={offset}"]
    checked = subprocess.run(check, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def assert_nothing_left(directory: Path) -> None:
    assert not list(directory.glob("ganeti-os.*"))
    tables = (path for path in Path("/proc").glob("[0-9]*/mountinfo"))
    assert not [path for path in tables if str(directory) in read_if_there(path)]
    loops = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True)
    assert str(directory) not in loops.stdout


def read_if_there(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended since it was listed
        return ""


def log_in(guest: EmulatedGuest) -> None:
    guest.wait_for(r"guest1 login: ", 400)
    typed = guest.type_line("root")
    guest.wait_for("Password: ", 30, start=typed)
    typed = guest.type_line(PASSWORD)
    guest.wait_for(r"root@guest1:~# ", 60, start=typed)


def assert_healthy(guest: EmulatedGuest, device: str) -> None:
    typed = guest.type_line("systemctl is-system-running --wait; findmnt -n -o SOURCE,FSTYPE /; cat /etc/hostname")
    guest.wait_for(rf"(?m)running\n{device} +ext4\nguest1\.example\.com$", 90, start=typed)
    typed = guest.type_line("ip -br -4 address show | tail -n 1")
    guest.wait_for(r"UP +10\.0\.2\.\d+/24", 20, start=typed)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_guest_boots_to_its_login_prompt_with_its_own_kernel(cache: Path, disk: Path, tmp_path: Path) -> None:
    create(disk, cache)
    assert_nothing_left(tmp_path)
    extracted = subprocess.run([DEFINITION / "extract-kernel", disk, tmp_path], capture_output=True, check=False)
    assert extracted.returncode == 0, extracted.stderr
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd"
    with running_guest(disk, tmp_path, kernel=kernel, initrd=initrd, memory_mib=512) as guest:
        log_in(guest)
        assert_healthy(guest, "/dev/vda")
        guest.press_power_button()
        guest.wait_until_off(90)
    assert_clean(disk)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_guest_with_grub_boots_from_its_disk(cache: Path, disk: Path, tmp_path: Path) -> None:
    create(disk, cache, OSP_BOOT="grub")
    assert_nothing_left(tmp_path)
    with running_guest(disk, tmp_path, memory_mib=512) as guest:
        log_in(guest)
        assert_healthy(guest, "/dev/vda1")
        guest.press_power_button()
        guest.wait_until_off(90)
    assert_clean(disk, PARTITION_OFFSET)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_next_guest_comes_from_the_kept_system_and_has_its_own_identity(cache: Path, disk: Path) -> None:
    create(disk, cache)
    first = guest_file(disk, 0, "/etc/fstab")
    keys = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA someone@somewhere"
    network = {"NIC_0_NETWORK_SUBNET": "192.0.2.0/28", "NIC_0_NETWORK_GATEWAY": "192.0.2.1"}
    more = {"INSTANCE_NAME": "guest2.example.com", "NIC_0_IP": "192.0.2.7", "OSP_AUTHORIZED_KEYS": keys}
    said = create(disk, cache, **more, **network)
    assert "as installed on" in said
    assert guest_file(disk, 0, "/etc/hostname") == "guest2.example.com\n"
    assert re.fullmatch(r"UUID=\S+ / ext4 .*\n", guest_file(disk, 0, "/etc/fstab"))
    assert guest_file(disk, 0, "/etc/fstab") != first
    assert guest_file(disk, 0, "/etc/machine-id") == ""
    assert guest_file(disk, 0, "/root/.ssh/authorized_keys") == keys + "\n"
    unit = guest_file(disk, 0, "/etc/systemd/network/10-nic0.network")
    assert "Address=192.0.2.7/28\n" in unit
    assert "Gateway=192.0.2.1\n" in unit
    assert_clean(disk)


def test_create_fails_clearly_without_its_mirror_and_leaves_nothing(disk: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    more = {"OSP_MIRROR": f"http://127.0.0.1:{port}/debian", "OSP_CACHE_DAYS": "0"}
    done = run_os_script(DEFINITION, "create", environment(disk, **more))
    assert done.returncode != 0
    assert b"build-root: failed: debootstrap" in done.stderr
    assert b"create: cannot make the system" in done.stderr
    assert disk.stat().st_blocks == 0
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_create_ended_in_the_middle_leaves_no_process_and_no_mount(
    disk: Path, tmp_path: Path, ending: signal.Signals, status: int
) -> None:
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept_and_never_answer() -> None:
            connection, _ = server.accept()
            with connection:
                reached.set()
                connection.recv(1)  # the request; then, until the client is gone, nothing
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=accept_and_never_answer)
        thread.start()
        mirror = f"http://127.0.0.1:{server.getsockname()[1]}/debian"
        variables = environment(disk, OSP_MIRROR=mirror, OSP_CACHE_DAYS="0")
        command = [str(DEFINITION / "create")]
        with subprocess.Popen(command, cwd=DEFINITION, env={"PATH": PATH, **variables}) as process:
            assert reached.wait(60)
            process.send_signal(ending)
            assert process.wait(20) == status
        # The download lives in the namespace of the builder and has ended with it.
        thread.join(20)
        assert not thread.is_alive()
    if ending == signal.SIGKILL:  # which leaves a script no chance to remove its directory
        shutil.rmtree(next(tmp_path.glob("ganeti-os.*")))
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("offset", [0, PARTITION_OFFSET])
def test_rename_changes_the_host_name_and_keeps_other_hosts(disk: Path, offset: int) -> None:
    small_system(disk, offset)
    done = run_os_script(DEFINITION, "rename", environment(disk, INSTANCE_NAME="new.example.com"))
    assert done.returncode == 0, done.stderr.decode()
    assert guest_file(disk, offset, "/etc/hostname") == "new.example.com\n"
    hosts = "127.0.0.1 localhost\n192.0.2.1 router\n127.0.1.1 new.example.com new\n"
    assert guest_file(disk, offset, "/etc/hosts") == hosts
    assert_clean(disk, offset)


@pytest.mark.parametrize("offset", [0, PARTITION_OFFSET])
def test_extract_kernel_takes_the_newest_one(disk: Path, tmp_path: Path, offset: int) -> None:
    small_system(disk, offset)
    subprocess.run([DEFINITION / "extract-kernel", disk, tmp_path / "out"], check=True, capture_output=True)
    assert (tmp_path / "out" / "vmlinuz").read_text() == "newer kernel"
    assert (tmp_path / "out" / "initrd").read_text() == "newer initrd"


@pytest.mark.parametrize("script", ["rename", "extract-kernel"])
def test_an_empty_disk_is_refused(disk: Path, tmp_path: Path, script: str) -> None:
    arguments = [str(disk), str(tmp_path)] if script == "extract-kernel" else []
    done = run_os_script(DEFINITION, script, environment(disk), *arguments)
    assert done.returncode != 0
    assert b"there is no file system of this definition" in done.stderr


def test_export_and_import_carry_the_disk(disk: Path, tmp_path: Path) -> None:
    small_system(disk, 0)
    with disk.open("r+b") as file:
        file.truncate(32 * MIB)
    dump = run_os_script(DEFINITION, "export", environment(disk, EXPORT_DEVICE=str(disk), EXPORT_INDEX="0"))
    target = tmp_path / "target"
    target.write_bytes(b"x" * 32 * MIB)
    variables = environment(target, IMPORT_DEVICE=str(target), IMPORT_INDEX="0")
    done = run_os_script(DEFINITION, "import", variables, stdin=dump.stdout)
    assert done.returncode == 0, done.stderr.decode()
    assert target.read_bytes() == disk.read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"OS_VARIANT": "potato"}, b"unknown variant 'potato'"),
        ({"OSP_BOOT": "lilo"}, b"parameter boot must be direct or grub, not 'lilo'"),
        ({"OSP_SUITE": "../x"}, b"parameter suite is not the name of a release"),
        ({"OSP_MIRROR": "ftp://example.com"}, b"parameter mirror is not a URL"),
        ({"OSP_EXTRA_PACKAGES": "vim,-oDir=/"}, b"parameter extra_packages has '-oDir=/'"),
        ({"OSP_AUTHORIZED_KEYS": "hello"}, b"parameter authorized_keys has a line which is not an SSH public key"),
        ({"OSP_CACHE_DIR": "here"}, b"parameter cache_dir is not an absolute path"),
        ({"OSP_CACHE_DAYS": "-1"}, b"parameter cache_days is not a number of days"),
    ],
)
def test_verify_and_create_refuse_bad_values(disk: Path, more: dict[str, str], message: bytes) -> None:
    core = {"OS_NAME": "debootstrap", "OS_VARIANT": "bookworm"} | more
    for done in (
        run_os_script(DEFINITION, "verify", core, "parameters"),
        run_os_script(DEFINITION, "create", environment(disk, **more)),
    ):
        assert done.returncode != 0
        assert message in done.stderr
    assert disk.stat().st_blocks == 0


def test_verify_does_not_show_secrets() -> None:
    core = {"OS_VARIANT": "trixie", "OSP_ROOT_PASSWORD": "two\nlines-secret"}
    done = run_os_script(DEFINITION, "verify", core, "parameters")
    assert done.returncode != 0
    assert b"root_password has more than one line" in done.stderr
    assert b"secret" not in done.stdout + done.stderr


def test_verify_accepts_good_values() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA a@b\n# ecdsa-sha2-nistp256 AAAA old\n"
    packages = {"OSP_EXTRA_PACKAGES": "openssh-server, g++ vim", "OSP_AUTHORIZED_KEYS": key}
    core = {"OS_VARIANT": "", "OSP_BOOT": "grub", "OSP_MIRROR": "https://example.com/debian/", **packages}
    done = run_os_script(DEFINITION, "verify", core, "parameters")
    assert done.returncode == 0, done.stderr.decode()
