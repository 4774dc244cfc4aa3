"""Paths of a project where a campaign knows it, and where a worker elsewhere has its copy."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import ProjectUnavailable
from ..records import TaskSpec
from .orders import SlotOrder
from .project_fence import fenced
from .spec import Order, RunnerSpec

Value = TypeVar("Value")


def moved(spec: RunnerSpec, copy: Path) -> RunnerSpec:
    """The same for a copy of the project: what stood below its root stands below the copy's."""
    assert spec.files is not None, "who moves has files"
    known = partial(known_as, root=spec.files.root, copy=copy)
    return replace(
        spec,
        directory=known(spec.directory),
        arguments=tuple(map(known, spec.arguments)),
        environment={name: known(each) for name, each in spec.environment.items()},
        python=known(spec.python),
    )


def interpreter(asked: RunnerSpec, there: RunnerSpec, *, given: str, worker: str) -> str:
    """The project's own, if it is in the copy; else what the worker was given; else as asked.

    What a person named is not replaced by another that nobody named.
    """
    assert asked.files is not None, "who moves has files"
    # An environment inside the project was made anew by its setup command, or it is nowhere.
    inside = there.python != asked.python
    if inside and Path(there.python).exists():
        return there.python
    found = outside(asked, given=given)
    if not found and asked.files.python_is_named and not inside:
        raise ProjectUnavailable(
            f"worker {worker} has no interpreter {asked.python}",
            remedy="name the one that is there with `proctor join --python`, or leave out --python",
        )
    return found or sys.executable


def outside(asked: RunnerSpec, *, given: str) -> str:
    """The interpreter that is here for a project without one of its own; empty if none is."""
    assert asked.files is not None, "who moves has files"
    if given:
        return given
    python, command = Path(asked.python), asked.files.python_command
    found = shutil.which(command) if command else None
    if found or python.is_relative_to(asked.files.root) or not python.exists():
        return found or ""
    return asked.python


def in_copy(order: SlotOrder, copy: Path, *, given: str, worker: str) -> SlotOrder:
    """The order for a worker that has a copy; `given` is the interpreter that it was given."""
    files = order.runner.files
    assert files is not None, "who moves has files"
    there = moved(order.runner, copy)
    python = interpreter(order.runner, there, given=given, worker=worker)
    return replace(
        order,
        runner=fenced(replace(there, python=python), copy),
        order=None if order.order is None else moved_order(order.order, files.root, copy),
    )


def moved_order(order: Order, root: str, copy: Path) -> Order:
    """Ids may hold paths, and tasks name them: the copy's session knows them by where it is."""
    known = partial(known_as, root=root, copy=copy)
    return replace(
        order,
        work=tuple(
            replace(
                each,
                id=known(each.id),
                group=known(each.group),
                task=_moved_task(each.task, root, copy) if each.task is not None else None,
            )
            for each in order.work
        ),
        finishes=tuple(map(known, order.finishes)),
        ahead=tuple(map(known, order.ahead)),
        beside=tuple(map(known, order.beside)),
    )


def told_as(value: Value, copy: Path, root: str) -> Value:
    """What a runner said of the copy, said of the project where the campaign knows it."""
    return _with_texts(value, lambda text: text.replace(str(copy), root))


def known_as(value: Value, root: str, copy: Path) -> Value:
    """The other way round. The root may be a short word: it counts only as a whole path's head."""
    there = str(copy)
    # Pytest joins the parts of an id with a dash: after one, another path begins.
    other = r"/(?!/)(?:[^\s()\[\]'\",:;=-]|-(?!/))*"
    path = re.compile(rf"({re.escape(root)})(?![\w.]|-(?!/))|{other}")

    def change(text: str) -> str:
        if root not in text:
            return text
        return path.sub(lambda found: there if found[1] else found[0], text)

    return _with_texts(value, change)


def _moved_task(task: TaskSpec, root: str, copy: Path) -> TaskSpec:
    known = partial(known_as, root=root, copy=copy)
    return replace(
        task,
        command=tuple(map(known, task.command)),
        arguments=known(task.arguments),
        environment=known(task.environment),
        working_directory=known(task.working_directory),
    )


def _with_texts(value: Value, change: Callable[[str], str]) -> Value:
    """The value with each text in it changed, however deep."""
    if isinstance(value, str):
        return cast("Value", change(value))
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        return cast("Value", {key: _with_texts(each, change) for key, each in given.items()})
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        return cast("Value", [_with_texts(each, change) for each in items])
    return value
