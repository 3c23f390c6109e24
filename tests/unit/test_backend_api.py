"""The names of ganeti.backend are those of 2.7, and what is missing is said."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from ganeti import backend

FACTS = Path(__file__).with_name("backend_api_2_7.txt")
DOCUMENT = Path(__file__).parents[2] / "docs/backend.md"

CLASSES = {
    "HooksRunner": {"__init__": "hooks_base_dir=None", "RunHooks": "hpath phase env"},
    "IAllocatorRunner": {"Run": "name idata"},
    "DevCacheManager": {"UpdateCache": "dev_path owner on_primary iv_name", "RemoveCache": "dev_path"},
    "RPCFail": {},
}
MORE_THAN_A_STEP = {"_Fail"}
"""Functions of 2.7 that are a step of their own, not to an action."""


def facts() -> dict[str, str]:
    """The functions of 2.7 and their parameters."""
    lines = [line for line in FACTS.read_text().splitlines() if line and not line.startswith("#")]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def spelled(function: object) -> str:
    """The parameters of a function as the list of facts has them."""
    assert callable(function)
    words = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        star = "*" * ((parameter.kind == parameter.VAR_POSITIONAL) + 2 * (parameter.kind == parameter.VAR_KEYWORD))
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        words.append(f"{star}{parameter.name}{default}")
    return " ".join(words)


MISSING = sorted(name for name in facts() if not hasattr(backend, name))


@pytest.mark.parametrize("name", sorted(facts().keys() - set(MISSING)))
def test_a_function_has_the_parameters_of_2_7(name: str) -> None:
    assert spelled(getattr(backend, name)) == facts()[name].replace("=*", "=None")


def test_there_are_118_functions_in_2_7() -> None:
    assert len(facts()) == 118


def test_the_document_lists_what_is_missing() -> None:
    lines = DOCUMENT.read_text().splitlines()
    listed = [line.split("`")[1] for line in lines if line.startswith("- not yet: `")]
    assert listed == MISSING


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_has_the_methods_of_2_7(name: str) -> None:
    found = getattr(backend, name)
    assert {method: spelled(getattr(found, method)) for method in CLASSES[name]} == CLASSES[name]


def test_every_function_is_documented_and_one_step() -> None:
    tree = ast.parse(inspect.getsource(backend))
    known = facts().keys() - MORE_THAN_A_STEP
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in known]
    assert functions
    wrong = [one.name for one in functions if len(one.body) != 2 or not ast.get_docstring(one)]
    assert wrong == []
