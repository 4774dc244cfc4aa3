"""The flow that runs a campaign, with a campaign that takes no time, on a real Prefect server."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from campaign_journals import JournalWriter
from prefect import Flow, State
from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_prefect import History, resident_server

from proctor.flows import submission, submit
from proctor.flows.campaigns.closing import Conducted
from proctor.flows.campaigns.request import RunRequest
from proctor.flows.mirroring import mirror_source
from proctor.infra.errors import InfrastructureProblem, InterpreterProblem, UsageProblem
from proctor.infra.ledgers.ledger import read_campaign

# For a machine that has much else to do.
LIMIT = 300.0

# The smallest flow of Prefect's leaves a socket of its event stream open: not ours to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dataclass(frozen=True)
class FakePrepared:
    campaign_id: str
    directory: Path
    request: RunRequest
    # No history: nothing takes the campaign into a store afterwards.
    settings: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(history=False, prefect="auto")
    )


class FakeEngine:
    """Stands for the campaign engine: writes the journal that a campaign would write."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.bad = 3
        self.prepared = 0
        self.requests: list[RunRequest] = []
        # A campaign waits here in its middle, if a test says so.
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def prepare(self, request: RunRequest) -> FakePrepared:
        self.requests.append(request)
        if request.resume:
            return FakePrepared(request.resume, self.state / "campaigns" / request.resume, request)
        self.prepared += 1
        name = f"campaign-{time.time_ns()}"
        directory = self.state / "campaigns" / name
        directory.mkdir(parents=True)
        return FakePrepared(name, directory, request)

    def conduct(
        self, prepared: FakePrepared, *, opened: Callable[[Path], object] = lambda directory: None
    ) -> Conducted:
        directory = prepared.directory
        opened(directory)
        writer = JournalWriter(directory, began=time.time(), bad=self.bad, live=True)
        steps = writer.steps()
        next(steps)
        while not self.may_go_on.wait(0.05):
            if (directory / "cancel").exists():
                writer.ledger.write("close", state="cancelled", exit_code=2, counts={"not-run": 6})
                writer.ledger.close()
                break
        else:
            for _ in steps:
                pass
        (directory / "report").mkdir(exist_ok=True)
        (directory / "report" / "summary.md").write_text("## told\n")
        record = read_campaign(directory)
        assert record.close is not None
        return Conducted(
            campaign_id=prepared.campaign_id,
            directory=directory,
            exit_code=record.close.exit_code,
            counts=record.close.counts,
            makespan=record.close.makespan,
            lower_bound=record.close.lower_bound,
            record=record,
        )


@pytest.fixture
def engine(monkeypatch, tmp_path) -> FakeEngine:
    fake = FakeEngine(tmp_path)
    monkeypatch.setenv("PROCTOR_STATE", str(tmp_path))
    for module in (submit, submission):
        monkeypatch.setattr(module, "prepare", fake.prepare)
    monkeypatch.setattr(submit, "conduct", fake.conduct)
    monkeypatch.setattr(submit, "spawn_mirror", lambda *_, **__: None)
    # Nobody here presses: what is told at last is told however long the machine takes over it.
    for patience in ("CANCEL_SECONDS", "LAST_WORDS_SECONDS", "MIRROR_SECONDS"):
        monkeypatch.setattr(submit, patience, LIMIT)
    return fake


@pytest.fixture
def history() -> Iterator[History]:
    """A server, as the one that Prefect's own client talks to."""
    url = resident_server().ensure().api_url
    with temporary_settings({PREFECT_API_URL: url}):
        yield History(url)


def the_run(history: History, engine: FakeEngine) -> str:
    (directory,) = (engine.state / "campaigns").iterdir()
    (run,) = history.runs(f"campaign:{directory.name}")
    return str(run["id"])


def submitted(engine: FakeEngine, **parameters: object) -> State[Any]:
    """The state in which a flow run ended."""
    return asyncio.run(submit.submit_tests(return_state=True, **parameters))


def result(state: State[Any]) -> submission.CampaignResult:
    """What the flow gave back, also where its run failed."""
    found = state.result(raise_on_failure=False)
    return found.result if isinstance(found, submission.CampaignFailed) else found


def test_a_passing_campaign_completes_its_flow_run(engine, history):
    """Who called gets the result; the run bears the campaign's phases, artifacts and tags."""
    engine.bad = 0

    result = asyncio.run(submit.submit_tests(paths=["tests"], name="orchard"))

    assert (result.exit_code, result.counts["passed"]) == (0, 6)
    run = the_run(history, engine)
    assert history.states(run)[-1] == ("Completed", "6 cases in 6.00 s: 6 passed")
    assert set(history.phases(run)) == {"collect", "plan", "run", "judge", "report"}
    assert history.artifacts(run)["proctor-summary"] == "## told\n"
    assert history.ask(f"/flow_runs/{run}")["name"] == "orchard"


def test_failed_cases_fail_the_flow_run_and_say_how_many(engine, history):
    """The message stands in Prefect's list of runs; a caller sees it as an exception."""
    with pytest.raises(submission.CampaignFailed, match="2 of 6 cases failed") as failed:
        asyncio.run(submit.submit_tests(paths=["tests"]))

    assert failed.value.result.counts == {"failed": 2, "passed": 4}
    run = the_run(history, engine)
    assert history.states(run)[-1] == ("Failed", "2 of 6 cases failed: 2 failed, 4 passed")


def test_a_problem_is_the_message_of_the_failed_run(engine, history, monkeypatch):
    """One sentence and its remedy, no traceback."""

    def refuse(request):
        raise InterpreterProblem("there is no interpreter python9", remedy="name another")

    monkeypatch.setattr(submit, "prepare", refuse)

    state = submitted(engine)

    assert state.type.value == "FAILED"
    assert state.message == "there is no interpreter python9; name another"
    assert isinstance(state.result(raise_on_failure=False), InterpreterProblem)


def test_a_task_list_goes_without_the_paths_the_form_proposes(engine, history, monkeypatch):
    """Beside a list no path is allowed, and nobody chose this one."""
    asked = []

    def refuse(request):
        asked.append(request)
        raise InterpreterProblem("there is no interpreter python9")

    monkeypatch.setattr(submit, "prepare", refuse)
    submitted(engine, tasks="tasks.toml")
    assert [(request.tasks, request.paths) for request in asked] == [("tasks.toml", ())]


def test_a_cancelled_flow_run_ends_its_campaign_and_tells_of_it(engine, history):
    """The campaign is asked to end, has ended when the flow run does, and its end is told."""
    engine.may_go_on.clear()

    async def run_and_cancel():
        running = asyncio.create_task(submit.submit_tests(paths=["tests"]))
        while not list((engine.state).glob("campaigns/*/ledger-*")):
            await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(run_and_cancel(), LIMIT))

    (directory,) = (engine.state / "campaigns").iterdir()
    record = read_campaign(directory)
    assert record.close is not None
    assert record.close.state == "cancelled"
    assert history.artifacts(the_run(history, engine))["proctor-summary"] == "## told\n"


def test_what_the_form_asks_becomes_the_request(engine, history):
    """Each parameter arrives where the engine looks for it."""
    engine.bad = 0

    submitted(
        engine,
        paths=["tests/unit"],
        keyword="parser",
        marks="not slow",
        select="last-failed",
        options={"slots": 3, "timeout": "10m", "isolate": True},
        pytest_args=["-p", "no:randomly"],
        junitxml="out.xml",
    )

    (request,) = engine.requests
    assert request.paths == ("tests/unit",)
    assert (request.keyword, request.marks) == ("parser", "not slow")
    assert (request.last_failed, request.failed_first) == (True, False)
    assert request.flags == {"slots": 3, "timeout": "10m", "isolate": True}
    assert request.pytest_args == ("-p", "no:randomly")
    assert request.junitxml == "out.xml"
    assert Path(request.directory).is_absolute()


def test_the_same_key_twice_is_one_campaign(engine, history):
    """The second submission gives the first one's result, and runs nothing."""
    first = submitted(engine, idempotency_key="nightly-1")
    again = submitted(engine, idempotency_key="nightly-1")
    other = submitted(engine, idempotency_key="nightly-2")

    assert engine.prepared == 2
    assert first.message == again.message == other.message
    assert result(first).campaign == result(again).campaign
    assert result(first).campaign != result(other).campaign


def test_the_same_key_waits_for_the_campaign_that_runs(engine, history):
    """A second submission while the first still runs ends when that one does."""
    engine.may_go_on.clear()

    async def both():
        first = asyncio.create_task(submit.submit_tests(idempotency_key="k", return_state=True))
        while not list((engine.state).glob("campaigns/*/ledger-*")):
            await asyncio.sleep(0.02)
        second = asyncio.create_task(submit.submit_tests(idempotency_key="k", return_state=True))
        engine.may_go_on.set()
        return await asyncio.gather(first, second)

    first, second = asyncio.run(asyncio.wait_for(both(), LIMIT))

    assert engine.prepared == 1
    assert result(first) == result(second)


def test_the_same_key_resumes_a_campaign_that_was_interrupted(engine, history):
    """Submitting again is how one goes on."""
    request = RunRequest(directory=str(engine.state), idempotency_key="k")
    prepared, directory = submission.claim(request)
    assert prepared is not None
    JournalWriter(directory, began=time.time()).ledger.abandon()

    state = submitted(engine, idempotency_key="k", directory=str(engine.state))

    assert engine.requests[-1].resume == directory.name
    assert result(state).campaign == directory.name
    assert engine.prepared == 1


@pytest.fixture
def mirrors(monkeypatch) -> list[tuple[Path, str]]:
    """The mirrors that were started beside campaigns, each with where it tells."""
    started: list[tuple[Path, str]] = []

    def spawn(directory: Path, *, prefect: str) -> None:
        started.append((directory, prefect))

    monkeypatch.setattr(submit, "spawn_mirror", spawn)
    return started


@pytest.mark.parametrize(
    "flow",
    [submit.submit_tests, submit.submit_tests.with_options(name="nightly", retries=1)],
    ids=["as it is", "with options"],
)
def test_without_a_server_it_begins_as_the_command_does(engine, mirrors, monkeypatch, flow):
    """No server is started for it, nor waited for: a mirror tells the resident one."""
    monkeypatch.setattr(Flow, "__call__", no_flow_run)

    with pytest.raises(submission.CampaignFailed, match="2 of 6 cases failed") as failed:
        asyncio.run(flow(paths=["tests"]))

    (directory,) = (engine.state / "campaigns").iterdir()
    assert mirrors == [(directory, "auto")]
    assert failed.value.result.campaign == directory.name
    # A person reads it: Prefect's machinery on the way says nothing.
    files = {frame.filename for frame in traceback.extract_tb(failed.value.__traceback__)}
    assert not [file for file in files if "/prefect/" in file]


def test_a_server_that_does_not_answer_keeps_no_campaign_from_running(engine, mirrors, monkeypatch):
    """As with the command, losing it costs lines of history and no verdict."""
    engine.bad = 0
    monkeypatch.setattr(Flow, "__call__", no_flow_run)

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        result = asyncio.run(submit.submit_tests(paths=["tests"]))

    assert result.exit_code == 0
    assert len(mirrors) == 1


def no_flow_run(*_: object, **__: object) -> None:
    raise AssertionError("a flow run was made, which starts a server where none answers")


def test_every_parameter_is_explained_in_the_form():
    """The form in Prefect's page is made of this schema alone."""
    schema = submit.submit_tests.parameters
    fields = dict(schema.properties)
    options = schema.definitions["RunOptions"]["properties"]
    unexplained = [
        name
        for name, field in {**fields, **options}.items()
        if not field.get("description") and "$ref" not in field
    ]
    assert unexplained == []
    assert schema.definitions["Selection"]["enum"] == ["all", "last-failed", "failed-first"]


def test_the_same_key_begins_anew_where_its_campaign_never_began(engine, monkeypatch):
    """Whoever made it was killed before its first line; nobody waits for it for ever."""
    request = RunRequest(directory=str(engine.state), idempotency_key="k")
    first, _ = submission.claim(request)
    waiting, directory = submission.claim(request)
    assert first is not None
    assert waiting is None
    monkeypatch.setattr(mirror_source, "START_SECONDS", 0.0)
    with pytest.raises(InfrastructureProblem, match="never began"):
        asyncio.run(asyncio.wait_for(submission.attach(directory), LIMIT))

    monkeypatch.setattr(submission, "START_SECONDS", 0.0)
    again, elsewhere = submission.claim(request)
    assert again is not None
    assert elsewhere != directory


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"keyword": "fast"}, "keyword"),
        ({"paths": ("a.py",), "marks": "gpu"}, "paths, marks"),
        ({"failed_first": True}, "select"),
    ],
)
def test_a_key_is_not_taken_for_other_cases(engine, other, named):
    """Whoever uses it again by mistake would get the result of something else."""
    request = RunRequest(directory=str(engine.state), idempotency_key="k")
    _, directory = submission.claim(request)
    with pytest.raises(UsageProblem) as refused:
        submission.claim(replace(request, **other))
    assert str(refused.value).startswith(
        f"idempotency_key 'k' stands for campaign {directory.name}, which was asked for something"
        f" else: {named};"
    )
    # How they run is nobody's mistake, and a key that an earlier version kept says nothing more.
    assert (
        submission.claim(replace(request, name="b", flags={**request.flags, "slots": 1}))[0] is None
    )
    (entry,) = (each for each in (engine.state / "keys").iterdir() if not each.suffix)
    entry.write_text(directory.name)
    assert submission.claim(replace(request, **other)) == (None, directory)


def test_a_campaign_of_which_nothing_ran_does_not_use_up_its_key(engine):
    """The fleet was away: submitting again is how one tries again."""
    request = RunRequest(directory=str(engine.state), idempotency_key="k")
    _, directory = submission.claim(request)
    ledger = JournalWriter(directory, began=time.time()).ledger
    ledger.write("close", state="refused", exit_code=6, counts={})
    ledger.close()

    again, elsewhere = submission.claim(request)
    assert again is not None
    assert elsewhere != directory


def test_a_cancelled_campaign_is_told_to_its_caller(engine, mirrors, monkeypatch):
    """As one that failed is: with its result, and not as a defect of Prefect's."""
    monkeypatch.setattr(Flow, "__call__", no_flow_run)
    engine.may_go_on.clear()
    monkeypatch.setattr(
        submit, "spawn_mirror", lambda directory, **_: (directory / "cancel").touch()
    )
    with pytest.raises(submission.CampaignFailed, match="cancelled after") as told:
        asyncio.run(submit.submit_tests(paths=["tests"]))
    assert told.value.result.state == "cancelled"


def test_a_run_that_was_started_where_nothing_is_says_what_to_fill_in(monkeypatch, tmp_path):
    """A worker starts it in a new directory, and the form proposes that."""
    monkeypatch.setattr(submit, "this_run", SimpleNamespace(id="a run"))
    request = RunRequest(directory=str(tmp_path))
    with pytest.raises(UsageProblem, match="the parameter directory where the suite stands"):
        asyncio.run(submit._submit(request))


def test_a_wish_to_end_that_strikes_the_mirror_ends_the_campaign(engine, monkeypatch, tmp_path):
    """Prefect's signal is raised in whatever runs at that moment, and nowhere else."""

    async def struck(*_: object, **__: object) -> bool:
        raise TerminationSignal(signal.SIGTERM)

    monkeypatch.setattr(submit, "follow", struck)
    asyncio.run(submit._mirror(tmp_path, "a flow run"))
    assert (tmp_path / "cancel").exists()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"name": "nightly", "paths": ["tests"]}, "nightly"),
        ({"paths": ["."], "directory": "/srv/orchard"}, "orchard"),
        ({"paths": ["tests/a", "tests/b"]}, "tests/a tests/b"),
        ({"paths": ["."], "tasks": "tasks.toml"}, "tasks.toml"),
        ({"paths": ["."], "resume": "20260101-x"}, "20260101-x"),
    ],
)
def test_a_flow_run_is_called_by_what_it_runs(monkeypatch, given, name):
    """A list of runs that are all called "." says nothing."""
    monkeypatch.setattr(submit, "this_run", SimpleNamespace(parameters=given))
    assert submit._run_name() == name


def test_a_long_list_of_paths_makes_no_long_name(monkeypatch):
    """It stands in a list."""
    paths = [f"tests/test_{number}.py" for number in range(1000)]
    monkeypatch.setattr(submit, "this_run", SimpleNamespace(parameters={"paths": paths}))
    assert len(submit._run_name()) <= 200
