"""Which campaigns a state directory holds: cheap looks at the head and tail of each ledger."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LedgerDamaged, UnknownCampaign
from .epochs import accepted_bytes, ledger_path, read_open
from .journal import Line, decode
from .lines import REFUSED, closed_state
from .record import state_of

# The last word of a campaign stands in here.
_TAIL_BYTES = 1 << 16


# The newest campaign, for whoever names one.
LAST = "last"
# Somebody who wants it to end leaves a file in its directory.
CANCEL_FILE = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSummary:
    """A campaign in one line."""

    id: str
    directory: Path
    # running, interrupted, completed, cancelled, failed or refused (nothing ran); "damaged" if its
    # first line is.
    state: str
    # When its first writer opened it, and when the last word was written, if it was.
    started: float
    ended: float | None = None
    name: str = ""
    root: str = ""
    project: str = ""
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    makespan: float = 0.0
    epochs: int = 1
    # "by itself" or "by hand" when its newest writer continued it.
    resumed: str = ""
    # Why it was refused or failed as a whole, in a sentence, if it was.
    reason: str = ""
    # Where that were several problems: the first of them, and how many there were.
    problems: tuple[str, ...] = ()
    problem_count: int = 0

    @property
    def is_history(self) -> bool:
        """Whether it says anything of the suite; what was refused does not."""
        return self.state != REFUSED

    @property
    def is_staged(self) -> bool:
        """Whether it ran cases that were made up for faults: nobody's suite."""
        stages = stages_directory(self.directory.parent.parent).resolve()
        return stages in Path(self.root).parents

    def is_of(self, place: Path) -> bool:
        """Whether it ran there, below or above."""
        root = Path(self.root)
        return place == root or place in root.parents or root in place.parents


def campaigns_directory(state: Path) -> Path:
    return state / "campaigns"


def stages_directory(state: Path) -> Path:
    """Where suites stand that are made up for faults."""
    return state / "faults" / "stages"


def list_campaigns(state: Path, *, clock: Callable[[], float] = time.time) -> list[CampaignSummary]:
    """Newest first."""
    now = clock()
    summaries = [
        summary
        for directory in _directories(state)
        if (summary := _at_worst(directory, now)) is not None
    ]
    return sorted(summaries, key=lambda each: (each.started, each.id), reverse=True)


def summarise(directory: Path, *, now: float) -> CampaignSummary | None:
    """None for a directory that no writer has begun yet."""
    accepted = accepted_bytes(directory)
    if not accepted:
        return None
    head = max(accepted)
    opened = read_open(directory, head)
    if opened is None or not isinstance(opened["t"], int | float):
        return _damaged(directory, ledger_path(directory, head))
    first = read_open(directory, min(accepted)) or opened
    closed = _last_word(ledger_path(directory, head)) or {}
    settings: Any = opened.get("settings")
    return CampaignSummary(
        id=directory.name,
        directory=directory,
        state=state_of(directory, closed_state(closed) if closed else None, now),
        started=first["t"],
        ended=closed.get("t"),
        name=opened.get("name", ""),
        root=opened.get("root", ""),
        project=opened.get("project", ""),
        command=tuple(opened.get("command", ())),
        exit_code=closed.get("exit_code"),
        counts=closed.get("counts", {}),
        makespan=closed.get("makespan", 0.0),
        epochs=head,
        resumed=settings.get("resumed", "") if isinstance(settings, dict) else "",
        reason=closed.get("reason", ""),
        problems=tuple(closed.get("problems", ())),
        problem_count=closed.get("problem_count", 0),
    )


def _at_worst(directory: Path, now: float) -> CampaignSummary | None:
    """One that is removed while we look, or may not be read, is not to hide the others."""
    try:
        return summarise(directory, now=now)
    except FileNotFoundError:
        return None
    except OSError:
        return _damaged(directory, directory)


def _damaged(directory: Path, path: Path) -> CampaignSummary:
    return CampaignSummary(
        id=directory.name, directory=directory, state="damaged", started=path.stat().st_mtime
    )


def find_campaign(state: Path, wanted: str, *, here: Path | None = None) -> Path:
    """The directory of the campaign with this id, unambiguous prefix of one, or `last`.

    The last is the newest that is history: one that was refused is found by its id. Among several
    projects it is that of the one in which somebody stands, `here`, if it has any.
    """
    if wanted == LAST:
        return _last(state, here).directory
    names = {directory.name: directory for directory in _directories(state)}
    if wanted in names:
        return names[wanted]
    matches = sorted(name for name in names if wanted and name.startswith(wanted))
    if len(matches) == 1:
        return names[matches[0]]
    if matches:
        raise UnknownCampaign(
            f"{len(matches)} campaigns begin with {wanted!r}: {_some(matches)}",
            remedy="give more of the id",
        )
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    raise UnknownCampaign(
        f"no campaign is called {wanted!r}",
        remedy=f"did you mean {_some(near)}?" if near else "`proctor list` shows those there are",
    )


def _last(state: Path, here: Path | None) -> CampaignSummary:
    summaries = [each for each in list_campaigns(state) if not each.is_staged]
    history = [each for each in summaries if each.is_history]
    for each in history:
        if here is None or each.is_of(here):
            return each
    if history:
        return history[0]
    if not summaries:
        raise UnknownCampaign(
            f"no campaign has run yet with its state in {state}",
            remedy="`proctor run` starts one",
        )
    newest = summaries[0]
    raise UnknownCampaign(
        f"no campaign has run yet with its state in {state}: the newest, {newest.id}, was refused",
        remedy=f"`proctor show {newest.id}` says why",
    )


def _directories(state: Path) -> list[Path]:
    try:
        return [path for path in campaigns_directory(state).iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _last_word(path: Path) -> Line | None:
    """The close line, if the newest writer got that far."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    for raw in reversed(lines):
        if b'"close"' in raw:
            try:
                line = decode(raw)
            except LedgerDamaged:
                continue
            if line["k"] == "close":
                return line
    return None


def _some(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ..."
