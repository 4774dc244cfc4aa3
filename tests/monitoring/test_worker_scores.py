"""Speeds of workers: known ones are found again, whoever ran what."""

from __future__ import annotations

import numpy as np
import pytest
from ledger_parts import attempt, case, open_ledger

from proctor.infra.records import Usage, WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.prediction.worker_scores import Score, read_scores, score
from proctor.monitoring.store import Store

SPEEDS = {"slow": 0.5, "usual-1": 1.0, "usual-2": 1.0, "fast": 2.0}
CENTRE = float(np.exp(np.mean(np.log(list(SPEEDS.values())))))


def runs(seed, *, cases=200, each=2, odd=0.0, unfair=True, noise=0.15):
    """Runs of cases of very different lengths; the slow worker gets the short ones."""
    rng = np.random.default_rng(seed)
    names = list(SPEEDS)
    lengths = np.exp(rng.normal(0, 1.5, cases))
    case, worker, seconds = [], [], []
    for number, length in enumerate(lengths):
        likely = np.ones(4)
        if unfair:
            likely = np.array([8, 1, 1, 1]) if length < 1 else np.array([1, 1, 1, 8])
        for chosen in rng.choice(4, size=each, replace=False, p=likely / likely.sum()):
            took = length / SPEEDS[names[chosen]] * np.exp(rng.normal(0, noise))
            if rng.random() < odd:
                took *= 50
            case.append(number)
            worker.append(names[chosen])
            seconds.append(took)
    return np.array(case), worker, np.array(seconds)


@pytest.mark.parametrize(("unfair", "odd"), [(False, 0.0), (True, 0.0), (True, 0.05)])
def test_known_speeds_are_found_within_the_stated_error(unfair, odd):
    """Over many made histories nine ranges of ten hold the truth, and the ranges are narrow."""
    held, widths = [], []
    for seed in range(60):
        scores = score(*runs(seed, unfair=unfair, odd=odd))
        assert set(scores) == set(SPEEDS)
        for name, true in SPEEDS.items():
            found = scores[name]
            held.append(found.low <= true / CENTRE <= found.high)
            widths.append(found.error / found.speed)
    assert np.mean(held) >= 0.9
    assert max(widths) < 0.2


def test_a_hundred_workers_are_told_apart():
    """Rounding in a large fleet must not blow anything up."""
    rng = np.random.default_rng(0)
    case = np.repeat(np.arange(4000), 5)
    worker = rng.integers(0, 100, len(case))
    speed = np.exp(rng.normal(0, 0.3, 100))
    length = np.exp(rng.normal(0, 1.5, 4000))
    seconds = length[case] / speed[worker] * np.exp(rng.normal(0, 0.15, len(case)))
    scores = score(case, [f"w{number}" for number in worker], seconds)
    true = speed / np.exp(np.log(speed).mean())
    found = np.array([scores[f"w{number}"].speed for number in range(100)])
    assert np.abs(found / true - 1).max() < 0.06


def test_a_mean_would_have_been_fooled_by_who_ran_what():
    """The slow worker ran the short cases: by its mean it looks faster than the fast one."""
    rng = np.random.default_rng(1)
    case = np.repeat(np.arange(100), 2)
    worker = ["slow", "usual"] * 50 + ["fast", "usual"] * 50
    length = np.where(case < 50, 1.0, 10.0)
    speed = np.array([{"slow": 0.5, "usual": 1.0, "fast": 2.0}[name] for name in worker])
    seconds = length / speed * np.exp(rng.normal(0, 0.1, 200))
    mean = {name: seconds[np.array(worker) == name].mean() for name in worker}
    assert mean["slow"] < mean["fast"]
    scores = score(case, worker, seconds)
    assert scores["slow"].high < scores["usual"].low < scores["usual"].high < scores["fast"].low


def test_workers_without_a_case_in_common_are_not_compared():
    """Two fleets that never ran the same suite say nothing of each other."""
    case, worker, seconds = runs(2)
    apart = np.concatenate([case, [9001, 9001, 9002]])
    names = [*worker, "elsewhere-1", "elsewhere-2", "alone"]
    assert set(score(apart, names, np.concatenate([seconds, [1.0, 2.0, 3.0]]))) == set(SPEEDS)


def test_too_little_is_not_scored(tmp_path):
    """No runs, one worker, two runs, no store: no speeds rather than wrong ones."""
    nothing = np.array([], dtype=np.int64)
    assert score(nothing, [], nothing.astype(float)) == {}
    assert score(np.array([1, 1]), ["a", "a"], np.array([1.0, 2.0])) == {}
    assert score(np.array([1, 1]), ["a", "b"], np.array([1.0, 2.0])) == {}
    assert read_scores(tmp_path) == {}


def test_the_store_tells_what_ran_where(tmp_path):
    """Passes count, failures and what is too short to tell do not."""
    for number, (name, pace) in enumerate((("fast", 1.0), ("slow", 2.0))):
        ledger = open_ledger(tmp_path / "campaigns" / f"c{number}", project="p", ttl=1e12)
        facts = WorkerFacts(
            name=name, incarnation=name, worker_class="cpu", slots=1, cpu=1.0, memory_bytes=1
        )
        ledger.worker(facts, event="joined")
        for each in range(12):
            ledger.case(case(each))
            outcome = "failed" if each == 0 else "passed"
            wall = 0.001 * pace if each == 1 else pace * (1 + each / 10) * (1 + each % 3 / 100)
            wall = 100.0 if each == 0 else wall
            used = Usage(wall_seconds=wall)
            ledger.attempt(
                attempt(each, outcome, of=each, worker=name, incarnation=name, usage=used)
            )
        ledger.write(
            "close", state="completed", exit_code=0, makespan=1.0, lower_bound=1.0, slots=1
        )
        ledger.close()
    ingest(Store(tmp_path))

    scores = read_scores(tmp_path)

    assert {name: each.runs for name, each in scores.items()} == {"fast": 10, "slow": 10}
    assert scores["fast"].speed / scores["slow"].speed == pytest.approx(2.0, rel=1e-6)


def test_runs_that_agree_to_the_digit_have_no_error():
    """Nothing is divided by a spread of zero."""
    case = np.repeat(np.arange(20), 2)
    seconds = np.tile([1.0, 2.0], 20)
    scores = score(case, ["fast", "slow"] * 20, seconds)
    assert scores["fast"].speed == pytest.approx(2**0.5, rel=1e-6)
    assert scores["fast"].error < 1e-6


def test_a_score_reads_as_people_write_it():
    """Two digits are all that a column has room for."""
    assert Score(speed=1.234, low=1.184, high=1.284, runs=9).text == "1.23 ±0.05"
