"""Commands, options and what is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from ganeti.constants import NODED_PORT, RELEASE_VERSION
from ganeti.errors import NodeError
from ganeti.host.paths import Paths
from ganeti.host.runner import become
from ganeti.operator.cli.client import Client
from ganeti.operator.cli.options import key_values, parse_disk, parse_nic
from ganeti.operator.cli.tables import guest_details, guest_table, node_details
from ganeti.operator.models import (
    ConsoleReport,
    GrowRequest,
    Guest,
    GuestSpec,
    MigrateReport,
    MigrateRequest,
    NodeReport,
    StartRequest,
    StopRequest,
)


class _Context:
    """What the options before the command say."""

    def __init__(self, paths: Paths, socket_path: Path, *, as_json: bool) -> None:
        self.paths = paths
        self.client = Client(socket_path)
        self.as_json = as_json

    def show(self, value: object, text: str) -> None:
        """Print for a program or for a person."""
        click.echo(msgspec.json.format(msgspec.json.encode(value)).decode() if self.as_json else text)


pass_context = click.make_pass_decorator(_Context)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(RELEASE_VERSION, prog_name="ganeti-node")
@click.option("--socket", type=click.Path(path_type=Path), help="Socket of the node daemon.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def cli(context: click.Context, socket: Path | None, *, as_json: bool) -> None:
    """Make and run guests on this machine."""
    paths = Paths.from_environment(os.environ)
    context.obj = _Context(paths, socket or paths.operator_socket, as_json=as_json)


@cli.command()
@pass_context
def status(context: _Context) -> None:
    """Show this node."""
    report = context.client.get("/node", NodeReport)
    context.show(report, node_details(report))


@cli.command("os")
@pass_context
def operating_systems(context: _Context) -> None:
    """List the operating system definitions."""
    found = context.client.get("/operating-systems", dict[str, str])
    context.show(found, "\n".join(f"{name:20} {problem or 'ok'}" for name, problem in sorted(found.items())))


@cli.command("list")
@pass_context
def list_guests(context: _Context) -> None:
    """List the guests."""
    guests = context.client.get("/guests", list[Guest])
    context.show(guests, guest_table(guests))


@cli.command()
@click.argument("name")
@pass_context
def info(context: _Context, name: str) -> None:
    """Show one guest."""
    guest = context.client.get(f"/guests/{name}", Guest)
    context.show(guest, guest_details(guest))


@cli.command()
@click.argument("name")
@click.option("--os", "os_name", required=True, help="Operating system definition, with +variant if it has any.")
@click.option("--hypervisor", default="kvm", show_default=True)
@click.option("--memory", "memory_mib", default=128, show_default=True, help="Memory in MiB.")
@click.option("--vcpus", default=1, show_default=True)
@click.option("--disk", "disks", multiple=True, metavar="SIZE[:TEMPLATE]", help="1G, 512M:sharedfile, ...")
@click.option("--nic", "nics", multiple=True, metavar="KEY=VALUE,...", help="link=br0,mode=bridged,mac=...,ip=...")
@click.option("-H", "--hv", "hvparams", multiple=True, metavar="NAME=VALUE", help="Hypervisor parameter.")
@click.option("-O", "--osparam", "osparams", multiple=True, metavar="NAME=VALUE", help="Operating system parameter.")
@click.option("--no-start", is_flag=True, help="Leave it stopped.")
@pass_context
def create(
    context: _Context,
    *,
    name: str,
    os_name: str,
    hypervisor: str,
    memory_mib: int,
    vcpus: int,
    disks: Sequence[str],
    nics: Sequence[str],
    hvparams: Sequence[str],
    osparams: Sequence[str],
    no_start: bool,
) -> None:
    """Make a guest: its disks and its operating system, and start it."""
    spec = GuestSpec(
        name=name,
        os=os_name,
        hypervisor=hypervisor,
        memory_mib=memory_mib,
        vcpus=vcpus,
        disks=tuple(parse_disk(text) for text in disks),
        nics=tuple(parse_nic(text) for text in nics),
        hvparams={**key_values(hvparams)},
        osparams=key_values(osparams),
        start=not no_start,
    )
    guest = context.client.post("/guests", spec, Guest)
    context.show(guest, f"{guest.name} was made and is {guest.status}")


@cli.command()
@click.argument("name")
@click.option("--paused", is_flag=True, help="Stop before the first instruction.")
@pass_context
def start(context: _Context, name: str, *, paused: bool) -> None:
    """Start a guest."""
    guest = context.client.post(f"/guests/{name}/start", StartRequest(paused=paused), Guest)
    context.show(guest, f"{name} is {guest.status}")


@cli.command()
@click.argument("name")
@click.option("--timeout", "timeout_s", default=120.0, show_default=True, help="Seconds to wait before force is used.")
@click.option("--force", is_flag=True, help="Do not press the power button first.")
@pass_context
def stop(context: _Context, name: str, timeout_s: float, *, force: bool) -> None:
    """Stop a guest with the power button, and by force if it does not listen."""
    request = StopRequest(timeout_s=0 if force else timeout_s)
    guest = context.client.post(f"/guests/{name}/stop", request, Guest)
    context.show(guest, f"{name} is {guest.status}")


@cli.command()
@click.argument("name")
@pass_context
def reboot(context: _Context, name: str) -> None:
    """Stop and start a guest."""
    guest = context.client.post(f"/guests/{name}/reboot", None, Guest)
    context.show(guest, f"{name} is {guest.status}")


@cli.command()
@click.argument("name")
@click.argument("amount_mib", type=int)
@click.option("--disk", "index", default=0, show_default=True, help="Which disk, from 0.")
@pass_context
def grow(context: _Context, name: str, amount_mib: int, index: int) -> None:
    """Enlarge a disk by AMOUNT_MIB MiB; a running guest sees it at once."""
    guest = context.client.post(f"/guests/{name}/grow", GrowRequest(disk=index, amount_mib=amount_mib), Guest)
    context.show(guest, f"disk {index} of {name} has {guest.disks_mib[index]} MiB")


@cli.command()
@click.argument("name")
@pass_context
def console(context: _Context, name: str) -> None:
    """Join this terminal to a guest's serial console (leave it with Ctrl-])."""
    report = context.client.get(f"/guests/{name}/console", ConsoleReport)
    if context.as_json:
        context.show(report, "")
        return
    become(report.command)


@cli.command()
@click.argument("name")
@click.argument("address")
@click.option("--port", default=NODED_PORT, show_default=True, help="Port of the other node's daemon.")
@click.option("--pause", is_flag=True, help="Stop the guest while it is moved.")
@pass_context
def migrate(context: _Context, name: str, address: str, port: int, *, pause: bool) -> None:
    """Move a running guest to the node at ADDRESS."""
    request = MigrateRequest(address=address, port=port, live=not pause)
    report = context.client.post(f"/guests/{name}/migrate", request, MigrateReport)
    moved = f", {report.transferred_bytes / 1048576:.1f} MiB" if report.transferred_bytes else ""
    context.show(report, f"{name} runs on {address} ({report.seconds:.1f} s{moved})")
    if report.warning:
        click.echo(f"warning: {report.warning}", err=True)


@cli.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def remove(context: _Context, name: str, *, yes: bool) -> None:
    """Destroy a guest and its disks."""
    if not yes:
        click.confirm(f"Destroy {name} and all its data?", abort=True)
    context.client.delete(f"/guests/{name}")
    context.show({"removed": name}, f"{name} is gone")


def main() -> int:
    """Run the command; every failure is one line on standard error and status 1."""
    # Only these two commands need what is not a client: certificates, directories.
    from ganeti.operator.cli import setting_up

    cli.add_command(setting_up.init)
    cli.add_command(setting_up.trust)
    try:
        cli(standalone_mode=True)
    except NodeError as err:
        click.echo(f"ganeti-node: {err}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
