"""A few files are collected alone: all that does not lead to them is passed over, and cheaply."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest


class Narrow:
    """The files that are wanted alone, if any are.

    To come to one of a hundred files, pytest looks at all of them, and at the folders above once
    more for each file: on networkx's 265 files that was half of what collecting them took.
    """

    def __init__(self) -> None:
        self.active = False
        self.leading: frozenset[str] = frozenset()
        # Folders that nobody ignores: asked once, for it is slow.
        self.entered: set[str] = set()

    @contextlib.contextmanager
    def to(self, paths: Sequence[Path]) -> Generator[None]:
        """Within the block everything else is passed over."""
        self.active = True
        folders = {folder for path in paths for folder in path.parents}
        self.leading = frozenset(map(str, (*paths, *folders)))
        try:
            with contextlib.ExitStack() as stack:
                for module in modules_with_scandir():
                    stack.enter_context(self.listing(module))
                yield
        finally:
            self.active = False

    @contextlib.contextmanager
    def listing(self, module: Any) -> Generator[None]:
        """Let pytest see nothing else in the folders."""
        original: Callable[..., Sequence[os.DirEntry[str]]] = module.scandir

        def scandir(*args: Any, **kwargs: Any) -> list[os.DirEntry[str]]:
            return [each for each in original(*args, **kwargs) if each.path in self.leading]

        module.scandir = scandir
        try:
            yield
        finally:
            module.scandir = original

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        if not self.active:
            return None
        name = str(collection_path)
        if name not in self.leading:
            return True
        return False if name in self.entered else None


def modules_with_scandir() -> list[Any]:
    """Where pytest lists folders, since version 8."""
    from _pytest import main, python

    return [module for module in (main, python) if hasattr(module, "scandir")]
