"""The lab's machines are what the tests in them take them for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import machines
from lab.processes import Process

NAMESPACES = Path("/run/netns")
ONE_PING = ["busybox", "ping", "-c", "1", "-W", "2"]


@pytest.fixture(scope="module")
def lab() -> Iterator[machines.Lab]:
    with machines.lab("self") as lab:
        lab.up("n1", "n2", disks=1, size_mib=64)
        yield lab


@pytest.fixture
def n1(lab: machines.Lab) -> machines.Machine:
    return lab.machines()[0]


@pytest.fixture
def n2(lab: machines.Lab) -> machines.Machine:
    return lab.machines()[1]


def test_a_command_gets_its_input_environment_and_directory_and_gives_its_status(n1: machines.Machine) -> None:
    data = bytes(range(33, 127)) * 20_000

    done = n1.run(["sh", "-c", 'cat; echo "$WORD $PWD" >&2; exit 3'], stdin=data, env={"WORD": "a b"}, cwd="/usr")

    assert (done.returncode, done.stdout, done.stderr) == (3, data.decode(), "a b /usr\n")
    with pytest.raises(machines.Failure, match="no-such-program"):
        n1.check(["no-such-program"])


def test_a_command_started_in_the_background_is_killed_with_its_children(n1: machines.Machine) -> None:
    command = n1.start(["sh", "-c", "sleep 1234 & echo started; wait"])
    while "started" not in command.stdout:
        assert command.is_running()
        time.sleep(0.02)

    command.kill()

    deadline = time.monotonic() + 60
    while n1.run(["pgrep", "-f", "^sleep 1234"]).returncode == 0:
        assert time.monotonic() < deadline


def test_machines_reach_each_other_by_name_unless_one_is_cut(n1: machines.Machine, n2: machines.Machine) -> None:
    n1.check([*ONE_PING, "n2.lab"])

    n2.cut()
    assert n1.run([*ONE_PING, n2.lan]).returncode != 0
    n2.check(["true"])

    n2.join()
    n1.check(["busybox", "ping", "-c", "1", "-w", "60", n2.lan])


def test_the_host_reaches_machines_by_programs_in_their_network_alone(lab: machines.Lab, n1: machines.Machine) -> None:
    assert lab.execute([*ONE_PING, n1.lan]).returncode == 0
    assert subprocess.run([*ONE_PING, n1.lan], check=False, capture_output=True).returncode != 0


def test_the_kernel_has_what_storage_needs(n1: machines.Machine) -> None:
    n1.check(["modprobe", "-a", "dm-mod", "dm-snapshot", "rbd", "nbd"])
    n1.check(["modprobe", "drbd", "minor_count=128", "usermode_helper=/bin/true"])

    assert n1.check(["cat", "/proc/drbd"]).stdout.startswith("version: 8.4.")
    assert n1.check(["cat", "/sys/module/drbd/parameters/usermode_helper"]).stdout.strip() == "/bin/true"


def test_tests_of_the_checkout_run_in_a_machine(n1: machines.Machine) -> None:
    assert n1.pytest("tests/machines/test_machine.py") == 1


def test_disks_and_address_survive_a_power_failure_and_other_files_do_not(
    lab: machines.Lab, n2: machines.Machine
) -> None:
    n2.check(["sh", "-c", "echo kept | dd of=/dev/vda conv=fsync; touch /etc/changed"])
    address = n2.lan

    n2.stop(hard=True)
    assert not n2.is_up()
    (again,) = lab.up("n2", disks=1)

    assert again.lan == address
    assert again.check(["head", "-c", "4", "/dev/vda"]).stdout == "kept"
    assert again.run(["test", "-e", "/etc/changed"]).returncode == 1


def test_a_machine_switched_off_takes_no_commands(lab: machines.Lab, n2: machines.Machine) -> None:
    waiting = n2.start(["sleep", "1000"])

    n2.stop()

    with pytest.raises(machines.Failure, match="n2"):
        waiting.wait()
    with pytest.raises(machines.Failure, match="n2 is not up"):
        n2.run(["true"])


def test_a_checkout_below_tmp_is_seen_and_nothing_is_left_when_its_process_is_killed(tmp_path: Path) -> None:
    shutil.copytree(machines.ROOT / "lab", tmp_path / "lab")
    script = """
import sys
from lab import machines
with machines.lab("killed") as lab:
    lab.execute(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo"])
    (machine,) = lab.up("n1")
    machine.check(["test", "-e", str(machines.ROOT / "lab/machines.py")])
    print(lab.directory, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        inside = subprocess.run(
            ["ip", "netns", "pids", directory.name], capture_output=True, text=True, check=True
        ).stdout.split()
        assert len(inside) == 2
        ended = [Process.of(int(pid)) for pid in inside]
        process.send_signal(signal.SIGKILL)

    for one in ended:
        one.wait_gone()
    deadline = time.monotonic() + 60
    while directory.exists() or (NAMESPACES / directory.name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nothing_is_left_when_a_lab_ends_by_an_error() -> None:
    with pytest.raises(ZeroDivisionError), machines.lab("error") as lab:  # noqa: PT012 - the block is what is tested
        (machine,) = lab.up("n1", disks=1)
        raise ZeroDivisionError

    assert not machine.is_up()
    assert not lab.directory.exists()
    assert not (NAMESPACES / lab.namespace).exists()
