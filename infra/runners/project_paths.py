"""Paths of a project where a campaign knows it, and where a worker elsewhere has its copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from .spec import RunnerSpec

Value = TypeVar("Value")


def moved(spec: RunnerSpec, root: Path) -> RunnerSpec:
    """The same for a copy of the project: what stood below its root stands below the copy's."""
    assert spec.files is not None, "who moves has files"
    here = (spec.files.root, str(root))
    own = _moved_text(spec.python, *here)
    return replace(
        spec,
        directory=_moved_text(spec.directory, *here),
        arguments=tuple(_moved_argument(each, *here) for each in spec.arguments),
        environment={name: _moved_text(each, *here) for name, each in spec.environment.items()},
        # An environment inside the project was made anew by its setup command, or it is nowhere.
        python=own if Path(own).exists() else "",
    )


def told_as(value: Value, copy: Path, root: str) -> Value:
    """What a runner said of the copy, said of the project where the campaign knows it."""
    if isinstance(value, str):
        return cast("Value", value.replace(str(copy), root))
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        return cast("Value", {key: told_as(each, copy, root) for key, each in given.items()})
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        return cast("Value", [told_as(each, copy, root) for each in items])
    return value


def known_as(text: str, root: str, copy: Path) -> str:
    """The other way round: an id that holds a path, as the copy's session knows it."""
    return text.replace(root, str(copy))


def _moved_text(text: str, root: str, copy: str) -> str:
    if text == root or text.startswith(f"{root}/"):
        return copy + text[len(root) :]
    return text


def _moved_argument(text: str, root: str, copy: str) -> str:
    """Also behind an option: --rootdir=/project, -c/project/pytest.ini."""
    if text.startswith("-"):
        for mark in (f"={root}", f"-c{root}"):
            head, found, tail = text.partition(mark)
            if found and tail[:1] in {"", "/"}:
                return head + mark.removesuffix(root) + copy + tail
    return _moved_text(text, root, copy)
