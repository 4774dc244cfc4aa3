"""Each case in a process of its own, forked from the warm one."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings
from itertools import count
from typing import Any

from .process import die_with
from .running import Running

# Numbers of the cases that ran in this process.
_FOLDERS = count()


def run_in_child(running: Running, identifier: str, item: Any) -> None:
    """Run one case there, and say how the process ended."""
    wire = running.wire
    output = running.output
    folder = next(_FOLDERS)
    with contextlib.suppress(Exception):
        # Made once here, or each child would make a numbered directory of its own.
        item.config._tmp_path_factory.getbasetemp()
    wire.flush()
    output.note_stray()
    output.empty_captured()
    wire.sharing = True
    warm = os.getpid()
    failed = running.session.testsfailed
    with warnings.catch_warnings():
        # Since 3.12 Python warns of forking beside threads; that is what the user asked for.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        wire.sharing = False
        code = 1
        try:
            # A group of its own, so that it can be ended with all it started.
            os.setpgid(0, 0)
            # A fork does not inherit this wish.
            die_with(warm)
            have_own_folder(item.config, folder)
            running.meter.open_files()
            running.run_case(identifier, item, None)
            wire.flush()
            save_coverage()
            code = 1 if running.session.testsfailed > failed else 0
        finally:
            os._exit(code)
    wire.sharing = False
    running.last_case = identifier
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        # What the case left running ends with it.
        os.killpg(child, signal.SIGKILL)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    # The session's own hooks hear of it in the end.
    running.session.testsfailed += code != 0
    # Also with code 0: `os._exit(0)` inside a test leaves no record either.
    text = [*output.captured_output(), *output.stray_output()] if code else []
    wire.put({"k": "died", "id": identifier, "code": code, "text": text})


def have_own_folder(config: Any, number: int) -> None:
    """Begin with an empty temporary folder, beside that of the session and made on first need.

    What a case before this one made there it made for fixtures that ended with it: they are set
    up once more, and may want the same names.
    """
    factory = getattr(config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    if factory is not None and base is not None:
        factory._basetemp = None
        factory._given_basetemp = base.with_name(f"{base.name}.{number}")


def save_coverage() -> None:
    """Have coverage write down what this process measured, into a file of its own.

    It saves at the end of the process that began to measure, and this is not that one.
    """
    control: Any = getattr(sys.modules.get("coverage"), "Coverage", None)
    measuring = control.current() if hasattr(control, "current") else None
    if measuring is not None:
        # The case is told by now, whatever becomes of this.
        with contextlib.suppress(Exception):
            measuring.stop()
            measuring.save()
