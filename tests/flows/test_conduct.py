"""A campaign from what was asked to its reports, over a scripted cluster."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ledger_parts import freeze

from proctor.flows.campaigns import closing, fleet_choice
from proctor.flows.campaigns.conduct import Conducted, Unwatched, conduct, prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra import inventory as inventories
from proctor.infra import timings
from proctor.infra.codec import attempt_to_json, case_to_json
from proctor.infra.engine import cluster as clusters
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.fakes import FakeCluster, Script
from proctor.infra.engine.watcher import Watcher
from proctor.infra.errors import BrokenConftest, CollectionProblem, LeaseLost, UsageProblem
from proctor.infra.judge import check_invariants, judge_all
from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.ledger import Ledger, find_campaign, list_campaigns, read_campaign
from proctor.infra.records import Attempt, Case, Outcome, WorkerFacts
from proctor.infra.runners.orders import Act
from proctor.monitoring.reports.digest import digest_of
from proctor.monitoring.reports.documents import campaign_document
from proctor.monitoring.reports.junit import document
from proctor.monitoring.reports.live import LiveView
from proctor.monitoring.reports.summary import render
from proctor.monitoring.reports.terminal import Terminal

SUITE = tuple(f"test_{letter}.py::test_{n}" for letter in "ab" for n in range(3))
BAD = SUITE[1]
# Of a session whose suite is kept for the next campaign.
HELLO: dict[str, object] = {
    "arguments": ["."],
    "test_patterns": ["test_*.py"],
    "norecurse": [],
    "site": [],
    "inifile": "",
}


class Desk:
    """A project, and a fleet at an address where a scripted cluster answers."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = place / "root"
        self.root.mkdir()
        (self.root / "pyproject.toml").write_text("[project]\nname = 'orchard'\n")
        self.state = place / "state"
        self.script = Script(suite=SUITE)
        self.clusters: list[FakeCluster] = []
        monkeypatch.setattr(clusters, "Cluster", self._connect)
        # Nobody listens at the address of a scripted fleet.
        monkeypatch.setattr(fleet_choice, "await_listener", lambda address, *, seconds: None)

    def _connect(self, address: str, **_: object) -> FakeCluster:
        facts = WorkerFacts(
            name="w1",
            incarnation="life-0",
            worker_class="cpu",
            slots=2,
            cpu=2.0,
            memory_bytes=2**30,
        )
        self.clusters.append(FakeCluster([facts], self.script))
        return self.clusters[-1]

    def run(
        self,
        *,
        settings: dict[str, object] | None = None,
        view: Watcher | None = None,
        **fields: Any,
    ) -> Conducted:
        flags = {"state": str(self.state), "fleet": "tcp://127.0.0.1:9", "prefect": "off"}
        request = RunRequest(
            directory=str(self.root), flags={**flags, **(settings or {})}, **fields
        )
        return conduct(prepare(request), view)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def cases_run(cluster: FakeCluster) -> Sequence[str]:
    return sorted(cluster.executions)


def test_a_good_campaign_leaves_a_closed_ledger_and_reports(desk: Desk) -> None:
    """What is returned is what the ledger says."""
    conducted = desk.run()
    assert (conducted.exit_code, conducted.counts) == (0, {"passed": 6})
    (summary,) = list_campaigns(desk.state)
    assert (summary.state, summary.exit_code) == ("completed", 0)
    record = read_campaign(summary.directory)
    assert check_invariants(record) == []
    assert {path.name for path in conducted.reports} == {"report.html", "summary.md", "junit.xml"}


def test_who_looks_on_is_told_what_is_done_after_the_last_case(desk: Desk) -> None:
    """It does not run any more: sessions end, reports are written."""
    view = LiveView(Terminal(io.StringIO()))
    words: list[str] = []

    class Looking(Unwatched):
        def phase(self, name: str) -> None:
            view.phase(name)
            words.append(view.progress_line())

    desk.run(view=Looking())
    assert words[-4:] == ["running", "ending sessions", "writing reports", "leaving the fleet"]


def test_what_cannot_be_kept_for_the_next_campaign_ends_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test file that is gone when the suite is kept, and a memory that cannot be written."""

    def taken(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "made_test.py")

    def saved(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "timings.json")

    monkeypatch.setattr(FakeCluster, "hello", {**HELLO, "rootdir": str(desk.root)})
    monkeypatch.setattr(inventories, "take", taken)
    monkeypatch.setattr(timings, "save", saved)
    conducted = desk.run()
    assert (conducted.exit_code, conducted.counts) == (0, {"passed": 6})
    assert len(conducted.reports) == 3
    (summary,) = list_campaigns(desk.state)
    assert summary.state == "completed"


@pytest.mark.parametrize(
    ("outcome", "code"), [("failed", 1), ("crashed", 1), ("infra-lost", 6), ("xfailed", 0)]
)
def test_outcomes_become_exit_codes(desk: Desk, outcome: str, code: int) -> None:
    """As documented."""
    desk.script.outcomes = {BAD: (outcome,)}
    assert desk.run().exit_code == code


def test_a_suite_without_cases_is_pytests_five(desk: Desk) -> None:
    """It is no failure, and no success either."""
    desk.script.suite = ()
    assert desk.run().exit_code == 5


def test_what_failed_is_remembered_for_the_next_campaign(desk: Desk) -> None:
    """--lf runs it alone; once it passes, all run again."""
    desk.script.outcomes = {BAD: ("failed",)}
    first = desk.run()
    project = prepare(
        RunRequest(directory=str(desk.root), flags={"state": str(desk.state)})
    ).project
    assert timings.load(project).last_failed == (BAD,)
    assert set(timings.load(project).cases) == set(SUITE)
    desk.script.outcomes = {}
    assert desk.run(last_failed=True).counts == {"passed": 1}
    assert cases_run(desk.clusters[-1]) == [BAD]
    assert timings.load(project).last_failed == ()
    assert desk.run(last_failed=True).counts == {"passed": 6}
    assert first.exit_code == 1


def test_what_stops_at_a_failure_says_so_and_goes_on_when_resumed(desk: Desk) -> None:
    """The summary, what was not run, --json; what failed before does not stop it again."""
    desk.script.suite = tuple(f"test_{n:02}.py::test_it" for n in range(40))
    desk.script.outcomes = {desk.script.suite[0]: ("failed",)}
    stopped = desk.run(settings={"maxfail": 1})
    assert stopped.digest is not None
    why = "the campaign stopped after 1 failed case (-x)"
    left = [each for each in stopped.digest.verdicts.values() if each.judgement == "not-run"]
    assert left
    assert {each.message for each in left} == {why}
    assert (stopped.exit_code, campaign_document(stopped.digest)["stopped"]) == (1, why)
    told = render(stopped.digest).plain
    assert "\nThe campaign stopped after 1 failed case (-x).\n" in told
    assert f"proctor resume {stopped.campaign_id}  run what was not run" in told
    resumed = desk.run(resume="last")
    assert resumed.counts == {"passed": 39, "failed": 1}
    assert resumed.digest is not None
    assert "stopped after" not in render(resumed.digest).plain
    assert check_invariants(read_campaign(resumed.directory)) == []
    with pytest.raises(UsageProblem, match="nothing is left to resume"):
        desk.run(resume="last")


def test_a_last_case_that_fails_stops_nothing(desk: Desk) -> None:
    """-x left nothing aside, and there is nothing to resume."""
    desk.script.suite = (BAD,)
    desk.script.outcomes = {BAD: ("failed",)}
    failed = desk.run(settings={"maxfail": 1})
    assert failed.digest is not None
    assert (failed.counts, failed.digest.stopped) == ({"failed": 1}, "")


def test_last_failed_of_a_selection_without_failures_runs_all_of_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytest does, in a line, whether the selection is collected or known; --ff orders nothing."""
    monkeypatch.setattr(FakeCluster, "hello", {**HELLO, "rootdir": str(desk.root)})
    for file in "ab":
        (desk.root / f"test_{file}.py").touch()
    desk.script.outcomes = {BAD: ("failed",)}
    desk.run()
    desk.script.suite = SUITE[3:]
    for known in (False, True):
        again = desk.run(paths=("test_b.py",), last_failed=True)
        assert (again.exit_code, again.counts) == (0, {"passed": 3})
        assert notes(again) == [
            "--lf: what failed last time (1 case) is not asked for now, so all run"
        ]
        assert bool(list(desk.clusters[-1].sent(Act.COLLECT))) is not known
    assert desk.run(paths=("test_b.py",), failed_first=True).counts == {"passed": 3}
    desk.script.suite = SUITE
    assert desk.run(last_failed=True).counts == {"failed": 1}, "it is still on the list"
    # What stands for nothing that is there is no reason to run anything.
    desk.script.suite = ()
    assert desk.run(paths=("test_a.py",), last_failed=True).exit_code == 5


def test_what_failed_of_a_task_list_runs_alone(desk: Desk) -> None:
    """Its failures are no test's, nor a test's its own; what to type next names the list."""
    lines = [f"[[tasks]]\nid = '{name}'\ncommand = 'true'\n" for name in ("one", "two")]
    (desk.root / "tasks.toml").write_text("\n".join(lines))
    desk.script.outcomes = {"one": ("failed", "failed", "passed"), BAD: ("failed",)}
    first = desk.run(tasks="tasks.toml")
    assert first.counts == {"failed": 1, "passed": 1}
    assert first.digest is not None
    assert "--fleet tcp://127.0.0.1:9 --tasks tasks.toml --lf" in render(first.digest).plain
    desk.run()
    assert desk.run(tasks="tasks.toml", last_failed=True).counts == {"failed": 1}
    assert cases_run(desk.clusters[-1]) == ["one"]
    assert desk.run(last_failed=True).counts == {"failed": 1}
    assert cases_run(desk.clusters[-1]) == [BAD]


def notes(conducted: Conducted) -> list[str]:
    assert conducted.record is not None
    return [note.text for note in conducted.record.notes if note.level == "warning"]


def test_what_matches_no_case_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern of the settings, a mistyped variable, --lf: nothing is ignored in silence."""
    (desk.root / "pyproject.toml").write_text(
        "[project]\nname = 'orchard'\n[tool.proctor]\n"
        "mute = ['test_a.py', 'test_b.py::nope']\n"
        "[[tool.proctor.requirements]]\nmatch = 'gpu/*'\ncpu = 1\n"
    )
    monkeypatch.setenv("PROCTOR_RETIRES", "3")
    typo, last_failed, mute, rule = notes(desk.run(last_failed=True))
    assert typo == "PROCTOR_RETIRES is no setting and was not read; did you mean retries?"
    assert last_failed == "--lf: no case is known to have failed last time, so all run"
    assert mute == "mute (pyproject.toml line 4): 'test_b.py::nope' matches no case"
    assert rule.startswith("requirements (pyproject.toml line ")
    assert rule.endswith("): 'gpu/*' matches no case")
    monkeypatch.delenv("PROCTOR_RETIRES")
    # What is for other cases than those that are asked for is no mistake, but what is typed is.
    assert notes(desk.run(keyword="a")) == []
    assert notes(desk.run(keyword="a", settings={"mute": ["x.py"]})) == [
        "mute (--mute): 'x.py' matches no case"
    ]
    monkeypatch.setenv("PYTEST_ADDOPTS", "-m 'not slow'")
    assert notes(desk.run()) == []


def test_failed_first_puts_it_in_front(desk: Desk) -> None:
    """The others follow."""
    desk.script.outcomes = {BAD: ("failed",)}
    desk.run()
    desk.run(failed_first=True)
    orders = [order.order for order in desk.clusters[-1].sent(Act.RUN)]
    assert orders[0] is not None
    assert [work.id for work in orders[0].work] == [BAD]


def test_without_history_nothing_is_kept(desk: Desk) -> None:
    """`history = false` neither reads nor writes it."""
    desk.run(settings={"history": False})
    assert not list(desk.state.glob("projects/*/timings.json"))


def test_a_problem_is_written_down_before_it_is_raised(desk: Desk) -> None:
    """The ledger says why and is closed; the next command can list it."""
    desk.script.problems = [("CollectionProblem", "no such luck")]
    with pytest.raises(CollectionProblem, match="no such luck"):
        desk.run()
    (summary,) = list_campaigns(desk.state)
    assert (summary.state, summary.exit_code) == ("failed", 2)
    assert "no such luck" in read_campaign(summary.directory).notes[-1].text
    desk.script.problems = [("UsageProblem", "no such flag")]
    with pytest.raises(UsageProblem):
        desk.run()
    summary = list_campaigns(desk.state)[0]
    assert (summary.state, summary.exit_code) == ("refused", 4)
    assert summary.reason == "no such flag"


def test_files_that_cannot_be_collected_are_errors_of_every_report(desk: Desk) -> None:
    """One red testcase a file, with its traceback; a resume looks anew and forgets them."""
    text = "here is why\nE   ImportError: gone"
    desk.script.uncollectable = {"test_c.py": text, "test_d.py": text}
    with pytest.raises(CollectionProblem, match=r"2 files.*test_c\.py: .*gone, test_d\.py: .*"):
        desk.run()
    directory = list_campaigns(desk.state)[0].directory
    suite = ET.parse(directory / "report" / "junit.xml").getroot()[0]
    told = {case.get("name"): case.findtext("error") for case in suite.iter("testcase")}
    assert {told["test_c"], told["test_d"]} == {text}
    assert (suite.get("errors"), suite.get("tests")) == ("2", str(len(SUITE) + 2))
    assert "2 errors" in (directory / "report" / "summary.md").read_text()
    assert check_invariants(read_campaign(directory)) == []
    desk.script.uncollectable = {}
    resumed = desk.run(resume="last")
    assert (resumed.exit_code, resumed.counts) == (0, {"passed": len(SUITE)})
    assert "test_c" not in (directory / "report" / "junit.xml").read_text()


def test_a_module_that_is_not_there_names_the_interpreter(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the one of the project, where it has one and was not asked to use it."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    desk.script.uncollectable = {"test_c.py": "E   ModuleNotFoundError: No module named 'gone'"}
    with pytest.raises(CollectionProblem) as caught:
        desk.run()
    assert f"; it ran with {sys.executable}, and `--python` names another; `proctor" in str(
        caught.value
    )
    own = desk.root / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    with pytest.raises(CollectionProblem) as caught:
        desk.run()
    assert f"{sys.executable}, this project's own is `--python .venv/bin/python`; " in str(
        caught.value
    )
    # An environment has its interpreter under several names.
    (own.parent / "python3").symlink_to(sys.executable)
    for same in (own, own.parent / "python3"):
        with pytest.raises(CollectionProblem) as caught:
            desk.run(settings={"python": str(same)})
        assert f"it ran with {same}, and `--python` names another" in str(caught.value)
    desk.script.uncollectable = {"test_c.py": "E   ImportError: gone"}
    with pytest.raises(CollectionProblem) as caught:
        desk.run()
    assert "it ran with" not in str(caught.value)


def test_a_campaign_with_a_long_reason_has_ended_all_the_same(desk: Desk) -> None:
    """Every file is named where it is raised; the ledger's last line stays one that is found."""
    files = [f"test_{'x' * 100}_{number}.py" for number in range(1000)]
    desk.script.uncollectable = dict.fromkeys(files, "E   ImportError: gone")
    with pytest.raises(CollectionProblem, match=files[-1]):
        desk.run()
    (summary,) = list_campaigns(desk.state)
    assert summary.state == "failed"
    assert summary.reason.startswith("1000 files cannot be collected: ")


def test_a_conftest_that_cannot_be_imported_is_a_failed_campaign(desk: Desk) -> None:
    """The suite is broken, which is news of it; pytest's exit code for it stays."""
    desk.run()
    desk.script.problems = [("BrokenConftest", "conftest.py cannot be imported: no such module")]
    with pytest.raises(BrokenConftest):
        desk.run()
    summary = list_campaigns(desk.state)[0]
    assert (summary.state, summary.exit_code) == ("failed", 4)
    assert "no such module" in summary.reason
    assert find_campaign(desk.state, "last") == summary.directory


def test_what_was_refused_teaches_nothing(desk: Desk) -> None:
    """What failed last stays what failed last, and `last` is the campaign that ran."""
    desk.script.outcomes = {BAD: ("failed",)}
    ran = desk.run().campaign_id
    (path,) = desk.state.glob("projects/*/timings.json")
    before = path.read_bytes()
    desk.script.problems = [("UsageProblem", "no such flag")]
    with pytest.raises(UsageProblem):
        desk.run(paths=("test_b.py",))
    assert path.read_bytes() == before
    assert find_campaign(desk.state, "last").name == ran
    desk.script.problems = []
    assert desk.run(last_failed=True).counts == {"failed": 1}


def test_a_failed_campaign_is_resumed_where_it_was(desk: Desk) -> None:
    """Cases with a result do not run again."""
    desk.script.outcomes = {BAD: ("failed",)}
    desk.script.problems = [("CollectionProblem", "no such luck")]
    with pytest.raises(CollectionProblem):
        desk.run()
    desk.script.problems = []
    resumed = desk.run(resume="last")
    assert resumed.counts == {"passed": 5, "failed": 1}
    assert resumed.record is not None
    assert [header.epoch for header in resumed.record.headers] == [1, 2]
    assert resumed.digest is not None
    assert "no such luck" not in str(resumed.digest.notes), "why it ended before is past"
    assert desk.clusters[-1].fences == [2]


def test_an_inventory_does_not_change_what_a_broken_file_costs(desk: Desk) -> None:
    """A suite that goes on after errors does so when it starts from what was collected before."""
    files = {name: desk.root / name for name in ("test_a.py", "test_b.py")}
    for file in files.values():
        file.touch()
    asked = ("--continue-on-collection-errors",)
    cases = [Case(id=each, group=each.partition("::")[0], index=n) for n, each in enumerate(SUITE)]
    prepared = prepare(
        RunRequest(directory=str(desk.root), pytest_args=asked, flags={"state": str(desk.state)})
    )
    scope = inventories.Scope(
        rootdir=str(desk.root),
        directory=str(desk.root),
        arguments=asked,
        roots=(".",),
        patterns=("test_*.py",),
        norecurse=(),
        site=(),
    )
    path = closing.inventory_path(prepared)
    inventories.save(inventories.take(scope, cases, {}), path)
    desk.script.outcomes = dict.fromkeys(SUITE[:3], ("not-importable",))
    desk.script.suite, desk.script.uncollectable = SUITE[3:], {"test_a.py": "E   ImportError"}
    conducted = desk.run(pytest_args=asked)
    assert (conducted.exit_code, conducted.counts) == (1, {"passed": 3, "error": 1})


def test_a_defect_of_ours_leaves_no_work_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet is told, whatever the campaign broke with."""
    let_go: list[int] = []
    monkeypatch.setattr(FakeCluster, "let_go", lambda self, epoch: let_go.append(epoch))

    def broken(self: Campaign, now: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Campaign, "_settle_ended", broken)
    with pytest.raises(ZeroDivisionError):
        desk.run()
    assert let_go == [1]


def test_nobody_who_is_only_told_keeps_a_campaign_from_running(desk: Desk) -> None:
    """The machine has no room for the process that tells Prefect: that is said, and tests run."""

    def no_room(directory: Path) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable", str(directory))

    flags = {"state": str(desk.state), "fleet": "tcp://127.0.0.1:9", "prefect": "off"}
    prepared = prepare(RunRequest(directory=str(desk.root), flags=flags))
    conducted = conduct(prepared, opened=no_room)
    assert (conducted.exit_code, conducted.counts) == (0, {"passed": 6})
    assert conducted.record is not None
    assert "Prefect is not told" in conducted.record.notes[0].text


def test_what_was_written_until_the_last_moment_is_not_run_again(desk: Desk) -> None:
    """The writer was only stopped, and woke up between its record being read and its successor."""
    desk.script.outcomes = {BAD: ("failed",)}
    desk.script.problems = [("CollectionProblem", "no such luck")]
    with pytest.raises(CollectionProblem):
        desk.run()
    desk.script.problems = []
    flags = {"state": str(desk.state), "fleet": "tcp://127.0.0.1:9", "prefect": "off"}
    request = RunRequest(directory=str(desk.root), flags=flags, resume="last")
    prepared = prepare(request)
    case = Case(id=BAD, group="test_a.py", index=1)
    attempt = Attempt(case=BAD, id=f"1.b1.{BAD}", outcome=Outcome.PASSED, started=1.0, finished=2.0)
    with ledger_path(prepared.directory, 1).open("ab") as file:
        for kind, told in (("case", case_to_json(case)), ("attempt", attempt_to_json(attempt))):
            file.write(json.dumps({"k": kind, "t": 2.0, **told}).encode() + b"\n")
    conducted = conduct(prepared)
    assert conducted.counts == {"passed": 6}
    assert BAD not in cases_run(desk.clusters[-1])


def test_what_no_worker_can_run_is_told_at_the_end_and_can_be_resumed(desk: Desk) -> None:
    """All else has run; exit code 6, the reason in the report, and a fleet that has it goes on."""
    with (desk.root / "pyproject.toml").open("a") as file:
        file.write(f"[[tool.proctor.requirements]]\nmatch = '{BAD}'\ngpu = 8\n")
    conducted = desk.run()
    assert (conducted.exit_code, conducted.counts) == (6, {"passed": 5, "not-run": 1})
    assert conducted.digest is not None
    assert "needs gpu=8, the largest worker has gpu=0" in render(conducted.digest).plain
    resumed = desk.run(resume="last")
    assert (resumed.exit_code, resumed.counts) == (6, {"passed": 5, "not-run": 1})
    assert cases_run(desk.clusters[-1]) == []


@pytest.mark.parametrize("seen", [True, False])
def test_what_an_inventory_lacked_is_found_by_whoever_resumes(desk: Desk, seen: bool) -> None:
    """The process died before its sessions had seen it, or while the suite was collected anew."""
    desk.script.problems = [("CollectionProblem", "no such luck")]
    with pytest.raises(CollectionProblem):
        desk.run()
    desk.script.problems = []
    new = "test_b.py::test_new"
    desk.script.suite = (*SUITE, new)
    desk.script.holds = {} if seen else {"test_b.py": [*SUITE[3:], new]}
    directory = find_campaign(desk.state, "last")
    with Ledger.open(directory, campaign=directory.name) as ledger:
        for index, each in enumerate(SUITE):
            ledger.case(Case(id=each, group=each.partition("::")[0], index=index))
        ledger.write("phase", phase="run")
        if seen:
            ledger.write("phase", phase="collect")
    first = read_campaign(directory).headers[0]
    with ledger_path(directory, 2).open("rb+") as file:
        head, _, rest = file.read().partition(b"\n")
        told = {**json.loads(head), "root": first.root, "project": first.project}
        file.seek(0)
        file.truncate()
        file.write(json.dumps({**told, "settings": first.settings}).encode() + b"\n" + rest)
    resumed = desk.run(resume=directory.name)
    assert resumed.counts == {"passed": len(SUITE) + 1}


def damage(directory: Path, kind: str, number: int = 0) -> Path:
    path = ledger_path(directory, 1)
    lines = path.read_bytes().split(b"\n")
    hurt = [n for n, line in enumerate(lines) if f'"k":"{kind}"'.encode() in line][number]
    lines[hurt] = lines[hurt][:-9] + b"\xff" * 9
    path.write_bytes(b"\n".join(lines))
    return path


@pytest.mark.parametrize("kind", ["attempt", "case"])
def test_a_damaged_line_changes_no_verdict_in_silence(desk: Desk, kind: str) -> None:
    """What the campaign ended with is no longer told: exit code 8, red; a resume mends it."""
    directory = desk.run().directory
    with pytest.raises(UsageProblem, match="is completed"):
        desk.run(resume="last")
    damage(directory, kind)
    digest = digest_of(read_campaign(directory))
    assert digest.exit_code == 8
    assert "the record is damaged: the last line says 6 passed" in digest.reason
    text = render(digest).plain
    assert "The record is damaged" in text
    assert ledger_path(directory, 1).name in text, "which file it is stands in the note"
    xml = "".join(document(digest, lambda attempt: ()))
    assert ET.fromstring(xml)[0].get("errors") == "1"
    resumed = desk.run(resume="last")
    assert (resumed.exit_code, resumed.counts) == (0, {"passed": 6})
    assert digest_of(read_campaign(directory)).exit_code == 0


def test_who_resumes_what_was_widened_knows_that_all_were_to_run(desk: Desk) -> None:
    """Only what has no result runs."""
    (desk.root / "test_b.py").touch()
    desk.script.outcomes = {BAD: ("failed",)}
    desk.run()
    desk.script.suite = SUITE[3:]
    directory = desk.run(paths=("test_b.py",), last_failed=True).directory
    damage(directory, "attempt")
    resumed = desk.run(resume="last")
    assert (resumed.exit_code, resumed.counts) == (0, {"passed": 3})
    assert len(cases_run(desk.clusters[-1])) == 1
    assert resumed.record is not None
    assert check_invariants(resumed.record) == []


@pytest.mark.parametrize("gone", [True, False])
def test_what_a_journal_told_that_is_gone_runs_again(desk: Desk, gone: bool) -> None:
    """A disk may leave it empty after a power loss; the next writer knows how long it was."""
    directory = desk.run().directory
    damage(directory, "case")
    assert desk.run(resume="last").counts == {"passed": 6}
    first = ledger_path(directory, 1)
    size = first.stat().st_size
    first.unlink() if gone else first.write_bytes(b"")
    text = render(digest_of(read_campaign(directory))).plain
    assert f"{first} has 0 bytes left of {size}" in text
    assert "The record is damaged" in text
    resumed = desk.run(resume="last")
    assert (resumed.exit_code, resumed.counts) == (0, {"passed": 6})


@pytest.mark.parametrize("number", range(3))
def test_a_task_that_a_damaged_line_lost_runs_again(desk: Desk, number: int) -> None:
    """As a test's; the others keep their results."""
    lines = [f"[[tasks]]\nid = '{name}'\ncommand = 'true'\n" for name in ("one", "two", "three")]
    (desk.root / "tasks.toml").write_text("\n".join(lines))
    directory = desk.run(tasks="tasks.toml").directory
    damage(directory, "case", number)
    assert digest_of(read_campaign(directory)).exit_code == 8
    resumed = desk.run(resume="last")
    assert (resumed.exit_code, resumed.counts) == (0, {"passed": 3})
    assert cases_run(desk.clusters[-1]) == [("one", "two", "three")[number]]
    assert resumed.record is not None
    assert check_invariants(resumed.record) == []


def test_a_campaign_that_was_taken_over_says_nothing_more(desk: Desk) -> None:
    """Another writer goes on with it: no last line of ours, no reports."""
    taken: list[Ledger] = []

    def take_over(directory: Path) -> None:
        # As if this process had been frozen for longer than its lease.
        taken.append(Ledger.open(directory, campaign="c", ttl=-1.0))
        freeze(taken[0])

    flags = {"state": str(desk.state), "fleet": "tcp://127.0.0.1:9", "prefect": "off"}
    prepared = prepare(RunRequest(directory=str(desk.root), flags=flags))
    with pytest.raises(LeaseLost, match="taken over"):
        conduct(prepared, opened=take_over)
    record = read_campaign(prepared.directory)
    assert [header.epoch for header in record.headers] == [1, 2]
    assert record.close is None
    assert judge_all(record.cases.values(), record.attempts) == {}
    assert not (prepared.directory / "report").exists()
    taken[0].abandon()
