"""The events of a campaign: its own, and those that Prefect makes task runs of.

A task run is recorded from events that carry their own time, so phases stand in the history with
the times they really had, however late they are told. Ids are derived, never drawn: the same
happening has the same id each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid5

from ...monitoring.reports.wording import cases
from .mirror_facts import EventFacts
from .mirror_picture import Phase, Picture, Writer

_IDS = UUID("6f1f9d5e-2b0c-4a39-9d3e-5d3a1c0b7a41")
_MOST_WORDS = 100
_LONGEST_WORD = 1000


def campaign_events(picture: Picture, flow_run: str) -> Iterator[EventFacts]:
    """proctor.campaign.started, resumed, finished, interrupted."""
    event = partial(_campaign_event, picture, flow_run)
    for writer in picture.writers:
        opened, closed = writer.opened, writer.closed
        yield event(
            "started" if opened.epoch == 1 else "resumed",
            writer=writer,
            at=opened.at,
            root=opened.root,
            command=shown(opened.command),
        )
        if closed is not None:
            yield event(
                "finished",
                writer=writer,
                at=closed.at,
                state=closed.state,
                exit_code=closed.exit_code,
                counts=dict(closed.counts),
                makespan_seconds=closed.makespan,
                lower_bound_seconds=closed.lower_bound,
            )
        elif writer.lost is not None:
            yield event(
                "interrupted",
                writer=writer,
                at=writer.lost,
                settled=len(picture.settled),
                cases=len(picture.cases),
            )


def phase_events(picture: Picture, flow_run: str) -> Iterator[EventFacts]:
    """Running and Completed (or Crashed) of each phase, as task runs of the flow run."""
    if not picture.writers:
        return
    # A flow run that Prefect tries again has a campaign for each try.
    event = partial(_task_event, flow_run, picture.writers[0].opened.campaign)
    for phase in picture.phases:
        yield event(phase, state="Running", at=phase.started)
        if phase.ended is None:
            continue
        lost = any(
            writer.opened.epoch == phase.epoch and writer.lost == phase.ended
            for writer in picture.writers
        )
        message = _phase_message(picture, phase) if not lost else "the campaign's process is gone"
        yield event(
            phase,
            state="Crashed" if lost else "Completed",
            at=phase.ended,
            message=message,
        )


def shown(command: Sequence[str]) -> list[str]:
    """The command as far as people read it: servers refuse runs and events that are too large."""
    words = [word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…" for word in command]
    rest = len(words) - _MOST_WORDS
    return words if rest <= 0 else [*words[:_MOST_WORDS], f"… and {rest:,} more"]


def _campaign_event(
    picture: Picture, flow_run: str, name: str, *, writer: Writer, at: float, **payload: object
) -> EventFacts:
    opened = picture.writers[0].opened
    return EventFacts(
        id=_id(flow_run, opened.campaign, writer.opened.epoch, name),
        name=f"proctor.campaign.{name}",
        at=at,
        resource={
            "prefect.resource.id": f"proctor.campaign.{opened.campaign}",
            "prefect.resource.name": opened.name or opened.campaign,
        },
        related=(_flow_run_resource(flow_run),),
        payload={"epoch": writer.opened.epoch, **payload},
    )


def _task_event(
    flow_run: str, campaign: str, phase: Phase, *, state: str, at: float, message: str = ""
) -> EventFacts:
    run_id = _id(flow_run, campaign, "phase", phase.key)
    kind = state.upper()
    final = state != "Running"
    before = {"type": "RUNNING", "name": "Running", "message": "", "state_details": {}}
    task_run: dict[str, object] = {
        "name": phase.name if phase.epoch <= 1 else f"{phase.name} (writer {phase.epoch})",
        "task_key": f"proctor-{phase.name}",
        "dynamic_key": f"{campaign}.{phase.key}",
        "run_count": 1,
        "start_time": _iso(phase.started),
        "expected_start_time": _iso(phase.started),
        "tags": ["proctor"],
    }
    if final:
        task_run |= {"end_time": _iso(at), "total_run_time": at - phase.started}
    return EventFacts(
        id=_id(flow_run, campaign, "phase", phase.key, state),
        name=f"prefect.task-run.{state}",
        at=at,
        resource={
            "prefect.resource.id": f"prefect.task-run.{run_id}",
            "prefect.resource.name": str(task_run["name"]),
            "prefect.run-count": "1",
            "prefect.state-message": message,
            "prefect.state-name": state,
            "prefect.state-timestamp": _iso(at),
            "prefect.state-type": kind,
            # The recorder takes up only what a client orchestrated.
            "prefect.orchestration": "client",
        },
        related=(_flow_run_resource(flow_run),),
        payload={
            "intended": {"from": "RUNNING" if final else None, "to": kind},
            "initial_state": before if final else None,
            "validated_state": {
                "type": kind,
                "name": state,
                "message": message,
                "state_details": {},
                "data": None,
            },
            "task_run": task_run,
        },
        task_run=run_id,
    )


def _phase_message(picture: Picture, phase: Phase) -> str:
    if phase.name == "collect":
        return cases(len(picture.cases))
    if phase.name == "run":
        return f"{len(picture.settled):,} of {cases(len(picture.cases))}"
    return ""


def _id(*parts: object) -> str:
    return str(uuid5(_IDS, "/".join(map(str, parts))))


def _flow_run_resource(flow_run: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"prefect.flow-run.{flow_run}",
        "prefect.resource.role": "flow-run",
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
