"""Whether the callables of a task list are there, asked of the interpreter that would call them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ..errors import BadTaskList
from ..records import Case, CaseKind

LOOK_UP = Path(__file__).with_name("look_up.py")
# Packages that hold a callable may be large.
LOOK_SECONDS = 60.0
_REMEDY = (
    'write callable = "package.module:function", and what its import needs into cwd, env or the'
    " interpreter"
)


def check_callables(cases: Iterable[Case], *, python: str, root: Path, source: str) -> None:
    """Refuse tasks whose module or function is not there; a process for each way they are run."""
    wanted: dict[tuple[Path, tuple[tuple[str, str], ...]], list[Case]] = {}
    for case in cases:
        if case.kind is CaseKind.CALLABLE and case.task is not None:
            task = case.task
            where = root / task.working_directory, tuple(sorted(task.environment.items()))
            wanted.setdefault(where, []).append(case)
    problems: list[str] = []
    for (directory, environment), mine in wanted.items():
        told = _look_up(mine, python=python, directory=directory, environment=dict(environment))
        for case in mine:
            assert case.task is not None, "a callable has one"
            if lack := told.get(case.task.callable, ""):
                problems.append(f"task {case.id}: {lack} (seen from {directory} by {python})")
    if len(problems) == 1:
        raise BadTaskList(f"{source}: {problems[0]}", remedy=_REMEDY)
    if problems:
        raise BadTaskList(
            f"{source}: {len(problems)} callables are not there; {_REMEDY}", problems=problems
        )


def _look_up(
    cases: Iterable[Case], *, python: str, directory: Path, environment: dict[str, str]
) -> dict[str, str]:
    names = [case.task.callable for case in cases if case.task is not None]
    if not directory.is_dir():
        return dict.fromkeys(names, "there is no such directory")
    try:
        done = subprocess.run(
            [python, str(LOOK_UP)],
            input=json.dumps(names),
            cwd=directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=LOOK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return dict.fromkeys(
            names, f"its package was still being imported after {LOOK_SECONDS:g} s"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return dict.fromkeys(names, f"its package cannot be imported: {last}")
    return json.loads(done.stdout.rstrip().splitlines()[-1])
