"""Which cases --lf means: of what failed last in the project, those that are asked for now."""

from __future__ import annotations

from ...infra.timings import Timings
from .preparation import Prepared


def last_failed(prepared: Prepared, timings: Timings) -> frozenset[str]:
    """Ids that failed last time; empty where none is known, and then all are to run.

    Tests and task lists of a project share one memory. A list's ids are known beforehand; a
    test's has its file before the "::".
    """
    failed = frozenset(timings.last_failed)
    if prepared.tasks is not None:
        return failed & {case.id for case in prepared.tasks.cases}
    return frozenset(case_id for case_id in failed if "::" in case_id)
