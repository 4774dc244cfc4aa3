"""The supervisor of one command or one Python callable: starts it, waits, tells how it ended.

Executed by path as `python call_task.py SETTINGS` in the user's interpreter; it needs the standard
library of Python 3.9 or newer and must never import Proctor. It stays small and alone so that what
it measures is the task and nothing else, and so that the task ends when the worker above is killed.
"""

# Importing pathlib would take as long as everything else here.
# ruff: noqa: PTH109, PTH123

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.path and sys.path[0] and __file__.startswith(sys.path[0]):
    # Our folder comes first on the path: its modules would hide the standard library's.
    del sys.path[0]

import contextlib
import json
import os
import signal
from typing import Any

# Exit codes of the forked child, told apart from the task's own by the record that goes with them.
EXIT_NOT_STARTED = 127
EXIT_RAISED = 1


def tell(descriptor: int, message: dict[str, Any]) -> None:
    data = (json.dumps(message, default=repr) + "\n").encode("ascii")
    while data:
        data = data[os.write(descriptor, data) :]


def die_with_parent() -> None:
    """SIGTERM when the thread that started us ends (Linux); its handler takes the task along."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)  # PR_SET_PDEATHSIG


def transferred() -> tuple[int, int]:
    """Bytes this process and those it waited for have read and written."""
    try:
        with open("/proc/self/io", "rb") as file:
            lines = file.read().split(b"\n")
        return int(lines[4].split()[1]), int(lines[5].split()[1])
    except (OSError, ValueError, IndexError):
        return 0, 0


def become(command: list[str]) -> None:
    """Replace this process by the command."""
    os.execvp(command[0], command)  # noqa: S606 - a shell is for the user to ask for


def call(settings: dict[str, Any], records: int) -> None:
    """Import and call; tell the result or what was raised."""
    sys.path.insert(0, os.getcwd())
    import importlib

    module, _, name = settings["callable"].partition(":")
    try:
        function: Any = importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if (module + ".").startswith(f"{problem.name}."):
            # Not one that its own imports lack: people look for it beside the task list.
            starts = "tasks start where `proctor run` does, or in their cwd"
            problem.msg += f" (looked for from {os.getcwd()}; {starts})"
        raise
    for part in name.split("."):
        function = getattr(function, part)
    result: Any = function(**settings.get("arguments", {}))
    if hasattr(result, "__await__"):
        import asyncio

        async def awaited() -> object:
            return await result

        result = asyncio.run(awaited())
    if result is not None:
        tell_result(result, records)


def tell_result(result: object, records: int) -> None:
    """As it is, or in its own words where JSON has none for it: it was returned all the same."""
    try:
        plain = json.loads(json.dumps(result, default=repr))
    except Exception:  # noqa: BLE001 - a key of another kind, a circle, a repr that raises
        try:
            plain = repr(result)
        except Exception:  # noqa: BLE001 - users' code
            plain = f"<{type(result).__name__}>"
    tell(records, {"k": "result", "value": plain})


if sys.implementation.name == "cpython" and sys.version_info >= (3, 11):
    # Room for the frames below; infra/session/roomy_stack.py says why.
    call.__code__ = call.__code__.replace(co_stacksize=70_000)


def tell_problem(problem: BaseException, records: int, what: str) -> None:
    import traceback

    # From the task's own first frame on: ours tell nothing of it.
    place = problem.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename == main.__code__.co_filename:
        place = place.tb_next
    text = "".join(traceback.format_exception(type(problem), problem, place))
    plain = text.encode("utf-8", "backslashreplace").decode("utf-8")
    message = f"{type(problem).__name__}: {problem}"
    message = message.encode("utf-8", "backslashreplace").decode("utf-8")
    tell(records, {"k": what, "message": message, "text": plain})


def in_the_child(settings: dict[str, Any], records: int) -> None:
    os.setpgid(0, 0)
    # Python ignores these two; a command expects them as they are by default.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(AttributeError):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if settings.get("command"):
        try:
            become(settings["command"])
        except OSError as problem:
            message = f"{settings['command'][0]}: {problem.strerror}"
            tell(records, {"k": "not-started", "message": message})
            os._exit(EXIT_NOT_STARTED)
    if settings.get("signal"):
        import faulthandler

        faulthandler.enable()
        faulthandler.register(settings["signal"], file=settings["stacks"], all_threads=True)
    try:
        call(settings, records)
    except SystemExit:
        raise
    except BaseException as problem:  # noqa: BLE001 - whatever it raises is the result
        tell_problem(problem, records, "raised")
        raise SystemExit(EXIT_RAISED) from None
    # Python ends as ever: its threads are waited for, its exit handlers run, its files are written.
    raise SystemExit(0)


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    records: int = settings["records"]
    others = (settings["stacks"], settings["commands"], settings["bell"], *settings["captured"])
    for descriptor in (records, *others):
        # The task must not inherit them.
        os.set_inheritable(descriptor, False)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")
    child = 0

    def take_along(*_: object) -> None:
        if child:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, take_along)
    die_with_parent()
    if os.getppid() != settings["parent"]:
        os._exit(1)
    child = os.fork()
    if not child:
        in_the_child(settings, records)
    tell(records, {"k": "started", "pid": child})
    _, status, usage = os.wait4(child, 0)
    read, written = transferred()
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    unit = 1 if sys.platform == "darwin" else 1024
    tell(
        records,
        {
            "k": "ended",
            "code": code,
            "cpu": round(usage.ru_utime + usage.ru_stime, 6),
            "peak": usage.ru_maxrss * unit,
            "read": read,
            "write": written,
        },
    )
    with contextlib.suppress(OSError):
        os.write(settings["bell"], b"!")


if __name__ == "__main__":
    main()
