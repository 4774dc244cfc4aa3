"""One temporary folder for all sessions of a campaign on a machine, above that of each.

Suites for pytest-xdist keep what one worker makes for all in `getbasetemp().parent`. A session's
own folder stands beside those of other runs: what an earlier campaign left would be found there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any


def share_base(config: Any, *, worker: str, run_id: str) -> None:
    """Move this session's folder to where pytest-xdist would have it."""
    factory = getattr(config, "_tmp_path_factory", None)
    known = getattr(factory, "_basetemp", "") or getattr(factory, "_given_basetemp", "")
    if factory is None or known or not run_id:
        return
    own = base = factory.getbasetemp()
    # Pytest takes away links that lead nowhere, as it does with all but the last few folders.
    link = own.parent / f"proctor-{run_id}"
    try:
        link.symlink_to(own)
    except FileExistsError:
        # The first session of the campaign was here.
        base = link.resolve()
    except OSError:
        return
    place = base / f"popen-{worker}"
    with contextlib.suppress(OSError):
        if place.exists():
            # Of a session before this one, on the same slot.
            place = base / f"popen-{worker}-{os.getpid()}"
        place.mkdir(mode=0o700)
        factory._basetemp = place
        if base != own:
            shutil.rmtree(own, ignore_errors=True)
