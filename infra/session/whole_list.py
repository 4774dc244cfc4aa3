"""Hooks that look at the list of cases as a whole: they move cases, or cut some out by place.

Cases run here as soon as they are found, and sessions load single files. What such a hook makes of
the list is known only when all is collected.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from .hook_text import nodes_that_run

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
        or signs_of(config, hook) & {"moves", "cuts"}
        for hook in modifiers(config)
    )


def cuts_by_place(config: Any) -> bool:
    """Whether which cases of a file are left may depend on those of other files."""
    return any(
        has_plugin(config, hook, CUTTING) or signs_of(config, hook) >= {"cuts", "places"}
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


def signs_of(config: Any, hook: Any) -> frozenset[str]:
    """What a hook of the suite's own does to the list, as far as its text shows.

    Installed plugins are known by name: many have such a hook, and few move anything.
    """
    code = getattr(getattr(hook, "__func__", hook), "__code__", None)
    if code is None or package_of(hook) == "_pytest":
        return frozenset()
    if any(place in code.co_filename for place in ("site-packages", "dist-packages")):
        return frozenset()
    return frozenset(sign for node in nodes_that_run(config, hook) for sign in sign_of(node))


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
