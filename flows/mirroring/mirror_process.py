"""Starts the mirror in the background; imports nothing heavy, for the caller is in a hurry."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ..server.detached import spawn_detached
from ..server.named_server import to_process
from .untold_note import owe

MODULE = "proctor.flows.mirroring.mirror"


def spawn_mirror(
    directory: Path, *, prefect: str = "auto", dashboard: str = "", flow_run: str = ""
) -> int | None:
    """Start the mirror of a campaign, detached; its process number, or None where it is off."""
    if prefect == "off":
        return None
    shown, environ = to_process(prefect, os.environ)
    command = [sys.executable, "-m", MODULE, str(directory), "--prefect", shown]
    # On a busy machine it loads for a minute: a server that is stopped meanwhile stays stopped.
    command += ["--since", f"{time.time():.3f}"]
    if dashboard:
        command += ["--dashboard", dashboard]
    if flow_run:
        command += ["--flow-run", flow_run]
    if not flow_run:
        # It takes seconds to load, and may be killed meanwhile.
        owe(directory)
    return spawn_detached(command, environ=environ, log=directory / "mirror" / "mirror.log")
