"""Who is registered with the scheduler, as its process writes it down for everybody to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..codec import facts_from_json
from ..records import WorkerFacts
from ..whole_file import replace_file

# The scheduler's process writes this often while anything changes, and at least every so often.
WRITE_SECONDS = 0.5


# Between what a worker is and the machine that brought it, in the names of those that joined: a
# fleet's own have none, so that one that has just left is not taken for somebody else's.
JOINED = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A registered worker, by its latest heartbeat."""

    facts: WorkerFacts
    address: str
    last_seen: float
    busy: int = 0
    draining: bool = False
    # Those that run something on it now.
    campaigns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """All registered workers at a time."""

    at: float
    workers: Mapping[str, Seen]

    def joined(self) -> dict[str, Seen]:
        """Those of other machines, which nobody of the fleet started."""
        return {name: each for name, each in self.workers.items() if JOINED in name}


def write_roster(path: Path, *, at: float, workers: list[dict[str, Any]]) -> None:
    replace_file(path, json.dumps({"at": at, "workers": workers}))


def read_roster(path: Path) -> Roster:
    """Nobody, when the scheduler has not written yet."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        # Torn by a power loss: the next scheduler writes it anew.
        return Roster(at=0.0, workers={})
    seen = [_seen(each) for each in document["workers"]]
    return Roster(at=document["at"], workers={each.facts.name: each for each in seen})


class RosterFile:
    """Reads the file again only when it has been replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None
        self._roster = Roster(at=0.0, workers={})

    def read(self) -> Roster:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._known, self._roster = None, Roster(at=0.0, workers={})
            return self._roster
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._known:
            self._roster, self._known = read_roster(self._path), stamp
        return self._roster


def _seen(given: Mapping[str, Any]) -> Seen:
    standing = given["standing"]
    return Seen(
        facts=facts_from_json(standing["facts"]),
        address=given["address"],
        last_seen=given["last_seen"],
        busy=standing["busy"],
        draining=standing["draining"],
        campaigns=tuple(standing["campaigns"]),
    )
