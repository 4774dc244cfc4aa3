"""Generated suites with histories of runs: what predictions are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from histories import NOISES, Floats, Rng

from proctor.monitoring.prediction.predictor import Measured, Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A suite, and what each of its cases took in each campaign."""

    suite: Suite
    # A row a case, a column a campaign.
    seconds: Floats
    peak_bytes: Floats
    cpu_share: Floats
    # The kind of its noise, for the table.
    kinds: tuple[str, ...]

    def measured(self, first: int, last: int) -> Measured:
        """Campaigns from the first to before the last."""
        cases = len(self.seconds)
        seconds = self.seconds[:, first:last].T.ravel()
        case = np.tile(np.arange(cases), last - first)
        return Measured(
            case=case,
            campaign=np.repeat(np.arange(last - first), cases),
            seconds=seconds,
            cpu_seconds=seconds * self.cpu_share[case],
            peak_bytes=self.peak_bytes[:, first:last].T.ravel(),
            moved_bytes=np.zeros(len(case)),
        )


def generate(*, cases: int, campaigns: int, rng: Rng, steadiness: float = 1.0) -> Ran:
    """Cases of files and functions, each with a noise of its own, on machines that vary.

    Relative noise is 3 to 25 % by case (7 % in the middle), divided by `steadiness`; each campaign
    is as a whole up to some percent slower or faster; a level moves now and then; clocks and
    schedulers add a millisecond or two.
    """
    ids: list[str] = []
    groups: list[str] = []
    marks: list[tuple[str, ...]] = []
    base: list[float] = []
    file = 0
    while len(ids) < cases:
        path = f"tests/part{file % 7}/test_{file}.py"
        of_file = rng.normal(-2.0, 1.2)
        for function in range(int(rng.integers(3, 12))):
            of_function = of_file + rng.normal(0.0, 0.9)
            slow = ("slow",) if of_function > 0 else ()
            parameters = int(rng.choice([1, 1, 4, 12]))
            for each in range(parameters):
                suffix = f"[{each}]" if parameters > 1 else ""
                ids.append(f"{path}::test_{function}{suffix}")
                groups.append(path)
                marks.append(slow)
                base.append(of_function + rng.normal(0.0, 0.2))
        file += 1
    del ids[cases:], groups[cases:], marks[cases:], base[cases:]
    names = tuple(NOISES)
    kinds = tuple(names[int(number)] for number in rng.integers(len(names), size=cases))
    scale = np.exp(rng.normal(np.log(0.07), 0.5, size=cases)).clip(0.03, 0.25) / steadiness
    logs = np.array(base)[:, None] + np.array(
        [NOISES[kind](campaigns, rng) * size for kind, size in zip(kinds, scale, strict=True)]
    )
    # A change of the code: one case in three hundred a campaign, by a third either way.
    moves = (rng.random((cases, campaigns)) < 1 / 300) * rng.normal(0, 0.35, (cases, campaigns))
    logs += np.cumsum(moves, axis=1)
    whole = np.zeros(campaigns)
    for number in range(1, campaigns):
        whole[number] = 0.6 * whole[number - 1] + rng.normal(0, 0.04)
    seconds = np.exp(logs + whole) + rng.exponential(0.0015, (cases, campaigns))
    peak = np.exp(rng.normal(np.log(90e6), 0.5, cases))[:, None] * np.exp(
        np.abs(rng.normal(0, 0.04, (cases, campaigns)))
    )
    return Ran(
        suite=Suite(case_ids=ids, groups=groups, marks=marks),
        seconds=seconds,
        peak_bytes=peak,
        cpu_share=rng.beta(5, 2, cases),
        kinds=kinds,
    )
