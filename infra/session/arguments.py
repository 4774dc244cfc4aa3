"""What pytest is told to look at: paths as arguments, and arguments as paths."""

# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any


def is_odd(name: str) -> bool:
    """Whether pytest would misread it in an argument."""
    return "[" in name or "::" in name


def argument_for(path: Path, start: Path) -> str:
    """What names a file to pytest that is started there.

    Brackets and colons cannot be said in an argument; a folder above them can, and everything
    else in there is passed over.
    """
    if not is_odd(str(path)):
        return str(path)
    said = os.path.relpath(path, start)
    while is_odd(said):
        said = os.path.dirname(said)
    return said or "."


def initial_paths(config: Any) -> frozenset[Path]:
    """The paths the user named, as pytest resolves them."""
    paths: list[Path] = []
    for argument in config.args:
        name = str(argument).split("[", 1)[0].split("::", 1)[0]
        if config.getoption("pyargs", False):
            import importlib.util

            with contextlib.suppress(ImportError, AttributeError, ValueError):
                spec = importlib.util.find_spec(name)
                origin = None if spec is None else spec.origin
                if origin is not None:
                    name = os.path.dirname(origin) if origin.endswith("__init__.py") else origin
        paths.append(Path(os.path.abspath(config.invocation_params.dir / name)))
    return frozenset(paths)
