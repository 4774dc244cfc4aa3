"""How Dask is set for running tests: no spilling, no stealing, no blame, little overhead."""

from __future__ import annotations

from dask import config

# Profiling and the GIL monitor off, slow ticks: an idle worker's CPU falls from 3.3 % to 0.8 %.
SETTINGS: dict[str, object] = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.tick.interval": "200ms",
    "distributed.worker.memory.monitor-interval": "1s",
    # Limits belong on the runner: a worker's own would count only itself, and pause or kill it.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Dask blames every task assigned to a dying worker; we do our own accounting.
    "distributed.scheduler.allowed-failures": 0,
    # One batch is in flight per slot and addressed to it: there is nothing to steal.
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": "10s",
    # Below 11 s distributed asserts that the TCP timeout is at least its keep-alive.
    "distributed.comm.timeouts.tcp": "12s",
    "distributed.comm.timeouts.connect": "10s",
    "distributed.comm.retry.count": 0,
    # Nothing of ours is on a dashboard of Dask's, and bokeh need not be there.
    "distributed.scheduler.dashboard.status.task-stream-length": 0,
}


def apply() -> None:
    """Set Dask for this process."""
    config.set(SETTINGS)
