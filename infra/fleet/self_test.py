"""What a worker tries before it joins a fleet; whoever fails here would fail people's tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

# The exit code of a worker that keeps itself out: EX_CONFIG of sysexits.
REFUSED = 78
# An interpreter that takes longer than this to say hello is of no use.
HELLO_SECONDS = 30.0
# Clocks this far apart put records in the wrong order; a launch may wait for a machine to boot.
CLOCK_SECONDS = 5.0
LONGEST_BOOT_SECONDS = 3600.0


def self_test(scratch: Path, *, launched: float, now: float) -> str:
    """Why this worker must not join; empty when it may. `launched` is by its launcher's clock."""
    return _clock(launched, now) or _scratch(scratch) or _interpreter()


def why_refused(file: Path) -> str:
    """What a worker that kept itself out wrote for its launcher."""
    try:
        told = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        told = ""
    # A full disk, perhaps: then its log says no more either.
    return told or "its self-test failed"


def _clock(launched: float, now: float) -> str:
    if not launched:
        return ""
    if now < launched - CLOCK_SECONDS:
        return f"its clock is {launched - now:.0f} s behind that of whoever launched it"
    if now > launched + LONGEST_BOOT_SECONDS:
        return f"its clock is {now - launched:.0f} s ahead of that of whoever launched it"
    return ""


def _scratch(scratch: Path) -> str:
    for place in (scratch, Path(tempfile.gettempdir())):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place, prefix="self-test-") as file:
                file.write(b"written")
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            return f"its directory {place} cannot be written ({problem.strerror})"
    return ""


def _interpreter() -> str:
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", "pass"],
            check=True,
            capture_output=True,
            timeout=HELLO_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return f"its interpreter {sys.executable} does not start ({problem})"
    return ""
