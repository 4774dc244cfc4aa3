"""What the mirror tells Prefect, whatever happens to it, the server and the campaign."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from campaign_journals import JournalWriter
from fake_prefect import RUN, FakePrefect
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.flows.mirroring import mirror_report
from proctor.flows.mirroring.mirror_facts import Away, Refused, RunState, StateFacts
from proctor.flows.mirroring.mirror_source import Source
from proctor.flows.mirroring.mirror_teller import SETTLE_SECONDS, Teller
from proctor.flows.mirroring.mirror_told import Told, load_told, save_told

BEGAN = 1_700_000_000.0


class Mirroring:
    """A mirror's parts on a clock that the test moves; it can die and come back."""

    def __init__(self, directory: Path, prefect: FakePrefect, *, flow_run: str = "") -> None:
        self.directory = directory
        self.prefect = prefect
        # Long after: the campaign has published whatever it will publish.
        self.now = BEGAN + 1000.0
        (directory / "mirror").mkdir(parents=True, exist_ok=True)
        self._flow_run = flow_run
        self.start()

    def start(self) -> None:
        told = load_told(self.directory / "mirror")
        if self._flow_run:
            told.flow_run, told.owned = self._flow_run, False
        self.source = Source(self.directory, now=lambda: BEGAN)
        self.teller = Teller(
            self.prefect, directory=self.directory, told=told, now=lambda: self.now
        )

    def tell(self) -> bool:
        """Look and tell once; whether the server was there."""
        self.now += 2.0
        self.source.poll()
        try:
            asyncio.run(self.teller.tell(self.source.picture))
        except Away:
            self.teller.doubt()
            return False
        return True

    @property
    def is_done(self) -> bool:
        return self.teller.is_done(self.source.picture)


def campaign(directory: Path) -> Path:
    JournalWriter(directory, began=BEGAN).finish()
    return directory


def states(prefect: FakePrefect) -> list[RunState]:
    return [state.state for state in prefect.states]


def test_a_finished_campaign_is_told_with_its_own_times(tmp_path):
    """However late it is told, the run, its phases and its log bear the times they had."""
    prefect = FakePrefect()
    mirroring = Mirroring(campaign(tmp_path / "late"), prefect)

    assert mirroring.tell()

    assert mirroring.is_done
    assert prefect.runs[0].started == BEGAN
    assert prefect.states == [
        StateFacts(
            state=RunState.FAILED,
            at=BEGAN + 8.0,
            message="2 of 6 cases failed: 2 failed, 4 passed",
        )
    ]
    ends = {
        str(event.payload["task_run"]["name"]): event.at - BEGAN
        for event in prefect.events
        if event.name == "prefect.task-run.Completed"
    }
    assert ends == {"collect": 1.0, "plan": 1.5, "run": 7.5, "judge": 7.75, "report": 8.0}
    assert (BEGAN + 7.5, "a worker was slow") in [(line.at, line.text) for line in prefect.lines]


def test_artifacts_say_how_it_stands_and_how_it_ended(tmp_path):
    """The bar is full, the table holds each failure, and the summary leads with the verdict."""
    prefect = FakePrefect()
    mirroring = Mirroring(campaign(tmp_path / "told"), prefect)

    mirroring.tell()

    assert prefect.artifacts["proctor-progress"].data == 100.0
    rows = prefect.artifacts["proctor-failures"].data
    assert [row["case"] for row in rows] == [
        "tests/test_tree.py::test_0",
        "tests/test_tree.py::test_3",
    ]
    assert rows[0]["message"] == "assert 'apple' == 'pear'"
    assert "2 of 6 cases failed" in str(prefect.artifacts["proctor-summary"].data)


def test_the_summary_and_the_report_of_the_campaign_are_used_where_they_are(tmp_path):
    """What the campaign published is what Prefect shows."""
    directory = campaign(tmp_path / "published")
    (directory / "report").mkdir()
    (directory / "report" / "summary.md").write_text("## the campaign's own words\n")
    (directory / "report" / "report.html").write_text("<p>report</p>")
    prefect = FakePrefect()

    Mirroring(directory, prefect).tell()

    assert prefect.artifacts["proctor-summary"].data == "## the campaign's own words\n"
    assert str(prefect.artifacts["proctor-report"].data).startswith("file://")


def test_it_waits_a_moment_for_the_reports_of_a_campaign_that_has_just_ended(tmp_path):
    """They are published after the last line; neither state nor summary comes before them."""
    directory = campaign(tmp_path / "fresh")
    prefect = FakePrefect()
    mirroring = Mirroring(directory, prefect)
    mirroring.now = BEGAN + 8.0
    mirroring.tell()
    assert not mirroring.is_done
    assert prefect.states == []

    (directory / "report").mkdir()
    (directory / "report" / "summary.md").write_text("## published\n")
    mirroring.tell()

    assert mirroring.is_done
    assert prefect.artifacts["proctor-summary"].data == "## published\n"


def test_the_reason_of_a_broken_campaign_is_its_message(tmp_path):
    """The sentence that the campaign noted stands in Prefect's list of runs."""
    writer = JournalWriter(tmp_path / "broken", began=BEGAN)
    writer.ledger.write("note", level="error", text="there is no interpreter python9")
    writer.ledger.write("close", state="failed", exit_code=6, counts={})
    writer.ledger.close()
    prefect = FakePrefect()

    Mirroring(tmp_path / "broken", prefect).tell()

    assert prefect.states == [
        StateFacts(state=RunState.FAILED, at=BEGAN, message="there is no interpreter python9")
    ]


def test_the_final_state_comes_after_everything_it_stands_for(tmp_path):
    """Who waits for the end of the run finds the summary in place."""
    directory = campaign(tmp_path / "order")
    prefect = FakePrefect()
    order: list[str] = []
    enter, put = prefect.enter_state, prefect.put_artifact

    async def entered(flow_run, state):
        order.append(state.state.value)
        await enter(flow_run, state)

    async def made(flow_run, artifact, known):
        order.append(artifact.key)
        return await put(flow_run, artifact, known)

    prefect.enter_state, prefect.put_artifact = entered, made
    Mirroring(directory, prefect).tell()

    assert order[-1] == "Failed"
    assert "proctor-summary" in order


def test_progress_is_told_while_it_runs_and_not_more_often_than_anyone_looks(tmp_path):
    """Between two looks that come too soon the bar is left alone."""
    directory = tmp_path / "live"
    writer = JournalWriter(directory, began=BEGAN)
    prefect = FakePrefect()
    mirroring = Mirroring(directory, prefect)
    shares = []
    for step in writer.steps():
        mirroring.tell()
        mirroring.now -= 2.0 if step == "attempt" else 0.0
        if step == "attempt":
            shares.append(prefect.artifacts["proctor-progress"].data)

    # The clock goes forward only inside a look: every second attempt's look comes too soon.
    assert shares == sorted(shares)
    assert len(set(shares)) < len(shares)
    assert prefect.artifacts["proctor-progress"].data == 100.0


def test_a_surrounding_flow_run_keeps_its_own_states(tmp_path):
    """Attached to another's run, the mirror adds phases and artifacts, and no state."""
    prefect = FakePrefect()
    mirroring = Mirroring(campaign(tmp_path / "inside"), prefect, flow_run=RUN)

    mirroring.tell()

    assert mirroring.is_done
    assert prefect.runs == []
    assert prefect.states == []
    assert prefect.tags == ["campaign:inside", "proctor"]
    assert "proctor-summary" in prefect.artifacts
    assert sum(event.name == "prefect.task-run.Running" for event in prefect.events) == 5


def test_pressing_cancel_in_prefect_cancels_the_campaign(tmp_path):
    """The wish is passed on in the campaign's own way."""
    directory = tmp_path / "unwanted"
    writer = JournalWriter(directory, began=BEGAN)
    next(steps := writer.steps())
    prefect = FakePrefect()
    mirroring = Mirroring(directory, prefect)
    mirroring.tell()

    prefect.cancelling = True
    mirroring.tell()

    assert (directory / "cancel").exists()
    for _ in steps:
        pass


def test_a_campaign_whose_process_died_is_crashed_and_runs_on_when_resumed(tmp_path):
    """The history says what happened, in the order in which it did."""
    directory = tmp_path / "resumed"
    first = JournalWriter(directory, began=BEGAN)
    steps = first.steps()
    for _ in range(4):
        next(steps)
    first.ledger.abandon()
    prefect = FakePrefect()
    mirroring = Mirroring(directory, prefect)
    mirroring.tell()
    assert mirroring.is_done
    assert states(prefect) == [RunState.CRASHED]
    assert "proctor resume resumed" in prefect.states[0].message

    JournalWriter(directory, began=BEGAN + 100).finish()
    mirroring.start()
    mirroring.tell()

    assert mirroring.is_done
    assert states(prefect) == [RunState.CRASHED, RunState.RUNNING, RunState.FAILED]
    assert [state.at - BEGAN for state in prefect.states] == [2.5, 100.0, 108.0]
    names = [event.name for event in prefect.events if event.name.startswith("proctor.")]
    assert sorted(names) == [
        "proctor.campaign.finished",
        "proctor.campaign.interrupted",
        "proctor.campaign.resumed",
        "proctor.campaign.started",
    ]


def test_what_the_server_refuses_is_left_out_and_the_rest_is_told(tmp_path, caplog):
    """An old server that does not know one kind of thing still gets all the others."""

    class OldPrefect(FakePrefect):
        async def post_events(self, events):
            raise Refused("404")

    prefect = OldPrefect()
    mirroring = Mirroring(campaign(tmp_path / "old"), prefect)

    mirroring.tell()
    mirroring.tell()

    assert mirroring.is_done
    assert states(prefect) == [RunState.FAILED]
    assert sum("refused" in line for line in caplog.messages) == 1


def test_what_a_killed_server_has_lost_is_told_again(tmp_path):
    """Events in memory die with the server; they are there in the end."""
    prefect = FakePrefect()
    mirroring = Mirroring(campaign(tmp_path / "lossy"), prefect)
    mirroring.tell()
    lost = prefect.events[3:7]
    prefect.events = [event for event in prefect.events if event not in lost]
    picture = mirroring.source.picture
    assert not asyncio.run(mirroring.teller.is_written(picture))

    asyncio.run(mirroring.teller.tell_again(picture))
    mirroring.tell()

    assert asyncio.run(mirroring.teller.is_written(picture))
    assert Counter(event.id for event in prefect.events).most_common(1)[0][1] == 1


@settings(max_examples=60, deadline=None)
@given(
    failures=st.lists(st.sampled_from(["", "", "before", "after"]), max_size=40),
    deaths=st.sets(st.integers(min_value=0, max_value=25)),
)
def test_nothing_is_told_twice_or_left_out_whatever_fails(failures, deaths):
    """Servers that vanish before or after an act, and mirrors that die, leave one clean history."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "campaign"
        writer = JournalWriter(directory, began=BEGAN, total=3)
        prefect = FakePrefect(
            fails=lambda call: failures[call - 1] if call <= len(failures) else ""
        )
        mirroring = Mirroring(directory, prefect)
        for look, _ in enumerate(writer.steps()):
            if look in deaths:
                mirroring.start()
            mirroring.tell()
        for look in range(60):
            if mirroring.is_done:
                break
            if look in deaths:
                mirroring.start()
            mirroring.now += SETTLE_SECONDS
            mirroring.tell()

        assert mirroring.is_done
        assert len(prefect.runs) == 1
        assert states(prefect) == [RunState.FAILED]
        assert [line.text for line in prefect.lines] == [
            line.text for line in mirroring.source.picture.lines
        ]
        assert max(Counter(event.id for event in prefect.events).values()) == 1
        # Two for each of five phases, and the campaign's first and last.
        assert len(prefect.events) == 12
        assert sorted(prefect.artifact_keys) == [
            "proctor-failures",
            "proctor-progress",
            "proctor-summary",
        ]


def test_the_memory_survives_unchanged(tmp_path):
    """What is saved is what is loaded; a campaign never told has an empty memory."""
    assert load_told(tmp_path) == Told()
    told = Told(flow_run=RUN, states={"1.Running"}, events={"a"}, sent={"b": 1.5})
    save_told(tmp_path, told)
    assert load_told(tmp_path) == told


def test_a_run_that_somebody_deleted_is_made_anew(tmp_path):
    """With all that was told of it: a campaign stands in the history, from whichever door."""
    directory = tmp_path / "deleted"
    writer = JournalWriter(directory, began=BEGAN)
    steps = writer.steps()
    for _ in range(4):
        next(steps)
    prefect = FakePrefect()
    mirroring = Mirroring(directory, prefect)
    mirroring.tell()
    assert len(prefect.runs) == 1

    # Nothing of it is left on the server.
    mirroring.prefect = anew = FakePrefect()
    anew.deleted = True
    mirroring.teller._prefect = anew
    mirroring.tell()
    anew.deleted = False
    for _ in steps:
        pass
    mirroring.tell()

    assert mirroring.is_done
    assert len(anew.runs) == 1
    assert states(anew) == [RunState.FAILED]
    assert len(anew.events) == 12
    assert len(anew.lines) == len(mirroring.source.picture.lines)
    assert "proctor-summary" in anew.artifacts


def test_each_campaign_of_a_flow_run_that_is_tried_again_has_its_own_phases(tmp_path):
    """Prefect tries the same flow run again, and each try has a campaign."""
    prefect = FakePrefect()
    for name in ("first", "second"):
        Mirroring(campaign(tmp_path / name), prefect, flow_run=RUN).tell()
    phases = [event for event in prefect.events if event.name == "prefect.task-run.Completed"]
    assert len({event.task_run for event in phases}) == 10
    assert len({event.payload["task_run"]["dynamic_key"] for event in phases}) == 10
    finished = [event for event in prefect.events if event.name == "proctor.campaign.finished"]
    assert len(finished) == 2


def dead_process() -> Told:
    """The memory of a campaign in a flow run whose process is no more."""
    told = Told.beside(RUN)
    told.created -= 1000.0
    return told


def test_a_flow_run_whose_process_was_killed_is_told_its_end(tmp_path):
    """Otherwise nobody is left to, and it would be Running for ever."""
    directory = campaign(tmp_path / "orphan")
    prefect = FakePrefect()
    mirroring = Mirroring(directory, prefect)
    save_told(directory / "mirror", dead_process())
    mirroring.start()
    mirroring.tell()
    assert mirroring.is_done
    assert states(prefect) == [RunState.FAILED]
    assert mirroring.teller.has_last_word


def test_a_flow_run_that_is_tried_again_is_its_next_process_s(tmp_path):
    """The first one's was killed; the run is Running again, and with another campaign."""
    directory = campaign(tmp_path / "tried")
    prefect = FakePrefect(since=BEGAN + 200)
    mirroring = Mirroring(directory, prefect)
    save_told(directory / "mirror", dead_process())
    mirroring.start()
    mirroring.tell()
    assert prefect.states == []
    assert not mirroring.teller.has_last_word


def test_a_flow_run_that_has_ended_is_left_as_it_is_until_its_campaign_is_resumed(tmp_path):
    """Somebody cancelled it: resumed by hand it runs again, and is not cancelled again."""
    directory = tmp_path / "cancelled"
    first = JournalWriter(directory, began=BEGAN)
    steps = first.steps()
    for _ in range(4):
        next(steps)
    first.ledger.abandon()
    cancelled = StateFacts(state=RunState.CANCELLED, at=BEGAN + 3.0)
    prefect = FakePrefect(states=[cancelled])
    mirroring = Mirroring(directory, prefect)
    save_told(directory / "mirror", dead_process())
    mirroring.start()
    mirroring.tell()
    assert prefect.states == [cancelled]

    second = JournalWriter(directory, began=BEGAN + 100)
    steps = second.steps()
    next(steps)
    mirroring.tell()
    assert not (directory / "cancel").exists()
    for _ in steps:
        pass
    mirroring.tell()
    assert states(prefect) == [RunState.CANCELLED, RunState.RUNNING, RunState.FAILED]


def test_a_memory_of_another_version_is_as_good_as_none(tmp_path):
    """The server's own record is enough to go on from."""
    (tmp_path / "told.json").write_text('{"flow_run": "x", "hopes": []}')
    assert load_told(tmp_path) == Told()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tests/test_a.py::test_x[5-a_b]", "tests/test_a.py::test_x[5-a_b]"),
        ("want <b>1</b>", "want \\<b>1\\</b>"),
        ("`a` * ~b~", "\\`a\\` \\* \\~b\\~"),
        ("[here](http://there)", "[here\\](http://there)"),
    ],
)
def test_a_cell_of_the_table_says_what_the_test_said(text, shown):
    """Prefect's page takes it for Markdown; names stay as people search for them."""
    assert mirror_report._cell(text) == shown
