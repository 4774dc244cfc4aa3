"""Whether the programs that the commands of a task list name are there, for workers beside us."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..records import Case, CaseKind, WorkerFacts
from ..resources import fits


def missing_programs(
    cases: Iterable[Case],
    workers: Sequence[WorkerFacts],
    *,
    root: Path,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """By case, what its command lacks on this machine, and which of the workers would look for it.

    The workers are to be on this machine, with this environment: of others nobody here can tell.
    """
    told: dict[str, str] = {}
    for case in cases:
        task = case.task
        if case.kind is not CaseKind.COMMAND or task is None:
            continue
        lack = _lack(
            task.command[0],
            root / task.working_directory,
            os.get_exec_path({**environment, **task.environment}),
        )
        if lack:
            able = {each.worker_class for each in workers if fits(case.needs, each)}
            told[case.id] = f"{lack} (seen by workers of class {', '.join(sorted(able))})"
    return told


def _lack(program: str, directory: Path, search: Sequence[str]) -> str:
    """What keeps a program from being started there; empty if nothing that can be seen."""
    if not directory.is_dir():
        return f"there is no directory {directory}"
    if "/" not in program:
        found = any(_is_program(directory / folder / program) for folder in search)
        return "" if found else f"there is no program {program} on the PATH"
    path = directory / program
    if not path.is_file():
        return f"there is no program {path}"
    return "" if _is_program(path) else f"{path} may not be executed"


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
