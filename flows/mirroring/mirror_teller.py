"""Tells Prefect what the picture of a campaign says and has not been told yet.

Each call of `tell` compares the picture with the memory and mends the difference, so it does not
matter how often, how late or after how many deaths it is called.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from . import mirror_report
from .last_word import Conclusion, conclude, interrupted
from .mirror_events import campaign_events, phase_events, shown
from .mirror_facts import (
    ArtifactFacts,
    EventFacts,
    Prefect,
    Refused,
    RunFacts,
    RunState,
    StateFacts,
)
from .mirror_picture import Picture, Writer
from .mirror_told import Told, save_told
from .onlooker import AWAITED

logger = logging.getLogger(__name__)

FLOW_NAME = "submit-tests"
# The UI polls; more often than this nobody sees.
PROGRESS_SECONDS = 1.5
# Each update is an event that the server keeps: a long campaign is told of less often.
PROGRESS_SHARE = 1 / 400
FAILURES_SECONDS = 5.0
LOOK_SECONDS = 2.0
# How much the server's clock may differ from the campaign's.
SKEW_SECONDS = 30.0
# For the campaign to publish its reports after its last word.
REPORT_SECONDS = 20.0
# A server writes an event down within so long, or has lost it (the persister's default is 5 s).
SETTLE_SECONDS = 12.0
# One request's worth of log lines.
LINES_AT_ONCE = 100
_TAGGED = "tagged"
_FINAL = frozenset(state.name for state in RunState if state.is_final)
_CANCEL = frozenset({"CANCELLING", "CANCELLED"})


class Teller:
    """Keeps one flow run in step with one campaign."""

    def __init__(
        self,
        prefect: Prefect,
        *,
        directory: Path,
        told: Told,
        now: Callable[[], float],
        dashboard: str = "",
        anew: bool = True,
        at: Callable[[str], None] = lambda awaited: None,
    ) -> None:
        self._prefect = prefect
        # Hears what is waited for.
        self._at = at
        self._directory = directory
        self._memory = directory / "mirror"
        self._told = told
        self._now = now
        self._dashboard = dashboard
        # Whether a flow run that the server does not have is made again.
        self._anew = anew
        self._due: dict[str, float] = {}
        self._awaits_report = False
        # Whether the server may have events that the memory has not: it may be lost or cut short.
        self._unsure = True
        # How many lines the server has; asked anew after each silence.
        self._lines: int | None = None

    def doubt(self) -> None:
        """The server was away: what was under way may have arrived or not."""
        self._lines = None
        self._unsure = True

    async def tell(self, picture: Picture) -> None:
        """Mend the difference; raises Away when the server cannot be reached."""
        if picture.opened is None:
            return
        await self._piece("look", lambda: self._look(picture))
        if not self._told.flow_run:
            self._at("Prefect to open the flow run")
            await self._open(picture)
        run = self._told.flow_run
        await self._piece("former", self._end_former)
        await self._piece("tags", lambda: self._tags(picture))
        await self._piece("states", lambda: self._states(picture, final=False))
        await self._piece("events", lambda: self._events([*phase_events(picture, run)]))
        await self._piece("log", lambda: self._log(picture))
        await self._piece("artifacts", lambda: self._artifacts(picture))
        await self._piece("states", lambda: self._states(picture, final=True))
        await self._piece("events", lambda: self._events([*campaign_events(picture, run)]))
        self._unsure = False

    @property
    def has_last_word(self) -> bool:
        """Whether no other process has to say how the flow run ended."""
        return self._told.owned

    @property
    def refused(self) -> bool:
        """Whether the server refused a part of it."""
        return bool(self._told.refused)

    def is_done(self, picture: Picture) -> bool:
        """Whether there is nothing left to tell of a campaign that is over."""
        told, run = self._told, self._told.flow_run
        if not run or not picture.is_over:
            return False
        events = self._all_events(picture)
        done = {
            "events": all(each.id in told.events for each in events),
            "log": self._lines == len(picture.lines),
            "artifacts": "proctor-summary" in told.artifacts and not self._awaits_report,
            "states": all(key in told.states for key, _ in self._path(picture)),
        }
        return all(done[piece] or piece in told.refused for piece in done)

    async def is_written(self, picture: Picture) -> bool:
        """Whether the server wrote down what it took in; a killed one loses its last second."""
        if "events" in self._told.refused:
            return True
        self._at("Prefect to write down what it took in")
        return not await self._lost_events(picture) and not await self._lost_phases(picture)

    async def tell_again(self, picture: Picture) -> None:
        """Have the server hear again what it has lost."""
        self._told.events -= await self._lost_events(picture)
        self._save()
        lost = await self._lost_phases(picture)
        # Its event it may have kept: the same id would not be taken again.
        again = [
            replace(event, id=str(uuid4()))
            for event in phase_events(picture, self._told.flow_run)
            if event.task_run in lost and event.id in self._told.events
        ]
        if again:
            await self._prefect.post_events(again)

    async def _lost_events(self, picture: Picture) -> frozenset[str]:
        ids = frozenset(each.id for each in self._all_events(picture))
        return ids - await self._prefect.known_events(sorted(ids))

    async def _lost_phases(self, picture: Picture) -> frozenset[str]:
        # In order of time: the last state of each is what should stand there.
        wanted = {
            event.task_run: event.name.rpartition(".")[2]
            for event in phase_events(picture, self._told.flow_run)
        }
        known = await self._prefect.phases(self._told.flow_run)
        return frozenset(run for run, state in wanted.items() if known.get(run) != state)

    def _all_events(self, picture: Picture) -> list[EventFacts]:
        run = self._told.flow_run
        return [*phase_events(picture, run), *campaign_events(picture, run)]

    async def _look(self, picture: Picture) -> None:
        """Look at the run: it may have been deleted, abandoned, or somebody pressed Cancel."""
        told = self._told
        if not told.flow_run or not self._is_due("look", LOOK_SECONDS, at_once=False):
            return
        standing = await self._prefect.standing(told.flow_run)
        if standing is None:
            self._miss()
            return
        state = standing.type
        # One that runs since later is Prefect's next try, in another process.
        began = picture.writers[0].opened.at + SKEW_SECONDS
        ours = state in _CANCEL | _FINAL or (state == "RUNNING" and standing.since < began)
        if told.is_abandoned and ours:
            self._take_over(picture, state)
        # A run that was cancelled and is resumed is not told yet that it runs again.
        heard = not told.owned or _running_key(picture.writers[-1]) in told.states
        if state in _CANCEL and heard and not picture.is_over:
            self._pass_on_cancel()

    def _miss(self) -> None:
        if not self._anew:
            raise NotHere(f"the server has no flow run {self._told.flow_run}")
        if self._told.owned or self._told.is_abandoned:
            logger.warning("gone: flow run %s; another is made", self._told.flow_run)
            self._told = Told()
            self._lines = None
            self._due.clear()
            self._unsure = True
            self._save()

    def _take_over(self, picture: Picture, state: str) -> None:
        """The run is the mirror's from now on; how it ended may have been told by others."""
        self._told.owned = True
        over = {writer.opened.epoch for writer in picture.writers if ending(writer) is not None}
        for key, facts in self._path(picture):
            if int(key.partition(".")[0]) in over and (state in _FINAL or not facts.state.is_final):
                self._told.states.add(key)
        self._save()

    async def _open(self, picture: Picture) -> None:
        opened = picture.writers[0].opened
        self._told.flow_run = await self._prefect.open_run(
            RunFacts(
                flow=FLOW_NAME,
                name=opened.name or opened.project or opened.campaign,
                key=f"proctor-{opened.campaign}",
                started=opened.at,
                parameters={
                    "campaign": opened.campaign,
                    "command": shown(opened.command),
                    "directory": opened.root,
                },
                tags=_tags(picture),
            )
        )
        self._told.states.add(_running_key(picture.writers[0]))
        self._save()

    async def _end_former(self) -> None:
        """Nobody is left to say how the run ended whose campaign goes on in this one."""
        if not self._told.former:
            return
        standing = await self._prefect.standing(self._told.former)
        if standing is not None and standing.type == "RUNNING":
            message = f"its campaign goes on in flow run {self._told.flow_run}"
            state = StateFacts(state=RunState.CRASHED, at=self._now(), message=message)
            await self._prefect.enter_state(self._told.former, state)
        self._told.former = ""
        self._save()

    async def _tags(self, picture: Picture) -> None:
        if not self._told.owned and _TAGGED not in self._told.states:
            await self._prefect.tag_run(self._told.flow_run, _tags(picture))
            self._told.states.add(_TAGGED)
            self._save()

    def _path(self, picture: Picture) -> Iterator[tuple[str, StateFacts]]:
        """The states the flow run goes through, each under a key of its own."""
        if not self._told.owned:
            return
        for writer in picture.writers:
            yield (
                _running_key(writer),
                StateFacts(state=RunState.RUNNING, at=writer.opened.at),
            )
            if (end := ending(writer)) is not None:
                at = writer.closed.at if writer.closed else writer.lost or writer.opened.at
                yield (
                    f"{writer.opened.epoch}.{end.state}",
                    StateFacts(state=end.state, at=at, message=end.message),
                )

    async def _states(self, picture: Picture, *, final: bool) -> None:
        path = [*self._path(picture)]
        # The last word comes last: who waits for it finds everything else in place.
        if (not final or self._awaits_report) and path and path[-1][1].state.is_final:
            path.pop()
        for key, state in path:
            if key not in self._told.states:
                await self._prefect.enter_state(self._told.flow_run, state)
                self._told.states.add(key)
                self._save()

    async def _events(self, events: list[EventFacts]) -> None:
        due = [each for each in events if each.id not in self._told.events]
        doubtful = [each.id for each in due if each.id in self._told.sent]
        if doubtful:
            if self._now() < max(self._told.sent[each] for each in doubtful) + SETTLE_SECONDS:
                return
            self._unsure = True
        if due and self._unsure:
            # The same event twice would spoil the batch in which the server writes it.
            arrived = await self._prefect.known_events([each.id for each in due])
            self._remember_events(arrived)
            due = [each for each in due if each.id not in arrived]
        if not due:
            return
        self._told.sent |= {each.id: self._now() for each in due}
        self._save()
        await self._prefect.post_events(due)
        self._remember_events(frozenset(each.id for each in due))

    def _remember_events(self, ids: frozenset[str]) -> None:
        self._told.events |= ids
        self._told.sent = {each: at for each, at in self._told.sent.items() if each not in ids}
        self._save()

    async def _log(self, picture: Picture) -> None:
        if self._lines is None:
            self._lines = await self._prefect.count_lines(self._told.flow_run)
        while fresh := picture.lines[self._lines : self._lines + LINES_AT_ONCE]:
            # Unknown until the answer comes.
            known, self._lines = self._lines, None
            await self._prefect.write_lines(self._told.flow_run, fresh)
            self._lines = known + len(fresh)

    async def _artifacts(self, picture: Picture) -> None:
        over = picture.is_over
        age = self._now() - picture.writers[0].opened.at
        pause = max(PROGRESS_SECONDS, age * PROGRESS_SHARE)
        if self._is_due("progress", pause, at_once=over):
            await self._artifact(mirror_report.progress(picture, self._now()))
        if self._is_due("failures", FAILURES_SECONDS, at_once=over):
            await self._artifact(mirror_report.failures(picture))
        if self._dashboard:
            await self._artifact(mirror_report.dashboard_link(self._dashboard))
        # The campaign publishes its reports after its last word.
        self._awaits_report = self._report_may_come(picture)
        if over and not self._awaits_report and (end := ending(picture.writers[-1])) is not None:
            await self._artifact(mirror_report.report_link(self._directory))
            await self._artifact(mirror_report.summary(picture, end, self._directory))

    def _report_may_come(self, picture: Picture) -> bool:
        closed = picture.closed
        if closed is None or (self._directory / "report" / "summary.md").exists():
            return False
        return self._now() < closed.at + REPORT_SECONDS

    async def _artifact(self, artifact: ArtifactFacts | None) -> None:
        if artifact is None:
            return
        says = json.dumps([artifact.description, artifact.data])
        if self._told.said.get(artifact.key) == says:
            return
        known = self._told.artifacts.get(artifact.key, "")
        self._told.artifacts[artifact.key] = await self._prefect.put_artifact(
            self._told.flow_run, artifact, known
        )
        self._told.said[artifact.key] = says
        self._save()

    def _pass_on_cancel(self) -> None:
        wish = self._directory / "cancel"
        if not wish.exists():
            logger.info("cancel: asked for in Prefect")
            wish.write_text("asked for in Prefect\n")

    async def _piece(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        """One part of the telling; what the server refuses is said once and left out from then."""
        if name in self._told.refused:
            return
        self._at(AWAITED[name])
        try:
            await act()
        except NotHere:
            raise
        except Refused as refusal:
            logger.warning("refused: %s: %s", name, refusal)
            self._told.refused[name] = str(refusal)
            self._save()

    def _is_due(self, what: str, seconds: float, *, at_once: bool) -> bool:
        if not at_once and self._now() < self._due.get(what, 0.0):
            return False
        self._due[what] = self._now() + seconds
        return True

    def _save(self) -> None:
        save_told(self._memory, self._told)


def ending(writer: Writer) -> Conclusion | None:
    """How a writer's work on the campaign ended, if it did."""
    if closed := writer.closed:
        return conclude(
            exit_code=closed.exit_code,
            counts=closed.counts,
            makespan=closed.makespan,
            cancelled=closed.state == "cancelled",
            reason=closed.reason,
        )
    return None if writer.lost is None else interrupted(writer.opened.campaign)


class NotHere(Refused):
    """The campaign was told to another server."""


def _tags(picture: Picture) -> tuple[str, ...]:
    return ("proctor", f"campaign:{picture.writers[0].opened.campaign}")


def _running_key(writer: Writer) -> str:
    return f"{writer.opened.epoch}.{RunState.RUNNING}"
