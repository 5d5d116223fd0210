"""A step function that is called without `yield from` does nothing, silently: no such call may exist."""

import ast
from pathlib import Path

import psqlmodel

ROOT = Path(psqlmodel.__file__).parent


def step_functions() -> set[str]:
    """Names of the functions that are annotated as steps."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.returns is not None and _names_steps(node.returns):
                found.add(node.name)
    return found


def _names_steps(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Steps"


def test_steps_are_never_called_and_dropped() -> None:
    names = step_functions()
    assert {"flush", "get", "commit", "execute"} <= names
    dropped = []
    for path in (ROOT / "core").rglob("*.py"):
        tree = ast.parse(path.read_text())
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
        forgotten = [call for call in calls if _calls(call.value, names, modules)]
        dropped += [f"{path.relative_to(ROOT)}:{call.lineno}" for call in forgotten]
    assert dropped == []


def _calls(call: ast.Call, names: set[str], modules: set[str]) -> bool:
    """Tell whether a call is one of a step function: by its own name, or through the module or unit it belongs to."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in names
    if not isinstance(function, ast.Attribute) or function.attr not in names:
        return False
    owner = function.value
    return isinstance(owner, ast.Name) and (owner.id in modules or owner.id == "catalog")


def test_the_test_sees_a_forgotten_yield_from() -> None:
    call = ast.parse("flush(workspace)").body[0]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    assert _calls(call.value, {"flush"}, set())
