"""Running the program that chooses nodes for guests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ganeti.actions.node import Node
from ganeti.errors import NodeError
from ganeti.host import plugins


def run(node: Node, name: str, question: str, parameters: dict[str, str | None]) -> str:
    """What the allocator `name` answers (its standard output) to a question in JSON.

    Each parameter becomes `--key=value`, or `--key` for None. Raises: NodeError, CommandError, OSError.
    """
    program = plugins.find(name, node.paths.allocator_search_path, Path.is_file)
    if program is None:
        raise NodeError(f"iallocator {name!r} not found in the search path")
    options = [f"--{key}" if value is None else f"--{key}={value}" for key, value in parameters.items()]
    with tempfile.NamedTemporaryFile(prefix="ganeti-iallocator.", dir=node.paths.temporary_dir) as file:
        file.write(question.encode())
        file.flush()
        return node.runner.run([program, file.name, *options]).raise_if_failed().stdout
