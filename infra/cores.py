"""How many cores this process may use: those it is bound to, or what its container has of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_QUOTA_1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
_QUOTA_2 = ("cpu.max",)


def core_count(*, groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> int:
    """Whole cores, one at least; a quota of one and a half keeps two of them busy in turns."""
    bound_to = len(os.sched_getaffinity(0))
    return max(1, min([bound_to, *map(math.ceil, _quotas(groups, own_groups))]))


def _quotas(groups: Path, own_groups: Path) -> Iterator[float]:
    """Each that this process's control group has, or one above it."""
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _upwards(groups, path, _QUOTA_2)
        elif "cpu" in controllers.split(","):
            # Mounted by all its names, or linked by its own.
            for mount in dict.fromkeys(("cpu", controllers)):
                yield from _upwards(groups / mount, path, _QUOTA_1)


def _upwards(root: Path, path: str, files: tuple[str, ...]) -> Iterator[float]:
    place = root / path.lstrip("/")
    for group in (place, *place.parents):
        if not group.is_relative_to(root):
            return
        # There is no quota ("max", or -1), or no such group: a container may see its own as the
        # root, and its path from outside.
        with suppress(OSError, ValueError):
            quota, period = " ".join((group / file).read_text() for file in files).split()
            if int(quota) > 0:
                yield int(quota) / int(period)
