"""Imports from the folders of other test files, which plain pytest has on the path by then.

Pytest puts the folder of each test file that it loads on `sys.path` (not with
`--import-mode=importlib`), and loads all of them before it runs any. A session loads the files
that it is to run. What a suite finds through the others it finds here too, behind everything else.
"""

# ruff: noqa: PTH118, PTH120 - for each folder of a tree that may be large

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from importlib.machinery import ModuleSpec, PathFinder
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from .system import System

# Of a tree with more, each session would look for seconds.
MOST_FOLDERS = 10_000


class Neighbours:
    """A finder of modules that is asked last, and looks at the folders when it first is."""

    def __init__(
        self, roots: Iterable[Path], *, files: Sequence[str], without: Sequence[str]
    ) -> None:
        self.roots = [str(root) for root in roots]
        self.files = ("conftest.py", *files)
        self.without = without
        self.folders: list[str] | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:
            # Within a package.
            return None
        if self.folders is None:
            self.folders = list(dict.fromkeys(self.look()))
        return PathFinder.find_spec(name, self.folders, target)

    def look(self) -> Iterator[str]:
        for root in self.roots:
            start = root if System.isdir(root) else os.path.dirname(root)
            for where, folders, files in islice(System.walk(start), MOST_FOLDERS):
                folders[:] = sorted(name for name in folders if not matches(name, self.without))
                if any(matches(name, self.files) for name in files):
                    yield above_packages(where)


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def above_packages(folder: str) -> str:
    """The folder itself, or the one that its outermost package stands in."""
    while System.isfile(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def find_neighbours(config: Any, roots: Iterable[Path]) -> None:
    """From now on, where pytest would put them on the path."""
    if config.getoption("importmode", "prepend") == "importlib":
        return
    files = [str(each) for each in config.getini("python_files")]
    without = [str(each) for each in config.getini("norecursedirs")]
    sys.meta_path.append(Neighbours(roots, files=files, without=without))
