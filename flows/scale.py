"""The flow that brings the fleet to the size its work needs, and tells Prefect of each decision.

    from proctor.flows.scale import scale_fleet

    await scale_fleet()

One level-triggered pass: run it on a schedule, by hand, or at the start of a campaign. Where
`proctor up --auto` keeps the fleet, its supervisor passes every second; then this flow refreshes
the forecast, where the policy counts on one, and tells Prefect what was decided since it last ran:
a table of decisions as an artifact, and an event for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from prefect import State, get_run_logger
from prefect.artifacts import acreate_table_artifact
from prefect.events import emit_event
from prefect.states import Completed, Failed
from pydantic import BaseModel

from ..infra.errors import FleetUnavailable, ProctorError
from ..infra.fleet.files import FleetFiles, Wanted, read_wanted
from ..infra.fleet.roster import read_roster
from ..infra.ledgers.journal import Line
from ..infra.scaling.demand import ask
from ..infra.scaling.forecast import write_forecast
from ..infra.scaling.policy import ScalingRules
from ..infra.scaling.reconciler import Scaler, recorded
from ..infra.settings import load_settings
from ..infra.whole_file import replace_file
from .campaigns.fleet_choice import resident_fleet
from .server.called_flow import CalledFlow

FLOW_NAME = "scale-fleet"
ARTIFACT = "fleet-scaling"
# Rows of the artifact: what a person reads of it.
ROWS = 50
# A fleet that has sized itself for weeks is told of for the first time.
MOST_EVENTS = 500
FORECAST_HOURS = 24
_IDS = UUID("4a7c5b0e-70c3-4b59-9b7e-0c6d2f5f2d11")


class ScalingResult(BaseModel):
    """What a pass came to."""

    auto: bool
    sizes: dict[str, int]
    # New since the flow last ran, in the order they were taken.
    decisions: list[dict[str, Any]]


@partial(CalledFlow, name=FLOW_NAME, persist_result=False)
async def scale_fleet(*, state: str = "", ahead: bool = True) -> State[ScalingResult]:
    """Look at the fleet and its work once, set the sizes, and tell what was decided and why.

    Args:
        state: The state directory of the fleet; the usual one if left empty.
        ahead: Whether to refresh the forecast for a policy that counts on it (its `ahead`), which
            then starts workers before their work is there.

    """
    try:
        where = Path(load_settings(Path.cwd(), os.environ, {"state": state or None}).state)
        auto, sizes = await asyncio.to_thread(look, where, ahead=ahead)
    except ProctorError as problem:
        get_run_logger().error("%s", problem)
        return Failed(message=str(problem), data=problem)
    lines = list(recorded(where))
    new = untold(where, lines)
    if lines:
        await acreate_table_artifact(
            table=table(lines), key=ARTIFACT, description=f"Sizes now: {_sizes_text(sizes)}"
        )
    for line in new[-MOST_EVENTS:]:
        _tell(where, line)
    if new:
        remember_told(where, new[-1]["t"])
    result = ScalingResult(
        auto=auto, sizes=sizes, decisions=[dict(line) for line in new if line["k"] == "decision"]
    )
    number = len(result.decisions)
    decided = f"{number} new decision{'' if number == 1 else 's'}"
    message = f"{_sizes_text(sizes)}; {decided}" if auto else "people choose the sizes"
    return Completed(message=message, data=result)


def look(state: Path, *, ahead: bool) -> tuple[bool, dict[str, int]]:
    """One pass over a fleet that is up; who chooses the sizes, and what they are."""
    files = FleetFiles(state=state)
    record, wanted = resident_fleet(state), read_wanted(files.wanted)
    if record is None or wanted is None:
        raise FleetUnavailable("no fleet is up", remedy="start one with `proctor up --auto`")
    if not wanted.auto:
        return False, dict(record.counts)
    # It takes a while, and no other policy reads it.
    if ahead and (wanted.rules or ScalingRules()).ahead:
        hand_over_forecast(files, wanted, now=time.time())
    scaler = Scaler(files)
    try:
        decided = scaler.run_once(
            wanted, record.instances, read_roster(files.roster), address=record.address
        )
    finally:
        scaler.close()
    # Its supervisor goes by what stands there; it need not wait for its next turn.
    ask(state)
    return True, dict(record.counts if decided is None else decided.counts)


def hand_over_forecast(files: FleetFiles, wanted: Wanted, *, now: float) -> None:
    """Give the scaling the least that the forecast of the reports has, in workers' seconds.

    Not what it has on the mean: campaigns come in bursts, and who waits for one that may come costs
    more than its boot when it does.
    """
    # NumPy and DuckDB take a while to import; only this needs them.
    from ..monitoring.store import Store
    from ..monitoring.trends.load import expected_hours

    expected = expected_hours(Store(files.state), now=now, hours=FORECAST_HOURS)
    hours = {
        name: [each.low / max(1, wanted.classes[name].slots) for each in row]
        for name, row in expected.items()
        if name in wanted.classes
    }
    if hours:
        write_forecast(files.forecast, since=now - now % 3600, hours=hours)


def untold(state: Path, lines: Sequence[Line]) -> list[Line]:
    """What was decided and graded since Prefect was last told."""
    try:
        since = float(json.loads(_told(state).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        since = 0.0
    return sorted((line for line in lines if line["t"] > since), key=lambda line: line["t"])


def remember_told(state: Path, until: float) -> None:
    replace_file(_told(state), json.dumps(until))


def table(lines: Sequence[Line]) -> list[dict[str, str]]:
    """The newest decisions first, each with what it turned out to be worth."""
    grades = {line["decision"]: line for line in lines if line["k"] == "grade"}
    decisions = [line for line in lines if line["k"] == "decision"]
    decisions.sort(key=lambda line: line["t"], reverse=True)
    return [
        {
            "when": datetime.fromtimestamp(line["t"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "class": line["class"],
            "workers": f"{line['from']} -> {line['to']}",
            "why": line["reason"],
            "grade": _grade_text(grades.get(line["id"])),
        }
        for line in decisions[:ROWS]
    ]


def _tell(state: Path, line: Line) -> None:
    """An event with an id of its own: telling it twice is telling it once."""
    decision = line["k"] == "decision"
    key = line["id"] if decision else line["decision"]
    emit_event(
        event="proctor.scaling.decided" if decision else "proctor.scaling.graded",
        resource={
            "prefect.resource.id": f"proctor.scaling.{key}",
            "prefect.resource.name": f"scaling of {key.rpartition('-')[0]}",
            "proctor.state": str(state),
        },
        occurred=datetime.fromtimestamp(line["t"], UTC),
        payload=_payload(line),
        id=uuid5(_IDS, f"{state}/{line['k']}/{key}"),
    )


def _payload(line: Line) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in {"k", "t"}}


def _grade_text(line: Line | None) -> str:
    return "" if line is None else f"{line['grade']}: {line['text']}"


def _sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={count}" for name, count in sizes.items()) or "no workers"


def _told(state: Path) -> Path:
    return FleetFiles(state=state).directory / "scaling-told"
