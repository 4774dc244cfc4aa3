"""Cases, attempts and workers as JSON objects and back: compact to write, strict to read.

What equals its default is left out, so old readers and new writers understand each other; a key
nobody knows is ignored, a key that must be there and is not is `LedgerDamaged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from sys import intern
from typing import Any, cast

from .errors import LedgerDamaged
from .records import (
    Attempt,
    Case,
    CaseKind,
    Outcome,
    OutputRef,
    Requirements,
    TaskSpec,
    Usage,
    WorkerFacts,
)

Json = dict[str, Any]

_NO_NEEDS = Requirements()
_NO_USAGE = Usage()
# What values raise that are missing, of another form, or beyond what a number holds.
MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_KINDS = {kind.value: kind for kind in CaseKind}


def case_to_json(case: Case) -> Json:
    data: Json = {"id": case.id, "group": case.group, "index": case.index}
    if case.kind is not CaseKind.PYTEST:
        data["kind"] = case.kind.value
    if case.needs != _NO_NEEDS:
        data["needs"] = _needs_to_json(case.needs)
    if case.timeout_seconds is not None:
        data["timeout"] = case.timeout_seconds
    if case.tags:
        data["tags"] = case.tags
    if case.task is not None:
        data["task"] = _task_to_json(case.task)
    return data


def case_from_json(data: Mapping[str, Any]) -> Case:
    get = data.get
    try:
        needs, task = get("needs"), get("task")
        return Case(
            id=intern(data["id"]),
            group=intern(data["group"]),
            index=int(data["index"]),
            kind=_KINDS[get("kind", "pytest")],
            needs=_needs_from_json(needs) if needs else _NO_NEEDS,
            timeout_seconds=get("timeout"),
            tags=_names(get("tags", ())),
            task=None if task is None else _task_from_json(task),
        )
    except MISSHAPEN as problem:
        raise _damaged("case", problem) from problem


def attempt_to_json(attempt: Attempt) -> Json:
    data: Json = {
        "case": attempt.case,
        "id": attempt.id,
        "outcome": attempt.outcome.value,
        "started": attempt.started,
        "finished": attempt.finished,
    }
    if attempt.usage != _NO_USAGE:
        data["usage"] = _usage_to_json(attempt.usage)
    if attempt.worker:
        data["worker"] = attempt.worker
    if attempt.incarnation:
        data["incarnation"] = attempt.incarnation
    if attempt.slot:
        data["slot"] = attempt.slot
    if attempt.batch:
        data["batch"] = attempt.batch
    if attempt.epoch:
        data["epoch"] = attempt.epoch
    if attempt.message:
        data["message"] = attempt.message
    if attempt.output is not None:
        data["output"] = output_to_json(attempt.output)
    if attempt.properties:
        data["properties"] = [(name, _finite(value)) for name, value in attempt.properties]
    if attempt.notes:
        data["notes"] = attempt.notes
    return data


def attempt_from_json(data: Mapping[str, Any]) -> Attempt:
    get = data.get
    try:
        usage, output, properties = get("usage"), get("output"), get("properties")
        return Attempt(
            case=intern(data["case"]),
            id=data["id"],
            outcome=_OUTCOMES[data["outcome"]],
            started=float(data["started"]),
            finished=float(data["finished"]),
            usage=_usage_from_json(usage) if usage else _NO_USAGE,
            # A campaign has few of these and many attempts: keep each once.
            worker=intern(get("worker", "")),
            incarnation=intern(get("incarnation", "")),
            slot=get("slot", 0),
            batch=intern(get("batch", "")),
            epoch=get("epoch", 0),
            message=get("message", ""),
            output=output_from_json(output) if output else None,
            properties=tuple((name, value) for name, value in properties) if properties else (),
            notes=tuple(get("notes", ())),
        )
    except MISSHAPEN as problem:
        raise _damaged("attempt", problem) from problem


def output_to_json(output: OutputRef) -> tuple[int, int, int]:
    return (output.epoch, output.offset, output.length)


def output_from_json(data: tuple[int, int, int]) -> OutputRef:
    epoch, offset, length = data
    return OutputRef(epoch=epoch, offset=offset, length=length)


def facts_to_json(facts: WorkerFacts) -> Json:
    data: Json = {
        "name": facts.name,
        "incarnation": facts.incarnation,
        "worker_class": facts.worker_class,
        "slots": facts.slots,
        "cpu": facts.cpu,
        "memory_bytes": facts.memory_bytes,
    }
    if facts.gpu:
        data["gpu"] = facts.gpu
    if facts.tags:
        data["tags"] = sorted(facts.tags)
    if facts.host:
        data["host"] = facts.host
    if facts.machine:
        data["machine"] = facts.machine
    if facts.simulated_gpu:
        data["simulated_gpu"] = True
    if facts.devices:
        data["devices"] = list(facts.devices)
    if facts.machine_cores:
        data["machine_cores"] = facts.machine_cores
    if facts.machine_memory_bytes:
        data["machine_memory_bytes"] = facts.machine_memory_bytes
    if facts.gpu_model:
        data["gpu_model"] = facts.gpu_model
    if facts.gpu_memory_bytes:
        data["gpu_memory_bytes"] = facts.gpu_memory_bytes
    return data


def facts_from_json(data: Mapping[str, Any]) -> WorkerFacts:
    try:
        return WorkerFacts(
            name=data["name"],
            incarnation=data["incarnation"],
            worker_class=data["worker_class"],
            slots=data["slots"],
            cpu=data["cpu"],
            memory_bytes=data["memory_bytes"],
            gpu=data.get("gpu", 0.0),
            tags=frozenset(data.get("tags", ())),
            host=data.get("host", ""),
            machine=data.get("machine", ""),
            simulated_gpu=data.get("simulated_gpu", False),
            devices=tuple(data.get("devices", ())),
            machine_cores=data.get("machine_cores", 0),
            machine_memory_bytes=data.get("machine_memory_bytes", 0),
            gpu_model=data.get("gpu_model", ""),
            gpu_memory_bytes=data.get("gpu_memory_bytes", 0),
        )
    except MISSHAPEN as problem:
        raise _damaged("worker", problem) from problem


def _needs_to_json(needs: Requirements) -> Json:
    data: Json = {}
    if needs.cpu != _NO_NEEDS.cpu:
        data["cpu"] = needs.cpu
    if needs.memory_bytes:
        data["memory_bytes"] = needs.memory_bytes
    if needs.gpu:
        data["gpu"] = needs.gpu
    if needs.tags:
        data["tags"] = sorted(needs.tags)
    return data


def _needs_from_json(data: Json) -> Requirements:
    return Requirements(
        cpu=data.get("cpu", _NO_NEEDS.cpu),
        memory_bytes=data.get("memory_bytes", 0),
        gpu=data.get("gpu", 0.0),
        tags=frozenset(data.get("tags", ())),
    )


# Each with its key on the line and its name in Usage.
_USAGE = (
    ("wall", "wall_seconds"),
    ("cpu", "cpu_seconds"),
    ("peak", "peak_memory_bytes"),
    ("read", "read_bytes"),
    ("write", "write_bytes"),
    ("gpu", "gpu_utilisation"),
    ("gpu_memory", "gpu_memory_bytes"),
    ("setup", "setup_seconds"),
    ("call", "call_seconds"),
    ("teardown", "teardown_seconds"),
    ("shared", "shared_setup_seconds"),
)


def _usage_to_json(usage: Usage) -> Json:
    # 0 is left out and None is not asked for: a GPU's 0.0 must stay apart from "no GPU".
    return {
        key: value
        for key, name in _USAGE
        if (value := getattr(usage, name)) or (value is not None and key in {"gpu", "gpu_memory"})
    }


def _usage_from_json(data: Json) -> Usage:
    get = data.get
    return Usage(
        wall_seconds=get("wall", 0.0),
        cpu_seconds=get("cpu", 0.0),
        peak_memory_bytes=get("peak", 0),
        read_bytes=get("read", 0),
        write_bytes=get("write", 0),
        gpu_utilisation=get("gpu"),
        gpu_memory_bytes=get("gpu_memory"),
        setup_seconds=get("setup", 0.0),
        call_seconds=get("call", 0.0),
        teardown_seconds=get("teardown", 0.0),
        shared_setup_seconds=get("shared", 0.0),
    )


def _task_to_json(task: TaskSpec) -> Json:
    data: Json = {
        "command": task.command,
        "callable": task.callable,
        "arguments": dict(task.arguments),
        "environment": dict(task.environment),
        "working_directory": task.working_directory,
    }
    return {key: value for key, value in data.items() if value}


def _task_from_json(data: Json) -> TaskSpec:
    return TaskSpec(
        command=tuple(data.get("command", ())),
        callable=data.get("callable", ""),
        arguments=cast("dict[str, object]", data.get("arguments", {})),
        environment=cast("dict[str, str]", data.get("environment", {})),
        working_directory=data.get("working_directory", ""),
    )


def _names(names: list[str]) -> tuple[str, ...]:
    return tuple([intern(name) for name in names])


def _finite(value: str | float) -> str | float:
    """JSON has no NaN and no infinity: they are kept as words."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _damaged(what: str, problem: Exception) -> LedgerDamaged:
    if isinstance(problem, KeyError):
        return LedgerDamaged(f"a line about a {what} lacks or misstates {problem}")
    return LedgerDamaged(f"a line about a {what} cannot be understood ({problem})")
