"""What a fleet that is up refuses, and what it says: pure, from what is wanted and asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...infra.errors import UsageProblem
from ...infra.fleet.files import Wanted
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
    most = bounds(open_ended, cores=cores)
    told = ", ".join(f"{name} at most {each.maximum}" for name, each in most.items())
    word = "class" if len(open_ended) == 1 else "classes"
    return (
        f"{word} of a work pool without a max: {told}, as many as this machine's cores would "
        f"serve; write max=N in the class to have more or fewer"
    )


def crowded_line(
    classes: Mapping[str, WorkerClass], counts: Mapping[str, int], *, cores: int
) -> str:
    """What somebody should know whose workers have more slots than their machine; else empty."""
    here = [name for name in counts if classes[name].provider in {"", LOCAL}]
    slots = sum(classes[name].slots * counts[name] for name in here)
    if slots <= cores:
        return ""
    return (
        f"the fleet has {slots} slots and this machine {cores} core{'' if cores == 1 else 's'}:"
        " cases that compute take turns, and each takes longer"
    )
