"""Which worker classes can be named, and how many workers of which somebody asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import BadSetting
from ..settings import CLASSES, RunSettings
from ..worker_classes import WorkerClass, choose_class, common_classes, parse_class

Known = Callable[[], Mapping[str, WorkerClass]]


def known_classes(settings: RunSettings, templates: Path | None = None) -> dict[str, WorkerClass]:
    """Those that everybody has, the project's, a file's: the later before the earlier."""
    # Asking for GPUs takes a while, and what is written out needs none of this.
    from ..runners.capabilities import measure

    common = common_classes(gpus=len(measure(os.environ).gpus))
    return common | named_classes(settings, templates)


def named_classes(settings: RunSettings, templates: Path | None = None) -> dict[str, WorkerClass]:
    """Those of the project and of a file."""
    from .worker_templates import read_classes, read_templates

    named: dict[str, WorkerClass] = {}
    if settings.project_file is not None and settings.classes:
        named |= read_classes(settings.classes, source=f"{settings.project_file.name}: {CLASSES}")
    if templates:
        named |= read_templates(templates)
    return named


def workers_asked(
    texts: Sequence[str], known: Known, *, cores: int, origin: str
) -> Iterator[tuple[WorkerClass, int]]:
    """A class and a number for each text: NAME, NAME=N, or NAME:slots=2,memory=16GB,...

    What cannot be read is told with where it comes from: "--fleet-class", "pyproject.toml line 3".
    """
    written: dict[str, WorkerClass] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        with coming_from(origin):
            if ":" in text:
                each, count = parse_class(text, cores=cores), 1
                written[each.name] = each
            else:
                each = written.get(name) or choose_class(known(), name)
                count = read_count(text, number) if equals else 1
        yield each, count


@contextmanager
def coming_from(origin: str) -> Generator[None]:
    """Whoever mends a class has to know where it was written."""
    try:
        yield
    except BadSetting as problem:
        raise BadSetting(f"{origin}: {problem.message}", remedy=problem.remedy) from problem


def counts_asked(text: str | None) -> dict[str, int]:
    """Read "cpu=2,gpu=1"."""
    counts: dict[str, int] = {}
    for part in filter(None, (text or "").split(",")):
        name, _, number = part.partition("=")
        counts[name.strip()] = read_count(part, number)
    return counts


def read_count(text: str, number: str) -> int:
    """The number of such a text."""
    if not (number.isascii() and number.strip().isdigit()):
        raise BadSetting(f"{text!r} says no number of workers", remedy="write it like cpu=2")
    return int(number)
