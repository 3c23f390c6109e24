"""Real guests on one node: what the driver's methods do to them, and what is left when they are gone."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.hosts.kvm_node import BOOT_WITHIN_S, MIB, Console, KvmNode, booted, eventually, guest, kvm_nodes

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm import Kvm, driver, processes
from ganeti.model.instance import RunState
from ganeti.model.network import Nic


@pytest.fixture
def node() -> Iterator[KvmNode]:
    with kvm_nodes() as (one,):
        yield one


def run_state(node: KvmNode, name: str) -> str:
    answer = node.driver.hub.execute(name, "query-status")
    assert isinstance(answer, dict)
    return str(answer["status"])


def left(node: KvmNode) -> list[str]:
    """Files in the driver's directories."""
    return [str(path) for path in node.driver.layout.root.rglob("*") if not path.is_dir()]


# Starting ------------------------------------------------------------------------------------------------------------


def test_a_guest_runs_and_tells_its_size(node: KvmNode) -> None:
    instance = guest(memory_mib=128)
    node.driver.start(instance, (node.disk(instance.name),), startup_paused=False)

    (info,) = node.driver.all_instances_info(instance.hvparams)
    assert (info.name, info.memory, info.vcpus, info.state) == (instance.name, 128, 1, RunState.RUNNING)
    assert info.age_s < BOOT_WITHIN_S
    assert node.driver.instance_info(instance.name) is not None
    assert run_state(node, instance.name) == "running"


def test_a_guest_started_paused_stays_so_but_its_record_does_not_say_it(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)

    assert run_state(node, instance.name) == "prelaunch"
    assert '"-S"' not in node.driver.migration_info(instance)
    node.driver.reboot(instance)
    assert run_state(node, instance.name) == "running"


def test_a_second_start_is_refused_and_the_guest_lives(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    before = processes.find(node.driver.layout.guest(instance.name))

    with pytest.raises(HypervisorError, match="already running"):
        node.driver.start(instance, (), startup_paused=True)
    assert processes.find(node.driver.layout.guest(instance.name)) == before


def test_a_command_qemu_refuses_leaves_nothing_and_tells_qemus_words(node: KvmNode) -> None:
    with pytest.raises(HypervisorError, match="nonesuch"):
        node.driver.start(guest(kvm_extra="-device nonesuch"), (), startup_paused=False)
    assert left(node) == []


def test_a_late_failure_ends_the_qemu_that_was_started(node: KvmNode, tmp_path: Path) -> None:
    # a password of VNC for a guest whose display is a SPICE one's: QEMU refuses it when it runs already
    password = tmp_path / "vnc.pw"
    password.write_text("secret\n")
    instance = guest(cpu_mask="0:0")  # two parts for one processor: found out when its threads are known
    with pytest.raises(HypervisorError, match="2 parts for 1 processors"):
        node.driver.start(instance, (), startup_paused=False)
    assert node.driver.list_instances() == []
    assert left(node) == []


def test_pinning_sets_the_processors_of_the_whole_guest(node: KvmNode) -> None:
    instance = guest(cpu_mask="0")
    node.driver.start(instance, (), startup_paused=True)
    process = processes.find(node.driver.layout.guest(instance.name))
    assert process is not None
    assert {
        frozenset(os.sched_getaffinity(int(task.name))) for task in Path(f"/proc/{process.pid}/task").iterdir()
    } == {frozenset({0})}


def test_a_vnc_password_reaches_qemu(node: KvmNode, tmp_path: Path) -> None:
    password = tmp_path / "vnc.pw"
    password.write_text("secret\n")
    directory = node.paths.run_dir / "vnc"
    directory.mkdir()
    instance = msgspec.structs.replace(
        guest(vnc_bind_address="127.0.0.1", vnc_password_file=str(password)), network_port=15901
    )
    node.driver.start(instance, (), startup_paused=True)
    answer = node.driver.hub.execute(instance.name, "query-vnc")
    assert isinstance(answer, dict)
    assert (answer["enabled"], answer["auth"]) == (True, "vnc")


def test_a_directory_can_be_bound_for_vnc(node: KvmNode) -> None:
    directory = node.paths.run_dir / "vnc"
    directory.mkdir()
    node.driver.start(guest(vnc_bind_address=str(directory)), (), startup_paused=True)
    assert (directory / "g1.test.vnc").is_socket()


def test_a_guest_of_the_pool_runs_as_a_user_of_its_own_and_gives_it_back(node: KvmNode) -> None:
    user = pwd.getpwnam("games")
    node.paths.ssconf("uid_pool").write_text(f"{user.pw_uid}\n")
    instance = guest(security_model="pool")
    node.driver.start(instance, (), startup_paused=True)
    process = processes.find(node.driver.layout.guest(instance.name))
    assert process is not None
    assert Path(f"/proc/{process.pid}").stat().st_uid == user.pw_uid
    with pytest.raises(HypervisorError, match="no user id"):
        node.driver.start(guest("g2.test", security_model="pool"), (), startup_paused=True)

    node.driver.stop(instance, force=True)
    node.driver.cleanup(instance.name)
    assert list((node.paths.run_dir / "uid-pool").iterdir()) == []


@pytest.mark.parametrize("status", [0, 1])
def test_guests_that_may_switch_themselves_off_need_the_daemon_that_sees_it(node: KvmNode, status: int) -> None:
    asked = node.paths.root / "asked"
    node.paths.daemon_util.write_text(f'#!/bin/sh\necho "$@" > {asked}\nexit {status}\n')
    node.paths.daemon_util.chmod(0o755)
    instance = guest(user_shutdown=True)
    if status:
        with pytest.raises(HypervisorError, match="ganeti-kvmd does not start"):
            node.driver.start(instance, (), startup_paused=True)
        assert left(node) == []
    else:
        node.driver.start(instance, (), startup_paused=True)
        assert node.driver.list_instances() == [instance.name]
    assert asked.read_text() == "start ganeti-kvmd\n"


def test_interfaces_to_the_node_itself_get_taps_of_their_own_name(node: KvmNode) -> None:
    script = node.paths.conf_dir / "kvm-vif-bridge"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    nics = tuple(
        Nic(
            mac=f"aa:00:00:00:00:0{index}",
            uuid=f"0000000{index}-aaaa-bbbb-cccc-dddddddddddd",
            name=f"ganeti:communication:{index}",
            nicparams={"mode": "routed", "link": "100"},
        )
        for index in range(2)
    )
    instance = msgspec.structs.replace(guest(), nics=nics)
    node.driver.start(instance, (), startup_paused=True)
    files = node.driver.layout.guest(instance.name)
    numbers = [int(files.nic(index).read_text().removeprefix("gnt.com.")) for index in range(2)]
    assert numbers[1] == numbers[0] + 1


def test_a_root_too_deep_for_sockets_is_told_with_the_path(tmp_path: Path) -> None:
    root = tmp_path / ("d" * 60) / ("e" * 60)
    deep = KvmNode(root)
    with pytest.raises(HypervisorError, match=r"too long for a socket: [0-9]+ bytes"):
        deep.driver.start(guest(), (), startup_paused=True)
    deep.end()
    assert left(deep) == []


def test_kvm_demanded_where_it_does_not_work_is_refused_and_reported(node: KvmNode) -> None:
    problem = node.driver.prober.kvm_problem()
    if problem is None:
        pytest.skip("KVM works here")
    instance = guest(kvm_flag="enabled")
    with pytest.raises(HypervisorError, match="kvm_flag is enabled"):
        node.driver.start(instance, (), startup_paused=False)
    assert problem in str(node.driver.verify(instance.hvparams))
    assert problem in str(node.driver.verify(guest(kvm_flag="").hvparams))
    assert node.driver.verify(guest(kvm_flag="disabled").hvparams) is None


def test_without_a_word_on_kvm_a_guest_runs_either_way(node: KvmNode) -> None:
    instance = guest(kvm_flag="")
    node.driver.start(instance, (), startup_paused=True)
    has_kvm = node.driver.prober.kvm_problem() is None
    assert (",accel=tcg" in node.driver.migration_info(instance)) is not has_kvm


def test_the_console_command_wakes_a_paused_guest_and_shows_its_serial_line(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    command = node.driver.console_argv(instance.name)
    # a pipe is no terminal, so without the terminal's settings
    command[command.index("STDIO,raw,echo=0,escape=0x1d")] = "STDIO"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as console:
        assert console.stdout is not None
        seen = b""
        while b"LAB-GUEST-UP" not in seen:
            line = console.stdout.readline()
            assert line, seen
            seen += line
        console.kill()
    assert b"[Instance g1.test is paused, it goes on in 3 seconds]" in seen


# Stopping ------------------------------------------------------------------------------------------------------------


def test_the_power_button_stops_a_real_guest_quickly(node: KvmNode) -> None:
    instance = guest()
    with booted(node, instance):
        node.driver.stop(instance, timeout_s=60)
        eventually(lambda: node.driver.list_instances() == [], "the guest switched itself off")
    node.driver.cleanup(instance.name)
    assert left(node) == []


def test_a_forced_stop_ends_a_guest_that_hears_nothing(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    node.driver.stop(instance, force=True)
    assert node.driver.instance_info(instance.name) is None
    node.driver.cleanup(instance.name)
    assert left(node) == []


def test_without_acpi_a_soft_stop_ends_the_guest(node: KvmNode) -> None:
    instance = guest(acpi=False)
    node.driver.start(instance, (), startup_paused=True)
    node.driver.stop(instance)
    assert node.driver.list_instances() == []


def test_stopping_what_does_not_run_is_fine(node: KvmNode) -> None:
    node.driver.stop(guest("never.test"))
    node.driver.stop(guest("never.test"), force=True)
    node.driver.cleanup("never.test")


def test_files_of_a_running_guest_are_not_cleaned_up(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    with pytest.raises(HypervisorError, match="still runs"):
        node.driver.cleanup(instance.name)
    assert node.driver.list_instances() == [instance.name]


def test_a_guest_that_was_killed_is_noticed(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    (info,) = node.driver.all_instances_info()
    os.kill(info.hypervisor_id, signal.SIGKILL)

    eventually(lambda: node.driver.all_instances_info() == [], "the end of the process was noticed")
    node.driver.start(instance, (), startup_paused=True)
    (again,) = node.driver.all_instances_info()
    assert again.hypervisor_id != info.hypervisor_id
    assert again.memory == 96


# While it runs -------------------------------------------------------------------------------------------------------


def test_a_reboot_starts_the_guest_again_with_the_same_hardware(node: KvmNode) -> None:
    instance = guest()
    disk = node.disk(instance.name)
    node.driver.start(instance, (disk,), startup_paused=True)
    record = node.driver.migration_info(instance)
    before = processes.find(node.driver.layout.guest(instance.name))
    # what was changed since counts at the next cold start only
    bigger = msgspec.structs.replace(instance, beparams={"maxmem": 512, "minmem": 512, "vcpus": 2})

    node.driver.reboot(bigger)

    after = processes.find(node.driver.layout.guest(instance.name))
    assert before is not None
    assert after is not None
    assert after.pid != before.pid
    assert (after.memory_mib, after.vcpus) == (96, 1)
    assert node.driver.migration_info(instance) == record


def test_a_guest_that_is_awake_may_stop_by_itself_before_it_is_rebooted(
    node: KvmNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "SOFT_STOP_WAIT_S", 60.0)  # however slow this machine is
    instance = guest()
    with booted(node, instance) as console:
        node.driver.reboot(instance)
        console.wait_for("LAB-POWERBUTTON")
    assert run_state(node, instance.name) == "running"


def test_a_smaller_balloon_is_seen_by_the_guest_and_by_the_node(node: KvmNode) -> None:
    instance = msgspec.structs.replace(guest(memory_mib=160), beparams={"maxmem": 160, "minmem": 96, "vcpus": 1})
    with booted(node, instance) as console:
        before = memory_of(console)
        node.driver.balloon(instance, 120)
        eventually(lambda: node.driver.all_instances_info()[0].memory == 120, "the node sees the balloon")
        assert memory_of(console) < before - 30 * 1024


def memory_of(console: Console) -> int:
    """KiB of memory the guest says it has."""
    text = console.wait_for(" mem=")
    while not text.rpartition(" mem=")[2].partition(" nics")[1]:
        text += console.wait_for(" nics=")
    return int(text.rpartition(" mem=")[2].partition(" ")[0])


def test_a_grown_disk_is_seen_by_the_guest(node: KvmNode) -> None:
    instance = guest()
    disk = node.disk(instance.name, size_mib=16)
    with booted(node, instance, (disk,)) as console:
        os.truncate(str(disk.disk.logical_id[1]), 24 * MIB)
        node.driver.resize_disk(instance, 0, 24 * MIB)
        console.wait_for("capacity change from 32768 to 49152")


def test_a_disk_without_a_name_is_found_by_its_file(node: KvmNode) -> None:
    instance = guest(disk_type="ide", kernel_path="")
    disk = node.disk(instance.name, size_mib=16)
    node.driver.start(instance, (disk,), startup_paused=True)
    os.truncate(str(disk.disk.logical_id[1]), 24 * MIB)
    node.driver.resize_disk(instance, 0, 24 * MIB)
    (size,) = [
        block["inserted"]["image"]["virtual-size"]
        for block in node.driver.hub.execute(instance.name, "query-block")  # type: ignore[attr-defined]  # JSON
        if block.get("inserted")
    ]
    assert size == 24 * MIB


def test_a_driver_made_anew_finds_the_guest_with_everything(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (node.disk(instance.name),), startup_paused=True)
    node.driver.close()

    anew = Kvm(node.system)
    try:
        (info,) = anew.all_instances_info()
        assert info.memory == 96
        assert anew.list_instances() == [instance.name]
        anew.reboot(instance)
        anew.stop(instance, force=True)
        anew.cleanup(instance.name)
    finally:
        anew.close()
    assert left(node) == []


# Status never waits for a guest --------------------------------------------------------------------------------------


def test_a_frozen_guest_delays_nobody_and_keeps_its_last_figures(
    node: KvmNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"g{number}.test" for number in range(4)]
    for name in names:
        node.driver.start(guest(name), (), startup_paused=True)
    first = {info.name: info for info in node.driver.all_instances_info()}
    os.kill(first["g0.test"].hypervisor_id, signal.SIGSTOP)
    try:
        eventually(lambda: node.driver.all_instances_info()[0].age_s > 5, "its figures got old")
        # from now on nobody waits for it, however long he may
        monkeypatch.setattr(driver, "FIGURES_WAIT_S", BOOT_WITHIN_S)
        started = time.monotonic()
        infos = {info.name: info for info in node.driver.all_instances_info()}
        assert time.monotonic() - started < BOOT_WITHIN_S
        assert sorted(infos) == names
        assert infos["g0.test"].memory == 96
        assert infos["g0.test"].age_s > max(infos[name].age_s for name in names[1:])
        assert [record.getMessage() for record in caplog.records if "g0.test does not answer" in record.getMessage()]
    finally:
        os.kill(first["g0.test"].hypervisor_id, signal.SIGCONT)


def test_a_frozen_guest_does_not_hear_its_power_button_which_is_no_error(
    node: KvmNode, caplog: pytest.LogCaptureFixture
) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    (info,) = node.driver.all_instances_info()
    os.kill(info.hypervisor_id, signal.SIGSTOP)
    try:
        node.driver.stop(instance, timeout_s=0.3)  # an error here would keep the caller from using force
        assert [record.getMessage() for record in caplog.records if "does not hear" in record.getMessage()]
        assert node.driver.list_instances() == [instance.name]
    finally:
        os.kill(info.hypervisor_id, signal.SIGCONT)


def test_a_guest_that_thaws_tells_fresh_figures_again(node: KvmNode) -> None:
    node.driver.start(guest(), (), startup_paused=True)
    (info,) = node.driver.all_instances_info()
    os.kill(info.hypervisor_id, signal.SIGSTOP)
    try:
        eventually(lambda: node.driver.all_instances_info()[0].age_s > 6, "its figures got old")
    finally:
        os.kill(info.hypervisor_id, signal.SIGCONT)
    eventually(lambda: node.driver.all_instances_info()[0].age_s < 1, "its figures are fresh")


def test_the_socket_is_given_back_to_others(node: KvmNode) -> None:
    instance = guest()
    node.driver.start(instance, (), startup_paused=True)
    node.driver.all_instances_info()
    with Console(node.driver.layout.guest(instance.name).qmp) as other:
        # QEMU greets a client only when the one before has gone
        other.wait_for('"QMP"', timeout_s=10)
