"""Starts a session: `python .../session/__main__.py SETTINGS [pytest arguments]`, run by path.

A program run by path is compiled anew at each start, and once more in each process that a test's
multiprocessing spawns; the modules beside it are kept compiled. So there is little in here.
"""

# No more modules than the session needs anyway.
# ruff: noqa: PTH100, PTH118, PTH120

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.path and sys.path[0] and __file__.startswith(sys.path[0]):
    # Python puts this file's folder first on the path: our modules would hide the standard
    # library's and the user's. Before any other import.
    del sys.path[0]

# What the folder is called in the user's interpreter.
PRIVATE_NAME = "_proctor_session"


def load_package() -> None:
    """Make this folder importable under its private name, and under no other."""
    import os
    from importlib import util

    folder = os.path.dirname(os.path.abspath(__file__))
    spec = util.spec_from_file_location(
        PRIVATE_NAME,
        os.path.join(folder, "__init__.py"),
        submodule_search_locations=[folder],
    )
    assert spec is not None
    assert spec.loader is not None
    package = sys.modules[PRIVATE_NAME] = util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load_package()
    from importlib import import_module

    import_module(f"{PRIVATE_NAME}.entry").enter(sys.argv[1:])
