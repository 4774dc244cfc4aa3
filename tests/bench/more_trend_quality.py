"""Anomalies, trend classes, forecasts, flakiness, false alerts and speed: parts of trend_quality."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from flaky_histories import caused, outcomes
from histories import Floats, Rng, change_history
from load_traces import KINDS, load_trace
from quality_tables import print_table
from real_noise import TEST_TIMES, test_times
from shared_commits import shared_commits
from trend_histories import CI_NOISES, CLASSES, ci_series, of_class, with_outliers

from proctor.monitoring.trends.anomalies import anomalies, anomaly_scores
from proctor.monitoring.trends.changes import find_all_changes, find_changes
from proctor.monitoring.trends.experts import DURATION, HOURLY_LOAD, opinions, weigh
from proctor.monitoring.trends.flakes import Cause, Told, flakiness, likely_cause, tell
from proctor.monitoring.trends.forecast import (
    DURATION_HALF_LIFE,
    LOAD_HALF_LIFE,
    expected_duration,
    past_forecasts,
)
from proctor.monitoring.trends.heading import TrendClass, classify
from proctor.monitoring.trends.online import Watch, confirmed_shift


def average_precision(scores: Floats, truth: Floats) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(hits.sum(), 1))


def _rolling_z(values: Floats) -> Floats:
    """The rule to beat: how many standard deviations off the mean of the past fifty."""
    out = np.zeros(len(values))
    for i in range(8, len(values)):
        past = values[max(0, i - 50) : i]
        out[i] = abs(values[i] - past.mean()) / max(float(past.std()), 1e-12)
    return out


def outliers(rng: Rng, options: argparse.Namespace) -> None:
    """Average precision over all points of all series together."""
    series = [with_outliers(rng) for _ in range(10 * options.size)]
    truth = np.concatenate([s.odd for s in series])
    rows = list[Sequence[object]]()
    for name, method in (("ours", anomaly_scores), ("z of the past 50", _rolling_z)):
        told = np.concatenate([method(s.values) for s in series])
        said = told >= 6.0
        right = float(truth[said].mean()) if said.any() else 0.0
        rows.append((name, average_precision(told, truth), right, float(said[truth > 0].mean())))
    header = ("method", "average precision", "precision at 6", "recall at 6")
    print_table("Outliers in CI-like series", header, rows)


def _quarters(values: Floats) -> TrendClass:
    """A rule to beat: medians of first and last quarter."""
    quarter = max(len(values) // 4, 1)
    first, last = float(np.median(values[:quarter])), float(np.median(values[-quarter:]))
    if float(values.std()) / abs(float(values.mean())) > 0.2:
        return TrendClass.VOLATILE
    if abs(last / first - 1) < 0.05:
        return TrendClass.STABLE
    return TrendClass.DEGRADING if last > first else TrendClass.IMPROVING


def classes(rng: Rng, options: argparse.Namespace) -> None:
    cases = [(kind, of_class(kind, rng)) for kind in CLASSES for _ in range(10 * options.size)]
    rows = list[Sequence[object]]()
    judges: Mapping[str, Callable[[Floats], TrendClass]] = {
        "ours": lambda values: classify(values).kind,
        "quarters": _quarters,
    }
    for name, judge in judges.items():
        told = [judge(values) for _, values in cases]
        each = list[float]()
        for kind in CLASSES:
            right = sum(t is kind and k is kind for t, (k, _) in zip(told, cases, strict=True))
            said = sum(t is kind for t in told)
            each.append(2 * right / max(said + 10 * options.size, 1))
        ways = {TrendClass.IMPROVING, TrendClass.DEGRADING}
        wrong = sum({t, k} == ways and t is not k for t, (k, _) in zip(told, cases, strict=True))
        rows.append((name, float(np.mean(each)), *each, wrong))
    header = ("method", "macro F1", *(c.value for c in CLASSES), "wrong direction")
    print_table("Trend classes", header, rows)


def durations(rng: Rng, options: argparse.Namespace) -> None:
    """Weighted absolute percentage error of the next duration, over the last quarter.

    The published times are means of the last runs, so each resembles the one before more than
    runs do; every seventh of them is nearer to what a scheduler meets.
    """
    del rng
    if not TEST_TIMES.is_file():
        print_table("Durations: the PyTorch sample is not at hand", (), ())
        return
    rows = list[Sequence[object]]()
    for every in (1, 7):
        misses, count = _duration_misses([values[::every] for values in test_times()])
        rows += [(f"every {every}", count, *row) for row in sorted(misses.items(), key=_second)]
    print_table("Next duration, PyTorch sample", ("times", "forecasts", "expert", "WAPE"), rows)


def _second(row: tuple[str, float]) -> float:
    return row[1]


def _duration_misses(series: Sequence[Floats]) -> tuple[dict[str, float], int]:
    misses, total, count = dict[str, float](), 0.0, 0
    for values in series:
        start = max(len(values) * 3 // 4, 1)
        told = dict(zip(DURATION, opinions(values, DURATION, 1)[:, : len(values)], strict=True))
        told["ours"] = past_forecasts(values, DURATION, 1, half_life=DURATION_HALF_LIFE)
        total += float(values[start:].sum())
        count += len(values) - start
        for name, said in told.items():
            off = np.abs(np.where(np.isfinite(said), said, 0.0) - values)[start:]
            misses[name] = misses.get(name, 0.0) + float(off.sum())
    return {name: miss / total for name, miss in misses.items()}, count


def _scaled_error(said: Floats, values: Floats, ahead: int, start: int) -> float:
    """Mean absolute error over that of repeating the last known value (MASE)."""
    naive = np.abs(values[start:] - values[start - ahead : -ahead]).mean()
    return float(np.nanmean(np.abs(said[start:] - values[start:])) / naive)


def load(rng: Rng, options: argparse.Namespace) -> None:
    traces = [(kind, load_trace(kind, 10, rng)) for kind in KINDS for _ in range(options.size // 4)]
    rows = list[Sequence[object]]()
    start = 5 * 168
    for ahead in (1, 24):
        names = ("ours", *HOURLY_LOAD)
        errors = {name: {kind: list[float]() for kind in KINDS} for name in names}
        for kind, values in traces:
            told = opinions(values, HOURLY_LOAD, ahead)[:, : len(values)]
            combined, _ = weigh(told, values, ahead, half_life=LOAD_HALF_LIFE)
            for name, said in zip(names, (combined, *told), strict=True):
                errors[name][kind].append(_scaled_error(said, values, ahead, start))
        for name in names:
            each = [float(np.mean(errors[name][kind])) for kind in KINDS]
            rows.append((f"{ahead} h", name, float(np.mean(each)), *each))
    print_table("Load, MASE", ("ahead", "expert", "all", *KINDS), rows)


def flakes(rng: Rng, options: argparse.Namespace) -> None:
    cases = [
        outcomes(label, rng)
        for label, times in (("stable", 20), ("flaky", 3), ("broken", 3))
        for _ in range(times * options.size)
    ]
    told = [(c, flakiness(c.history).probability >= 0.5) for c in cases]
    said = [c.label == "flaky" for c, flaky in told if flaky]
    asked = [flaky for c, flaky in told if c.label == "flaky"]
    reruns, right = list[int](), list[bool]()
    for c in cases:
        if c.label == "stable":
            continue
        known = flakiness(c.history)
        broken = c.label == "broken"
        chance = 0.995 if broken else c.rate
        seen = list[bool]()
        verdict, _ = tell(seen, known)
        while verdict is Told.OPEN:
            seen.append(bool(rng.random() < chance))
            verdict, _ = tell(seen, known)
        reruns.append(len(seen))
        right.append((verdict is Told.BROKEN) == broken)
    header = ("precision", "recall", "re-runs, median", "re-runs, p95", "right")
    row = (
        float(np.mean(said)),
        float(np.mean(asked)),
        float(np.median(reruns)),
        float(np.quantile(reruns, 0.95)),
        float(np.mean(right)),
    )
    print_table("Flaky cases", header, [row])
    rows = [
        (
            c.value,
            float(np.mean([likely_cause(caused(c, rng))[0] is c for _ in range(options.size)])),
        )
        for c in Cause
    ]
    print_table("Causes", ("cause", "named rightly"), rows)


def quiet(rng: Rng, options: argparse.Namespace) -> None:
    """A/A histories and shifts of 10 %: 25 runs a week, asked after every run as in use."""
    rows = list[Sequence[object]]()
    for kind in CI_NOISES:
        alerts = suspects = weeks = 0
        within = suspected = asked = 0
        for _ in range(options.size):
            calm = ci_series(300, rng, kind=kind)
            since, watch = 0, Watch()
            for i in range(len(calm)):
                suspects += watch.append(float(calm[i])) is not None
                if i < 20:
                    continue
                found = confirmed_shift(calm[: i + 1], since=since)
                if found is not None:
                    alerts, since = alerts + 1, found.index
            weeks += len(calm) / 25
            at = int(rng.integers(60, 180))
            moved = ci_series(at + 10, rng, kind=kind)
            moved[at:] *= 1.1
            known = max((c.index for c in find_changes(moved[:at])), default=0)
            # The first of the ten looks that tells: nothing later makes it untold.
            within += any(confirmed_shift(moved[: at + k], since=known) for k in range(5, 11))
            watch = Watch(moved[:at].tolist())
            told = [watch.append(float(v)) for v in moved[at:]]
            suspected += any(told)
            asked += 1
        rows.append(
            (
                kind,
                1000 * alerts / weeks,
                within / asked,
                1000 * suspects / weeks,
                suspected / asked,
            )
        )
    rows.append(("all", *(float(np.mean([r[i] for r in rows])) for i in range(1, 5))))
    header = (
        *("noise of 3-5 %", "alerts/1,000 series-weeks", "10 % within 10 runs"),
        *("suspected/1,000 weeks", "10 % suspected within 10"),
    )
    print_table("Alerts on A/A histories and on shifts of 10 %", header, rows)


def _whole(seed: int) -> int:
    """All that is asked of a share of 10,000 series of 200 points, in one process."""
    pool = _mixed_series(200, 100, np.random.default_rng(seed))
    # In portions, as a pool of processes gets them.
    found = sum(len(changes) for _ in range(10) for changes in find_all_changes(5 * pool))
    for i in range(5000):
        values = pool[i % len(pool)]
        found += len(anomalies(values))
        classify(values)
        expected_duration(values)
    return found


def _mixed_series(n: int, count: int, rng: Rng) -> list[Floats]:
    from histories import NOISES

    kinds = list(NOISES)
    return [change_history(kinds[i % len(kinds)], n, rng).values for i in range(count)]


def speed(rng: Rng, options: argparse.Namespace) -> None:
    del options
    rows = list[Sequence[object]]()
    for n, count in ((100, 600), (1000, 140), (10_000, 14)):
        series = _mixed_series(n, count, rng)
        rows.append((f"find_changes, {n} points", *_rate(find_changes, series)))
        rows.append((f"find_all_changes, {n} points", *_rate_together(series)))
    series = _mixed_series(200, 300, rng)
    asked: Mapping[str, Callable[[Floats], object]] = {
        "find_changes": find_changes,
        "anomalies": anomalies,
        "classify": classify,
        "expected_duration": expected_duration,
        "confirmed_shift": confirmed_shift,
    }
    rows += [(f"{name}, 200 points", *_rate(ask, series)) for name, ask in asked.items()]
    watch = Watch(series[0].tolist())
    values = np.concatenate(series).tolist()[:20_000]
    started = time.perf_counter()
    for value in values:
        watch.append(value)
    each = (time.perf_counter() - started) / len(values)
    rows.append(("Watch.append, one point", 1 / each, 1000 * each))
    started = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_whole, (1, 2)))
    took = time.perf_counter() - started
    rows.append(("10,000 x 200 points, everything, 2 processes", 10_000 / took, 1000 * took))
    print_table("Speed", ("what", "a second", "ms"), rows)


def _rate(ask: Callable[[Floats], object], series: Sequence[Floats]) -> tuple[float, float]:
    ask(series[0])
    started = time.process_time()
    for values in series:
        ask(values)
    each = (time.process_time() - started) / len(series)
    return 1 / each, 1000 * each


def _rate_together(series: Sequence[Floats]) -> tuple[float, float]:
    find_all_changes(series[:2])
    started = time.process_time()
    find_all_changes(series)
    each = (time.process_time() - started) / len(series)
    return 1 / each, 1000 * each


PARTS: dict[str, Callable[[Rng, argparse.Namespace], None]] = {
    "anomalies": outliers,
    "trends": classes,
    "forecast": durations,
    "load": load,
    "flakes": flakes,
    "aa": quiet,
    "shared": shared_commits,
    "speed": speed,
}
