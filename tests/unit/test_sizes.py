"""Sizes of modules, functions, classes and parameter lists. At a limit, split by subject; there are no exceptions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PLACES = ("src/ganeti", "lab")

MODULE_LINES = 500
BACKEND_LINES = 900
FUNCTION_LINES = 50
PUBLIC_METHODS = 12
POSITIONAL_PARAMETERS = 6

BACKEND = REPOSITORY / "src/ganeti/backend.py"
"""Its functions have the names and parameters of an old interface."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[Path, list[ast.AST]]:
    """Every module with all nodes of its syntax tree."""
    paths = sorted(path for place in PLACES for path in (REPOSITORY / place).rglob("*.py"))
    return {path: list(ast.walk(ast.parse(path.read_text()))) for path in paths}


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    return ((path, node) for path, nodes_of_module in modules().items() for node in nodes_of_module)


def where(path: Path, node: ast.ClassDef | Function) -> str:
    return f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"


def test_the_project_is_where_this_test_looks() -> None:
    assert BACKEND.parent / "errors.py" in modules()


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    too_long = {
        str(path.relative_to(REPOSITORY)): length
        for path, length in lengths.items()
        if length > (BACKEND_LINES if path == BACKEND else MODULE_LINES)
    }
    assert not too_long


def test_no_function_is_too_long() -> None:
    too_long = [
        where(path, node)
        for path, node in nodes()
        if isinstance(node, Function) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert not too_long


def test_no_class_has_too_many_public_methods() -> None:
    """What a class must have because of an interface above it is that interface's, and is counted there."""
    interfaces: dict[str, set[str]] = {}
    for _, node in nodes():
        if isinstance(node, ast.ClassDef):
            interfaces.setdefault(node.name, set()).update(public_methods(node))
    too_many = []
    for path, node in nodes():
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            inherited = {name for base in bases for name in interfaces.get(base, ())}
            own = [name for name in public_methods(node) if name not in inherited]
            mandatory = [name for name in own if is_mandatory(node, name)]
            if max(len(mandatory), len(own) - len(mandatory)) > PUBLIC_METHODS:
                too_many.append(where(path, node))
    assert not too_many


def test_no_function_has_too_many_positional_parameters() -> None:
    too_many = [
        where(path, node)
        for path, node in nodes()
        if isinstance(node, Function) and path != BACKEND and len(positional(node)) > POSITIONAL_PARAMETERS
    ]
    assert not too_many


def public_methods(node: ast.ClassDef) -> list[str]:
    """Methods others may call; attributes computed on demand (properties) and special methods are none."""
    return [
        item.name
        for item in node.body
        if isinstance(item, Function) and not item.name.startswith("_") and not is_property(item)
    ]


def is_property(node: Function) -> bool:
    return is_decorated(node, "property")


def is_mandatory(node: ast.ClassDef, name: str) -> bool:
    """Whether a method of an interface has to be there in every driver; those that may be are counted apart."""
    return any(
        isinstance(item, Function) and item.name == name and is_decorated(item, "abstractmethod") for item in node.body
    )


def is_decorated(node: Function, decorator: str) -> bool:
    return any(isinstance(item, ast.Name) and item.id == decorator for item in node.decorator_list)


def positional(node: Function) -> list[str]:
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names
