"""What workers offer, and whether it is what a case needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .errors import Unsatisfiable
from .quantities import format_size
from .records import Case, Requirements, WorkerFacts
from .suggestions import guess
from .worker_classes import NAME


def fits(needs: Requirements, worker: WorkerFacts) -> bool:
    """Whether the worker could run such a case when nothing else runs there."""
    return not _misses(needs, worker)


def nearest_miss(needs: Requirements, workers: Iterable[WorkerFacts]) -> str:
    """Why no worker fits, as "needs gpu=2, the largest worker has gpu=1"; empty if one does."""
    fleet = list(workers)
    if not fleet:
        return f"needs {describe(needs)}, and there is no worker"
    if any(fits(needs, worker) for worker in fleet):
        return ""
    # Something that no worker has enough of is the clearest reason.
    largest = WorkerFacts(
        name="",
        incarnation="",
        worker_class="",
        slots=1,
        cpu=max(worker.cpu for worker in fleet),
        memory_bytes=max(worker.memory_bytes for worker in fleet),
        gpu=max(worker.gpu for worker in fleet),
        tags=frozenset[str]().union(*(worker.tags for worker in fleet)),
    )
    lacking = _misses(needs, largest)
    amounts = [key for key in lacking if key != "tags"]
    if amounts:
        return (
            f"needs {_listed(_amounts(needs, amounts))},"
            f" the largest worker has {_listed(_amounts(largest, amounts))}"
        )
    if lacking:
        missing = sorted(needs.tags - largest.tags)
        noun = "tag" if len(missing) == 1 else "tags"
        there = ", ".join(sorted(largest.tags)) or "none"
        hint = guess(missing[0], largest.tags)
        return (
            f"needs the {noun} {_listed(missing)}, which no worker has"
            f" (there are: {there}{f'; {hint}' if hint else ''})"
        )
    best = min(fleet, key=lambda worker: len(_misses(needs, worker)))
    return (
        f"needs {describe(needs)} of one worker; the nearest, {best.name}, has"
        f" {_listed(_amounts(best, _misses(needs, best)))}"
    )


def check_satisfiable(case: Case, workers: Iterable[WorkerFacts]) -> None:
    """Refuse a case that none of the workers could ever run; without workers nothing is known."""
    fleet = list(workers)
    if not fleet or any(fits(case.needs, worker) for worker in fleet):
        return
    raise Unsatisfiable(
        f"{case.id} {nearest_miss(case.needs, fleet)}",
        remedy=f"give the fleet such a worker beside the others, with --fleet-class"
        f" {class_for(case.needs)} (--class with `proctor up`) or fleet_classes in [tool.proctor],"
        " or lower what the case asks for",
    )


def class_for(needs: Requirements) -> str:
    """A class of one slot that would do, as one types it; a GPU that is not there is simulated."""
    tags = sorted(needs.tags)
    name = next(filter(NAME.fullmatch, tags), "gpu" if needs.gpu else "big")
    parts = [
        "slots=1",
        f"cpu={needs.cpu:g}" if needs.cpu > 1 else "",
        f"gpu={math.ceil(needs.gpu)},simulated" if needs.gpu else "",
        f"memory={format_size(needs.memory_bytes)}" if needs.memory_bytes else "",
        # A class is a tag itself.
        f"tags={'+'.join(others)}" if (others := [tag for tag in tags if tag != name]) else "",
    ]
    return f"{name}:{','.join(filter(None, parts))}"


def describe(needs: Requirements) -> str:
    """Requirements in a few words, such as "cpu=1, gpu=1 and memory=16GB"."""
    keys = [
        key
        for key, asked in (
            ("cpu", needs.cpu > 0),
            ("gpu", needs.gpu > 0),
            ("memory", needs.memory_bytes > 0),
            ("tags", bool(needs.tags)),
        )
        if asked
    ]
    return _listed(_amounts(needs, keys)) or "nothing"


def dask_resources(facts: WorkerFacts) -> dict[str, float]:
    """What a worker offers Dask as `resources`."""
    # A label, not a quantity: every slot may hold a case that asks for it.
    resources = dict.fromkeys(sorted(facts.tags), float(facts.slots))
    # After the tags: a class called "gpu" must not pass for a worker with GPUs.
    resources |= {"cpu": facts.cpu, "memory": float(facts.memory_bytes), "gpu": facts.gpu}
    # One unit a slot addresses this worker alone, and survives its restart.
    resources[f"worker:{facts.name}"] = float(facts.slots)
    return resources


def _misses(needs: Requirements, worker: WorkerFacts) -> tuple[str, ...]:
    """What the worker lacks."""
    checks = (
        ("cpu", needs.cpu <= worker.cpu),
        ("gpu", needs.gpu <= worker.gpu),
        ("memory", needs.memory_bytes <= worker.memory_bytes),
        ("tags", needs.tags <= worker.tags),
    )
    return tuple(key for key, enough in checks if not enough)


def _amounts(of: Requirements | WorkerFacts, keys: Iterable[str]) -> list[str]:
    words: dict[str, str] = {
        "cpu": f"cpu={of.cpu:g}",
        "gpu": f"gpu={of.gpu:g}",
        "memory": f"memory={_memory(of.memory_bytes)}",
        "tags": f"tags={'+'.join(sorted(of.tags)) or 'none'}",
    }
    return [words[key] for key in keys]


def _memory(size: int) -> str:
    text = format_size(size)
    if len(text) <= len("1000GiB"):
        return text
    # Nobody chose this number: a machine's memory. Rounded down, so that 15.99 GiB do not read
    # as the 16 that were asked for.
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size * 100 // unit / 100:g}{name}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
