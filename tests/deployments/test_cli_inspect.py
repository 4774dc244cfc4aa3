"""The inspecting verbs, typed as a person types them, over ledgers that were really written."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from digests import attempt
from ledgers import begin, finish, write_campaign, write_cases
from waiting import wait_until

from proctor.deployments.acts import chosen_campaign
from proctor.deployments.cli import main
from proctor.deployments.texts.inspect_watch import cancel, watch
from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.lease import lease_path
from proctor.monitoring.reports.live import LiveView
from proctor.monitoring.reports.publish import publish_reports
from proctor.monitoring.reports.terminal import Terminal

FIRST, SECOND = "20260101-1200-aaaa", "20260102-1200-bbbb"
BAD = "tests/test_cart.py::test_total[a b]"

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def proctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Verb:
    """Run a verb on the state in tmp_path: its exit code, stdout and stderr."""
    # The campaigns are of a project of that name, and somebody stands in it.
    monkeypatch.setattr(chosen_campaign, "standing", lambda: Path("/project"))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([arguments[0], "--state", str(tmp_path), *arguments[1:]])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two campaigns of one project, a day apart; the second breaks a case and mends another."""
    write_campaign(
        tmp_path,
        FIRST,
        [(attempt(BAD), ()), (attempt("tests/test_b.py::test_mended", "failed"), ())],
        clock=lambda: 1_767_268_800.0,
    )
    write_campaign(
        tmp_path,
        SECOND,
        [
            (attempt("tests/test_b.py::test_mended"), ()),
            (
                attempt(BAD, "failed", message="AssertionError: 11 == 12"),
                [("traceback", "E   11 == 12"), ("stdout", "\x1b[31mred\x1b[0m [bold]\n")],
            ),
        ],
        clock=lambda: 1_767_355_200.0,
    )
    return tmp_path


def test_list_is_newest_first(two: Path, proctor: Verb) -> None:
    """Every campaign is one line with its state, exit code and counts."""
    code, out, _ = proctor("list")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [SECOND, FIRST]
    assert "completed" in out
    assert "1 failed, 1 passed" in out


def test_that_there_are_more_is_not_in_the_list(two: Path, proctor: Verb) -> None:
    """A script that takes the first word of it has a campaign and nothing else."""
    code, out, err = proctor("list", "--limit", "1")

    assert (code, out.split()[0], len(out.splitlines())) == (0, SECOND, 1)
    assert err == "… and 1 more (--limit N)\n"


def test_list_names_the_first_of_several_problems(tmp_path: Path, proctor: Verb) -> None:
    """Why a campaign was refused is one line, also where twenty markers and more were bad."""
    reasons = {
        2: ["a::x: gpu is 'one'", "a::y: gpu is 'two'"],
        32: ["a::x: gpu is 'one'", "a::y: no"],
        9: [f"a::{'x' * 200}: no", "a::y: no"],
        1: [],
    }
    for number, problems in reasons.items():
        ledger = begin(tmp_path, f"20260103-1200-{number:04}", clock=time.time)
        count, reason = number if problems else 0, "there is nothing:\n  nowhere"
        ledger.write(
            "close", state="refused", exit_code=4, counts={}, reason=reason, problems=problems,
            problem_count=count,
        )  # fmt: skip
        ledger.close()

    _, out, _ = proctor("list")
    _, told, _ = proctor("list", "--json")

    assert "a::x: gpu is 'one' (and 1 more)\n" in out
    assert "a::x: gpu is 'one' (and 31 more)\n" in out
    assert "xx… (and 8 more)\n" in out
    assert "there is nothing:\n" in out
    assert len(out.splitlines()) == 4
    assert {each["problem_count"]: each["problems"] for each in json.loads(told)} == {
        number if problems else 0: problems for number, problems in reasons.items()
    }


def test_list_says_how_to_begin(proctor: Verb) -> None:
    """With no campaign yet the answer is what to type."""
    code, out, _ = proctor("list")

    assert (code, "proctor run" in out) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["status"],
        ["show"],
        ["diff"],
        ["logs", "test_total"],
        ["explain", "test_total"],
        ["watch"],
        ["cancel", "last"],
    ],
)
def test_json_is_one_document(two: Path, proctor: Verb, arguments: list[str]) -> None:
    """With --json stdout holds one document and nothing else, whatever the verb."""
    _, out, _ = proctor(*arguments, "--json")

    assert SECOND in json.dumps(json.loads(out))


@pytest.mark.parametrize(
    "arguments",
    [("show", "nope"), ("logs", "nope"), ("explain", "nope"), ("resume", "nope"), ("run", "nope")],
)
def test_what_is_refused_prints_no_document(
    two: Path, proctor: Verb, arguments: tuple[str, ...]
) -> None:
    """As the README has it: one sentence on stderr, and the exit code."""
    code, out, err = proctor(*arguments, "--json")
    assert (code, out) == (4, "")
    assert err.startswith("proctor: ")


def test_status_of_a_running_campaign(tmp_path: Path, proctor: Verb) -> None:
    """What is done is counted, what is not is not called lost, and `watch` is offered."""
    ledger = begin(tmp_path, FIRST, clock=time.time)
    write_cases(ledger, ["a.py::one", "a.py::two"])
    ledger.attempt(attempt("a.py::one"))
    ledger.commit()

    _, out, _ = proctor("status", "last")

    assert "running" in out
    assert "1 of 2 cases done: 1 passed\n" in out
    assert f"proctor watch {FIRST}" in out
    ledger.close()


def test_show_sums_up_the_last_campaign(two: Path, proctor: Verb) -> None:
    """Without an id the newest campaign is shown, with the command for more."""
    code, out, _ = proctor("show")

    assert code == 0
    assert "AssertionError: 11 == 12" in out
    assert f"proctor logs '{BAD}'" in out


def test_show_takes_the_beginning_of_an_id(two: Path, proctor: Verb) -> None:
    """A prefix that only one campaign has is enough."""
    _, out, _ = proctor("show", "20260101", "--json")

    assert json.loads(out)["campaign"] == FIRST


def test_show_writes_reports(two: Path, proctor: Verb, tmp_path: Path) -> None:
    """Reports are written on demand, and the JUnit file where it is asked for."""
    junit = tmp_path / "deep" / "junit.xml"

    _, out, _ = proctor("show", "--html", "--junitxml", str(junit))

    folder = two / "campaigns" / SECOND / "report"
    # Alone, for a browser.
    assert out == f"{folder / 'report.html'}\n"
    assert "11 == 12" in (folder / "report.html").read_text()
    assert sorted(path.name for path in folder.iterdir()) == [
        "junit.xml",
        "report.html",
        "summary.md",
    ]
    assert ET.parse(junit).getroot()[0].get("failures") == "1"


def test_unwritable_junit_is_one_sentence(two: Path, proctor: Verb) -> None:
    """A place that cannot be written is named, with exit code 4."""
    code, _, err = proctor("show", "--junitxml", "/proc/nowhere/junit.xml")

    assert code == 4
    assert err.startswith("proctor: the JUnit report cannot be written to /proc/nowhere/junit.xml")
    assert "--junitxml FILE" in err, "all of it is still there, and where it is read is told"
    assert len(err.splitlines()) == 1


def test_failed_publishing_leaves_the_old_report(
    two: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that cannot be written whole does not replace, or join, the one before it."""
    directory = two / "campaigns" / SECOND
    before = publish_reports(directory).html.read_bytes()

    def fail(path: Path, *rest: object) -> None:
        path.write_text("half")
        raise RuntimeError("no")

    monkeypatch.setattr("proctor.monitoring.reports.publish.write_html", fail)
    with pytest.raises(RuntimeError):
        publish_reports(directory)

    assert (directory / "report" / "report.html").read_bytes() == before
    assert len(list((directory / "report").iterdir())) == 3


def test_diff_of_the_last_two(two: Path, proctor: Verb) -> None:
    """Without ids the newest campaign is compared with the one before it in its project."""
    write_campaign(two, "20260101-1800-cccc", [(attempt("x::y"), ())], clock=time.time, project="p")
    code, out, _ = proctor("diff", FIRST, SECOND)

    assert code == 0
    assert out.index("Newly failing (1)") < out.index(BAD) < out.index("Fixed (1)")

    _, out, _ = proctor("diff", "--json", FIRST, SECOND)
    assert json.loads(out)["newly_failing"][0]["case"] == BAD


def test_diff_finds_the_predecessor(two: Path, proctor: Verb) -> None:
    """The default for A is the campaign of the same project before B."""
    _, out, _ = proctor("diff", "--json")

    assert (json.loads(out)["before"], json.loads(out)["after"]) == (FIRST, SECOND)
    # Nobody compares a campaign with itself.
    _, again, _ = proctor("diff", "last", "--json")
    assert json.loads(again) == json.loads(out)


@pytest.mark.parametrize("names", [("last", "last"), (SECOND, "last"), (SECOND, SECOND)])
def test_a_campaign_is_not_compared_with_itself(
    two: Path, proctor: Verb, names: tuple[str, str]
) -> None:
    """Nor with another one that nobody named: whoever mistyped an id would not see it."""
    code, out, err = proctor("diff", *names)
    assert (code, out) == (4, "")
    assert err.startswith(f"proctor: both names are of campaign {SECOND}; `proctor list")
    assert len(err.splitlines()) == 1


def test_diff_passes_over_what_was_refused(two: Path, proctor: Verb) -> None:
    """No case ran there, so no case can be newly failing since."""
    ledger = begin(two, "20260103-1200-cccc", clock=time.time)
    write_cases(ledger, [BAD])
    why = "no worker has the tag tpu"
    ledger.write("close", state="refused", exit_code=4, counts={"not-run": 1}, reason=why)
    ledger.close()
    _, out, _ = proctor("diff", "--json")
    assert (json.loads(out)["before"], json.loads(out)["after"]) == (FIRST, SECOND)
    _, out, _ = proctor("list")
    assert re.search(r"-cccc .* refused +exit 4 .* no worker has the tag tpu$", out, re.MULTILINE)
    write_campaign(two, "20260104-1200-dddd", [(attempt(BAD), ())], clock=time.time)
    _, out, _ = proctor("diff", "--json")
    assert json.loads(out)["before"] == SECOND


def test_diff_counts_what_was_not_selected(two: Path, proctor: Verb) -> None:
    """In one line, as after --lf: it is neither removed nor, the other way round, new."""
    third, mended = "20260105-1200-eeee", "tests/test_b.py::test_mended"
    ledger = begin(two, third, clock=time.time)
    ledger.unselected([mended])
    finish(ledger, write_cases(ledger, [BAD]), [ledger.attempt(attempt(BAD))])

    _, out, _ = proctor("diff", SECOND, third)
    assert f"1 case of {SECOND} not selected in {third}" in out.splitlines()
    assert "Removed" not in out
    _, out, _ = proctor("diff", third, SECOND)
    assert f"1 case of {SECOND} not selected in {third}" in out.splitlines()
    assert "Added" not in out
    _, out, _ = proctor("diff", SECOND, third, "--json")
    told = json.loads(out)
    assert (told["removed"], told["unselected_after"]) == ([], [mended])


def test_diff_without_a_predecessor_says_so(two: Path, proctor: Verb) -> None:
    """There is nothing to compare with: one line, exit 4."""
    write_campaign(
        two, "20270101-1200-cccc", [(attempt("a::b"), ())], clock=time.time, project="p2"
    )

    code, _, err = proctor("diff")

    assert code == 4
    assert "no campaign of its project ran before 20270101-1200-cccc" in err


def test_logs_are_printed_as_they_were_written(two: Path, proctor: Verb) -> None:
    """A test's own colours and brackets come through; sections are headed."""
    code, out, _ = proctor("logs", "test_total[a b]")

    assert code == 0
    assert "--- traceback -" in out
    assert "E   11 == 12\n" in out
    assert "\x1b[31mred\x1b[0m [bold]\n" in out


def test_unknown_case_names_the_nearest(two: Path, proctor: Verb) -> None:
    """One line on stderr, exit 4."""
    code, out, err = proctor("logs", "test_totl")

    assert (code, out) == (4, "")
    assert "has no case 'test_totl'" in err
    assert BAD in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["logs", "explain"])
def test_a_case_that_the_last_campaign_did_not_run(two: Path, proctor: Verb, verb: str) -> None:
    """The newest that has it is looked into, and a line says which; one that is named alone."""
    write_campaign(
        two, "20260103-1200-cccc", [(attempt("a.py::one"), ())], clock=lambda: 1_767_441_600.0
    )
    code, out, err = proctor(verb, BAD)
    assert (code, "11 == 12" in out or "failed" in out) == (0, True)
    assert err == (f"campaign 20260103-1200-cccc has no case '{BAD}': this is of {SECOND}\n")
    assert json.loads(proctor(verb, BAD, "--json")[1])["campaign"] == SECOND
    code, _, err = proctor(verb, BAD, "--campaign", "20260103-1200-cccc")
    assert (code, "this is of" in err) == (4, False)
    code, _, err = proctor(verb, "no_such_case")
    assert (code, "--campaign ID" in err, len(err.splitlines())) == (4, True, 1)


def test_unknown_campaign_names_the_nearest(two: Path, proctor: Verb) -> None:
    """One line on stderr, exit 4."""
    code, _, err = proctor("status", "20260101-1200-aaab")

    assert code == 4
    assert FIRST in err


def test_attempt_that_is_not_there(two: Path, proctor: Verb) -> None:
    """Asking for a third attempt of one names how many there are."""
    code, _, err = proctor("logs", "test_total", "--attempt", "3")

    assert code == 4
    assert "has 1 attempt" in err


def test_why_a_case_has_no_attempts_is_asked_of_its_own_campaign(
    tmp_path: Path, proctor: Verb
) -> None:
    """The newest one may know nothing of it."""
    ledger = begin(tmp_path, FIRST, clock=lambda: 1_767_268_800.0)
    finish(ledger, write_cases(ledger, ["a.py::one"]), ())
    write_campaign(tmp_path, SECOND, [(attempt(BAD), ())], clock=lambda: 1_767_355_200.0)
    _, out, _ = proctor("logs", "a.py::one", "--campaign", FIRST)
    assert f"`proctor explain a.py::one --campaign {FIRST}" in out
    assert proctor("explain", "a.py::one", "--campaign", FIRST)[0] == 0


def test_explain_prints_sentences(two: Path, proctor: Verb) -> None:
    """The verdict, the place and the parts of the wait are told."""
    _, out, _ = proctor("explain", "test_total")

    assert "Judged failed after 1 attempt: AssertionError: 11 == 12." in out
    assert "It ran on local-1, slot 0" in out


def test_watch_follows_a_campaign_to_its_end(tmp_path: Path, proctor: Verb) -> None:
    """What is written while one watches is shown, and its exit code is returned."""
    ledger = begin(tmp_path, FIRST, clock=time.time)
    cases = write_cases(ledger, ["a.py::one", "a.py::two"])
    ledger.write("phase", phase="run")
    ledger.commit()
    said: list[tuple[int, str, str]] = []
    watcher = threading.Thread(target=lambda: said.append(proctor("watch", "--timeout", "180")))
    watcher.start()

    attempts = [attempt("a.py::one"), attempt("a.py::two", "failed", message="no")]
    written = [ledger.attempt(each) for each in attempts]
    ledger.commit()
    finish(ledger, cases, written)
    watcher.join(200)

    [(code, out, _)] = said
    assert code == 1
    assert "FAILED   a.py::two  no" in out
    assert "1 failed, 1 passed" in out


def test_watch_gives_up_in_time(tmp_path: Path, proctor: Verb) -> None:
    """A campaign that goes on is left running, with exit code 9."""
    ledger = begin(tmp_path, FIRST, clock=time.time)

    code, out, _ = proctor("watch", "--timeout", "0.3")

    assert (code, "still runs" in out) == (9, True)
    ledger.close()


def test_watch_says_that_a_campaign_was_interrupted(tmp_path: Path, proctor: Verb) -> None:
    """A campaign whose process is gone is not waited for."""
    ledger = begin(tmp_path, FIRST, clock=time.time)
    ledger.abandon()

    code, out, _ = proctor("watch", "--timeout", "180")

    assert code == 2
    assert "The campaign is interrupted." in out
    assert f"proctor resume {FIRST}" in out


def test_watch_goes_on_with_a_resumed_campaign(tmp_path: Path) -> None:
    """The next writer's lines are told as well; what both wrote counts once."""
    names = ["a.py::one", "a.py::two"]
    ledger = begin(tmp_path, FIRST, clock=time.time)
    cases = write_cases(ledger, names)
    first = ledger.attempt(attempt("a.py::one", epoch=1))
    ledger.close()
    ledger = begin(tmp_path, FIRST, clock=time.time)
    write_cases(ledger, names)
    second = ledger.attempt(attempt("a.py::two", epoch=2))
    finish(ledger, cases, [first, second])
    view = LiveView(Terminal())

    assert watch(ledger.directory, view) == "completed"

    assert "2/2" in view.progress_line()
    assert ledger_path(ledger.directory, 2).exists()


def test_cancel_waits_for_the_end(tmp_path: Path, proctor: Verb) -> None:
    """The word is left, the campaign ends, and the verb says how."""
    ledger = begin(tmp_path, FIRST, clock=time.time)
    cases = write_cases(ledger, ["a.py::one"])
    said: list[tuple[int, str, str]] = []
    asker = threading.Thread(target=lambda: said.append(proctor("cancel")))
    asker.start()
    word = ledger.directory / "cancel"

    wait_until(word.exists, what="the word to cancel")
    finish(ledger, cases, [])
    asker.join(200)

    [(code, out, _)] = said
    assert (code, out) == (0, f"Campaign {FIRST} is completed.\n")


def test_cancel_has_a_deadline(tmp_path: Path) -> None:
    """A campaign that does not listen is not waited for without end."""
    ledger = begin(tmp_path, FIRST, clock=time.time)

    assert cancel(ledger.directory, seconds=0.3) == "running"

    ledger.close()


def test_cancel_of_what_does_not_run_leaves_no_trap(tmp_path: Path, proctor: Verb) -> None:
    """An interrupted campaign gets no word that would end it when it is resumed."""
    ledger = begin(tmp_path, FIRST, clock=time.time)
    ledger.abandon()

    code, out, _ = proctor("cancel", "last")

    assert (code, "was interrupted" in out) == (0, True)
    assert lease_path(ledger.directory, 1).exists()
    assert not (ledger.directory / "cancel").exists()


def test_a_list_names_a_campaign_as_all_documents_do(two: Path, proctor: Verb) -> None:
    """One that was given no name is called after its directory."""
    listed = json.loads(proctor("list", "--json")[1])
    shown = json.loads(proctor("show", "--json")[1])

    assert listed[0]["name"] == shown["name"] != ""


def test_cancel_guesses_nothing(two: Path, tmp_path: Path, proctor: Verb) -> None:
    """Without a name it ends the one that runs; with none or several it says so."""
    code, _, err = proctor("cancel")
    assert (code, "no campaign is running" in err) == (4, True)

    ledgers = [begin(two, f"20990101-00000{n}-aaaa", clock=time.time) for n in range(2)]
    code, _, err = proctor("cancel")
    assert (code, "2 campaigns are running: 2099" in err) == (4, True)
    assert not [each for each in ledgers if (each.directory / "cancel").exists()]
    for each in ledgers:
        each.close()


def test_every_verb_has_help_with_an_example(proctor: Verb, capsys: Any) -> None:
    """--help of each verb says what it does and shows how it is typed."""
    for verb in ("status", "show", "diff", "logs", "explain", "watch", "cancel"):
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        text = capsys.readouterr().out
        assert ended.value.code == 0
        assert f"\n  proctor {verb}" in text, verb


def test_a_mistyped_option_is_told_by_its_verb_with_the_code_for_it(capsys) -> None:
    """4 as for everything else that was typed wrong, and the option that was meant."""
    for typed, said in (
        (["run", "--timeot", "3s"], "proctor run: there is no option --timeot; did you mean --t"),
        (["store", "ingest", "--sat"], "proctor store ingest: there is no option --sat"),
        (["list", "extra"], "proctor list: there is no argument extra"),
        (["run", "-q"], "there is no option -q; a run names nothing but failures"),
        (["run", "--dist", "worksteal"], "there is no option --dist; a file stays on one slot"),
        (["run", "--dist", "loadfile"], "give it to pytest: `proctor run -- --dist loadfile`"),
        (["explain"], "proctor explain: the following arguments are required"),
        (["runn"], "proctor: there is no verb runn; did you mean `proctor run`?"),
        (["store", "rebuidl"], "proctor store: there is no verb rebuidl; did you mean `proctor st"),
        (["."], "proctor: there is no verb .; did you mean `proctor run .`?"),
        (["z" * 5000], "z; `proctor --help` tells what there is"),
        (["zzz"], "proctor: there is no verb zzz; `proctor --help` tells what there is"),
        (["list", "--", "-x"], "only `proctor run` takes arguments for pytest"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(typed)
        assert ended.value.code == 4
        assert said in capsys.readouterr().err


def test_the_last_of_another_project_says_whose_it_is(
    two: Path, proctor: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stands elsewhere is shown the newest of all, and told so."""
    monkeypatch.setattr(chosen_campaign, "standing", lambda: Path("/garden"))
    code, _, err = proctor("status", "last")
    assert code == 0
    assert err == f"nothing has run in /garden yet: this is {SECOND} of /project\n"
