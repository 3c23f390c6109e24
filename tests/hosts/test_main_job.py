"""The main job on real guests: the demo from beginning to end, and guests that outlive their daemon."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest
from lab.own_nodes import ROOT, Console, OwnNode, end, guest_kernel, tick, two_nodes

GUEST = "outlives.example"

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[OwnNode, OwnNode]]:
    guest_kernel()
    with two_nodes() as (alpha, beta):
        yield alpha, beta


@pytest.fixture
def running_guest(nodes: tuple[OwnNode, OwnNode]) -> Iterator[Console]:
    alpha, _ = nodes
    alpha.command("create", GUEST, "--os", "busybox", "--memory", "128", "--disk", "32M:sharedfile", "--no-start")
    console = Console(alpha.serial(GUEST))
    alpha.command("start", GUEST)
    tick(console)
    yield console
    console.close()
    if not alpha.daemon_is_up():
        alpha.start()
    alpha.command("remove", "--yes", GUEST)


def test_the_demo_takes_a_guest_from_nothing_to_gone() -> None:
    done = subprocess.run([ROOT / "scripts" / "demo"], capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split(" s  ")[1].split("  ")[0].strip() for line in done.stdout.splitlines() if " s  " in line]
    assert steps == [
        "guest kernel",
        "two nodes",
        "install",
        "start",
        "boot",
        "alive",
        "live migration",
        "alive on beta",
        "disk grown",
        "power button",
        "remove",
    ]
    assert re.search(r"the guest saw 64 MiB, now 128 MiB", done.stdout)


def test_a_guest_lives_on_when_its_daemon_is_killed_and_the_new_one_finds_it(
    nodes: tuple[OwnNode, OwnNode], running_guest: Console
) -> None:
    alpha, _ = nodes
    pid, before = alpha.guest_pid(GUEST), tick(running_guest)

    end(alpha.daemon_pid(), signal.SIGKILL)
    alpha.start()

    assert alpha.ask("info", GUEST)["status"] == "running"
    assert alpha.guest_pid(GUEST) == pid
    assert float(tick(running_guest)["uptime"]) > float(before["uptime"])
    assert alpha.ask("stop", GUEST)["status"] == "stopped"


def test_a_person_types_on_the_console_and_leaves_it_with_the_escape_key(
    nodes: tuple[OwnNode, OwnNode], running_guest: Console
) -> None:
    alpha, _ = nodes
    running_guest.close()
    keyboard, terminal = pty.openpty()
    command = [str(ROOT / ".venv/bin/ganeti-node"), "console", GUEST]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env={**os.environ, **alpha.env}
    ) as person:
        os.close(terminal)
        screen = read_from(keyboard, "GUEST-TICK")
        os.write(keyboard, b"echo $((6 * 7))-answered\n")
        screen += read_from(keyboard, "42-answered")
        os.write(keyboard, b"\x1d")
        assert person.wait(timeout=30) == 0
    os.close(keyboard)

    assert "42-answered" in screen


def read_from(descriptor: int, awaited: str) -> str:
    """Read until `awaited` was there."""
    text = ""
    while awaited not in text:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, f"{awaited!r} did not come; read so far: {text!r}"
        text += os.read(descriptor, 4096).decode(errors="replace")
    return text


def test_a_guest_stays_on_this_node_when_the_other_has_one_of_its_name(
    nodes: tuple[OwnNode, OwnNode], running_guest: Console
) -> None:
    alpha, beta = nodes
    beta.command("create", GUEST, "--os", "busybox", "--disk", "32M")
    try:
        refused = subprocess.run(
            ["ip", "netns", "exec", alpha.namespace, ROOT / ".venv/bin/ganeti-node", "migrate", GUEST, beta.address],
            env={**os.environ, **alpha.env},
            capture_output=True,
            text=True,
            check=False,
        )
        others = beta.ask("info", GUEST)["status"]
    finally:
        beta.command("remove", "--yes", GUEST)

    assert refused.returncode == 1
    assert GUEST in refused.stderr
    assert others == "running"
    assert alpha.ask("info", GUEST)["status"] == "running"
    before = tick(running_guest)
    assert float(tick(running_guest)["uptime"]) > float(before["uptime"])
