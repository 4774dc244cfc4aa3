"""Whether the machine under a worker has memory left for more than what runs.

A worker that is short of memory begins nothing new: what the kernel then ends would be an innocent
as often as not. It waits in vain only for a while: on a machine that is always full, somebody has
to go on.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..errors import BadSetting
from ..memory_reserve import read_reserve

logger = logging.getLogger(__name__)

# So much is to be left free: a share of what there is, and never more than this.
RESERVE_SHARE = 0.04
MOST_RESERVE_BYTES = 1 << 30
# Looking costs some reads of files.
LOOK_SECONDS = 0.25
# A machine that is short for longer is taken as it is.
PATIENCE_SECONDS = 30.0
CGROUPS = Path("/sys/fs/cgroup")
_CACHES = ("active_file", "inactive_file", "slab_reclaimable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What there is, and what is left of it."""

    total_bytes: int
    available_bytes: int


def measured_memory() -> Memory:
    """Of this machine, or of the container this process is in if that has less left."""
    seen = psutil.virtual_memory()
    machine = Memory(total_bytes=seen.total, available_bytes=seen.available)
    return min((machine, *_limits()), key=lambda each: each.available_bytes)


@functools.cache
def memory_there() -> int:
    """All that processes here may use: the machine's, or what their container has of it."""
    return min((psutil.virtual_memory().total, *(each.total_bytes for each in _limits())))


class MemoryRoom:
    """Watches what is left."""

    def __init__(
        self,
        *,
        reserve_bytes: int | None = None,
        measure: Callable[[], Memory] = measured_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reserve = reserve_bytes
        self._measure = measure
        self._clock = clock
        self._seen: Memory | None = None
        self._due = 0.0
        self._short_since: float | None = None

    def refusal(self) -> str:
        """Why nothing new should begin now; empty if it may."""
        now = self._clock()
        if self._seen is None or now >= self._due:
            self._due = now + LOOK_SECONDS
            try:
                self._seen = self._measure()
            except (OSError, ValueError, psutil.Error) as problem:
                # A machine that does not tell what it has must not hold up who works there.
                logger.warning("memory cannot be looked at: %s", problem)
                return ""
        reserve = self._reserve
        if reserve is None:
            reserve = min(int(RESERVE_SHARE * self._seen.total_bytes), MOST_RESERVE_BYTES)
        if self._seen.available_bytes >= reserve:
            self._short_since = None
            return ""
        if self._short_since is None:
            self._short_since = now
        if now - self._short_since > PATIENCE_SECONDS:
            return ""
        left = self._seen.available_bytes / 2**20
        return f"{left:.0f} MiB of memory are left, {reserve / 2**20:.0f} are to stay free"


def told_reserve(environ: Mapping[str, str]) -> int | None:
    """What somebody says is to be left free, if anybody does.

    Commands refuse what is no size. Here it came with the machine or its image, and a worker
    without it is better than none.
    """
    try:
        return read_reserve(environ)
    except BadSetting as problem:
        logger.warning("%s (taken for not given)", problem)
        return None


def _limits() -> Iterator[Memory]:
    """What is left below each limit that this process's control group, or one above it, has."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _below(CGROUPS, path, "memory.max", "memory.current", prefix="")
        elif "memory" in controllers.split(","):
            yield from _below(
                CGROUPS / "memory",
                path,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                prefix="total_",
            )


def _below(root: Path, path: str, limit: str, usage: str, *, prefix: str) -> Iterator[Memory]:
    place = root / path.lstrip("/")
    for group in (place, *place.parents):
        if group != root and root not in group.parents:
            return
        try:
            most = int((group / limit).read_text())
            used = int((group / usage).read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            # Pages of files are given back before anything is ended.
            files = sum(int(stat.get(f"{prefix}{each}", 0)) for each in _CACHES)
        except (OSError, ValueError):
            # No limit ("max"), or none that can be read from here.
            continue
        # Without a limit version 1 says a number beyond all memory.
        if most < 1 << 60:
            left = most - used + files
            yield Memory(total_bytes=most, available_bytes=max(0, left))
