"""Days of test campaigns: an office's rhythm, a bursty night, and cases with a heavy tail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.dispatching.pace import Pace
from proctor.infra.planning.simulated import Arrival
from proctor.infra.records import Case

HOUR = 3600.0
DAY = 24 * HOUR
DAYS_BEFORE = 14
# Of what is predicted, this much is wrong, as a standard deviation of its logarithm.
MISJUDGED = 0.3
# Cases that nobody has seen before: they are foreseen to be like others of their project.
UNKNOWN = 0.05
# Projects differ: one's cases are unit tests, another's start a browser. As a standard deviation
# of the logarithm of their mean duration; those with long cases have fewer of them.
PROJECTS = 12
PROJECT_SPREAD = 1.0


class UsualPace(Pace):
    """Each campaign learns its own pace from 1 on; here one dispatcher serves all of a day's.

    The last cases to finish are those that took longer than was thought: from one campaign's end
    to the beginning of the next that must not be carried.
    """

    def learn(self, worker: str, foreseen: float, measured: float) -> None:
        self.tried[worker] += 1


@dataclass(slots=True, kw_only=True)
class Workload:
    """One day of campaigns, and the hourly load of the days before."""

    name: str
    arrivals: list[Arrival] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, CaseHistory] = field(default_factory=dict)
    past_hours: list[float] = field(default_factory=list)
    # By the number of its campaign.
    projects: list[int] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return len(self.seconds)

    def durations(self) -> Durations:
        return Durations(cases=self.predicted, pace=UsualPace())

    def project(self, case: Case) -> str:
        """The name of its project."""
        return f"project-{self.projects[int(case.id[1:].partition('::')[0])]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """When campaigns come, how many cases each has, and how long those take."""

    # Campaigns expected in each hour of a day.
    rate: Callable[[int], float]
    size: Callable[[np.random.Generator], int]
    seconds: Callable[[np.random.Generator, int], np.ndarray]


def _office(hour: int) -> float:
    return 40.0 * float(np.exp(-((hour - 14) ** 2) / (2 * 3.0**2))) + 1.0


def _night(hour: int) -> float:
    return 8.0 if hour in {1, 2} else 3.0 if hour in {0, 3, 22} else 1.0


SHAPES = {
    "day and night": Shape(
        rate=_office,
        size=lambda rng: int(rng.integers(10, 70)),
        seconds=lambda rng, n: rng.lognormal(2.2, 0.8, n),
    ),
    "bursty nightly": Shape(
        rate=_night,
        size=lambda rng: int(rng.integers(100, 500)),
        seconds=lambda rng, n: rng.lognormal(1.8, 0.9, n),
    ),
    "heavy-tailed": Shape(
        rate=lambda hour: 10.0,
        size=lambda rng: int(min(1000, 8 * (1 + rng.pareto(1.2)))),
        seconds=lambda rng, n: np.minimum(900.0, 3.0 * (1 + rng.pareto(1.4, n))),
    ),
}


def _campaign(rng: np.random.Generator, shape: Shape, scales: np.ndarray) -> tuple[int, np.ndarray]:
    """Whose it is, and how long each of its cases takes."""
    scale = float(rng.choice(scales))
    cases = max(1, round(shape.size(rng) / scale**0.7))
    return int(np.searchsorted(scales, scale)), scale * shape.seconds(rng, cases)


def workload(name: str, seed: int = 1) -> Workload:
    """A day, after a fortnight of others like it."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[name]
    made = Workload(name=name)
    # Evenly over the spread, so that a day does not depend on a lucky draw.
    scales = np.exp(PROJECT_SPREAD * norm.ppf((np.arange(PROJECTS) + 0.5) / PROJECTS))
    hours = np.zeros((DAYS_BEFORE, 24))
    past: list[list[np.ndarray]] = [[] for _ in scales]
    for day in range(DAYS_BEFORE):
        for hour in range(24):
            for _ in range(rng.poisson(shape.rate(hour))):
                project, durations = _campaign(rng, shape, scales)
                hours[day, hour] += durations.sum()
                past[project].append(durations)
    made.past_hours = [float(each) for each in hours.ravel()]
    usual = [float(np.mean(np.concatenate(each))) if each else 10.0 for each in past]
    index = 0
    for hour in range(24):
        for at in sorted(hour * HOUR + rng.uniform(0, HOUR, rng.poisson(shape.rate(hour)))):
            number = len(made.arrivals)
            cases = []
            project, durations = _campaign(rng, shape, scales)
            made.projects.append(project)
            for seconds in durations:
                case = Case(
                    id=f"c{number}::t{index}", group=f"c{number}-{index // 20}", index=index
                )
                made.seconds[case.id] = float(seconds)
                guess = usual[project]
                if rng.random() > UNKNOWN:
                    guess = float(seconds * rng.lognormal(0, MISJUDGED))
                made.predicted[case.id] = CaseHistory(seconds=guess)
                cases.append(case)
                index += 1
            made.arrivals.append(Arrival(at=float(at), cases=cases))
    return made
