"""The text of a suite's own hook, as far as it runs: with the options that were given.

Many a hook looks for an option first, and does nothing without it: `--split 1/4` of sympy's
conftest.py.
"""

from __future__ import annotations

import ast
import inspect
import operator
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from types import FunctionType
from typing import Any

# What a value is that the text does not show.
UNKNOWN = object()
_ASKING = ("getoption", "getvalue")
_COMPARISONS: dict[type[ast.cmpop], Any] = {
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def nodes_that_run(config: Any, hook: Any) -> Iterator[ast.AST]:
    """Those of the hook, and of the functions of its module that it names."""
    function = getattr(hook, "__func__", hook)
    waiting = [function] if isinstance(function, FunctionType) else []
    seen = set(waiting)
    while waiting:
        function = waiting.pop()
        running = _Running(config)
        running.take(statements_of(function))
        yield from running.nodes
        for node in running.nodes:
            other = function.__globals__.get(node.id) if isinstance(node, ast.Name) else None
            if (
                isinstance(other, FunctionType)
                and other.__module__ == function.__module__
                and other not in seen
            ):
                seen.add(other)
                waiting.append(other)


@cache
def statements_of(function: FunctionType) -> Sequence[ast.stmt]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError):
        # Made without a file, or in the middle of an expression: nothing can be told of it.
        return ()
    first = body[0] if body else None
    return first.body if isinstance(first, (ast.FunctionDef, ast.AsyncFunctionDef)) else body


class _Running:
    """Goes through statements; where it cannot tell whether one runs, it takes it that it does."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.nodes: list[ast.AST] = []
        # What names of the function stand for, as far as that is known.
        self.names: dict[str, Any] = {}

    def take(self, statements: Sequence[ast.stmt]) -> bool:
        """Whether what follows them is not come to."""
        for each in statements:
            if isinstance(each, ast.If):
                if self.take_if(each):
                    return True
                continue
            blocks = blocks_of(each)
            if blocks and not isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.take_compound(each, blocks)
                continue
            self.nodes.extend(ast.walk(each))
            self.forget(each)
            if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
                self.names[each.targets[0].id] = self.value(each.value)
            if isinstance(each, (ast.Return, ast.Raise)):
                return True
        return False

    def take_if(self, statement: ast.If) -> bool:
        self.nodes.extend(ast.walk(statement.test))
        value = self.value(statement.test)
        self.forget(statement.test)
        if value is not UNKNOWN:
            return self.take(statement.body if value else statement.orelse)
        before = dict(self.names)
        left = self.take(statement.body)
        self.names = before
        left = self.take(statement.orelse) and left
        self.forget(statement)
        return left

    def take_compound(self, statement: ast.stmt, blocks: Sequence[list[ast.stmt]]) -> None:
        """A loop, or what may be left anywhere: its names may stand for something else by then."""
        self.forget(statement)
        for part in ast.iter_child_nodes(statement):
            if isinstance(part, (ast.expr, ast.withitem)):
                self.nodes.extend(ast.walk(part))
        for block in blocks:
            self.take(block)
            self.forget(statement)

    def forget(self, part: ast.AST) -> None:
        """What it gives to names is not known."""
        for node in ast.walk(part):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self.names.pop(node.id, None)

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.names.get(node.id, UNKNOWN)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _ASKING and node.args:
            return self.option(self.value(node.args[0]))
        if isinstance(node, ast.Attribute) and getattr(node.value, "attr", "") == "option":
            return self.option(node.attr)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = self.value(node.operand)
            return value if value is UNKNOWN else not value
        if isinstance(node, ast.BoolOp):
            return self.value_of_all(node)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self.compared(node)
        return UNKNOWN

    def option(self, name: Any) -> Any:
        return self.config.getoption(name, UNKNOWN) if isinstance(name, str) else UNKNOWN

    def value_of_all(self, node: ast.BoolOp) -> Any:
        """Of `and` and `or`: one that decides does so, whatever the others are."""
        decides = isinstance(node.op, ast.Or)
        values = [self.value(each) for each in node.values]
        for value in values:
            if value is not UNKNOWN and bool(value) is decides:
                return decides
        return UNKNOWN if any(value is UNKNOWN for value in values) else not decides

    def compared(self, node: ast.Compare) -> Any:
        compare = _COMPARISONS.get(type(node.ops[0]))
        sides = (self.value(node.left), self.value(node.comparators[0]))
        if compare is None or any(side is UNKNOWN for side in sides):
            return UNKNOWN
        try:
            return compare(*sides)
        except TypeError:
            # The hook itself would fail so.
            return UNKNOWN


def blocks_of(statement: ast.stmt) -> list[list[ast.stmt]]:
    """What stands indented below it, also below its `except` and `case`."""
    parts: list[Any] = [
        statement,
        *getattr(statement, "handlers", ()),
        *getattr(statement, "cases", ()),
    ]
    found = [getattr(part, name, []) for part in parts for name in ("body", "orelse", "finalbody")]
    return [block for block in found if isinstance(block, list) and block]
