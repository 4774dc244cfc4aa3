"""Looks at a fleet and at what experiments name, and says whether that is tolerated."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .experiment import UNBOUNDED, ProbeStep
from .targets import FaultRefused, Targets

LOOK_SECONDS = 0.1
# A probe that holds soon is not told; one that does not is told again so often.
QUIET_SECONDS = 3.0
TELL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a probe said."""

    value: object
    met: bool
    problem: str = ""


def probe(
    step: ProbeStep,
    targets: Targets,
    *,
    prefect: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
    quiet: float = QUIET_SECONDS,
) -> Answer:
    """Look until it is tolerated, for as long as it may take; says what it waits for."""
    began = time.monotonic()
    deadline, telling = began + step.within, began + quiet
    while True:
        answer = _look(step, targets, prefect)
        now = time.monotonic()
        if answer.met or now >= deadline:
            return answer
        if now >= telling:
            seen = answer.problem or answer.value
            left = f"{deadline - now:.0f} s at most"
            say(f"{step.name}: {seen}, {wanted(step.tolerance)} wanted; waiting, {left}")
            telling = now + TELL_SECONDS
        time.sleep(LOOK_SECONDS)


def _look(step: ProbeStep, targets: Targets, prefect: Callable[[], bool]) -> Answer:
    try:
        value = _value(step, targets, prefect)
    except (OSError, subprocess.SubprocessError, urllib.error.URLError, ValueError) as problem:
        return Answer(value=None, met=False, problem=str(problem))
    return Answer(value=value, met=is_tolerated(value, step.tolerance))


def _value(step: ProbeStep, targets: Targets, prefect: Callable[[], bool]) -> object:
    match step.what:
        case "workers":
            return len(targets.workers())
        case "scheduler":
            return targets.has_scheduler()
        case "prefect":
            return prefect()
        case "process":
            done = subprocess.run(
                step.command, capture_output=True, timeout=step.timeout, check=False
            )
            return done.returncode
        case _:
            return _status(step.url, step.timeout)


def _status(url: str, timeout: float) -> int:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no http address")
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - checked above.
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        problem.close()
        return problem.code


def is_tolerated(value: object, tolerance: object) -> bool:
    """Chaos Toolkit's rule, for the tolerances both know."""
    match tolerance:
        case {"type": "range", "range": [low, high]}:
            within = cast("Sequence[Any]", [low, high])
            return isinstance(value, int | float) and within[0] <= value <= within[1]
        case dict():
            raise FaultRefused(
                f"the tolerance {tolerance!r} is not understood",
                remedy="write a value, a list of values, or {type: range, range: [low, high]}",
            )
        case list():
            return value in cast("list[object]", tolerance)
        case _:
            return value == tolerance


def wanted(tolerance: object) -> str:
    """What is tolerated, in words."""
    match tolerance:
        case {"type": "range", "range": [low, high]}:
            least = cast("float", low)
            return f"at least {least:g}" if high == UNBOUNDED else f"{least:g} to {high}"
        case list():
            return f"one of {', '.join(map(str, cast('list[object]', tolerance)))}"
        case _:
            return str(tolerance)


def check_tolerance(step: ProbeStep) -> None:
    """Refuse a tolerance before anything is touched."""
    is_tolerated(0, step.tolerance)
