"""The lab's command line: `python3 -m lab`, as root, from the project's top folder."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lab import machines, storage_day
from lab.cluster import Cluster, Settings, default_directory
from lab.guest import Guest
from lab.machine_cluster import NODES as MACHINE_NODES
from lab.machine_cluster import MachineCluster
from lab.operator_day import NODES, record
from lab.processes import LabError, run
from lab.recordings import differences

_SETUP = Path(__file__).resolve().parent.parent / "scripts" / "setup"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the lab; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.act(Cluster(options.name, options.dir), options)
    except LabError as err:
        print(f"lab: {err}", file=sys.stderr)
        return 1
    return 0


def _install(_: Cluster, __: argparse.Namespace) -> None:
    run([str(_SETUP), "system"], env={"LAB": "1"}, timeout_s=1800)
    guest = Guest()
    if not guest.is_there():
        guest.make()


def _up(cluster: Cluster, options: argparse.Namespace) -> None:
    began = time.monotonic()
    daemons = _daemons(options.noded, options.count)
    settings = Settings(hypervisors=options.hypervisors.split(","), templates=options.templates.split(","))
    if options.bare:
        cluster.make_nodes(options.count, daemons=daemons)
    else:
        cluster.up(options.count, daemons=daemons, settings=settings)
        print(cluster.gnt("gnt-node", "list").stdout, end="")
    print(
        f"lab {cluster.name}: {options.count} nodes in {time.monotonic() - began:.1f} s, files in {cluster.directory}"
    )


def _daemons(texts: Sequence[str], count: int) -> dict[str, Path]:
    """Read `FILE` (for all nodes) and `NODE=FILE`; later ones count."""
    chosen: dict[str, Path | None] = {}
    for text in texts:
        node, separator, file = text.rpartition("=")
        names = [node] if separator else [f"node{number}" for number in range(1, count + 1)]
        chosen |= dict.fromkeys(names, _daemon(file))
    return {node: daemon for node, daemon in chosen.items() if daemon is not None}


def _swap(cluster: Cluster, options: argparse.Namespace) -> None:
    cluster.swap(_daemon(options.daemon), options.node)


def _run(cluster: Cluster, options: argparse.Namespace) -> None:
    _take_place(cluster.node(options.node).command(options.words))


def _sh(cluster: Cluster, options: argparse.Namespace) -> None:
    _take_place(cluster.node(options.node).command(["bash", "-c", " ".join(options.words)]))


def _take_place(command: Sequence[str]) -> NoReturn:
    """Become the command, so that it has this process's terminal, signals and exit status."""
    os.execvp(command[0], [*command])  # noqa: S606 - see above


def _crash(cluster: Cluster, options: argparse.Namespace) -> None:
    cluster.node(options.node).crash()


def _boot(cluster: Cluster, options: argparse.Namespace) -> None:
    cluster.node(options.node).boot()


def _list(cluster: Cluster, _: argparse.Namespace) -> None:
    for node in cluster.nodes():
        process = node.init()
        print(f"{node.name} {node.fqdn} {process.pid if process else 'down'} {node.directory}")


def _record(cluster: Cluster, options: argparse.Namespace) -> None:
    for line in record(cluster, options.directory, _daemons(options.noded, NODES)):
        print(line, flush=True)


def _record_storage(_: Cluster, options: argparse.Namespace) -> None:
    with machines.lab("storage") as lab:
        daemons = dict.fromkeys(MACHINE_NODES, options.noded) if options.noded else {}
        for line in storage_day.record(MachineCluster(lab), options.directory, daemons):
            print(line, flush=True)


def _compare(_: Cluster, options: argparse.Namespace) -> None:
    for line in differences(options.reference, options.directory):
        print(line[:500])


def _down(cluster: Cluster, _: argparse.Namespace) -> None:
    cluster.down()


def _daemon(text: str) -> Path | None:
    return None if text == "packaged" else Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A packaged Ganeti cluster on throw-away hosts.")
    parser.add_argument("--name", default="lab", help="several labs can exist beside each other (%(default)s)")
    parser.add_argument("--dir", type=Path, default=default_directory(), help="where labs keep files (%(default)s)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Callable[[Cluster, argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(act=act)
        return made

    command("install", _install, "install Debian packages and make the guests' kernel")
    up = command("up", _up, "make nodes and a cluster of them")
    up.add_argument("count", type=int, nargs="?", default=3, help="number of nodes (%(default)s)")
    noded = "executable in place of ganeti-noded, from the first start on, on all nodes or on one; may be repeated"
    up.add_argument("--noded", action="append", default=[], metavar="[NODE=]FILE", help=noded)
    up.add_argument("--hypervisors", default="fake,kvm", help="enabled ones, the default one first (%(default)s)")
    up.add_argument("--templates", default="file,sharedfile,diskless", help="enabled disk templates (%(default)s)")
    up.add_argument("--bare", action="store_true", help="make the nodes only, no cluster")
    swap = command("swap", _swap, "change the daemon of a running cluster")
    swap.add_argument("daemon", help="an executable, or the word `packaged`")
    swap.add_argument("node", nargs="*", help="which nodes (all)")
    for inside in (command("run", _run, "run a command on a node"), command("sh", _sh, "run a shell line on a node")):
        inside.add_argument("node")
        inside.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    command("crash", _crash, "cut a node's power").add_argument("node")
    command("boot", _boot, "start a crashed node again").add_argument("node")
    command("list", _list, "show the nodes there are")
    recording = command("record", _record, "make a cluster and record an operator's day on it")
    recording.add_argument(
        "directory", type=Path, help="where the recording goes; files of the same names are replaced"
    )
    storage = command("record-storage", _record_storage, "make a cluster of machines and record a day of its disks")
    storage.add_argument("directory", type=Path, help="where the recording goes; files of the same names are replaced")
    storage.add_argument("--noded", type=Path, help="executable in place of ganeti-noded on both nodes")
    compare = command("compare", _compare, "print replies of a recording that are of no shape the other one knows")
    compare.add_argument("reference", type=Path)
    compare.add_argument("directory", type=Path)
    command("down", _down, "end and drop everything")
    return parser


if __name__ == "__main__":
    sys.exit(main())
