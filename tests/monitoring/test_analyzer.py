"""From journals to findings: what happened in a made-up history is found, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from proctor.infra.ledgers.campaigns import campaigns_directory
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.provenance import Revision
from proctor.infra.records import Attempt, Case, Outcome, Usage, WorkerFacts
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze
from proctor.monitoring.trends.demo_history import (
    FASTER_AT,
    RATE_FALLS_AT,
    SLOWER_AT,
    commit_name,
    write_demo,
)
from proctor.monitoring.trends.findings import Kind, Status, TrendFinding, TrendReport
from proctor.monitoring.trends.journal import (
    known_findings,
    line_again,
    line_of,
    record,
    remarked,
    remember_findings,
)
from proctor.monitoring.trends.series import SeriesName
from proctor.monitoring.trends.source import NoHistory
from proctor.monitoring.trends.words import days


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Store, TrendReport]:
    state = tmp_path_factory.mktemp("demo")
    write_demo(state)
    store = Store(state)
    assert not ingest(store).problems
    return store, analyze(store)


def only(report: TrendReport, kind: Kind, *, worse: bool = True, metric: str = "seconds"):
    (found,) = (
        each
        for each in report.findings
        if each.kind is kind and each.worse is worse and each.lead.metric == metric
    )
    return found


def test_a_slow_down_of_many_cases_is_one_finding_with_its_commit(demo):
    """Five cases of one folder moved at one commit; eight per cent of noise on two hosts."""
    found = only(demo[1], Kind.CHANGE)
    assert found.status is Status.CONFIRMED
    assert found.commit == commit_name(SLOWER_AT)
    assert {each.case.rpartition("_")[2] for each in found.series} == {"0", "1", "2", "3", "4"}
    assert found.size_low < 0.12 < found.size_high
    assert "slower since commit" in found.text


def test_an_improvement_is_told_and_is_no_regression(demo):
    """Sorting got faster."""
    found = only(demo[1], Kind.CHANGE, worse=False)
    assert found.commit == commit_name(FASTER_AT)
    assert not found.is_regression


def test_a_metric_that_should_be_high_gets_worse_by_falling(demo):
    """Its direction comes from what the case recorded."""
    found = only(demo[1], Kind.CHANGE, metric="litres")
    assert found.commit == commit_name(RATE_FALLS_AT)
    assert found.size < 0
    assert found.unit == "l/min"


def test_a_drift_is_told_with_the_time_to_a_threshold(demo):
    """No single commit is to blame for a leak."""
    assert "in about" in only(demo[1], Kind.TREND).text


def test_a_flaky_case_is_told_with_what_its_failures_go_with(demo):
    """It fails on one of two workers."""
    found = only(demo[1], Kind.FLAKY, metric="outcome")
    assert found.cause.startswith("the worker it runs on (infrastructure")
    assert 0.05 < found.size < 0.5


def test_one_odd_value_is_an_anomaly_and_no_shift(demo):
    """The newest value of one case is four times as long."""
    found = only(demo[1], Kind.ANOMALY)
    assert found.status is Status.SUSPECTED
    assert found.series[0].case.endswith("test_shop_3")


def test_nothing_else_is_told(demo):
    """57 series, 60 points each, two hosts of different speed."""
    assert len(demo[1].findings) == 6


def test_findings_are_remembered_once_and_keep_their_ids(demo):
    """A second look has no news."""
    store, report = demo
    first = remember_findings(store, report)
    assert {each.status for each in first.news} == {"confirmed", "suspected"}
    again = remember_findings(store, analyze(store))
    assert again.news == ()
    assert [each.id for each in again.report.findings] == [each.id for each in report.findings]


def test_what_a_person_dismissed_stays_dismissed(demo):
    """And what is not found any more has recovered, if everything was looked at."""
    store, report = demo
    remember_findings(store, report)
    known = known_findings(store, report.project)
    change = next(each for each in known if each.kind == "change" and each.metric == "litres")
    record(store, [line_again(report.project, remarked(change, Status.DISMISSED, "a new pump"))])
    settled = remember_findings(store, report)
    (now,) = (each for each in settled.report.findings if each.id == change.id)
    assert now.status is Status.DISMISSED
    assert not settled.report.regressions or now not in settled.report.regressions


def test_a_case_can_be_looked_at_alone(demo):
    """All its series come with it, also without findings."""
    store, _ = demo
    case = "tests/shop/test_shop_0.py::test_shop_1"
    report = analyze(store, case=case)
    assert {each.case for each in report.views} == {case}
    with pytest.raises(NoHistory, match="no case 'nowhere'"):
        analyze(store, case="nowhere")


def campaign(
    state: Path, number: int, *, at: float, seconds: dict[str, float], properties: tuple = ()
) -> None:
    clock = [at]
    name = f"c{number:04d}"
    ledger = Ledger.open(
        campaigns_directory(state) / name, campaign=name, project="p",
        revision=Revision(commit=f"{number:040x}"), clock=lambda: clock[0], ttl=1e12,
    )  # fmt: skip
    with ledger:
        facts = WorkerFacts(
            name="w", incarnation=name, worker_class="cpu", slots=1, cpu=1, memory_bytes=1, host="h"
        )
        ledger.worker(facts, event="joined")
        for index, (case, value) in enumerate(seconds.items()):
            ledger.case(Case(id=case, group=case.partition("::")[0], index=index))
            ledger.attempt(
                Attempt(
                    case=case, id=f"{name}-{index}", outcome=Outcome.PASSED, started=clock[0],
                    finished=clock[0] + value, usage=Usage(wall_seconds=value), worker="w",
                    incarnation=name, properties=properties,
                )
            )  # fmt: skip
            clock[0] += value
        ledger.write("close", state="completed", exit_code=0)


def history(tmp_path: Path, values: list[float], **more) -> Store:
    for number, value in enumerate(values):
        campaign(tmp_path, number, at=1.7e9 + number * 3600, seconds={"a/t.py::t": value}, **more)
    store = Store(tmp_path)
    ingest(store)
    return store


def test_a_quiet_history_is_quiet(tmp_path):
    """Forty campaigns of thirty cases with five per cent of noise: no alert."""
    chance = random.Random(5)
    for number in range(40):
        seconds = {f"a/t.py::t{case}": 0.5 * chance.lognormvariate(0, 0.05) for case in range(30)}
        campaign(tmp_path, number, at=1.7e9 + number * 3600, seconds=seconds)
    store = Store(tmp_path)
    ingest(store)
    assert [each for each in analyze(store).findings if each.kind is not Kind.ANOMALY] == []


def test_a_shift_that_went_away_has_recovered(tmp_path):
    """Slower from the 30th to the 45th campaign, and as before since."""
    chance = random.Random(1)
    values = [
        (0.6 if 30 <= number < 45 else 0.5) * chance.lognormvariate(0, 0.02) for number in range(80)
    ]
    report = analyze(history(tmp_path, values))
    slower = next(each for each in report.findings if each.worse)
    assert slower.status is Status.RECOVERED
    assert report.regressions == ()


def test_the_newest_points_only_raise_a_suspicion(tmp_path):
    """Four slow runs are reason to run again, not to call anybody."""
    chance = random.Random(2)
    values = [
        (0.7 if number >= 40 else 0.5) * chance.lognormvariate(0, 0.02) for number in range(44)
    ]
    report = analyze(history(tmp_path, values))
    (found,) = report.findings
    assert (found.kind, found.status) == (Kind.CHANGE, Status.SUSPECTED)
    assert f"{40:040x}" in found.commits


def test_one_campaign_says_nothing_and_fails_nothing(tmp_path):
    """A series of one point."""
    report = analyze(history(tmp_path, [0.5]))
    assert report.findings == ()
    assert report.classes == {"unknown": 1}


def test_values_that_are_no_numbers_and_units_that_change_are_told(tmp_path):
    """The newest unit counts from where it began; the rest of the analysis goes on."""
    for number in range(12):
        told = (
            ("v", float("nan")),
            ("w", '{"value": 3.0, "unit": "%s"}' % ("s" if number < 6 else "l")),
        )
        campaign(
            tmp_path, number, at=1.7e9 + number * 3600, seconds={"t.py::t": 0.5}, properties=told
        )
    store = Store(tmp_path)
    ingest(store)
    report = analyze(store)
    assert any("changed from 's' to 'l'" in note for note in report.notes)
    assert report.series_seen == 2


def test_a_clock_that_jumps_back_loses_nothing(tmp_path):
    """Every campaign is there, whatever its time says."""
    for number in range(12):
        at = 1.7e9 + (number if number != 6 else -5) * 3600
        campaign(tmp_path, number, at=at, seconds={"t.py::t": 0.5})
    store = Store(tmp_path)
    ingest(store)
    assert analyze(store).points_seen == 12


def test_what_begins_at_nothing_is_told_without_a_share(tmp_path):
    """Nobody can say by how many per cent five is more than zero."""
    for number in range(40):
        campaign(
            tmp_path, number, at=1.7e9 + number * 3600, seconds={"t.py::t": 0.5},
            properties=(("swaps", 5 if number >= 20 else 0),),
        )  # fmt: skip
    store = Store(tmp_path)
    ingest(store)
    (found,) = analyze(store).findings
    assert "swaps on cpu: more (worse) since commit" in found.text


def test_a_torn_line_costs_no_analysis(tmp_path):
    """The end that a dying writer left counts for nothing, until it is whole."""
    store = history(tmp_path, [0.5] * 10)
    journal = next(campaigns_directory(tmp_path).glob("c0009/ledger-*.jsonl"))
    with journal.open("ab") as file:
        file.write(b'{"k": "attempt", "t"')
    ingest(store)
    assert analyze(store).points_seen == 10


def test_values_that_are_no_numbers_and_damaged_lines_are_told(tmp_path):
    """Left out, counted, and the rest is looked at."""
    for number in range(4):
        value = float("nan") if number == 1 else 3.0 + number
        campaign(
            tmp_path, number, at=1.7e9 + number * 3600, seconds={"a/t.py::t": 0.5},
            properties=(("rate", value), ("colour", "red")),
        )  # fmt: skip
    journal = next((campaigns_directory(tmp_path) / "c0002").glob("ledger-*"))
    lines = journal.read_bytes().split(b"\n")
    lines[2] = b"garbage"
    journal.write_bytes(b"\n".join(lines))
    store = Store(tmp_path)
    ingest(store)
    notes = analyze(store).notes
    assert notes[0] == "1 value of rate is no finite number and was left out"
    assert notes[1].startswith("1 damaged line in the journal of a campaign")
    assert len(notes) == 2


def test_a_regression_that_was_told_stands_at_every_later_look(tmp_path):
    """Also at one at which its few points alone would not be enough to tell it."""
    chance = random.Random(1)
    values = [
        (0.53 if number >= 30 else 0.5) * chance.lognormvariate(0, 0.04) for number in range(36)
    ]
    store = history(tmp_path, values)
    assert analyze(store).regressions == ()
    at, lead = 1.7e9 + 30 * 3600, SeriesName(case="a/t.py::t", worker_class="cpu")
    told = TrendFinding(
        id="a1", kind=Kind.CHANGE, status=Status.CONFIRMED, series=(lead,), area="a", since=at,
        earliest=at, latest=at, commit=f"{30:040x}", size=0.06, worse=True, text="slower",
    )  # fmt: skip
    record(store, [line_of("p", told)])
    settled = remember_findings(store, analyze(store))
    assert [each.id for each in settled.report.regressions] == ["a1"]
    assert settled.news == ()


def test_a_mend_soon_after_a_regression_is_recovery(tmp_path):
    """Seventeen slow runs in a history of forty, as a real project had them: milliseconds."""
    before = [52, 51, 46, 47, 51, 46, 46, 46, 46, 46, 49, 46, 50]
    slow = [62, 64, 59, 62, 59, 62, 59, 75, 66, 76, 62, 64, 61, 60, 60, 59, 69]
    mended = [48, 46, 47, 51, 46, 48, 46, 49, 47, 50]
    store = history(tmp_path, [each / 1000 for each in (*before, *slow[:8])])
    first = remember_findings(store, analyze(store))
    (slower,) = first.report.regressions
    for number, each in enumerate((*slow[8:], *mended), start=21):
        campaign(tmp_path, number, at=1.7e9 + number * 3600, seconds={"a/t.py::t": each / 1000})
    ingest(store)
    settled = remember_findings(store, analyze(store))
    assert settled.report.regressions == ()
    assert [(each.status, each.worse) for each in settled.news if each.id == slower.id] == [
        ("recovered", True)
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(300, "about an hour or less"), (36_000, "10 hours"), (864_000, "10 days")],
)
def test_a_threshold_that_is_near_is_not_none_days_away(seconds, told):
    """Where campaigns follow each other by the minute."""
    assert days(seconds) == told
