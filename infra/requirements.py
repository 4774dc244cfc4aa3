"""What cases state they need of a worker, and how several such statements become one.

A case's requirements come from its markers, from patterns in the configuration and from
defaults. Each source states some keys and is silent on others; for each key the nearest source
that speaks decides, and tags add up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import Any, TypeVar, cast

from .errors import BadSetting
from .quantities import format_duration, format_size, parse_duration, parse_size
from .records import Requirements
from .suggestions import known

T = TypeVar("T")

KEYS = ("cpu", "memory", "gpu", "tags", "timeout")
_EXAMPLE = '@pytest.mark.resources(gpu=1, memory="16GB")'
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What one source states; None where it is silent."""

    cpu: float | None = None
    memory_bytes: int | None = None
    gpu: float | None = None
    # Tags of all sources add up: a module's licence is still needed by its highmem test.
    tags: frozenset[str] = frozenset()
    timeout_seconds: float | None = None

    def requirements(self) -> Requirements:
        """The requirements, with the vocabulary's defaults where nothing is stated."""
        default = Requirements()
        return Requirements(
            cpu=default.cpu if self.cpu is None else self.cpu,
            memory_bytes=default.memory_bytes if self.memory_bytes is None else self.memory_bytes,
            gpu=default.gpu if self.gpu is None else self.gpu,
            tags=self.tags,
        )


NOTHING = Stated()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRule:
    """Requirements for all cases whose id or file matches."""

    match: str
    stated: Stated


def from_mapping(values: Mapping[str, object], *, where: str) -> Stated:
    """Read {"gpu": 1, "memory": "16GB", ...}; `where` names its place in an error."""
    for key in values:
        if key not in KEYS:
            raise BadSetting(f"{where}: unknown requirement {key!r}", remedy=known(key, KEYS))
    return Stated(
        cpu=_amount(values.get("cpu"), what=f"{where}: cpu"),
        memory_bytes=None
        if values.get("memory") is None
        else parse_size(values["memory"], what=f"{where}: memory"),
        gpu=_amount(values.get("gpu"), what=f"{where}: gpu"),
        tags=_tags(values.get("tags"), what=f"{where}: tags"),
        timeout_seconds=_timeout(values.get("timeout"), what=f"{where}: timeout"),
    )


def to_mapping(stated: Stated) -> dict[str, Any]:
    """Write what is stated as `from_mapping` reads it."""
    values: dict[str, Any] = {
        "cpu": stated.cpu,
        "gpu": stated.gpu,
        "memory": None if stated.memory_bytes is None else format_size(stated.memory_bytes),
        "tags": sorted(stated.tags) or None,
        "timeout": None
        if stated.timeout_seconds is None
        else format_duration(stated.timeout_seconds),
    }
    return {key: value for key, value in values.items() if value is not None}


def from_marks(marks: Sequence[Mapping[str, Any]], *, where: str) -> Stated:
    """Read a case's markers, nearest first as pytest yields them.

    Besides `resources`, pytest-timeout's marker is understood: its time-out becomes the case's.
    """
    stated: list[Stated] = []
    timeout: Stated | None = None
    for mark in marks:
        if mark["name"] == "resources":
            if mark["args"]:
                raise BadSetting(
                    f"{where}: the resources marker takes no positional arguments,"
                    f" here {mark['args'][0]!r}",
                    remedy=f"name them, as in {_EXAMPLE}",
                )
            stated.append(from_mapping(mark["kwargs"], where=f"{where}: resources marker"))
        elif mark["name"] == "timeout" and timeout is None:
            # Only the nearest counts, as in pytest-timeout.
            timeout = Stated(timeout_seconds=_marked_timeout(mark, where=where))
    return merge(*stated, timeout or NOTHING)


def merge(*sources: Stated) -> Stated:
    """Several sources as one; the first that states a key decides, tags add up."""
    merged = NOTHING
    for source in sources:
        # Most cases have no marker of ours and match no rule: they cost next to nothing.
        if source is NOTHING or merged is NOTHING:
            merged = merged if source is NOTHING else source
            continue
        merged = Stated(
            cpu=_first(merged.cpu, source.cpu),
            memory_bytes=_first(merged.memory_bytes, source.memory_bytes),
            gpu=_first(merged.gpu, source.gpu),
            tags=merged.tags | source.tags,
            timeout_seconds=_first(merged.timeout_seconds, source.timeout_seconds),
        )
    return merged


def rule_from(values: Mapping[str, object], *, where: str) -> PatternRule:
    """Read one [[tool.proctor.requirements]] table."""
    match = values.get("match")
    if not isinstance(match, str) or not match:
        raise BadSetting(
            f"{where}: it has no pattern", remedy='say which cases it is for: match = "tests/gpu/*"'
        )
    rest = {key: value for key, value in values.items() if key != "match"}
    return PatternRule(match=match, stated=from_mapping(rest, where=f"{where} ({match})"))


def rule_to_mapping(rule: PatternRule) -> dict[str, Any]:
    """Write a rule as `rule_from` reads it."""
    return {"match": rule.match, **to_mapping(rule.stated)}


def matches(pattern: str, case_id: str) -> bool:
    """Whether a pattern means the case, or a folder, file, class or function that holds it.

    With wildcards as in "tests/gpu/*" or "*slow*", or as one would name it to pytest.
    """
    return _compiled(pattern).fullmatch(case_id) is not None


def unmatched(patterns: Iterable[str], case_ids: Collection[str]) -> list[str]:
    """The patterns that mean none of the cases."""
    return [pattern for pattern in patterns if not any(matches(pattern, each) for each in case_ids)]


def needs_of(
    case_id: str,
    marks: Sequence[Mapping[str, Any]],
    *,
    rules: Sequence[PatternRule] = (),
    default: Stated = NOTHING,
) -> tuple[Requirements, float | None]:
    """Say a case's requirements and time-out: of markers, then patterns, then the default.

    Of patterns that match, the last one written is the nearest.
    """
    by_pattern = (rule.stated for rule in reversed(rules) if matches(rule.match, case_id))
    stated = merge(from_marks(marks, where=case_id), *by_pattern, default)
    return stated.requirements(), stated.timeout_seconds


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    stem = pattern.rstrip("/")
    if not stem:
        return re.compile(r"(?!)")  # Matches nothing.
    # First literally: an id may hold brackets of its own.
    literal = rf"(?s:{re.escape(stem)}(?:(?:::|\[|/).*)?)"
    if _WILDCARDS.isdisjoint(stem):
        return re.compile(literal)
    tails = ("", "::*", "[[]*", "/*")
    return re.compile("|".join((literal, *(translate(stem + tail) for tail in tails))))


def _first(near: T | None, far: T | None) -> T | None:
    return far if near is None else near


def _amount(value: object, *, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        reason = "is no number"
    elif not math.isfinite(value):
        reason = "is not finite"
    elif value < 0:
        reason = "is negative"
    else:
        return float(value)
    raise BadSetting(f"{what} {value!r} {reason}", remedy="write a number such as 1 or 0.5")


def _tags(value: object, *, what: str) -> frozenset[str]:
    if value is None:
        return frozenset()
    # One tag may be written without brackets.
    given = [value] if isinstance(value, str) else value
    if isinstance(given, list | tuple | set | frozenset):
        tags = list(cast("Iterable[object]", given))
        if all(isinstance(tag, str) and tag.strip() for tag in tags):
            return frozenset(str(tag).strip() for tag in tags)
    raise BadSetting(f"{what} {value!r} is no list of names", remedy='write tags=["highmem"]')


def _timeout(value: object, *, what: str) -> float | None:
    if value is None:
        return None
    seconds = parse_duration(value, what=what)
    if not seconds:
        raise BadSetting(
            f"{what} is {value!r}, and every case needs a limit",
            remedy="leave it out to have the campaign's",
        )
    return seconds


def _marked_timeout(mark: Mapping[str, Any], *, where: str) -> float | None:
    value: object = mark["kwargs"].get("timeout", next(iter(mark["args"]), None))
    # pytest-timeout reads None as "the default" and 0 as "off"; nothing runs without a limit
    # here, so both leave it to the campaign's. So does one of the function alone: what a fixture
    # takes before it does not count there.
    func_only = mark["kwargs"].get("func_only", next(iter(mark["args"][2:]), False))
    if value is None or value in (0, "0") or func_only:
        return None
    return parse_duration(value, what=f"{where}: timeout marker")
