"""What may appear only in certain places, judged by the source itself: a daemon of threads has one working directory,
one umask, one user and one environment for all of them, and other people's children are not ours to wait for.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src/ganeti"

DAEMONIZE = "host/daemonize.py"
DISPATCH = "noded/dispatch.py"
CLOCK = "host/clock.py"
CODEC = "noded/codec.py"

Judge = Callable[[ast.AST], bool]


def is_name(node: ast.AST | None, *names: str) -> bool:
    """Whether an expression is one of the dotted `names`."""
    return dotted(node) in names


def dotted(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def calls(*names: str) -> Judge:
    return lambda node: isinstance(node, ast.Call) and is_name(node.func, *names)


def mentions(*names: str) -> Judge:
    return lambda node: isinstance(node, ast.Name | ast.Attribute) and is_name(node, *names)


def uses_preexec_function(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "preexec_fn"


def changes_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return is_name(node.value, "os.environ", "environ") and not isinstance(node.ctx, ast.Load)
    changing = ("update", "setdefault", "pop", "popitem", "clear")
    return isinstance(node, ast.Call) and is_name(
        node.func, "os.putenv", "os.unsetenv", *(f"os.environ.{verb}" for verb in changing)
    )


def waits_for_any_child(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and is_name(node.func, "os.wait", "os.wait3"):
        return True
    return (
        isinstance(node, ast.Call)
        and is_name(node.func, "os.waitpid", "os.wait4")
        and bool(node.args)
        and ast.unparse(node.args[0]) in ("-1", "0")
    )


def catches_everything(node: ast.AST) -> bool:
    """Whether a handler takes every error; one that only tidies up and raises the error again does not."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    takes_all = any(kind is None or is_name(kind, "Exception", "BaseException") for kind in kinds)
    last = node.body[-1]
    raises_again = isinstance(last, ast.Raise) and last.exc is None
    return takes_all and not (raises_again and not any(is_name(kind, "Exception") for kind in kinds))


RULES: dict[str, tuple[Judge, frozenset[str]]] = {
    "os.fork": (calls("os.fork", "os.forkpty", "pty.fork"), frozenset({DAEMONIZE})),
    "os.chdir": (calls("os.chdir", "os.fchdir", "os.chroot"), frozenset({DAEMONIZE})),
    "os.umask": (calls("os.umask"), frozenset({DAEMONIZE})),
    "os.setuid": (
        calls(*(f"os.{verb}" for verb in ("setuid", "seteuid", "setreuid", "setresuid", "setgid", "setgroups"))),
        frozenset(),
    ),
    "preexec_fn": (uses_preexec_function, frozenset()),
    "a changed environment": (changes_environment, frozenset()),
    "a wait for any child": (waits_for_any_child, frozenset()),
    "os.system": (calls("os.system", "os.popen"), frozenset()),
    "except Exception": (catches_everything, frozenset({DISPATCH})),
    "time.sleep": (calls("time.sleep"), frozenset({CLOCK})),
    "Any": (mentions("Any", "typing.Any"), frozenset({CODEC})),
    "NotImplementedError": (mentions("NotImplementedError"), frozenset()),
}


@cache
def modules() -> dict[Path, list[ast.AST]]:
    """Every module with all nodes of its syntax tree, the module itself first."""
    return {path: list(ast.walk(ast.parse(path.read_text()))) for path in sorted(PACKAGE.rglob("*.py"))}


def findings(judge: Judge, allowed: frozenset[str]) -> Iterator[str]:
    for path, nodes in modules().items():
        if str(path.relative_to(PACKAGE)) not in allowed:
            yield from (f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', '?')}" for node in nodes if judge(node))


@pytest.mark.parametrize("rule", RULES)
def test_appears_only_where_it_is_allowed(rule: str) -> None:
    judge, allowed = RULES[rule]
    assert list(findings(judge, allowed)) == []


BAD = {
    "os.fork": "os.fork()",
    "os.chdir": "os.chdir('/')",
    "os.umask": "os.umask(0)",
    "os.setuid": "os.setuid(1)",
    "preexec_fn": "Popen(words, preexec_fn=f)",
    "a changed environment": "os.environ['A'] = 'b'",
    "a wait for any child": "os.waitpid(-1, 0)",
    "os.system": "os.system('x')",
    "except Exception": "try:\n    f()\nexcept Exception:\n    raise",
    "time.sleep": "time.sleep(1)",
    "Any": "def f(x: Any) -> None: ...",
    "NotImplementedError": "raise NotImplementedError",
}


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_sees_what_it_is_for(rule: str) -> None:
    judge, _ = RULES[rule]
    assert any(judge(node) for node in ast.walk(ast.parse(BAD[rule])))


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("try:\n    f()\nexcept:\n    pass", True),
        ("try:\n    f()\nexcept BaseException:\n    g()", True),
        ("try:\n    f()\nexcept BaseException:\n    g()\n    raise", False),
        ("try:\n    f()\nexcept (OSError, Exception):\n    pass", True),
        ("try:\n    f()\nexcept OSError:\n    pass", False),
    ],
)
def test_tidying_up_and_raising_again_is_not_catching(source: str, caught: bool) -> None:
    assert any(catches_everything(node) for node in ast.walk(ast.parse(source))) == caught


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(PACKAGE))
        for path, (module, *_) in modules().items()
        if isinstance(module, ast.Module) and ast.get_docstring(module) is None
    ]
    assert silent == []


def test_an_import_inside_a_function_says_what_it_spares() -> None:
    """Once a module and package: the comment stands on the line or above the block of imports."""
    explained_packages = {(path, package) for path, line, package in late_imports() if is_explained(path, line)}
    unexplained = [
        f"{path.relative_to(PACKAGE)}:{line} {package}"
        for path, line, package in late_imports()
        if (path, package) not in explained_packages
    ]
    assert unexplained == []


def late_imports() -> Iterator[tuple[Path, int, str]]:
    """Every import inside a function, with the package it is from."""
    for path, nodes in modules().items():
        found = {
            item
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for item in ast.walk(node)
            if isinstance(item, ast.Import | ast.ImportFrom)
        }
        for item in sorted(found, key=lambda item: item.lineno):
            name = item.module if isinstance(item, ast.ImportFrom) else item.names[0].name
            yield path, item.lineno, (name or "").partition(".")[0]


def is_explained(path: Path, line: int) -> bool:
    lines = [text.strip() for text in path.read_text().splitlines()]
    if "#" in lines[line - 1]:
        return True
    above = line - 2
    while not lines[above] or lines[above].startswith(("import ", "from ")):
        above -= 1
    return lines[above].startswith("#")
