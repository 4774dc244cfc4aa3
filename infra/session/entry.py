"""From the start of the process to pytest's main function, and out again."""

# pytest is not imported yet, and may need the cache of compiled modules for that.
# ruff: noqa: PTH100, PTH112, PTH118, PTH120

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

# Exit code of ours, told apart from what a test may choose by being unusual.
EXIT_NO_PYTEST = 87


def enter(arguments: Sequence[str]) -> None:
    """Run the session that the first argument describes; the process ends here."""
    settings: dict[str, Any] = json.loads(arguments[0])
    if sys.version_info < (3, 9):  # noqa: UP036 - ours is newer, the user's may not be
        told = {"k": "problem", "what": "old python", "text": sys.version.split()[0]}
        os.write(settings["records"], (json.dumps(told) + "\n").encode())
        raise SystemExit(EXIT_NO_PYTEST)
    cache = import_cache(settings)
    from .garbage import seldom_garbage_collection

    # pytest, its plugins and conftests: all of that stays.
    starting = contextlib.ExitStack()
    starting.enter_context(seldom_garbage_collection())
    try:
        import pytest
    except Exception as problem:
        # Also a pytest that is there but broken.
        told = {"k": "problem", "what": "no pytest", "text": f"{type(problem).__name__}: {problem}"}
        os.write(settings["records"], (json.dumps(told) + "\n").encode())
        raise SystemExit(EXIT_NO_PYTEST) from problem
    if tuple(int(part) for part in pytest.__version__.split(".")[:2]) < (7, 0):
        told = {"k": "problem", "what": "old pytest", "text": pytest.__version__}
        os.write(settings["records"], (json.dumps(told) + "\n").encode())
        raise SystemExit(EXIT_NO_PYTEST)
    if cache is not None:
        module, kept = cache
        module.serve_pytest(kept)
    leave(main(settings, arguments[1:], started=starting.close))


def import_cache(settings: dict[str, Any]) -> Any:
    """The module of that name with its cache, when the settings name a folder that is there."""
    place = settings.get("import_cache", "")
    if not place or not sys.dont_write_bytecode or not os.path.isdir(place):
        return None
    from . import import_cache as module

    # Beside the project's modules our own: nobody else may have compiled them.
    cache = module.install(place, os.path.dirname(os.path.abspath(__file__)))
    return (module, cache) if cache else None


def main(
    settings: dict[str, Any], arguments: Sequence[str], *, started: Callable[[], object]
) -> int:
    """The exit code of pytest's own main function; calls `started` when its loop begins."""
    import pytest

    from .output import lend_capture_files
    from .process import die_with, dump_stacks_on, prefer_as_victim
    from .roomy_stack import with_room
    from .session import Session, plugins
    from .texts import headline
    from .wire import Wire, out_of_reach

    wire = Wire(commands=settings["commands"], records=settings["records"], bell=settings["bell"])
    die_with(settings.get("parent", 0))
    prefer_as_victim()
    stacks = out_of_reach(settings["stacks"])
    if settings.get("signal"):
        dump_stacks_on(settings["signal"], stacks)
    for name in settings.get("forget", ()):
        os.environ.pop(name, None)
    settings["captured"] = lend_capture_files(settings.get("captured", ()))
    # As the `pytest` command would have it.
    sys.argv = [os.path.join(os.path.dirname(sys.executable), "pytest"), *arguments]
    if settings.get("directory_on_path"):
        # As `python -m pytest` would have it.
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    made = plugins(wire, settings, started=started)
    session = next(each for each in made if isinstance(each, Session))
    why = ""
    try:
        code = int(with_room(lambda: pytest.main(list(arguments), plugins=made)))
    except SystemExit as problem:
        sys.stderr.write(end_of_process(problem) + "\n")
        raise
    except Exception as problem:
        if session.own_code is None:
            raise
        # Of a hook at the end; Python itself would leave with this.
        code, why = 1, headline(f"{type(problem).__name__}: {problem}")
    if session.own_code is not None:
        wire.put({"k": "finished", "own": session.own_code, "code": code, "why": why})
    # Only exit handlers, and threads that tests left behind, are still to be waited for.
    wire.send({"k": "enter", "what": "leave", "id": "", "threads": left_behind()})
    return code


def end_of_process(problem: SystemExit) -> str:
    """Who calls sys.exit says nothing of it: in the words that pytest has for a broken conftest.py.

    Of one in a test file or a hook pytest itself tells.
    """
    import traceback

    frames = traceback.extract_tb(problem.__traceback__)
    of_conftest = [each for each in frames if each.filename.endswith(os.sep + "conftest.py")]
    last = (of_conftest or frames)[-1]
    place = f"{last.filename} line {last.lineno}"
    if of_conftest and of_conftest[0].name == "<module>":
        file = of_conftest[0].filename
        return f"ImportError while loading conftest '{file}'.\nE   sys.exit({problem.code!r})"
    return f"ERROR: sys.exit({problem.code!r}) in {last.name}, {place}"


def left_behind() -> list[str]:
    """Threads that Python waits for before it ends, by name."""
    import threading

    own = threading.current_thread()
    left = (each for each in threading.enumerate() if each is not own and not each.daemon)
    return [each.name for each in left]


def leave(code: int) -> None:
    """End the process as Python would, but leave its memory to the kernel.

    Threads are waited for, exit handlers run and output is flushed. Taking a heap full of modules
    apart, object by object, is all that is left out: it took 0.2-0.5 s after networkx's tests, at
    the very end of a campaign, when everybody waits.
    """
    import atexit
    import threading

    try:
        # In Python's own order; multiprocessing ends its children so.
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)
