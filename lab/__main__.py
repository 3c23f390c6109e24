"""The lab's command line: `python3 -m lab`, as root, from the project's top folder."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lab.cluster import Cluster, Settings, default_directory
from lab.guest import Guest
from lab.processes import LabError, run

_SETUP = Path(__file__).resolve().parent.parent / "scripts" / "setup"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the lab; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _act(options, Cluster(options.name, options.dir))
    except LabError as err:
        print(f"lab: {err}", file=sys.stderr)
        return 1
    return 0


def _act(options: argparse.Namespace, cluster: Cluster) -> None:
    match options.command:
        case "install":
            _install()
        case "up":
            _up(options, cluster)
        case "swap":
            cluster.swap(_daemon(options.daemon), options.node)
        case "run":
            _take_place(cluster.node(options.node).command(options.words))
        case "sh":
            _take_place(cluster.node(options.node).command(["bash", "-c", " ".join(options.words)]))
        case "crash":
            cluster.node(options.node).crash()
        case "boot":
            cluster.node(options.node).boot()
        case "list":
            for node in cluster.nodes():
                process = node.init()
                print(f"{node.name} {node.fqdn} {process.pid if process else 'down'} {node.directory}")
        case "down":
            cluster.down()


def _take_place(command: Sequence[str]) -> NoReturn:
    """Become the command, so that it has this process's terminal, signals and exit status."""
    os.execvp(command[0], [*command])  # noqa: S606 - see above


def _install() -> None:
    run([str(_SETUP), "system"], env={"LAB": "1"}, timeout_s=1800)
    guest = Guest()
    if not guest.is_there():
        guest.make()


def _up(options: argparse.Namespace, cluster: Cluster) -> None:
    began = time.monotonic()
    daemon = _daemon(options.noded)
    daemons = {} if daemon is None else {f"node{number}": daemon for number in range(1, options.count + 1)}
    settings = Settings(hypervisors=options.hypervisors.split(","), templates=options.templates.split(","))
    if options.bare:
        cluster.make_nodes(options.count, daemons=daemons)
    else:
        cluster.up(options.count, daemons=daemons, settings=settings)
        print(cluster.gnt("gnt-node", "list").stdout, end="")
    print(
        f"lab {cluster.name}: {options.count} nodes in {time.monotonic() - began:.1f} s, files in {cluster.directory}"
    )


def _daemon(text: str) -> Path | None:
    return None if text == "packaged" else Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A packaged Ganeti cluster on throw-away hosts.")
    parser.add_argument("--name", default="lab", help="several labs can exist beside each other (%(default)s)")
    parser.add_argument("--dir", type=Path, default=default_directory(), help="where labs keep files (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("install", help="install Debian packages and make the guests' kernel")
    up = commands.add_parser("up", help="make nodes and a cluster of them")
    up.add_argument("count", type=int, nargs="?", default=3, help="number of nodes (%(default)s)")
    up.add_argument("--noded", default="packaged", help="executable in place of ganeti-noded, from the first start on")
    up.add_argument("--hypervisors", default="fake,kvm", help="enabled ones, the default one first (%(default)s)")
    up.add_argument("--templates", default="file,sharedfile,diskless", help="enabled disk templates (%(default)s)")
    up.add_argument("--bare", action="store_true", help="make the nodes only, no cluster")
    swap = commands.add_parser("swap", help="change the daemon of a running cluster")
    swap.add_argument("daemon", help="an executable, or the word `packaged`")
    swap.add_argument("node", nargs="*", help="which nodes (all)")
    for name, text in (("run", "run a command on a node"), ("sh", "run a shell line on a node")):
        command = commands.add_parser(name, help=text)
        command.add_argument("node")
        command.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    for name, text in (("crash", "cut a node's power"), ("boot", "start a crashed node again")):
        commands.add_parser(name, help=text).add_argument("node")
    commands.add_parser("list", help="show the nodes there are")
    commands.add_parser("down", help="end and drop everything")
    return parser


if __name__ == "__main__":
    sys.exit(main())
