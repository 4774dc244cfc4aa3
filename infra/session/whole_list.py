"""Hooks that look at the list of cases as a whole: they move cases, or cut some out by place.

Cases run here as soon as they are found, and sessions load single files. What such a hook makes of
the list is known only when all is collected.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from types import FunctionType
from typing import Any

# Installed plugins that move or cut, and the option without which they do not; none if they
# always do.
ORDERING = {"pytest_order": "", "pytest_ordering": "", "pytest_reverse": "reverse"}
CUTTING = {"pytest_split": "splits", "pytest_test_groups": "test-group-count"}
# Calls that move elements of a list, that take some out, and that count places.
CALLS = {
    "moves": frozenset({"sort", "sorted", "reverse", "reversed", "insert", "shuffle"}),
    "cuts": frozenset({"remove", "pop", "clear"}),
    "places": frozenset({"enumerate", "range", "islice", "sample", "cycle", "batched"}),
}


def puts_in_order(config: Any) -> bool:
    """Whether cases may stand elsewhere, or be gone, when all are collected."""
    return any(
        has_plugin(config, hook, {**ORDERING, **CUTTING})
        or (signs_of(hook) & {"moves", "cuts"} and not is_idle(config, hook))
        for hook in modifiers(config)
    )


def cuts_by_place(config: Any) -> bool:
    """Whether which cases of a file are left may depend on those of other files."""
    return any(
        has_plugin(config, hook, CUTTING)
        or (signs_of(hook) >= {"cuts", "places"} and not is_idle(config, hook))
        for hook in modifiers(config)
    )


def modifiers(config: Any) -> list[Any]:
    """All that may change the list."""
    hooks: list[Any] = config.hook.pytest_collection_modifyitems.get_hookimpls()
    return [each.function for each in hooks]


def has_plugin(config: Any, hook: Any, plugins: dict[str, str]) -> bool:
    option = plugins.get(package_of(hook))
    return option is not None and (not option or bool(config.getoption(option, None)))


def package_of(hook: Any) -> str:
    return str(getattr(hook, "__module__", "")).partition(".")[0]


def is_idle(config: Any, hook: Any) -> bool:
    """Whether it asks for options, and none is given: `--split 1/4` of sympy's conftest."""
    asked = [
        node.args[0].value
        for node in nodes_of(hook)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("getoption", "getvalue")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    return bool(asked) and not any(config.getoption(option, None) for option in asked)


def signs_of(hook: Any) -> frozenset[str]:
    """What a hook of the suite's own does to the list, as far as its text shows."""
    return frozenset(sign for node in nodes_of(hook) for sign in sign_of(node))


@cache
def nodes_of(hook: Any) -> tuple[ast.AST, ...]:
    """The text of a hook of the suite's own.

    Installed plugins are known by name: many have such a hook, and few move anything.
    """
    function = getattr(hook, "__func__", hook)
    if not isinstance(function, FunctionType) or package_of(hook) == "_pytest":
        return ()
    if any(place in function.__code__.co_filename for place in ("site-packages", "dist-packages")):
        return ()
    return tuple(node for each in called_from(function, set()) for node in parsed(each))


def called_from(function: FunctionType, seen: set[FunctionType]) -> Iterator[FunctionType]:
    """The function, and those of its module that it names."""
    if function in seen:
        return
    seen.add(function)
    yield function
    for name in function.__code__.co_names:
        other = function.__globals__.get(name)
        if isinstance(other, FunctionType) and other.__module__ == function.__module__:
            yield from called_from(other, seen)


def parsed(function: FunctionType) -> Iterator[ast.AST]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # Made without a file, or in the middle of an expression: nothing can be told of it.
        return
    yield from ast.walk(tree)


def sign_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        yield from (sign for sign, names in CALLS.items() if name in names)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        part = node.slice
        if isinstance(node.ctx, ast.Store):
            yield "cuts"
        # Not of an attribute: that is a text, such as an item's name.
        elif (part.lower or part.upper or part.step) and not isinstance(node.value, ast.Attribute):
            yield "places"
    elif isinstance(node, ast.Delete):
        if any(isinstance(each, ast.Subscript) for each in node.targets):
            yield "cuts"
    elif isinstance(node, ast.AugAssign) and isinstance(node.value, ast.Constant):
        yield "places"
