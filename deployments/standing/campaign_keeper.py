"""Continues campaigns whose process died: the fleet is up, so nobody has to notice and type.

A campaign that let go of its lease was ended by someone, and stays so; one whose lease ran out, or
whose holder is dead, and that has no last word, is resumed in a process of its own. The lease keeps
two from running at once, whoever else resumes it. One that was asked to end is ended in order.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from ...infra.host_process import how_it_ended
from ...infra.ledgers.campaigns import campaigns_directory, summarise
from ...infra.ledgers.epochs import accepted_bytes, epochs_of, read_open
from ...infra.ledgers.lease import Holder, newest_holder
from ...infra.ledgers.lines import BY_ITSELF
from ...infra.origin import Origin

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# What was left lying longer ago than this waits for a person: nobody expects it to start now.
RECENT_SECONDS = 600.0
TRIES = 5
# One that died at once is given time: its reason may be gone by then.
PAUSE_SECONDS = 4.0
# A lease may run out because this machine slept, its holder with it: it is given so long to touch
# it again, by a clock that sleeps too. One that is known to be dead is not waited for.
DOUBT_SECONDS = 4.0


class Running(Protocol):
    """A process that runs a campaign on."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """How it ended; None while it lives."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """A process to be started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    log: Path


Start = Callable[[Resumption], Running]


@dataclass(slots=True)
class _Care:
    """What was done for one campaign."""

    tries: int = 0
    process: Running | None = None
    due: float = 0.0
    # Since when its lease has been seen untouched.
    doubted: float | None = None
    problem: str = ""


def start(wanted: Resumption) -> Running:
    """Start it in a session of its own: it outlives the fleet."""
    with wanted.log.open("ab") as log:
        return subprocess.Popen(
            wanted.command,
            cwd=wanted.directory,
            env=dict(wanted.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


class CampaignKeeper:
    """Resumes what was interrupted, a bounded number of times each."""

    def __init__(
        self,
        state: Path,
        *,
        environment: Mapping[str, str],
        start: Start = start,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._environment = environment
        self._start = start
        self._clock = clock
        self._look_at = 0.0
        self._cares: dict[str, _Care] = {}
        # Campaigns that will never need care again.
        self._over: set[str] = set()

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person has to see to."""
        return tuple(care.problem for care in self._cares.values() if care.problem)

    def tend(self, now: float) -> None:
        """Do what is due; nothing here waits."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for campaign, care in self._cares.items():
            _take_note(campaign, care)
        for directory in self._directories():
            if self._needs_care(directory, now):
                self._resume(directory, now)
            elif (care := self._cares.get(directory.name)) is not None:
                # Somebody took it up, or it came to its end.
                care.problem = ""

    def _directories(self) -> Iterator[Path]:
        try:
            found = list(campaigns_directory(self._state).iterdir())
        except FileNotFoundError:
            return
        for directory in found:
            if directory.name not in self._over and directory.is_dir():
                yield directory

    def _needs_care(self, directory: Path, now: float) -> bool:
        holder = newest_holder(directory)
        if holder is None:
            return False
        at = self._clock()
        if holder.is_holding(at):
            if directory.name in self._cares:
                self._cares[directory.name].doubted = None
            return False
        if at - holder.touched > RECENT_SECONDS and directory.name not in self._cares:
            self._over.add(directory.name)
            return False
        if holder.released:
            return False
        summary = summarise(directory, now=at)
        # Without a first line there is nothing yet that could be continued.
        if summary is None or summary.state != "interrupted":
            return False
        return self._is_lost(directory, holder, now)

    def _is_lost(self, directory: Path, holder: Holder, now: float) -> bool:
        care = self._cares.get(directory.name)
        if care is None:
            care = self._cares[directory.name] = _Care(tries=_tried(directory))
        if care.doubted is None:
            care.doubted = now
        return holder.is_dead() or now - care.doubted >= DOUBT_SECONDS

    def _resume(self, directory: Path, now: float) -> None:
        care = self._cares[directory.name]
        campaign, log = directory.name, directory / "resume.log"
        if care.process is not None or now < care.due or care.problem:
            return
        if care.tries >= TRIES:
            care.problem = (
                f"campaign {campaign} lost its process again after it was resumed {care.tries} "
                f"times: see {log}, then `proctor resume {campaign}`"
            )
            logger.error("%s", care.problem)
            return
        care.tries += 1
        care.due = now + PAUSE_SECONDS * 2 ** (care.tries - 1)
        try:
            care.process = self._start(self._resumption(directory, log))
        except OSError as problem:
            logger.warning("campaign %s cannot be resumed now: %s", campaign, problem)
            return
        logger.warning(
            "campaign %s lost its process: resumed by pid %d (%d of %d)",
            *(campaign, care.process.pid, care.tries, TRIES),
        )

    def _resumption(self, directory: Path, log: Path) -> Resumption:
        """As if it were typed where the campaign was first asked for."""
        epochs = accepted_bytes(directory)
        first = read_open(directory, min(epochs)) if epochs else None
        origin = Origin.from_json((first or {}).get("settings", {}).get("origin"))
        places = (origin.directory, (first or {}).get("root", ""), str(self._state))
        return Resumption(
            command=(
                *(sys.executable, "-m", "proctor", "resume", directory.name),
                *("--by-itself", "--state", str(self._state)),
            ),
            # Without the mark by which the fleet is swept: campaigns outlive it.
            environment=origin.over(self._environment),
            # Somebody may have tidied up since.
            directory=next(each for each in places if each and Path(each).is_dir()),
            log=log,
        )


def _tried(directory: Path) -> int:
    """How often it was resumed since a person last did so.

    An earlier keeper's tries count: whatever ended that one may have been the campaign.
    """
    opened = (read_open(directory, epoch) for epoch in reversed(epochs_of(directory)))
    told = ((line or {}).get("settings", {}).get("resumed") for line in opened)
    return sum(1 for _ in takewhile(lambda how: how == BY_ITSELF, told))


def _take_note(campaign: str, care: _Care) -> None:
    """Of a process of ours that ended."""
    if care.process is not None and (code := care.process.poll()) is not None:
        logger.info("the process that resumed %s ended: %s", campaign, how_it_ended(code))
        care.process = None
        care.doubted = None
