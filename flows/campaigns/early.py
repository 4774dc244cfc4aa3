"""Sessions that start at Enter, while their campaign is still on its way to the fleet.

Loaded before all that a campaign needs besides: it is what the first case waits for longest.
"""

from __future__ import annotations

import os

from ...infra.engine.controller import is_wanted, read_conftests
from ...infra.runners.doors import NOBODY, Caller, Knock, knock
from .preparation import Prepared
from .runner_of import math_threads_of, runner_of

# Of a campaign that nobody has begun before.
FIRST_EPOCH = 1


def start_early(prepared: Prepared) -> Knock:
    """Have workers of a fleet that is up, and of this machine, start the first sessions.

    Not for a campaign that may turn out to have nothing to do, nor where something comes before
    all sessions: what earlier lives of it still run, or what a conftest.py has done only once.
    """
    request, address = prepared.request, prepared.fleet.address
    if not address or request.tasks or request.last_failed or prepared.record is not None:
        return NOBODY
    if is_wanted(read_conftests(prepared.root, request.pytest_arguments())):
        return NOBODY
    caller = Caller(
        campaign=prepared.campaign_id,
        epoch=FIRST_EPOCH,
        runner=runner_of(prepared),
        math_threads=math_threads_of(prepared.settings),
    )
    # One core is ours until Dask is loaded: more sessions would only all start later.
    return knock(address, caller, most=max(1, len(os.sched_getaffinity(0)) - 1))
