"""What work is expected: written down by whoever forecasts, read by each pass of scaling."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..whole_file import replace_file

HOUR_SECONDS = 3600.0


def write_forecast(path: Path, *, since: float, hours: Mapping[str, Sequence[float]]) -> None:
    """`hours` holds, by class, worker seconds that each hour from `since` on has at least."""
    replace_file(path, json.dumps({"since": since, "hours": hours}))


def expected_workers(path: Path, *, now: float) -> Callable[[str, float], float]:
    """How many workers of a class are as good as sure to be busy, some seconds from now.

    Nobody where no forecast is, or one that has run out.
    """
    try:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        since = float(given["since"])
        hours = {name: [float(each) for each in row] for name, row in given["hours"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return lambda name, ahead: 0.0
    except (ValueError, KeyError, TypeError, AttributeError):
        return lambda name, ahead: 0.0

    def workers(name: str, ahead: float) -> float:
        hour = int((now + ahead - since) // HOUR_SECONDS)
        row = hours.get(name, [])
        return row[hour] / HOUR_SECONDS if 0 <= hour < len(row) else 0.0

    return workers
