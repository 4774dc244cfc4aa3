"""Flaky or broken: the posterior, the re-runs that tell, and the causes."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.flakes import (
    Cause,
    Circumstances,
    CommitRuns,
    Told,
    flakiness,
    likely_cause,
    tell,
)


def runs(*failures: int) -> list[CommitRuns]:
    """One run a commit, but two where it failed and passed: `2` means one of each."""
    return [CommitRuns(runs=2 if f == 2 else 1, failures=min(f, 1)) for f in failures]


def test_a_case_that_never_failed_is_not_flaky():
    """Nor broken."""
    told = flakiness(runs(*[0] * 60))
    assert told.probability < 0.05
    assert told.broken < 0.05


def test_failing_and_passing_at_one_commit_is_flaky():
    """That is what flaky means."""
    told = flakiness(runs(0, 2, 0, 0, 2, 0, 0, 0, 2, 0))
    assert told.probability > 0.9
    assert told.low <= told.rate <= told.high
    assert 0.05 < told.rate < 0.5


def test_failing_from_one_commit_on_is_broken():
    """And says nothing of flakiness."""
    told = flakiness(runs(*[0] * 30, *[1] * 8))
    assert told.broken > 0.95
    assert told.probability < 0.3


def test_no_history_is_everybodys_prior():
    """Unknown is neither."""
    told = flakiness([])
    assert told.probability == pytest.approx(0.08)
    assert sum(told.posterior) == pytest.approx(1)


def test_long_histories_do_not_underflow():
    """Thousands of runs are no trouble for the logarithms."""
    told = flakiness([CommitRuns(runs=1000, failures=100) for _ in range(50)])
    assert told.probability == pytest.approx(1)
    assert told.rate == pytest.approx(0.08, abs=0.08)


def test_a_pass_in_re_runs_tells_flaky_and_failures_tell_broken():
    """After few of them."""
    assert tell([False, False])[0] is Told.FLAKY
    assert tell([True] * 8)[0] is Told.BROKEN


def test_a_known_flaky_case_needs_more_failures_to_be_called_broken():
    """It might just be unlucky."""
    known = flakiness(runs(*[2, 0, 2, 2] * 5))
    fresh = next(n for n in range(13) if tell([True] * n)[0] is Told.BROKEN)
    expected = next(n for n in range(13) if tell([True] * n, known)[0] is Told.BROKEN)
    assert expected > fresh


def test_re_runs_end():
    """There is always an answer after twelve."""
    rng = np.random.default_rng(1)
    known = flakiness(runs(*[2] * 20))
    for _ in range(50):
        failed = (rng.random(12) < 0.7).tolist()
        assert tell(failed, known)[0] is not Told.OPEN


def circumstances(cause: Cause, seed: int) -> list[Circumstances]:
    rng, out = np.random.default_rng(seed), list[Circumstances]()
    for i in range(120):
        before, worker = f"t{rng.integers(6)}", f"w{rng.integers(6)}"
        hour, pressure = int(rng.integers(24)), float(rng.random())
        hit = {
            Cause.ORDER: before == "t1",
            Cause.TIME: 8 <= hour < 12,
            Cause.RESOURCE: pressure > 0.9,
            Cause.INFRASTRUCTURE: worker == "w2",
            Cause.PRODUCT: i // 4 in (3, 11),
            Cause.UNKNOWN: rng.random() < 0.1,
        }[cause]
        out.append(
            Circumstances(
                failed=hit,
                commit=str(i // 4),
                predecessor=before,
                worker=worker,
                started=3600.0 * hour + 86400.0 * i,
                pressure=pressure,
            )
        )
    return out


@pytest.mark.parametrize("cause", list(Cause))
def test_the_circumstance_that_failures_go_with_is_named(cause):
    """And chance is called unknown."""
    told, probability = likely_cause(circumstances(cause, 2))
    assert told is cause
    assert 0 < probability <= 1


def test_without_failures_or_runs_no_cause_is_named():
    """Nothing to explain."""
    assert likely_cause([])[0] is Cause.UNKNOWN
    assert likely_cause([Circumstances(failed=False)] * 20)[0] is Cause.UNKNOWN
