"""How fast hosts of one class are, from what the cases they share took on each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .ranks import Floats

# So many cases have to be common before a host's speed is believed.
_FEWEST_COMMON = 5
# Differences of hosts below this are noise themselves.
_NOTABLE_SPEED = 0.02

# Class and host to its speed: 1 for the class, 2 for twice as fast.
Speeds = Mapping[tuple[str, str], float]


def host_speeds(rows: Iterable[tuple[Any, ...]]) -> Speeds:
    """From rows of case, class, host, campaign, runs and seconds."""
    by_case: dict[tuple[int, str], dict[str, list[float]]] = {}
    for number, worker_class, host, _, _, value in rows:
        if host and value is not None and value > 0:
            by_case.setdefault((number, worker_class), {}).setdefault(host, []).append(value)
    leads: dict[tuple[str, str], list[float]] = {}
    for (_, worker_class), hosts in by_case.items():
        if len(hosts) > 1:
            middles: dict[str, Floats] = {host: np.log(values) for host, values in hosts.items()}
            typical = float(np.mean([np.median(logs) for logs in middles.values()]))
            for host, logs in middles.items():
                leads.setdefault((worker_class, host), []).append(typical - float(np.median(logs)))
    return {
        key: float(np.exp(np.median(each)))
        for key, each in leads.items()
        if len(each) >= _FEWEST_COMMON and abs(float(np.median(each))) > _NOTABLE_SPEED
    }
