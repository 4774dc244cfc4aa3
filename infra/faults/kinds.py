"""What a kind of fault is: what it can be aimed at, what it takes, how it acts and is undone.

A kind turns an order into a plan: the recipe that undoes it, which is written down first, and the
act. What a kind cannot do here and now it refuses while planning, before anything is touched.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ProctorError
from ..fleet.files import FleetFiles
from ..quantities import parse_duration, parse_size
from ..suggestions import known
from .targets import FaultRefused, Part, Target
from .undo import Step

PROCESSES = frozenset(
    {Part.RUNNER, Part.WORKER, Part.SCHEDULER, Part.PREFECT, Part.CAMPAIGN, Part.SUPERVISOR}
)


# Nobody gets to break a fleet for longer in one go.
LONGEST_SECONDS = 3600.0
# Of processes that press.
MOST_COUNT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOrder:
    """One fault somebody wants, its target found."""

    id: str
    target: Target
    until: float
    parameters: Mapping[str, Any]
    files: FleetFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """How a fault will act, and how it will be undone."""

    undo: tuple[Step, ...]
    act: Callable[[], None]
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    # Nothing lasts: once it has acted there is nothing to wait for.
    instant: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing a kind takes."""

    summary: str
    default: object
    read: Callable[[object, str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """A kind of fault."""

    name: str
    summary: str
    parts: frozenset[Part]
    plan: Callable[[FaultOrder], FaultPlan]
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    # Why it cannot be here, whatever its target; empty when it can.
    refusal: Callable[[], str] = lambda: ""
    # What it needs, for people.
    needs: str = ""


def seconds(given: object, what: str) -> float:
    return parse_duration(given, what=what)


def size(given: object, what: str) -> int:
    return parse_size(given, what=what)


def share(given: object, what: str) -> float:
    value = number(given, what)
    if not 0 < value < 1:
        raise FaultRefused(f"{what} {given!r} is no share", remedy="write one between 0 and 1")
    return value


def number(given: object, what: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise FaultRefused(f"{what} {given!r} is no number", remedy="write one such as 2")
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FaultRefused(f"{what} {given!r} is no number", remedy="write one such as 2")
    return value


def count(given: object, what: str) -> int:
    value = number(given, what)
    if value != int(value) or not 1 <= value <= MOST_COUNT:
        raise FaultRefused(
            f"{what} {given!r} is no count", remedy=f"write one from 1 to {MOST_COUNT}"
        )
    return int(value)


def any_seconds(given: object, what: str) -> float:
    """Of either sign: a clock may be ahead or behind."""
    if isinstance(given, str) and given.startswith("-"):
        return -parse_duration(given[1:], what=what)
    if isinstance(given, int | float) and not isinstance(given, bool):
        return number(given, what)
    return parse_duration(given, what=what)


def read_parameters(kind: FaultKind, given: Mapping[str, object]) -> dict[str, Any]:
    """All parameters of a fault, checked; those not given have their defaults."""
    for name in given:
        if name not in kind.parameters:
            raise FaultRefused(
                f"fault {kind.name} takes no {name!r}",
                remedy=known(name, sorted(kind.parameters)) if kind.parameters else "it takes none",
            )
    try:
        return {
            name: each.read(given.get(name, each.default), f"{kind.name}: {name}")
            for name, each in kind.parameters.items()
        }
    except FaultRefused:
        raise
    except ProctorError as problem:
        raise FaultRefused(problem.message, remedy=problem.remedy) from problem


def check_fits(kind: FaultKind, part: Part) -> None:
    """Refuse what cannot be aimed so, or cannot be here at all."""
    if part not in kind.parts:
        raise FaultRefused(
            f"fault {kind.name} cannot be aimed at a {part}",
            remedy=f"it takes {', '.join(sorted(kind.parts))}",
        )
    reason = kind.refusal()
    if reason:
        raise FaultRefused(f"fault {kind.name} cannot be here: {reason}", remedy=kind.needs)


def check_length(length: float) -> None:
    """Refuse a fault that would be over before it acts, or act for ever."""
    if not 0 < length <= LONGEST_SECONDS:
        raise FaultRefused(
            f"a fault for {length:g} s is not between 0 and {LONGEST_SECONDS:g} s",
            remedy="give it another time",
        )


def is_root() -> bool:
    return os.geteuid() == 0
