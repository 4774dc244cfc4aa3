"""Workers that cases want and their fleet has not: classes that would do, and what to type."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterable, Sequence
from itertools import count

from .records import Requirements, WorkerFacts
from .runners.memory_room import memory_there
from .worker_classes import NAME, WorkerClass, class_text


class Mend(enum.StrEnum):
    """How a campaign's fleet gets other workers."""

    # It is the campaign's own.
    OWN = "own"
    # `proctor up` keeps it.
    KEPT = "kept"
    # Somebody else's scheduler.
    NAMED = "named"
    # There is no campaign yet.
    EITHER = "either"


def remedy_for(
    mend: Mend,
    unmet: Iterable[Requirements],
    fleet: Sequence[WorkerFacts],
    flags: str = "",
    *,
    verb: str = "run",
) -> str:
    """What to type for workers that would do, beside those that are there."""
    wanted = list(unmet)
    own = f"`proctor {verb} {fleet_flags(wanted, fleet)}{flags}` has such workers"
    kept = f"`proctor up {class_flags(wanted, fleet)}{flags}` adds such workers"
    # A tag is but a word; this machine may not have as much of the rest.
    where = "on a machine that has as much, " if any(_is_much(each) for each in wanted) else ""
    match mend:
        case Mend.OWN:
            return where + own
        case Mend.KEPT:
            return where + kept
        case Mend.NAMED:
            return "bring such workers to that fleet"
        case Mend.EITHER:
            return f"{where}{own}, {kept} to a fleet that is up"


def _is_much(needs: Requirements) -> bool:
    return needs.gpu > 0 or needs.memory_bytes > memory_there()


def fleet_flags(unmet: Iterable[Requirements], fleet: Sequence[WorkerFacts]) -> str:
    """A fleet of one's own with the workers that are there and such that would do."""
    there: dict[str, list[WorkerFacts]] = {}
    # A worker that was expected and has come is one worker.
    for worker in {worker.name: worker for worker in fleet}.values():
        there.setdefault(worker.worker_class, []).append(worker)
    kept: list[str] = []
    for name, mine in there.items():
        kept.append(_class_of(mine[0]))
        # One more of a class that is written out.
        kept.extend([f"{name}={len(mine) - 1}"] if len(mine) > 1 else [])
    new = classes_for(unmet, taken=there)
    return " ".join(f"--fleet-class {each}" for each in (*kept, *new))


def class_flags(unmet: Iterable[Requirements], fleet: Iterable[WorkerFacts]) -> str:
    """What a fleet that is up lacks."""
    there = {worker.worker_class for worker in fleet}
    return " ".join(f"--class {each}" for each in classes_for(unmet, taken=there))


def classes_for(unmet: Iterable[Requirements], *, taken: Collection[str]) -> list[str]:
    """New classes, as one types them, of which one or the other meets each of the needs."""
    # Of one name there is one class, with enough for all who need it.
    merged: dict[str, Requirements] = {}
    for needs in unmet:
        name = _name_for(needs)
        merged[name] = _most(merged.get(name, needs), needs)
    return [class_for(needs, taken=taken) for needs in merged.values()]


def class_for(needs: Requirements, *, taken: Collection[str] = ()) -> str:
    """A class of one slot that would do, as one types it, under a name that is not taken."""
    base = _name_for(needs)
    names = (f"{base[:36]}{number}" for number in count(2))
    name = base if base not in taken else next(each for each in names if each not in taken)
    return class_text(
        WorkerClass(
            name=name,
            slots=1,
            cpu=max(1.0, needs.cpu),
            gpu=math.ceil(needs.gpu),
            memory_bytes=needs.memory_bytes,
            tags=needs.tags,
        )
    )


def _name_for(needs: Requirements) -> str:
    return next(filter(NAME.fullmatch, sorted(needs.tags)), "gpu" if needs.gpu else "big")


def _most(one: Requirements, other: Requirements) -> Requirements:
    return Requirements(
        cpu=max(one.cpu, other.cpu),
        memory_bytes=max(one.memory_bytes, other.memory_bytes),
        gpu=max(one.gpu, other.gpu),
        tags=one.tags | other.tags,
    )


def _class_of(worker: WorkerFacts) -> str:
    """The class of a worker that is there, as one types it."""
    return class_text(
        WorkerClass(
            name=worker.worker_class,
            slots=worker.slots,
            cpu=worker.cpu,
            gpu=worker.gpu,
            # All of this machine's is what a class has that says nothing.
            memory_bytes=0 if worker.memory_bytes == memory_there() else worker.memory_bytes,
            tags=worker.tags,
            simulated_gpu=worker.simulated_gpu,
        )
    )
