"""Keeps compiled modules of the user's project where nobody else keeps them.

Containers and CI images often set PYTHONDONTWRITEBYTECODE: then every process compiles every file
it imports anew, and pytest rewrites every test file anew (sympy's core tests: 14.4 s to collect
without compiled files, 1.7 s with them). This keeps them in a folder of Proctor's own, and leaves
the source tree and what tests see of the interpreter as the user wants them.

Installed before pytest is imported: it may have no compiled files either.
"""

# Before every other import of the session: no more modules than needed, so os.path it is.
# ruff: noqa: PTH109, PTH110, PTH118

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from importlib import machinery, util
from types import CodeType, ModuleType
from typing import Any


class ImportCache:
    """A folder of compiled files, for sources below certain folders."""

    def __init__(self, place: str, roots: Iterable[str]) -> None:
        self.place = place
        # With a separator at the end: /home/me is not the parent of /home/mercury.
        self.roots = tuple(os.path.join(os.path.realpath(root), "") for root in roots)

    def holds(self, source: str) -> bool:
        """Whether this file's code is kept here: it is the project's, and not compiled in place.

        What tests write into temporary folders is not: the folder would grow for ever.
        """
        if not os.path.realpath(source).startswith(self.roots):
            return False
        try:
            return not os.path.exists(util.cache_from_source(source))
        except NotImplementedError:
            # An interpreter that keeps no compiled files at all.
            return False

    @contextmanager
    def open(self) -> Generator[None]:
        """Let the import system read and write here, within the block."""
        before = sys.pycache_prefix, sys.dont_write_bytecode
        sys.pycache_prefix, sys.dont_write_bytecode = self.place, False
        try:
            yield
        finally:
            sys.pycache_prefix, sys.dont_write_bytecode = before

    @contextmanager
    def shut(self) -> Generator[None]:
        """Within `open`, as if it were not."""
        before = sys.pycache_prefix, sys.dont_write_bytecode
        sys.pycache_prefix, sys.dont_write_bytecode = None, True
        try:
            yield
        finally:
            sys.pycache_prefix, sys.dont_write_bytecode = before


def install(place: str, *more: str) -> ImportCache | None:
    """Use the folder where the user's settings keep Python from writing compiled files.

    It holds the project's modules, the environment's, and those below the folders named.
    """
    if not sys.dont_write_bytecode or sys.pycache_prefix is not None:
        return None
    cache = ImportCache(place, {os.getcwd(), sys.prefix, sys.base_prefix, *more})

    class Loader(machinery.SourceFileLoader):
        """Reads and writes the compiled file in the cache when there is none in place."""

        def get_code(self, fullname: str) -> CodeType | None:
            # Only the code is made within the block: what it imports comes later.
            with cache.shut():
                ours = cache.holds(self.path)
                if not ours:
                    return super().get_code(fullname)
            with cache.open():
                return super().get_code(fullname)

    hook = machinery.FileFinder.path_hook(
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )
    # Before the interpreter's own, which is the last; behind the one for zip files.
    sys.path_hooks.insert(max(0, len(sys.path_hooks) - 1), hook)
    sys.path_importer_cache.clear()
    return cache


def serve_pytest(cache: ImportCache) -> None:
    """Keep what pytest makes of test files, conftests and plugins here too."""
    try:
        from _pytest.assertion.rewrite import AssertionRewritingHook

        original = AssertionRewritingHook.exec_module
    except (ImportError, AttributeError):
        return

    def exec_module(hook: Any, module: ModuleType) -> None:
        # What the module imports in turn finds its own way by `Loader`.
        origin = module.__spec__.origin if module.__spec__ else None
        if origin is None or not os.path.realpath(origin).startswith(cache.roots):
            original(hook, module)
            return
        with cache.open():
            original(hook, module)

    setattr(AssertionRewritingHook, "exec_module", exec_module)  # noqa: B010 - a foreign method
