"""Whether modules have what callables name; runs in the user's interpreter, and by itself.

Packages around a module are imported, as they must be to find it; the module is only read.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def missing(what: str) -> str:
    """What a callable such as package.module:function lacks; empty if nothing that is known."""
    module, _, name = what.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError as problem:
        return f"there is no module {problem.name}"
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - a package runs what it likes.
        return f"{module} cannot be found: {type(problem).__name__}: {problem}"
    if spec is None:
        return f"there is no module {module}"
    try:
        source = getattr(spec.loader, "get_source")(module)  # noqa: B009 - not all loaders have it.
        known = set(names(ast.parse(source)))
    except SyntaxError as problem:
        return f"{module} cannot be read: {problem.msg} (line {problem.lineno})"
    except (AttributeError, ImportError, TypeError):
        # A compiled module has no source to look into.
        return ""
    first = name.partition(".")[0]
    if first in known or known & {"*", "__getattr__"}:
        return ""
    return f"{module} has no {first}"


def names(module: ast.Module) -> Iterator[str]:
    """What a module defines, whichever branch it takes."""
    for statement in module.body:
        inside: Iterable[ast.AST] = ast.walk(statement)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = (statement,)
        for node in inside:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.alias):
                yield (node.asname or node.name).partition(".")[0]


if __name__ == "__main__":
    # As where the task runs: its directory comes first, and this one not at all.
    sys.path[0] = str(Path.cwd())
    told = {what: missing(what) for what in json.load(sys.stdin)}
    # Packages may have printed something: the last line is ours.
    sys.stdout.write("\n" + json.dumps(told))
