"""A Prefect server in memory that can be away at any moment, also after it took something in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from proctor.flows.mirroring.mirror_facts import (
    ArtifactFacts,
    Away,
    EventFacts,
    LineFacts,
    RunFacts,
    Standing,
    StateFacts,
)

RUN = "11111111-1111-1111-1111-111111111111"


@dataclass
class FakePrefect:
    """Keeps what it is told. `fails(n)` says how call number n fails: before, after, or not."""

    fails: Callable[[int], str] = lambda _: ""
    calls: int = 0
    runs: list[RunFacts] = field(default_factory=list)
    states: list[StateFacts] = field(default_factory=list)
    # In order of arrival, repetitions included.
    events: list[EventFacts] = field(default_factory=list)
    lines: list[LineFacts] = field(default_factory=list)
    artifacts: dict[str, ArtifactFacts] = field(default_factory=dict)
    artifact_keys: list[str] = field(default_factory=list)
    updates: int = 0
    tags: list[str] = field(default_factory=list)
    cancelling: bool = False
    # Somebody removed the run on Prefect's page.
    deleted: bool = False
    # When the run entered the state in which it is.
    since: float = 0.0

    async def open_run(self, run: RunFacts) -> str:
        with_failure = self._begin()
        if not any(known.key == run.key for known in self.runs):
            self.runs.append(run)
        self._end(with_failure)
        return RUN

    async def enter_state(self, flow_run: str, state: StateFacts) -> None:
        with_failure = self._begin()
        if state not in self.states:
            self.states.append(state)
        self._end(with_failure)

    async def tag_run(self, flow_run: str, tags: Sequence[str]) -> None:
        with_failure = self._begin()
        self.tags = sorted({*self.tags, *tags})
        self._end(with_failure)

    async def standing(self, flow_run: str) -> Standing | None:
        self._end(self._begin())
        if self.deleted:
            return None
        last = self.states[-1].state.name if self.states else "RUNNING"
        return Standing(type="CANCELLING" if self.cancelling else last, since=self.since)

    async def post_events(self, events: Sequence[EventFacts]) -> None:
        with_failure = self._begin()
        self.events.extend(events)
        self._end(with_failure)

    async def known_events(self, ids: Sequence[str]) -> frozenset[str]:
        self._end(self._begin())
        return frozenset(ids) & {event.id for event in self.events}

    async def phases(self, flow_run: str) -> Mapping[str, str]:
        self._end(self._begin())
        ordered = sorted((event for event in self.events if event.task_run), key=lambda e: e.at)
        return {event.task_run: event.name.rpartition(".")[2] for event in ordered}

    async def count_lines(self, flow_run: str) -> int:
        self._end(self._begin())
        return len(self.lines)

    async def write_lines(self, flow_run: str, lines: Sequence[LineFacts]) -> None:
        with_failure = self._begin()
        self.lines.extend(lines)
        self._end(with_failure)

    async def put_artifact(self, flow_run: str, artifact: ArtifactFacts, known: str) -> str:
        with_failure = self._begin()
        if not known and artifact.key not in self.artifacts:
            self.artifact_keys.append(artifact.key)
        self.artifacts[artifact.key] = artifact
        self.updates += 1
        self._end(with_failure)
        return f"id-{artifact.key}"

    async def leave(self) -> None:
        pass

    def _begin(self) -> str:
        self.calls += 1
        failure = self.fails(self.calls)
        if failure == "before":
            raise Away("the server is away")
        return failure

    def _end(self, failure: str) -> None:
        if failure == "after":
            raise Away("the answer got lost")
