"""Workers that are told to leave in the midst of a campaign, however slow the machine is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from real_campaigns import document, only_campaign, type_in, write_project
from waiting import wait_until

from proctor.infra.fleet.files import FleetFiles
from proctor.infra.fleet.roster import read_roster

PATIENCE = 90.0


def held_project(folder: Path, *, files: str, cases: int) -> Path:
    """No case ends before there is a file `go`, and the last one not before there is `gone`."""
    last = f"test_{files[-1]}-{cases - 1}"
    text = f"""\
        import pytest
        from executions import ran, wait_for
        @pytest.mark.parametrize("n", range({cases}))
        def test_it(n):
            name = f"{{__name__}}-{{n}}"
            wait_for("go")
            if name == "{last}":
                wait_for("gone")
            ran(name)
        """
    return write_project(folder, {f"test_{name}.py": text for name in files})


def scale_in_the_midst(project: Path, state: Path, count: str, leaving: int) -> dict[str, Any]:
    """Scale while each slot is at a case; what the command printed, once those have left."""
    with ThreadPoolExecutor(1) as pool:
        scaled = pool.submit(
            type_in, "scale", count, "--state", str(state), "--json", cwd=state.parent
        )
        try:
            wait_until(
                lambda: _draining(state) == leaving,
                timeout=PATIENCE,
                what=f"{leaving} workers to drain",
            )
            (project / "go").touch()
            wait_until(
                lambda: (
                    [each.event for each in only_campaign(state).workers].count("left") == leaving
                ),
                timeout=PATIENCE,
                what=f"the campaign to hear that {leaving} have left",
            )
        finally:
            for name in ("go", "gone"):
                (project / name).touch()
        return document(scaled.result())


def _draining(state: Path) -> int:
    """By their own word: one from a pool hears of it late, and would take the last case meanwhile."""
    roster = read_roster(FleetFiles(state=state).roster)
    return sum(each.draining for each in roster.workers.values())
