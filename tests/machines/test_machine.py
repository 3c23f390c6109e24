"""What every test in a machine relies on."""

from pathlib import Path

from ganeti.host.runner import Runner


def test_real_programs_run_on_a_kernel_of_its_own(real_runner: Runner) -> None:
    release = real_runner.read(Path("/proc/sys/kernel/osrelease")).strip()

    assert real_runner.check(["uname", "-r"]).stdout.strip() == release
    assert Path("/lib/modules", release, "modules.dep").exists()
