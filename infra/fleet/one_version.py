"""One fleet, one Proctor: what machines say to each other is of the version that says it.

And one clock: what they say of times is put side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from distributed import Scheduler, rpc

from ... import __version__
from ..errors import FleetUnavailable, UsageProblem
from .certificates import Certificates
from .self_test import CLOCK_SECONDS

# What a scheduler is asked by; never to be renamed, for other versions ask as well.
QUESTION = "proctor_terms"
ANSWER_SECONDS = 5.0


def tell_terms(scheduler: Scheduler) -> None:
    """Have a scheduler answer; of everybody who joins it, the first question."""
    version = __version__
    scheduler.handlers[QUESTION] = lambda: {"version": version, "now": time.time()}


def refuse_other(address: str, told: Mapping[str, Any]) -> None:
    """Orders of another version may be understood, and mean something else."""
    # A scheduler that Proctor did not start has none.
    theirs = told.get("version", __version__)
    if theirs != __version__:
        raise UsageProblem(
            f"the fleet at {address} is of Proctor {theirs}, and this machine has {__version__}",
            remedy="install one version on all machines, and start the fleet anew",
        )


def refuse_clock(address: str, told: Mapping[str, Any], *, asked: float, heard: float) -> None:
    """Between its question and the answer the clock there was looked at."""
    now = told.get("now", heard)
    if not asked - CLOCK_SECONDS <= now <= heard + CLOCK_SECONDS:
        raise UsageProblem(
            f"the clocks of this machine and of the fleet at {address} are"
            f" {abs(heard - now):.0f} s apart",
            remedy="set both right, or let NTP do that",
        )


async def ask_terms(scheduler: Any) -> Mapping[str, Any]:
    """What the scheduler at the other end of Dask's line says."""
    async with asyncio.timeout(ANSWER_SECONDS):
        return await getattr(scheduler, QUESTION)() or {}


async def check_terms(address: str, certificates: Certificates | None) -> None:
    """Refuse a fleet of another version or time; who does not answer is an OSError."""
    security = certificates.security().get_connection_args("worker") if certificates else {}
    async with rpc(address, timeout=ANSWER_SECONDS, connection_args=security) as scheduler:
        asked = time.time()
        told = await ask_terms(scheduler)
    refuse_other(address, told)
    refuse_clock(address, told, asked=asked, heard=time.time())


def check_joinable(address: str, certificates: Certificates | None) -> None:
    """The same for whoever is about to send workers there; in a line what Dask says in many."""
    try:
        asyncio.run(check_terms(address, certificates))
    except OSError as problem:
        # Dask wraps what has happened in where it has.
        cause: BaseException = problem
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise FleetUnavailable(
            f"the scheduler at {address} does not speak with this machine"
            f" ({str(cause) or 'no answer'})",
            remedy="are the certificates that --certs names those of this fleet?",
        ) from problem
