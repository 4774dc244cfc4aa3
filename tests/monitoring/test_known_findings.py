"""Which finding of a new look is which of those that are known, and what was said of it last."""

from __future__ import annotations

from dataclasses import replace

from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.findings import Kind, Status, TrendFinding, TrendReport, finding_id
from proctor.monitoring.trends.journal import (
    known_findings,
    known_of,
    line_again,
    record,
    remarked,
    remember_findings,
    settle,
)
from proctor.monitoring.trends.series import SeriesName

LEAD = SeriesName(case="a/t.py::t", worker_class="cpu")
NOON = 1.7e9


def shift(commit: str, *, at: float, worse: bool = True, reach: float = 0.0) -> TrendFinding:
    return TrendFinding(
        id=finding_id(Kind.CHANGE, "p", LEAD, commit),
        kind=Kind.CHANGE,
        status=Status.CONFIRMED,
        series=(LEAD,),
        area="a",
        since=at,
        earliest=at - reach,
        latest=at + reach,
        commit=commit,
        size=0.3 if worse else -0.3,
        worse=worse,
        text=f"moved at {commit}",
    )


def report(*findings: TrendFinding) -> TrendReport:
    return TrendReport(
        project="p", made=NOON, campaigns=1, series_seen=1, points_seen=1, seconds=0.0,
        findings=findings, classes={}, views={},
    )  # fmt: skip


def test_a_mend_within_the_hour_is_no_part_of_the_regression_that_it_ends():
    """Each has its own name; who was told of the regression hears that it is over."""
    slower = shift("one", at=NOON)
    mended = shift("two", at=NOON + 600, worse=False)
    over = replace(slower, status=Status.RECOVERED)
    # The mend comes first: what is good news is sorted by time.
    settled, _ = settle(report(mended, over), [known_of("p", slower)], whole=True)
    assert [each.id for each in settled.report.findings] == [mended.id, slower.id]
    assert {(each.id, each.before, each.status) for each in settled.news} == {
        (mended.id, "", "confirmed"),
        (slower.id, "confirmed", "recovered"),
    }


def test_two_regressions_within_the_hour_keep_their_names():
    """The newer one comes first in a report, and is news."""
    first, second = shift("one", at=NOON), shift("two", at=NOON + 600)
    settled, _ = settle(report(second, first), [known_of("p", first)], whole=True)
    assert [each.id for each in settled.report.findings] == [second.id, first.id]
    assert [(each.id, each.before) for each in settled.news] == [(second.id, "")]


def test_a_finding_whose_place_was_refined_keeps_its_name():
    """Of several that it may have been, the nearest."""
    known = [known_of("p", shift("one", at=NOON)), known_of("p", shift("two", at=NOON + 1500))]
    refined = shift("three", at=NOON + 1200, reach=300)
    settled, _ = settle(report(refined), known, whole=True)
    assert [each.id for each in settled.report.findings] == [known[1].id]
    assert settled.news == ()


def test_a_clock_that_was_set_back_does_not_undo_what_was_said(tmp_path):
    """Dismissed an hour earlier than it was found, as the clocks have it."""
    store = Store(tmp_path)
    ingest(store)
    found = shift("one", at=NOON)
    remember_findings(store, report(found), clock=lambda: NOON)
    (known,) = known_findings(store, "p")
    line = line_again("p", remarked(known, Status.DISMISSED, "a new disk"))
    record(store, [line], clock=lambda: NOON - 3600)
    assert [each.status for each in known_findings(store, "p")] == [Status.DISMISSED]
