"""Reads what pytest-benchmark and asv measured: values with unit, direction and environment."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson

from ..infra.errors import UsageProblem

# What a duration looks like in asv's files, where the unit stands in another file.
_ASV_TIMES = ("time_", "timeraw_")
_ASV_MEMORY = ("mem_", "peakmem_")
# The year 9999.
_LATEST = 253_402_300_799.0


class NoMeasurements(UsageProblem):
    """The file holds nothing that is understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One value of one benchmark."""

    case: str
    metric: str
    value: float
    unit: str
    # lower or higher.
    better: str = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """One run of benchmarks."""

    name: str
    at: float
    commit: str = ""
    branch: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    values: tuple[Measured, ...] = ()


def read_measurements(path: Path) -> list[Measurements]:
    """The runs in a file, or in every result file of asv's below a folder."""
    if path.is_dir():
        files = sorted(
            each
            for each in path.glob("**/*.json")
            if each.name not in {"benchmarks.json", "machine.json"}
        )
        if not files:
            raise _nothing(path, "no result file is in it")
        return [run for each in files for run in read_measurements(each)]
    try:
        raw = path.read_bytes()
        told: Any = orjson.loads(raw)
    except OSError as problem:
        raise _nothing(path, problem.strerror or str(problem)) from problem
    except ValueError as problem:
        raise _nothing(path, f"it is no JSON ({problem})") from problem
    # By content: the same run under another name is the same run.
    name = hashlib.sha256(raw).hexdigest()[:12]
    try:
        if "benchmarks" in told and "machine_info" in told:
            return [_pytest_benchmark(told, f"benchmark-{name}")]
        if "results" in told and "commit_hash" in told:
            return [_asv(told, f"asv-{name}")]
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise _nothing(path, f"it lacks or misstates {problem}") from problem
    raise _nothing(path, "it is neither pytest-benchmark's nor asv's")


def _pytest_benchmark(told: Mapping[str, Any], name: str) -> Measurements:
    commit = told.get("commit_info") or {}
    machine = told["machine_info"]
    environment = {
        "python": machine.get("python_version"),
        "machine": machine.get("machine"),
        "system": f"{machine.get('system', '')} {machine.get('release', '')}".strip(),
        "processor": (machine.get("cpu") or {}).get("brand_raw"),
        "benchmark": told.get("version"),
    }
    values: list[Measured] = []
    for each in told["benchmarks"]:
        values.append(_seconds(each["fullname"], each["stats"]["median"]))
        for key, value in (each.get("extra_info") or {}).items():
            values.extend(_extra(each["fullname"], key, value))
    return Measurements(
        name=name,
        at=_moment(told["datetime"]),
        commit=commit.get("id") or "",
        branch=commit.get("branch") or "",
        environment={key: str(value) for key, value in environment.items() if value},
        values=tuple(_usable(values)),
    )


def _asv(told: Mapping[str, Any], name: str) -> Measurements:
    columns: list[str] = told.get("result_columns") or ["result"]
    values: list[Measured] = []
    for case, row in told["results"].items():
        result, parameters = _asv_row(row, columns)
        for number, value in enumerate(result):
            label = f"{case}({', '.join(parameters[number])})" if parameters else case
            if value is not None:
                values.append(_asv_value(label, case.rpartition(".")[2], value))
    params: dict[str, Any] = told.get("params") or {}
    environment = {"python": told.get("python"), **params, **(told.get("requirements") or {})}
    return Measurements(
        name=name,
        at=_sound(float(told["date"]) / 1000),
        commit=told["commit_hash"] or "",
        environment={key: str(value) for key, value in environment.items() if value},
        values=tuple(_usable(values)),
    )


def _asv_row(row: Any, columns: list[str]) -> tuple[list[Any], list[tuple[str, ...]]]:
    """Values, and the parameters of each; the oldest format holds a bare number."""
    if not isinstance(row, list):
        found = cast("dict[str, Any]", row)["result"] if isinstance(row, dict) else row
        return (cast("list[Any]", found) if isinstance(found, list) else [found]), []
    fields = dict(zip(columns, cast("list[Any]", row), strict=False))
    result: Any = fields.get("result")
    values = cast("list[Any]", result) if isinstance(result, list) else [result]
    names: list[list[Any]] = fields.get("params") or []
    if not names:
        return values, []
    labels: list[tuple[str, ...]] = [()]
    for axis in names:
        labels = [(*before, str(each)) for before in labels for each in axis]
    return values, labels if len(labels) == len(values) else []


def _asv_value(label: str, function: str, value: Any) -> Measured:
    if function.startswith(_ASV_TIMES):
        return _seconds(label, value)
    memory = function.startswith(_ASV_MEMORY)
    return Measured(
        case=label,
        metric="memory" if memory else "tracked",
        value=float(value),
        unit="bytes" if memory else "",
    )


def _seconds(case: str, value: Any) -> Measured:
    return Measured(case=case, metric="benchmark seconds", value=float(value), unit="s")


def _extra(case: str, key: str, value: Any) -> Iterator[Measured]:
    """A number, or an object that says its unit and direction."""
    if isinstance(value, dict):
        told = cast("dict[str, Any]", value)
        if isinstance(told.get("value"), int | float):
            yield Measured(
                case=case,
                metric=key,
                value=float(told["value"]),
                unit=str(told.get("unit", "")),
                better=str(told.get("better", "lower")),
            )
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Measured(case=case, metric=key, value=float(value), unit="")


def _usable(values: Iterable[Measured]) -> Iterator[Measured]:
    return (each for each in values if math.isfinite(each.value))


def _moment(text: str) -> float:
    at = datetime.fromisoformat(text)
    return _sound((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _sound(at: float) -> float:
    """A moment that the store can hold."""
    if not 0 <= at <= _LATEST:
        raise ValueError(f"its date ({at:g} s since 1970)")
    return at


def _nothing(path: Path, why: str) -> NoMeasurements:
    return NoMeasurements(
        f"{path} holds no measurements: {why}",
        remedy="give a file of `pytest --benchmark-json`, or asv's results folder",
    )
