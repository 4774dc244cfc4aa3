"""Keeps workers running that this machine gives to a fleet elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...infra.codec import facts_to_json
from ...infra.errors import FleetUnavailable
from ...infra.fleet.self_test import REFUSED, why_refused
from ...infra.host_process import end_all, how_it_ended, launch_host
from ...infra.listener import somebody_listens
from ...infra.planning.restarts import Restarts
from ...infra.records import WorkerFacts

# One that ends is started again after this, at first.
FIRST_PAUSE_SECONDS = 0.5
# The fleet may take a former life of the same name for alive for a while.
REFUSALS = 3
REFUSED_PAUSE_SECONDS = 8.0
# A worker that was asked to leave closes within this after its own deadline.
CLOSE_SECONDS = 15.0


@dataclass(slots=True)
class _Place:
    """One worker, and its lives."""

    facts: WorkerFacts
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    refusals: int = 0


class JoinedWorkers:
    """Workers of this machine for a scheduler on another."""

    def __init__(
        self,
        facts: Sequence[WorkerFacts],
        *,
        address: str,
        directory: Path,
        environment: Mapping[str, str],
        host: str,
        drain_seconds: float,
        patience_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._places = [_Place(each) for each in facts]
        self._address = address
        self._directory = directory
        self._environment = environment
        self._host = host
        self._drain_seconds = drain_seconds
        self._patience_seconds = patience_seconds
        self._say = say
        # Since when nobody answers there.
        self._alone_since: float | None = None
        self._leaving: float | None = None

    def tick(self, now: float) -> bool:
        """Start what is due; whether there is more to come."""
        for place in list(self._places):
            if place.process is not None and place.process.poll() is not None:
                self._over(place, place.process.poll() or 0, now)
        if self._leaving is not None:
            if now > self._leaving:
                self._kill()
            return any(place.process is not None for place in self._places)
        waiting = [
            each for each in self._places if each.process is None and now >= each.restarts.due
        ]
        if waiting and self._is_answered(now):
            for place in waiting:
                self._start(place, now)
        return True

    def leave(self) -> None:
        """Let them finish what they run; asked again, do not."""
        if self._leaving is not None:
            self._kill()
            return
        self._say("leaving the fleet; what runs may finish, once more ends it at once")
        self._leaving = time.monotonic() + self._drain_seconds + CLOSE_SECONDS
        for place in self._places:
            if place.process is not None:
                place.process.terminate()

    def close(self) -> None:
        end_all([each.process for each in self._places if each.process is not None], grace=5.0)

    def _kill(self) -> None:
        for place in self._places:
            if place.process is not None:
                place.process.kill()

    def _is_answered(self, now: float) -> bool:
        """Whether somebody listens there; refused for too long ends it all."""
        if somebody_listens(self._address):
            if self._alone_since is not None:
                self._say(f"the scheduler at {self._address} answers again")
            self._alone_since = None
            return True
        if self._alone_since is None:
            self._alone_since = now
            self._say(
                f"the scheduler at {self._address} does not answer; waiting"
                f" {self._patience_seconds:g} s for it"
            )
        elif now - self._alone_since > self._patience_seconds:
            raise FleetUnavailable(
                f"the scheduler at {self._address} has not answered for"
                f" {self._patience_seconds:g} s",
                remedy="join again when the fleet is up; --patience waits longer",
            )
        for place in self._places:
            place.restarts.due = max(place.restarts.due, now + FIRST_PAUSE_SECONDS)
        return False

    def _start(self, place: _Place, now: float) -> None:
        name = place.facts.name
        place.since = now
        command = (
            *(sys.executable, "-m", "proctor.infra.fleet.worker_host", "--self-test"),
            *("--scheduler", self._address, "--host", self._host),
            *("--facts", json.dumps(facts_to_json(place.facts))),
            # One for all: a project is brought to this machine once, and set up once.
            *("--scratch", str(self._directory / "scratch")),
            *("--drain", f"{self._drain_seconds:g}"),
            *("--refusal", str(self._refusal(name))),
        )
        try:
            self._refusal(name).unlink(missing_ok=True)
            place.process = launch_host(command, log=self._log(name), environment=self._environment)
        except OSError as problem:
            # A full disk, or no room for processes: the others go on meanwhile.
            self._pause(place, f"could not be started ({problem})", now)

    def _over(self, place: _Place, code: int, now: float) -> None:
        """A life has ended: when the next one may begin."""
        name = place.facts.name
        place.process = None
        if self._leaving is not None:
            self._say(f"{name} has left")
            return
        if code == REFUSED:
            place.refusals += 1
            reason = why_refused(self._refusal(name))
            place.restarts.due = now + REFUSED_PAUSE_SECONDS
            if place.refusals >= REFUSALS:
                self._say(f"{name} stays out: {reason}")
                # The others go on without it.
                self._places.remove(place)
                if not self._places:
                    raise FleetUnavailable(f"{name} stays out: {reason}", remedy="mend that first")
            return
        place.refusals = 0
        self._pause(place, f"ended ({how_it_ended(code)}), see {self._log(name)}", now)

    def _pause(self, place: _Place, why: str, now: float) -> None:
        pause = place.restarts.ended(now, first=FIRST_PAUSE_SECONDS, lived=now - place.since)
        self._say(f"{place.facts.name} {why}; again in {pause:g} s")

    def _log(self, name: str) -> Path:
        return self._directory / "logs" / f"{name}.log"

    def _refusal(self, name: str) -> Path:
        return self._directory / "logs" / f"{name}.refused"
