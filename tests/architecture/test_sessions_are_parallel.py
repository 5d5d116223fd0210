"""The two sessions are shells around the same steps: same names, same parameters, one line each, nothing decided."""

import ast
import inspect
import textwrap

import pytest

from psqlmodel import AsyncSession, Session
from psqlmodel.core.engine import Engine, EngineConnection
from psqlmodel.core.engine.async_engine import AsyncEngine, AsyncEngineConnection
from psqlmodel.core.verbs.methods import AsyncVerbs, Books, Verbs

# Entering and leaving a block is spelled differently, and only an asynchronous engine starts later.
RENAMED = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
ONLY_ASYNC = {"_select", "start"}
PAIRS = [(Session, AsyncSession), (Verbs, AsyncVerbs), (Engine, AsyncEngine), (EngineConnection, AsyncEngineConnection)]


def methods(cls: type) -> dict[str, inspect.Signature]:
    own = {RENAMED.get(name, name): member for name, member in vars(cls).items() if inspect.isfunction(member)}
    return {name: inspect.signature(member) for name, member in own.items()}


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS)
def test_same_names_and_parameters(sync: type, asynchronous: type) -> None:
    ours, theirs = methods(sync), methods(asynchronous)
    assert ours.keys() == theirs.keys() - ONLY_ASYNC
    for name, signature in ours.items():
        assert list(signature.parameters) == list(theirs[name].parameters), name
        defaults = [p.default for p in signature.parameters.values()]
        assert defaults == [p.default for p in theirs[name].parameters.values()], name


@pytest.mark.parametrize("cls", [Session, AsyncSession, Verbs, AsyncVerbs, Books])
def test_public_methods_decide_nothing(cls: type) -> None:
    for name, member in vars(cls).items():
        if not inspect.isfunction(member) or name.startswith("_"):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(member)))
        found = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.If | ast.For | ast.While | ast.IfExp | ast.Try) and not _asks_what_is_known(node)
        ]
        assert not found, f"{cls.__name__}.{name} decides something"
        statements = [n for n in tree.body[0].body if not isinstance(n, ast.Expr) or not _is_docstring(n)]
        assert len(statements) <= 2, f"{cls.__name__}.{name} has {len(statements)} statements"


def _asks_what_is_known(node: ast.AST) -> bool:
    """Tell whether this is the one choice that a session makes: steps only for what `access.known` does not know."""
    return isinstance(node, ast.IfExp) and ast.unparse(node.test) == "found is None"


def _is_docstring(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@pytest.mark.parametrize("cls", [Session, AsyncSession, Engine, AsyncEngine, Verbs, AsyncVerbs, Books])
def test_public_methods_are_documented(cls: type) -> None:
    missing = [name for name, member in vars(cls).items() if not name.startswith("_") and not inspect.getdoc(member)]
    assert missing == []
