"""Series out of the store: which values belong together, and how they become comparable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from proctor.infra.errors import UsageProblem
from proctor.infra.ledgers.campaigns import campaigns_directory
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.provenance import Revision
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.ingest_lines import metric_of
from proctor.monitoring.queries import ask
from proctor.monitoring.retention import prune
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze
from proctor.monitoring.trends.series import SeriesName
from proctor.monitoring.trends.source import circumstances, observe

CASES = [f"a/t.py::t{number}" for number in range(6)]
NOON = 1.7e9
HOUR = 3600.0


def campaign(
    state: Path,
    number: int,
    *,
    host: str = "one",
    seconds: float = 0.5,
    properties: tuple[tuple[str, object], ...] = (),
    outcomes: Sequence[Outcome] = (Outcome.PASSED,),
) -> None:
    """Six cases at a commit of its own; the last of the outcomes stands for all further cases."""
    at = NOON + number * HOUR
    name = f"c{number:04d}"
    ledger = Ledger.open(
        campaigns_directory(state) / name, campaign=name, project="p",
        revision=Revision(commit=f"{number:040x}"), clock=lambda: at, ttl=1e12,
    )  # fmt: skip
    with ledger:
        facts = WorkerFacts(
            name="w", incarnation=name, worker_class="cpu", slots=1, cpu=1, memory_bytes=1,
            host=host,
        )  # fmt: skip
        ledger.worker(facts, event="joined")
        for index, case in enumerate(CASES):
            ledger.case(Case(id=case, group="a/t.py", index=index))
            ledger.attempt(
                Attempt(
                    case=case, id=f"{name}-{index}", outcome=outcomes[min(index, len(outcomes) - 1)],
                    started=at + index, finished=at + index + seconds,
                    usage=Usage(wall_seconds=seconds), worker="w", incarnation=name,
                    properties=properties,
                )
            )  # fmt: skip
        ledger.write("close", state="completed", exit_code=0)


def store_of(state: Path) -> Store:
    store = Store(state)
    assert not ingest(store).problems
    return store


def values(store: Store, metric: str, **given) -> np.ndarray:
    wanted = SeriesName(case=CASES[0], metric=metric, worker_class="cpu")
    (found,) = (each for each in observe(store, **given).series if each.series.name == wanted)
    return found.series.values


def refused(state: Path, number: int, *, project: str) -> None:
    """One of which nothing ran."""
    at, name = NOON + number * HOUR, f"r{number:04d}"
    with Ledger.open(
        campaigns_directory(state) / name,
        campaign=name,
        project=project,
        clock=lambda: at,
        ttl=1e12,
    ) as ledger:
        ledger.write("close", state="refused", exit_code=4, reason="it cannot be collected")


def test_what_was_refused_is_no_history(tmp_path: Path) -> None:
    """Neither as a campaign that is counted, nor as the one that ran last."""
    for number in range(3):
        campaign(tmp_path, number)
    refused(tmp_path, 3, project="p")
    refused(tmp_path, 4, project="other")
    store = store_of(tmp_path)
    seen = observe(store)
    assert (seen.project, [each.campaign for each in seen.moments]) == (
        "p",
        ["c0000", "c0001", "c0002"],
    )
    with pytest.raises(UsageProblem, match="no project 'other'"):
        observe(store, project="other")


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory) -> Store:
    """The second takes half as long again for everything, as its cases notice themselves."""
    state = tmp_path_factory.mktemp("two-hosts")
    for number in range(12):
        host, seconds = ("one", 0.4) if number % 2 == 0 else ("two", 0.6)
        took = '{"value": %g, "unit": "ms"}' % (seconds * 500)
        speed = '{"value": %g, "unit": "MB/s", "better": "higher"}' % (10 / seconds)
        campaign(
            state, number, host=host, seconds=seconds,
            properties=(("took", took), ("speed", speed), ("size", 7)),
        )  # fmt: skip
    return store_of(state)


@pytest.mark.parametrize("metric", ["seconds", "took", "speed", "size"])
def test_hosts_of_unequal_speed_make_no_shift_of_what_depends_on_it(two_hosts, metric):
    """Durations, recorded times and recorded rates; a size is what it is on any host."""
    found = values(two_hosts, metric)
    assert found.max() == pytest.approx(found.min(), rel=1e-3)


def test_a_case_looked_at_alone_is_as_long_as_among_others(two_hosts):
    """What the other cases took tells how fast a host is."""
    for metric in ("seconds", "took"):
        among = values(two_hosts, metric)
        assert values(two_hosts, metric, case=CASES[0]) == pytest.approx(among)
        assert values(two_hosts, metric, metrics=(metric,)) == pytest.approx(among)


def test_recorded_values_stay_one_series_when_their_attempts_are_dropped(tmp_path):
    """Half of them are older than what is kept."""
    for number in range(8):
        campaign(tmp_path, number, properties=(("took", number + 1.0),))
    store = store_of(tmp_path)
    pruned = prune(store, keep_seconds=4 * HOUR, clock=lambda: NOON + 8 * HOUR)
    assert len(pruned.campaigns) == 4
    assert list(values(store, "took")) == [number + 1.0 for number in range(8)]
    told = ask(store, "metric-series", project="p")
    assert set(told.column("worker_class")) == {"cpu"}
    assert len(told.rows) == 8 * len(CASES)


def test_a_recorded_value_may_be_called_like_a_measured_one(tmp_path):
    """Both are looked at, each under a name of its own."""
    for number in range(3):
        campaign(tmp_path, number, seconds=0.5, properties=(("seconds", 90.0),))
    store = store_of(tmp_path)
    assert list(values(store, "seconds")) == [0.5] * 3
    assert list(values(store, "seconds (recorded)")) == [90.0] * 3


def test_the_newest_runs_say_what_failures_go_with(tmp_path):
    """Runs that were skipped say nothing of it."""
    skipped, passed = (Outcome.SKIPPED, Outcome.PASSED), (Outcome.PASSED,)
    for number in range(4):
        campaign(tmp_path, number, outcomes=skipped if number == 1 else passed)
    store = store_of(tmp_path)
    numbers = {case: number for number, (case, _) in observe(store).cases.items()}
    told = circumstances(store, [numbers[CASES[0]]])[numbers[CASES[0]]]
    assert [row[1] for row in told] == [f"{number:040x}" for number in (3, 2, 0)]


def test_a_unit_that_is_null_is_none():
    """JSON from elsewhere says so; a unit called None would be another one."""
    told = metric_of("v", '{"value": 1, "unit": null, "better": null}')
    assert told == ("v", 1.0, "", "", "")


def test_values_that_are_no_numbers_are_told_as_tests_record_them(tmp_path):
    """With the fixture, which says unit and direction, and with pytest's own."""
    for number in range(3):
        campaign(
            tmp_path, number,
            properties=(("rate", '{"value": NaN, "unit": "s", "better": "lower"}'), ("other", "inf")),
        )  # fmt: skip
    assert analyze(store_of(tmp_path)).notes == (
        f"{3 * len(CASES)} values of other are no finite numbers and were left out",
        f"{3 * len(CASES)} values of rate are no finite numbers and were left out",
    )


def test_numbers_beyond_reason_end_no_analysis(tmp_path):
    """What is too large is left out and told; what is next to nothing is nothing."""
    for number in range(20):
        campaign(
            tmp_path, number,
            properties=(
                ("large", 1e300 if number == 7 else 3.0), ("tiny", 1e-308 if number > 9 else 0.0),
            ),
        )  # fmt: skip
    report = analyze(store_of(tmp_path))
    assert report.notes == (f"{len(CASES)} values of large are too large and were left out",)
    assert report.findings == ()


def test_a_case_that_is_no_unicode_is_looked_up_as_it_is_stored(tmp_path):
    """With its escape; another one is a sentence, not a traceback."""
    campaign(tmp_path, 0)
    with pytest.raises(UsageProblem, match="no case"):
        analyze(store_of(tmp_path), case="\udcff")
