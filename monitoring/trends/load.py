"""The load of the fleet by the hour: what the store remembers, and what is to be expected.

The one forecast: reports show it, and the scaling of the fleet is handed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from ..named_sql import load_sql
from ..store import Store
from .forecast import Expected, expected_load

HOUR_SECONDS = 3600.0
# Four weeks for the mean of an hour of the week, and two in which to see how good that is.
HOURS_OF_HISTORY = 6 * 168
# Less says nothing about the time of day.
FEWEST_HOURS = 24


def expected_hours(store: Store, *, now: float, hours: int) -> Mapping[str, tuple[Expected, ...]]:
    """By class, work-seconds of all projects in the hour that runs now and those after it.

    Nothing for a class whose history is shorter than a day, and nothing without a store.
    """
    if not store.exists:
        return {}
    this = int(now // HOUR_SECONDS)
    first = this - HOURS_OF_HISTORY
    since = datetime.fromtimestamp(first * HOUR_SECONDS, UTC).replace(tzinfo=None)
    with store.reading() as connection:
        rows = connection.execute(load_sql("trends.sql")["load"], {"since": since}).fetchall()
    loads: dict[str, dict[int, float]] = {}
    for name, hour, work in rows:
        # The hour that runs is not over: what it has seen so far is no load of an hour.
        if hour < this:
            loads.setdefault(name, {})[hour] = work
    return {
        name: expected_load(
            np.array([load.get(hour, 0.0) for hour in range(min(load), this)]), hours
        )
        for name, load in sorted(loads.items())
        if this - min(load) >= FEWEST_HOURS
    }
