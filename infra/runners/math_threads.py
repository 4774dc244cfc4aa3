"""How many threads numerical libraries start in a process: by themselves, one for each core.

On a machine with a slot for each core that is cores times cores threads, which spin for each other.
networkx's suite (numpy and scipy below it) took 68.0 s in two slots of two cores, and 57.2 s with
one thread each; plain pytest, alone on both cores, needs 124 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..records import WorkerFacts

# In the words of OpenMP, which most libraries understand, and of those with words of their own
# that come before it; what Dask's own worker processes are given.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def fair_threads(facts: WorkerFacts, workers: Iterable[WorkerFacts]) -> int:
    """The cores that a slot of this worker has to itself; 0 where it may have all there are.

    Workers without a machine have not said where they are: they count as being elsewhere.
    """
    if not facts.machine_cores:
        return 0
    beside = (
        each.slots
        for each in workers
        if each.name != facts.name and each.place and each.place == facts.place
    )
    slots = facts.slots + sum(beside)
    return max(1, facts.machine_cores // slots) if slots > 1 else 0


def thread_limits(environ: Mapping[str, str], threads: int) -> dict[str, str]:
    """What an environment lacks; a person who has set one of the variables has decided."""
    if not threads or any(environ.get(name) for name in VARIABLES):
        return {}
    return dict.fromkeys(VARIABLES, str(threads))
