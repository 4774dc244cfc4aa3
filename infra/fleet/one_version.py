"""One fleet, one Proctor: what machines say to each other is of the version that says it."""

from __future__ import annotations

import asyncio
from typing import Any

from distributed import Scheduler, rpc

from ... import __version__
from ..errors import FleetUnavailable, UsageProblem
from .certificates import Certificates

# What a scheduler is asked by; never to be renamed, for other versions ask as well.
QUESTION = "proctor_version"
ANSWER_SECONDS = 5.0


def tell_version(scheduler: Scheduler) -> None:
    """Have a scheduler answer; of everybody who joins it, the first question."""
    version = __version__
    scheduler.handlers[QUESTION] = lambda: version


def refuse_other(address: str, theirs: object) -> None:
    """Orders of another version may be understood, and mean something else."""
    # A scheduler that Proctor did not start has none.
    if theirs is not None and theirs != __version__:
        raise UsageProblem(
            f"the fleet at {address} is of Proctor {theirs}, and this machine has {__version__}",
            remedy="install one version on all machines, and start the fleet anew",
        )


async def ask_version(scheduler: Any) -> object:
    """What the scheduler at the other end of Dask's line says."""
    async with asyncio.timeout(ANSWER_SECONDS):
        return await getattr(scheduler, QUESTION)()


async def check_version(address: str, certificates: Certificates | None) -> None:
    """Refuse a fleet of another version; who does not answer is an OSError."""
    security = certificates.security().get_connection_args("worker") if certificates else {}
    async with rpc(address, timeout=ANSWER_SECONDS, connection_args=security) as scheduler:
        refuse_other(address, await ask_version(scheduler))


def check_joinable(address: str, certificates: Certificates | None) -> None:
    """The same for whoever is about to send workers there; in a line what Dask says in many."""
    try:
        asyncio.run(check_version(address, certificates))
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
