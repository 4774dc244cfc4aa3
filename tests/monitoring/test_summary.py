"""The summary: failures first, in few lines, with what to type next."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import pytest
from digests import Texts, attempt, digest, news
from rich.console import Console

from proctor.infra.ledgers.lines import CANCELLED
from proctor.monitoring.reports.digest import Digest
from proctor.monitoring.reports.documents import campaign_document
from proctor.monitoring.reports.idle_time import IdleTime
from proctor.monitoring.reports.markdown import markdown
from proctor.monitoring.reports.summary import print_summary
from proctor.monitoring.reports.wording import in_words


def test_failures_come_first_and_worst_first() -> None:
    """A crash stands above a failure, and both above the totals; what passed is not listed."""
    text = _printed(
        digest(
            [
                attempt("test_a.py::test_ok"),
                attempt("test_a.py::test_bad", "failed", message="AssertionError: 1 == 2"),
                attempt("test_a.py::test_dead", "crashed", message="killed by SIGSEGV"),
            ],
            exit_code=1,
        )
    )

    places = [text.index(part) for part in ("test_dead", "SIGSEGV", "test_bad", "1 == 2", "1 pass")]

    assert places == sorted(places)
    assert "test_ok" not in text
    assert "proctor logs test_a.py::test_dead" in text


def test_why_it_was_refused_is_told_whole() -> None:
    """Other commands send their readers here for it, and its end says what to do."""
    why = "/usr/bin/python3 has no usable pytest (No module named 'pytest')" + 60 * "." + " do this"

    text = _printed(digest([], state="refused", exit_code=4, notes=(("error", why),)))

    assert "do this" in " ".join(text.split())


def test_why_it_was_cancelled_is_told_once() -> None:
    """With the verdict, and not among the notes as well."""
    notes = (("warning", f"{CANCELLED}someone asked for it"), ("warning", "no room"))
    text = _printed(digest([attempt("a.py::x")], state="cancelled", exit_code=2, notes=notes))
    assert "The campaign is cancelled: someone asked for it." in text
    assert text.count("someone asked") == 1
    assert "no room" in text


def test_warnings_are_counted_and_named_once() -> None:
    """Those of cases and those of files, in the terminal and in Markdown."""
    warned = "warning: a.py:6: UserWarning: careful"
    facts = digest(
        [attempt("a.py::x", notes=(warned,)), attempt("a.py::y", notes=(warned, "left a mess"))],
        notes=(("info", "warning: b.py:1: DeprecationWarning: old"),),
    )
    text = _printed(facts)
    assert "Warnings (2)" in text
    assert text.count("UserWarning: careful") == 1
    assert "left a mess" not in text
    assert "2 warnings" in markdown(facts)


def test_one_cause_is_told_once() -> None:
    """Hundreds of cases that fail alike are a few names and one message."""
    attempts = [
        attempt(f"test_a.py::test_{n}", "error", message=f"cannot connect to port {n}")
        for n in range(400)
    ]

    text = _printed(digest(attempts))

    assert text.count("cannot connect") == 1
    assert "and 397 more" in text
    assert len(text.splitlines()) < 25


def test_many_causes_are_cut() -> None:
    """Hundreds of different failures do not scroll the end of the campaign away."""
    words = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(300)]
    attempts = [attempt(f"test_a.py::test_{w}", "failed", message=f"no {w}") for w in words]

    lines = _printed(digest(attempts)).splitlines()

    assert len(lines) < 70
    assert any("275 cases more" in line for line in lines)


def test_lines_fit_in_100_columns() -> None:
    """Long messages are cut; ids and paths are left whole, so that they can be copied."""
    case = "test_a.py::test_" + "x" * 150
    text = _printed(
        digest(
            [
                attempt(case, "failed", message="long " * 100),
                attempt("test_a.py::test_flaky", "failed", message="long " * 100),
                attempt("test_a.py::test_flaky"),
            ],
            notes=(("warning", "long " * 100),),
        ),
        columns=True,
    )

    assert case in text
    assert [line for line in text.splitlines() if len(line) > 100 and case not in line] == []


def test_no_colour_without_a_terminal() -> None:
    """A pipe or a log file gets plain text."""
    assert "\x1b" not in _printed(digest([attempt("test_a.py::test_x", "failed")]))


def test_flaky_muted_and_lost_are_told() -> None:
    """What did not fail the campaign but should be known has its own place."""
    text = _printed(
        digest(
            [
                attempt("test_a.py::test_flaky", "failed"),
                attempt("test_a.py::test_flaky"),
                attempt("test_a.py::test_quiet", "failed"),
                attempt("test_a.py::test_lost", "infra-lost"),
                attempt("test_a.py::test_lost"),
            ],
            muted={"test_a.py::test_quiet"},
            news=(news("lost", at=1.0, reason="killed"),),
        )
    )

    assert "Flaky: passed after a failure (1)" in text
    assert "Muted: failed, and do not count (1)" in text
    assert "worker local-1 was lost: killed" in text
    assert "1 execution lost; 1 case ran again" in text


def test_measure_of_the_schedule_and_reports_are_told() -> None:
    """Makespan, lower bound, their ratio, the slots and the files stand at the end."""
    facts = digest(
        [attempt("test_a.py::test_x", seconds=4.0), attempt("test_a.py::test_y", seconds=4.0)],
        makespan=5.0,
        slots=2,
    )

    text = _printed(facts, [Path("/state/report/report.html")])

    assert "2 slots; lower bound 4.00 s, makespan over lower bound 1.25" in text
    assert "/state/report/report.html" in text


def test_what_slots_waited_for_is_told_where_the_ratio_asks_for_it() -> None:
    """A short suite is mostly start and loading: nobody is to take that for a bad schedule."""
    first = [
        attempt("test_a.py::test_x", at=1.0, seconds=4.0),
        attempt("test_b.py::test_y", at=7.0, seconds=2.0),
    ]
    other = [attempt("test_c.py::test_z", at=2.0, seconds=6.0, slot=1)]
    facts = digest([*first, *other], makespan=8.0)
    assert facts.idle == IdleTime(start=0.5, between=1.0, end=0.5)
    told = "each slot waited 0.50 s for sessions to start, 1.00 s between cases (files to load)"
    assert f"{told}, 0.50 s at the end" in _printed(facts)
    assert campaign_document(facts)["idle"] == {"start": 0.5, "between": 1.0, "end": 0.5}
    assert "waited" not in _printed(digest([*first, *other], makespan=6.0))


def test_the_wait_for_a_new_session_is_no_loading_of_files() -> None:
    """After a case that ended its session."""
    ran = [
        attempt("test_a.py::test_x", at=1.0, seconds=1.0),
        attempt("test_a.py::test_dead", "crashed", at=3.0, seconds=1.0),
        attempt("test_a.py::test_y", at=8.0, seconds=1.0),
    ]
    assert digest(ran, slots=1).idle == IdleTime(start=4.0, between=1.0)


def test_a_pause_between_lives_of_a_campaign_is_nobodys_wait() -> None:
    """Nor is one that never ran a case."""
    lives = [attempt("test_a.py::test_x"), attempt("test_a.py::test_y", at=99.0, epoch=2)]
    assert digest([*lives, attempt("test_a.py::test_z", worker="")]).idle == IdleTime()


def test_interrupted_campaign_says_how_to_go_on() -> None:
    """A campaign without an end names the command that ends it."""
    facts = digest([attempt("test_a.py::test_x")], state="interrupted", not_run=["test_a.py::y"])

    text = _printed(facts)

    assert "The campaign is interrupted." in text
    assert f"proctor resume {facts.campaign}" in text


def test_headline_counts_worst_first() -> None:
    """The counts are in the order of what matters."""
    facts = digest(
        [
            attempt("a::x"),
            attempt("a::y", "error"),
            attempt("a::z", "error"),
            attempt("a::w", "timed-out"),
        ]
    )

    assert in_words(facts.counts) == "1 timed out, 2 errors, 1 passed"


def test_markdown_escapes_what_markdown_would_read() -> None:
    """Ids and messages with bars, backticks and tags neither break the table nor make markup."""
    case = "test_a.py::test_x[a|b`c<i>]"

    text = markdown(digest([attempt(case, "failed", message="<b>|*no*|</b>")]))

    row = next(line for line in text.splitlines() if line.startswith("| failed"))
    assert row.replace("\\|", "").count("|") == 5
    assert "`` test_a.py::test_x[a\\|b`c<i>] ``" in row
    assert "\\<b\\>\\|\\*no\\*\\|\\</b\\>" in row


def test_markdown_has_an_excerpt_of_each_way_to_fail() -> None:
    """The end of the traceback is there, fenced so that nothing in it ends the fence."""
    texts = Texts()
    trace = "\n".join(f"line {n}" for n in range(100)) + "\n```\nE   no"
    one = texts.add(attempt("test_a.py::test_x", "failed", message="no"), ("traceback", trace))

    text = markdown(digest([one]), texts)

    assert "````text" in text
    assert "E   no" in text
    assert "line 10\n" not in text


def test_markdown_of_a_good_campaign_is_short() -> None:
    """Nothing failed: the counts and the measures, and no table of failures."""
    text = markdown(digest([attempt("test_a.py::test_x")]))

    assert text.startswith("## ✅ sample: 1 passed")
    assert "Message" not in text


def test_notes_and_warnings_are_whole_where_there_are_no_columns() -> None:
    """A log cannot be made wider; and what stands above in it is not told again."""
    words = "long " * 100 + "end"
    facts = digest(
        [attempt("test_a.py::test_x", notes=(f"warning: {words}",))],
        notes=(("warning", f"not run: {words}"), ("warning", "told before")),
    )
    text = _printed(facts, told={"told before"})
    assert text.count(words) == 2
    assert "told before" not in text


def _printed(
    facts: Digest,
    reports: list[Path] | None = None,
    *,
    columns: bool = False,
    told: Collection[str] = (),
) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=columns, color_system=None)
    print_summary(console, facts, reports or [], told=told)
    return file.getvalue()


@pytest.mark.parametrize(
    ("state", "title"), [("running", "Still to run"), ("cancelled", "Not run")]
)
def test_what_a_campaign_has_not_run_yet_is_still_to_come(state: str, title: str) -> None:
    """`proctor show` looks at campaigns that run, too."""
    text = _printed(digest([], not_run=["test_a.py::test_a"], state=state))
    assert f"{title} (1)" in text


def test_a_list_without_a_task_is_named() -> None:
    """As a suite without a test is."""
    text = _printed(digest([], exit_code=5, again=("--tasks", "empty.json")))
    assert "There is no task to run in empty.json." in text
    assert "pytest" not in text


def test_a_file_that_cannot_be_collected_is_not_to_run_again() -> None:
    """It has a text to look at, and no cases for --lf."""
    text = _printed(digest([attempt("test_a.py", "error", worker="", batch="collect")]))
    assert "proctor logs test_a.py" in text
    assert "--lf" not in text
