"""Programs that some tests need and a person's machine may lack."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache


def chromium() -> str | None:
    """The path of a Chromium or Chrome, if one is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@cache
def missing_tool(tool: str) -> str:
    """Why a tool cannot be used; empty when it can."""
    match tool:
        case "chromium":
            return "" if chromium() else "no chromium is installed"
        case "docker":
            return _docker()
        case "prometheus":
            return "" if shutil.which("prometheus") else "no prometheus is installed"
        case _:
            raise ValueError(f"no test knows how to look for {tool!r}")


def _docker() -> str:
    if not shutil.which("docker"):
        return "no docker client is installed"
    asked = subprocess.run(["docker", "info"], capture_output=True, timeout=120, check=False)
    return "" if asked.returncode == 0 else "no Docker engine answers"
