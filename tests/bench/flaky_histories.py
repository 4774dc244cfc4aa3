"""Generated outcomes of stable, flaky and broken cases, with labels and causes."""

from __future__ import annotations

from dataclasses import dataclass

from histories import Rng

from proctor.monitoring.trends.flakes import Cause, Circumstances, CommitRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """One case: what it is, and how its runs ended at each commit."""

    label: str
    rate: float
    history: tuple[CommitRuns, ...]
    broken_now: bool


def outcomes(label: str, rng: Rng, *, commits: int = 80) -> Outcomes:
    """Label `stable`, `flaky` or `broken`; flaky ones may be broken for a while as well."""
    rate = 0.0002 if label != "flaky" else float(2 ** rng.uniform(-6, -1))
    broken = [False] * commits
    stretches = {"stable": 0, "flaky": int(rng.random() < 0.3), "broken": int(rng.integers(1, 4))}
    for _ in range(stretches[label]):
        start, length = int(rng.integers(0, commits)), int(rng.integers(1, 16))
        for i in range(start, min(commits, start + length)):
            broken[i] = True
    history = list[CommitRuns]()
    for is_broken in broken:
        chance = 0.995 if is_broken else rate
        runs = int(rng.integers(1, 3))
        failures = int(rng.binomial(runs, chance))
        if failures == runs and rng.random() < 0.5:
            # A failure is run again now and then.
            again = int(rng.random() < chance)
            runs, failures = runs + 1, failures + again
        history.append(CommitRuns(runs=runs, failures=failures))
    return Outcomes(label=label, rate=rate, history=tuple(history), broken_now=broken[-1])


def caused(cause: Cause, rng: Rng, *, runs: int = 120) -> list[Circumstances]:
    """Runs of a case whose failures go with one circumstance."""
    out = list[Circumstances]()
    bad_worker, bad_before = f"w{rng.integers(6)}", f"t{rng.integers(8)}"
    start, bad = (
        int(rng.integers(0, 20)),
        set(rng.choice(runs // 4, size=3, replace=False).tolist()),
    )
    for i in range(runs):
        commit, worker, before = i // 4, f"w{rng.integers(6)}", f"t{rng.integers(8)}"
        hour, pressure = int(rng.integers(24)), float(rng.beta(2, 2))
        hit = {
            Cause.ORDER: before == bad_before,
            Cause.TIME: hour // 4 == start // 4,
            Cause.RESOURCE: pressure > 0.75,
            Cause.INFRASTRUCTURE: worker == bad_worker,
            Cause.PRODUCT: commit in bad,
            Cause.UNKNOWN: rng.random() < 0.15,
        }[cause]
        chance = 0.6 if hit else 0.01
        if cause is Cause.UNKNOWN:
            chance = 0.1
        out.append(
            Circumstances(
                failed=bool(rng.random() < chance),
                commit=str(commit),
                predecessor=before,
                worker=worker,
                started=3600.0 * hour + 86400.0 * i,
                pressure=pressure,
            )
        )
    return out
