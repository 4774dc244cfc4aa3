"""What a resident fleet should be and what it is, as files of the state directory.

`fleet/wanted.json` is written by commands and read by the supervisor; `fleet.json` the other way
round. Neither is believed without a look at the processes it names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from ..process_ref import ProcessRef
from ..records import WorkerFacts
from ..scaling.policy import ScalingRules
from ..whole_file import replace_file
from ..worker_classes import WorkerClass
from .providers import Instance, Phase
from .reach import Reach

FLEET_FILE = "fleet.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFiles:
    """Where the files of a state directory's fleet are."""

    state: Path

    @property
    def directory(self) -> Path:
        return self.state / "fleet"

    @property
    def record(self) -> Path:
        return self.state / FLEET_FILE

    @property
    def wanted(self) -> Path:
        return self.directory / "wanted.json"

    @property
    def roster(self) -> Path:
        return self.directory / "roster.json"

    @property
    def auto(self) -> Path:
        """Sizes that the scaling policy chose."""
        return self.directory / "auto.json"

    @property
    def forecast(self) -> Path:
        """What work is expected, by class."""
        return self.directory / "forecast.json"

    @property
    def ready(self) -> Path:
        return self.directory / "scheduler.json"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def turn(self) -> Path:
        return self.directory / "turn.lock"

    @property
    def scratch(self) -> Path:
        return self.state / "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for."""

    classes: Mapping[str, WorkerClass] = field(default_factory=dict[str, WorkerClass])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    # The port of the scheduler.
    port: int = 0
    # Where it listens, and with which certificates.
    reach: Reach = field(default_factory=Reach)
    # "resident" to keep our own Prefect server, "off", or the address of somebody's.
    prefect: str = "off"
    drain_seconds: float = 60.0
    # "", "drain" or "now".
    stop: str = ""
    # Whether the scaling policy chooses the numbers; `counts` are then those it begins with.
    auto: bool = False
    # What an operator told the policy; None leaves it to the classes.
    horizon_seconds: float | None = None
    idle_seconds: float | None = None
    # The policy's rules, where somebody configured them; what is said above comes before them.
    rules: ScalingRules | None = None

    def workers(self) -> tuple[WorkerFacts, ...]:
        """All that are to be there, by name."""
        return tuple(
            self.classes[name].facts(number)
            for name, count in self.counts.items()
            for number in range(1, count + 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRecord:
    """What the supervisor says there is."""

    supervisor: ProcessRef
    scheduler: ProcessRef | None = None
    # Of the scheduler; it stays the same over its restarts.
    address: str = ""
    # Where the certificates are that it wants to see; empty on loopback.
    certs: str = ""
    port: int = 0
    started: float = 0.0
    prefect: str = "off"
    # Why the Prefect server does not answer, when it does not.
    prefect_problem: str = ""
    prefect_url: str = ""
    scheduler_restarts: int = 0
    stopping: bool = False
    # Those that the policy chose, when it does.
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    auto: bool = False
    classes: Mapping[str, WorkerClass] = field(default_factory=dict[str, WorkerClass])
    instances: tuple[Instance, ...] = ()
    # By worker: how often in a row it died.
    restarts: Mapping[str, int] = field(default_factory=dict[str, int])
    # What an operator should know, such as a campaign that cannot be resumed.
    problems: tuple[str, ...] = ()
    # Those of them that keep workers away.
    launch_problems: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether its supervisor and scheduler are."""
        return self.supervisor.alive and self.scheduler is not None and self.scheduler.alive


def read_wanted(path: Path) -> Wanted | None:
    """None when nobody ever asked, or the file is torn or another version's."""
    given = _read(path)
    if given is None:
        return None
    try:
        rules: dict[str, Any] | None = given.get("rules")
        fields: dict[str, Any] = {
            **given,
            "classes": _classes(given["classes"]),
            "reach": Reach(**given.get("reach", {})),
            "rules": None if rules is None else ScalingRules(**rules),
        }
        return Wanted(**fields)
    except (KeyError, TypeError, AttributeError):
        return None


def write_wanted(path: Path, wanted: Wanted) -> None:
    replace_file(path, json.dumps(asdict(wanted), default=_plain))


def read_record(path: Path) -> FleetRecord | None:
    """None when there is none, or one of another version."""
    given = _read(path)
    if given is None:
        return None
    try:
        scheduler: dict[str, Any] | None = given["scheduler"]
        fields: dict[str, Any] = {
            **given,
            "supervisor": ProcessRef(**given["supervisor"]),
            "scheduler": None if scheduler is None else ProcessRef(**scheduler),
            "classes": _classes(given["classes"]),
            "instances": tuple(map(_instance, given["instances"])),
            "problems": tuple(given["problems"]),
            "launch_problems": tuple(given.get("launch_problems", ())),
        }
        return FleetRecord(**fields)
    except (KeyError, TypeError, ValueError):
        return None


def write_record(path: Path, record: FleetRecord) -> None:
    replace_file(path, json.dumps(asdict(record), default=_plain))


def with_counts(wanted: Wanted, counts: Mapping[str, int]) -> Wanted:
    """The same fleet with other numbers of some workers."""
    return replace(wanted, counts={**wanted.counts, **counts})


def _classes(given: Mapping[str, dict[str, Any]]) -> dict[str, WorkerClass]:
    return {name: _class(fields) for name, fields in given.items()}


def _class(given: dict[str, Any]) -> WorkerClass:
    fields: dict[str, Any] = {
        **given,
        "tags": frozenset(given["tags"]),
        "command": tuple(given["command"]),
    }
    return WorkerClass(**fields)


def _instance(given: dict[str, Any]) -> Instance:
    fields: dict[str, Any] = {**given, "phase": Phase(given["phase"])}
    return Instance(**fields)


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(cast("frozenset[str]", value))
    raise TypeError(f"{value!r} is no part of a fleet's files")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        # Another version's, or torn by a power loss: as good as none, commands write it anew.
        return None
    return given if isinstance(given, dict) else None
