"""The load of the fleet by the hour: what the store remembers, and what is to be expected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from .forecast import expected_load
from .queries import run_sql
from .store import Store

HOUR_SECONDS = 3600.0
# Two weeks show the rhythm of a week twice.
HOURS_OF_HISTORY = 14 * 24
# Less says nothing about the time of day.
FEWEST_HOURS = 24

_HOURS = f"""
SELECT worker_class, date_diff('hour', started, TIMESTAMP '{{now}}') AS ago, sum(seconds) AS work
FROM results
WHERE worker_class IS NOT NULL AND seconds IS NOT NULL
    AND started > TIMESTAMP '{{now}}' - INTERVAL {HOURS_OF_HISTORY} HOURS
GROUP BY ALL
"""  # noqa: S608 - the only thing put in is a time of ours.


def expected_hours(store: Store, *, now: float, hours: int) -> Mapping[str, tuple[float, ...]]:
    """By class, work-seconds of the hour that runs now and of those after it.

    Nothing for a class whose history is shorter than a day, and nothing without a store.
    """
    if not store.exists:
        return {}
    text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:00:00")
    loads: dict[str, dict[int, float]] = {}
    for name, ago, work in run_sql(store, _HOURS.format(now=text)).rows:
        loads.setdefault(name, {})[int(ago)] = float(work)
    found: dict[str, tuple[float, ...]] = {}
    for name, load in loads.items():
        longest = max(load)
        if longest < FEWEST_HOURS:
            continue
        # The hour that runs is not over: what it has seen so far is no load of an hour.
        past = np.array([load.get(ago, 0.0) for ago in range(longest, 0, -1)])
        found[name] = tuple(each.value for each in expected_load(past, hours))
    return found
