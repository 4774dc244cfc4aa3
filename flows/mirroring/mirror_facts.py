"""What the mirror says to Prefect, in plain data: the one seam between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class RunState(StrEnum):
    """States of a flow run, by Prefect's names."""

    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    CRASHED = "Crashed"

    @property
    def is_final(self) -> bool:
        return self is not RunState.RUNNING


class ArtifactKind(StrEnum):
    """Kinds of artifacts, by Prefect's names."""

    MARKDOWN = "markdown"
    TABLE = "table"
    PROGRESS = "progress"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """A state that the campaign's flow run entered."""

    state: RunState
    at: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state that a flow run is in on the server."""

    # By Prefect's types, such as RUNNING.
    type: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The flow run that stands for a campaign."""

    flow: str
    name: str
    # The same key gives the same flow run, however often it is asked for.
    key: str
    started: float
    message: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """An event, with an id that is the same each time it is derived."""

    id: str
    name: str
    at: float
    resource: Mapping[str, str]
    related: tuple[Mapping[str, str], ...] = ()
    payload: Mapping[str, object] = field(default_factory=dict[str, object])
    # The task run that the event makes or moves, if it is one of those.
    task_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFacts:
    """A line of the flow run's log."""

    at: float
    level: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFacts:
    """An artifact of the flow run; told again under its key, it replaces what it said before."""

    key: str
    kind: ArtifactKind
    description: str
    data: float | str | Sequence[Mapping[str, object]]


class Away(Exception):
    """The Prefect server cannot be reached, or cannot answer now."""


class Dismissed(Away):
    """A person stopped the Prefect server: it hardly comes back by itself."""


class Refused(Exception):
    """The Prefect server answered that it will not do this; asking again is of no use."""


class Prefect(Protocol):
    """What the mirror needs of Prefect; every verb raises Away or Refused."""

    async def open_run(self, run: RunFacts) -> str:
        """Create the flow run, Running, or find the one with its key; its id."""
        ...

    async def enter_state(self, flow_run: str, state: StateFacts) -> None: ...

    async def tag_run(self, flow_run: str, tags: Sequence[str]) -> None:
        """Add tags to a run that is another's, so that it is found like the others."""
        ...

    async def standing(self, flow_run: str) -> Standing | None:
        """How the run stands; None where the server has no such run."""
        ...

    async def post_events(self, events: Sequence[EventFacts]) -> None: ...

    async def known_events(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of the ids that the server has written down."""
        ...

    async def phases(self, flow_run: str) -> Mapping[str, str]:
        """The names of the states of the run's task runs, by their ids."""
        ...

    async def count_lines(self, flow_run: str) -> int:
        """How many lines of ours the run's log has."""
        ...

    async def write_lines(self, flow_run: str, lines: Sequence[LineFacts]) -> None: ...

    async def put_artifact(self, flow_run: str, artifact: ArtifactFacts, known: str) -> str:
        """Create the artifact, or update the known one; its id."""
        ...

    async def leave(self) -> None:
        """Forget the connection; the next verb makes a new one."""
        ...
