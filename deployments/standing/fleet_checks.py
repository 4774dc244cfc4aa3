"""What a fleet that is up refuses, and what it says: pure, from what is wanted and asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...infra.errors import UsageProblem
from ...infra.fleet.files import Wanted
from ...infra.fleet.machine_room import is_here, memory_line
from ...infra.fleet.mixed_provider import LOCAL
from ...infra.fleet.reach import Reach
from ...infra.scaling.reconciler import bounds
from ...infra.worker_classes import WorkerClass

_FROM = {
    LOCAL: "processes of this machine (local)",
    "work-pool": "Prefect's work pools (work-pool)",
}


def check_same(
    wanted: Wanted,
    *,
    port: int,
    reach: Reach | None = None,
    provider: str,
    classes: Mapping[str, WorkerClass],
    counts: Mapping[str, int],
) -> None:
    """What is up keeps its classes and port: a worker must not mean two things."""
    if port and port != wanted.port:
        raise UsageProblem(
            f"the fleet is up on port {wanted.port}, not {port}",
            remedy="`proctor down` first",
        )
    if reach is not None and reach != wanted.reach:
        raise UsageProblem(
            f"the fleet is up on {wanted.reach.host}, not {reach.host}"
            if reach.host != wanted.reach.host
            else f"the fleet is up with the certificates in {wanted.reach.certs}",
            remedy="`proctor down` first",
        )
    # Without numbers, another provider is asked of all that are up.
    for name in counts or (wanted.counts if provider else {}):
        here, asked = wanted.classes.get(name), classes.get(name)
        if here is None or asked is None:
            continue
        source = asked.provider or provider or here.provider
        if source != here.provider:
            raise UsageProblem(
                f"workers of class {name} are {_FROM.get(here.provider, here.provider)}, and "
                f"{source} was asked for",
                remedy=f"`proctor down` first, or give a class of another name, as in "
                f"--class {name}2:slots={asked.slots or here.slots},provider={source}",
            )
        slots = asked.slots or here.slots
        if replace(here, slots=slots) != replace(asked, slots=slots, provider=here.provider):
            raise UsageProblem(
                f"class {name} is up with other capacities than those given now",
                remedy="`proctor down` first, or give the class another name",
            )


def unbounded_line(classes: Mapping[str, WorkerClass], *, cores: int) -> str:
    """What somebody should know whose fleet sizes itself in work pools; empty where all is said.

    A pool's machines are others: how many cores this one has says nothing of how many there may be.
    """
    open_ended = {
        name: each
        for name, each in classes.items()
        if each.provider not in {"", LOCAL} and each.maximum is None
    }
    if not open_ended:
        return ""
    most = bounds(open_ended, cores=cores, memory_bytes=0)
    told = ", ".join(f"{name} at most {each.maximum}" for name, each in most.items())
    word = "class" if len(open_ended) == 1 else "classes"
    return (
        f"{word} of a work pool without a max: {told}, as many as this machine's cores would "
        f"serve; write max=N in the class to have more or fewer"
    )


def crowded_lines(
    classes: Mapping[str, WorkerClass],
    counts: Mapping[str, int],
    *,
    cores: int,
    memory_bytes: int,
    auto: bool = False,
) -> list[str]:
    """What somebody should know whose workers offer together what their machine has not.

    Of a fleet that sizes itself, once all classes that were asked for are at their most.
    """
    here = {name: classes[name] for name in counts if is_here(classes[name])}
    most = bounds(here, cores=cores, memory_bytes=memory_bytes)
    counts = {name: most[name].maximum or 0 for name in here} if auto else counts
    slots = sum(each.slots * counts[name] for name, each in here.items())
    offered = sum(max(each.slots, each.cpu) * counts[name] for name, each in here.items())
    machine = f"this machine {cores} core{'' if cores == 1 else 's'}"
    told: list[str] = []
    if slots > cores:
        has = "may come to have" if auto else "has"
        told.append(
            f"the fleet {has} {slots} slots and {machine}: cases that compute take turns, and"
            " each takes longer"
        )
    elif offered > cores:
        told.append(f"workers offer cpu={offered:g} and {machine}: cases get less than they ask")
    stating = {name: each for name, each in here.items() if each.memory_bytes}
    workers = [each.facts(n) for name, each in stating.items() for n in range(counts[name])]
    return [*told, *filter(None, [memory_line(workers, there=memory_bytes)])]
