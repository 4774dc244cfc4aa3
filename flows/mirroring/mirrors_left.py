"""Mirrors that still tell of campaigns that are over, when everything is taken down."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import psutil

from ..server.prefect_server import is_answering
from .mirror_process import MODULE
from .mirror_told import has_begun
from .untold_note import is_owed

# Being asked to end, a mirror ends at once; it keeps what it told as it goes.
END_SECONDS = 3.0
# Between two looks whether they are done with their own campaign.
LOOK_SECONDS = 0.2


def end_mirrors(
    state: Path,
    *,
    but: Collection[str] = (),
    patience: float,
    say: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """End those of a state directory; gives the campaigns that were not told whole.

    They are given a while to tell the rest of their own campaign first. One left behind would start
    the resident server anew as soon as that is stopped. Mirrors of the campaigns in `but`, and
    those whose server is somebody's own and answers, are left alone.
    """
    left = {
        process: campaign
        for process in psutil.process_iter(["cmdline"])
        if (campaign := _campaign_of(process.info["cmdline"] or [], state)) and campaign not in but
    }
    untold = {process: name for process, name in left.items() if not _is_told(state, name)}
    if untold and patience:
        say(f"Prefect is told the rest of {', '.join(sorted(untold.values()))} ({patience:g} s)")
    until = time.monotonic() + patience
    while untold and (rest := until - time.monotonic()) > 0:
        _, there = psutil.wait_procs(untold, timeout=min(rest, LOOK_SECONDS))
        # One that has told of its own campaign goes on with those that others owe.
        untold = {process: left[process] for process in there if not _is_told(state, left[process])}
    _, late = psutil.wait_procs(left, timeout=0)
    for process in late:
        with suppress(psutil.Error):
            process.terminate()
    _, deaf = psutil.wait_procs(late, timeout=END_SECONDS)
    for process in deaf:
        with suppress(psutil.Error):
            process.kill()
    return sorted(left[process] for process in late if not _is_told(state, left[process]))


def _is_told(state: Path, campaign: str) -> bool:
    """Whether Prefect has all of it; one of which it has nothing yet may have no note either."""
    directory = state / "campaigns" / campaign
    return has_begun(directory / "mirror") and not is_owed(directory)


def _campaign_of(command: list[str], state: Path) -> str:
    """The campaign a process mirrors, if it is such a process, of this state directory."""
    if MODULE not in command[:-1] or "--prefect" not in command[:-1]:
        return ""
    directory = Path(command[command.index(MODULE) + 1])
    if not directory.is_relative_to(state / "campaigns"):
        return ""
    server = command[command.index("--prefect") + 1]
    return "" if server != "auto" and is_answering(server) else directory.name
