"""With which interpreter a suite could not be collected, where that may be why."""

from __future__ import annotations

from pathlib import Path

from ...infra.errors import CollectionProblem, ProctorError
from ...infra.setting_readers import environment_python
from .preparation import Prepared

_MISSING = "ModuleNotFoundError"
# Where most tools put a project's own environment.
_BESIDE = ".venv"


def tell_interpreter(problem: ProctorError, prepared: Prepared) -> None:
    """A module that is not there may be in another interpreter: the remedy names this one."""
    if not isinstance(problem, CollectionProblem) or _MISSING not in problem.message:
        return
    told = f"it ran with {prepared.python}"
    # One that is resumed keeps its interpreter.
    if prepared.record is None:
        own = environment_python(prepared.root / _BESIDE)
        # An environment has its interpreter under several names.
        is_there = own.exists() and own.parent != Path(prepared.python).parent
        told += (
            f", this project's own is `--python {own.relative_to(prepared.root)}`"
            if is_there
            else ", and `--python` names another"
        )
    problem.remedy = "; ".join(filter(None, (told, problem.remedy)))
