"""What the mirror has told Prefect already: it survives the mirror, so nothing is told twice."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...infra.ledgers.lease import place
from ...infra.process_ref import ProcessRef

_MEMORY = "told.json"


@dataclass(slots=True, kw_only=True)
class Told:
    """The mirror's memory of one campaign."""

    flow_run: str = ""
    # Whether the flow run is the mirror's own; the states of another's are that other's to set.
    owned: bool = True
    # The run that stood for the campaign before, if nobody has told yet that it is over.
    former: str = ""
    # The process of that other, by number, birth, and where these mean something.
    pid: int = 0
    created: float = 0.0
    place: str = ""
    # Keys of the states the flow run was led through.
    states: set[str] = field(default_factory=set[str])
    # Ids of events that the server took.
    events: set[str] = field(default_factory=set[str])
    # Ids of events that may have arrived, and when they were sent: the answer never came.
    sent: dict[str, float] = field(default_factory=dict[str, float])
    # Artifact ids by key.
    artifacts: dict[str, str] = field(default_factory=dict[str, str])
    # What the artifacts said last, by key, so that nothing is said twice.
    said: dict[str, str] = field(default_factory=dict[str, str])
    # What the server refused, with its reason: once is enough.
    refused: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody is left who sets the states: its process is known to be dead."""
        if self.owned or not self.pid or self.place != place():
            return False
        return not ProcessRef(pid=self.pid, created=self.created).alive

    @classmethod
    def beside(cls, flow_run: str) -> Told:
        """Of a campaign inside a flow run of this process."""
        me = ProcessRef.of(os.getpid())
        assert me is not None, "a process sees itself"
        return cls(flow_run=flow_run, owned=False, pid=me.pid, created=me.created, place=place())


def has_begun(directory: Path) -> bool:
    """Whether a mirror has told anything of the campaign with this mirror directory."""
    return (directory / _MEMORY).exists()


def load_told(directory: Path) -> Told:
    """The memory under a campaign's mirror directory; an empty one at first."""
    try:
        raw = json.loads((directory / _MEMORY).read_text())
        for name in ("states", "events"):
            raw[name] = set(raw[name])
        return Told(**raw)
    except FileNotFoundError:
        return Told()
    except (ValueError, TypeError, KeyError):
        # Another version's: the server's own record is enough to go on from.
        return Told()


def save_told(directory: Path, told: Told) -> None:
    """Replace the memory in one step."""
    raw = asdict(told)
    for name in ("states", "events"):
        raw[name] = sorted(raw[name])
    fresh = directory / "told.new"
    with fresh.open("w") as file:
        json.dump(raw, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / _MEMORY)
