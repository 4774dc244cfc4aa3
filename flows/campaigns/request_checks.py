"""What can be said of a request before anything is looked for, started or written."""

from __future__ import annotations

import os
from pathlib import Path

from ...infra.errors import UsageProblem
from ...infra.setting_readers import is_unicode
from .request import RunRequest


def check_request(request: RunRequest, root: Path) -> None:
    """Refuse what cannot be run, or cannot be told of afterwards."""
    _check_texts(request, root)
    _check_selection(request)
    _check_paths(request, root)
    _check_junitxml(request, root)


def _check_texts(request: RunRequest, root: Path) -> None:
    """Sessions are told of them in JSON."""
    for text in (str(root), *request.pytest_arguments()):
        if not is_unicode(text):
            raise UsageProblem(
                f"{text!r} is no text in UTF-8, and sessions cannot be told of it",
                remedy="rename it, or choose what runs in another way",
            )


def _check_selection(request: RunRequest) -> None:
    """What selects among tests selects nothing of a task list."""
    given = ("-k",) * bool(request.keyword) + ("-m",) * bool(request.marks)
    given = (*given, *request.paths, *request.pytest_args)
    if request.tasks and given:
        raise UsageProblem(
            f"{', '.join(given)} cannot go with --tasks: all of {request.tasks} runs",
            remedy="only --lf leaves out tasks of a list",
        )


def _check_paths(request: RunRequest, root: Path) -> None:
    """What pytest would say of a path that is not there, without starting anything."""
    if "--pyargs" in request.pytest_args:
        return
    for path in request.paths:
        file = path.partition("::")[0].partition("[")[0]
        if not (root / file).exists():
            raise UsageProblem(
                f"there is no file or directory {file} in {root}",
                remedy="paths are taken from the directory you are in; see --directory",
            )


def _check_junitxml(request: RunRequest, root: Path) -> None:
    """A campaign of hours is not to end with a report that could never be written."""
    if request.junitxml is None:
        return
    path = root / request.junitxml
    folder = next(each for each in path.parents if each.exists())
    if path.is_dir():
        why = "it is a directory"
    elif not folder.is_dir():
        why = f"{folder} is no directory"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        why = f"you may not write to {path if path.exists() else folder}"
    else:
        return
    raise UsageProblem(
        f"the JUnit report cannot be written to {path}: {why}",
        remedy="name a file that can be written with --junitxml",
    )
