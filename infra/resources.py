"""What workers offer, and whether it is what a case needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .errors import Unsatisfiable
from .quantities import format_size
from .records import Case, Requirements, WorkerFacts
from .suggestions import guess
from .wanted_workers import Mend, remedy_for

# More reasons than this are counted: what is told is to be read.
MOST_REASONS = 4
REASONS_IN_A_LINE = 2
# Orders that a worker takes for each of its slots at a time. One may wait there for a session that
# still starts, and must not keep another slot, whose session is ready, from its own.
ORDERS_A_SLOT = 2


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


def by_needs(cases: Iterable[Case]) -> dict[Requirements, list[Case]]:
    """The cases, those together that need the same."""
    found: dict[Requirements, list[Case]] = {}
    for case in cases:
        found.setdefault(case.needs, []).append(case)
    return found


def check_satisfiable(
    cases: Mapping[Requirements, Iterable[Case]],
    workers: Iterable[WorkerFacts],
    *,
    mend: Mend = Mend.EITHER,
    flags: str = "",
) -> None:
    """Refuse cases that none of the workers could ever run, in one line: how many, why, the mend.

    Without workers nothing is known. `flags` is what a command needs to find the fleet.
    """
    fleet = list(workers)
    unmet = [needs for needs in cases if not any(fits(needs, worker) for worker in fleet)]
    if not fleet or not unmet:
        return
    ids: dict[str, list[str]] = {}
    for needs in unmet:
        ids.setdefault(nearest_miss(needs, fleet), []).extend(case.id for case in cases[needs])
    told = [_refused(miss, who) for miss, who in ids.items()]
    raise Unsatisfiable(
        "; ".join(_first(told, REASONS_IN_A_LINE)), remedy=remedy_for(mend, unmet, fleet, flags)
    )


def servable(
    cases: Sequence[Case], workers: Iterable[WorkerFacts]
) -> tuple[list[Case], dict[str, str]]:
    """Those that one of the workers could run, and by its id why each other one is not run.

    Refused is, as by a campaign, only what leaves nothing to run.
    """
    fleet = list(workers)
    needs = by_needs(cases)
    missed = {each: nearest_miss(each, fleet) for each in needs} if fleet else {}
    misses = {case.id: miss for case in cases if (miss := missed.get(case.needs))}
    if len(misses) == len(cases):
        check_satisfiable(needs, fleet)
    return [case for case in cases if case.id not in misses], misses


def misses_told(misses: Mapping[str, str]) -> list[str]:
    """Why cases are not run, a line for all that miss the same."""
    ids: dict[str, list[str]] = {}
    for case, miss in misses.items():
        ids.setdefault(miss, []).append(case)
    return _first([_refused(miss, who) + _some(who) for miss, who in ids.items()], MOST_REASONS)


def _first(told: Sequence[str], most: int) -> list[str]:
    rest = len(told) - most
    plural = "s are" if rest > 1 else " is"
    more = [f"{rest} other need{plural} not met either"] if rest > 0 else []
    return [*told[:most], *more]


def _refused(miss: str, ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return f"{ids[0]} {miss}"
    return f"{len(ids)} cases need{miss.removeprefix('needs')}"


def _some(ids: Sequence[str]) -> str:
    """Which they are, where several are told as one."""
    if len(ids) == 1:
        return ""
    return f" ({', '.join((*ids[:2], *(['...'] if len(ids) > 2 else [])))})"


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


def offer(worker: WorkerFacts) -> Requirements:
    """All that a case could ask of it."""
    return Requirements(
        cpu=worker.cpu, memory_bytes=worker.memory_bytes, gpu=worker.gpu, tags=worker.tags
    )


def memory_text(size: int) -> str:
    """A size for people, also one that nobody chose, such as what a machine has."""
    text = format_size(size)
    if len(text) <= len("1000GiB"):
        return text
    # Nobody chose this number: a machine's memory. Rounded down, so that 15.99 GiB do not read
    # as the 16 that were asked for.
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size * 100 // unit / 100:g}{name}"


def dask_resources(facts: WorkerFacts) -> dict[str, float]:
    """What a worker offers Dask as `resources`."""
    # A label, not a quantity: every slot may hold a case that asks for it.
    resources = dict.fromkeys(sorted(facts.tags), float(facts.slots))
    # After the tags: a class called "gpu" must not pass for a worker with GPUs.
    resources |= {"cpu": facts.cpu, "memory": float(facts.memory_bytes), "gpu": facts.gpu}
    # A unit for each order addresses this worker alone, and survives its restart.
    resources[f"worker:{facts.name}"] = float(facts.slots * ORDERS_A_SLOT)
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
        "memory": f"memory={memory_text(of.memory_bytes)}",
        "tags": f"tags={'+'.join(sorted(of.tags)) or 'none'}",
    }
    return [words[key] for key in keys]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
