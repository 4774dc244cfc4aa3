"""What scaling remembers from one pass to the next, in one small file.

The file is also the log of what it means to write down: a decision stands here before it stands
in the journal, so that a pass that was killed in between is made good by the next one, whichever
process runs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..ledgers.journal import Line
from ..whole_file import replace_file
from .policy import Course


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDecision:
    """A decision whose effect is still being watched."""

    id: str
    worker_class: str
    before: int
    after: int
    at: float
    # Until when its seconds are summed up.
    seen_at: float
    # When the class had the wanted size.
    reached_at: float | None = None
    # Worker seconds of the workers by which the sizes differ.
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    starting_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoState:
    """Sizes, and what the next pass needs to know."""

    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    courses: Mapping[str, Course] = field(default_factory=dict[str, Course])
    # By worker: since when it has had nothing to do.
    idle_since: Mapping[str, float] = field(default_factory=dict[str, float])
    # Names of workers that were starting, and how long starts of each class took lately.
    starting: tuple[str, ...] = ()
    boots: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    watched: tuple[OpenDecision, ...] = ()
    # Lines that may not have reached the journal.
    pending: tuple[Line, ...] = ()
    # Needs of cases that no class offers, in words.
    problems: tuple[str, ...] = ()


def read_auto(path: Path) -> AutoState | None:
    """None when nothing was ever decided, or the file is another version's."""
    try:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            **given,
            "courses": {name: Course(**each) for name, each in given["courses"].items()},
            "boots": {name: tuple(each) for name, each in given["boots"].items()},
            "starting": tuple(given["starting"]),
            "watched": tuple(OpenDecision(**each) for each in given["watched"]),
            "pending": tuple(given["pending"]),
            "problems": tuple(given["problems"]),
        }
        return AutoState(**fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def write_auto(path: Path, state: AutoState) -> None:
    replace_file(path, json.dumps(asdict(state)))
