"""The command line of the lab of machines, for people: `scripts/lab`, as root."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from lab import machines
from lab.machine import agent
from lab.machine_agent import Command
from lab.machine_kernel import machine_kernel
from lab.machine_network import MachineNetwork
from lab.processes import LabError, Process

_NAME = "dev"
_LIMIT_S = 60.0


def main() -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args()
    try:
        status: int = options.act(options)
    except LabError as err:
        print(f"lab: {err}", file=sys.stderr)
        return 1
    return status


def _up(options: argparse.Namespace) -> int:
    hardware = machines.Hardware(
        disks=options.disks, size_mib=options.size, memory_mib=options.memory, udev=options.udev
    )
    # `down` sends it; raised where it comes, so that the lab is removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with machines.lab(_NAME) as lab:
        (lab.directory / "owner").write_text(str(Process.of(os.getpid())))
        if options.ceph:
            lab.ceph()
        for machine in lab.boot(dict.fromkeys(options.names, hardware)):
            print(f"{machine.name} is at {machine.lan}")
        print(f"their network is {lab.namespace}; Ctrl-C or `scripts/lab down` ends them", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()
    return 0


def _run(options: argparse.Namespace) -> int:
    for directory in _labs():
        settings = directory / "machines" / options.name / "boot"
        if settings.exists():
            network = MachineNetwork(namespace=directory.name)
            # what was read of the host's files is forgotten, so that it sees them as they are now
            argv = ["sh", "-c", 'echo 3 >/proc/sys/vm/drop_caches; exec "$@"', "sh", *options.words]
            values = dict(word.partition("=")[::2] for word in shlex.split(settings.read_text()))
            connection = network.connect(values["ctl"], agent.PORT)
            done = Command.begin(options.name, connection, argv, cwd=str(machines.ROOT)).wait(options.timeout)
            sys.stdout.write(done.stdout)
            sys.stderr.write(done.stderr)
            return done.returncode
    raise LabError(f"no machine {options.name} is up")


def _down(_: argparse.Namespace) -> int:
    for directory in _labs():
        os.kill(Process.parse((directory / "owner").read_text()).pid, signal.SIGTERM)
        deadline = time.monotonic() + _LIMIT_S
        while directory.exists():
            if time.monotonic() > deadline:
                raise LabError(f"{directory} is still there")
            time.sleep(0.05)
    return 0


def _labs() -> list[Path]:
    """Directories of the labs that `up` made and keeps."""
    owners = Path(tempfile.gettempdir()).glob(f"lab-{_NAME}-*/owner")
    return [owner.parent for owner in owners if Process.parse(owner.read_text()).is_alive()]


def _record(options: argparse.Namespace) -> int:
    # The rest of this command line needs nothing of the package under test.
    from lab import scenarios
    from lab.recording_storage import record

    for name in options.scenarios or scenarios.names():
        began = time.monotonic()
        target = record(name)
        print(f"{name}: {time.monotonic() - began:.0f} s, {target.relative_to(machines.ROOT)}", flush=True)
    return 0


def _check(_: argparse.Namespace) -> int:
    print(f"kernel: {machine_kernel().kernel}")
    with machines.lab(_NAME) as lab:
        one, two = lab.up("n1", "n2", disks=1, size_mib=64)
        one.check(["busybox", "ping", "-c", "1", "-w", "60", two.lan])
        for argv in (
            ["pvcreate", "/dev/vda"],
            ["modprobe", "drbd", "minor_count=128", "usermode_helper=/bin/true"],
            ["drbdsetup", "status"],
            [str(machines.PYTHON), "-P", "-c", "import ganeti"],
        ):
            one.check(argv)
        print(f"machines: {one.check(['uname', '-sr']).stdout.strip()}, LVM and DRBD answer, the checkout is there")
        lab.ceph()
        print("Ceph: a cluster took an image")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Virtual machines with this checkout in them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="boot machines and keep them until Ctrl-C or `down`")
    up.add_argument("names", nargs="+", metavar="NAME")
    up.add_argument("--disks", type=int, default=0, help="empty disks /dev/vda, /dev/vdb, ... (%(default)s)")
    up.add_argument("--size", type=int, default=1024, metavar="MIB", help="of each disk (%(default)s)")
    up.add_argument("--memory", type=int, default=512, metavar="MIB", help="of each machine (%(default)s)")
    up.add_argument("--udev", action="store_true", help="run udev in them")
    up.add_argument("--ceph", action="store_true", help="with a Ceph cluster in their network")
    up.set_defaults(act=_up)
    run = commands.add_parser("run", help="run a command in a machine, in the checkout's top directory")
    run.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="(%(default)s)")
    run.add_argument("name")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    run.set_defaults(act=_run)
    commands.add_parser("down", help="end what `up` keeps").set_defaults(act=_down)
    record = commands.add_parser("record", help="record scenarios (all) on real programs for the fast tests")
    record.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    record.set_defaults(act=_record)
    commands.add_parser("check", help="say whether everything machines need is there").set_defaults(act=_check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
