"""The mirror as a whole: how long it stays, and what it leaves to the next one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from campaign_journals import JournalWriter
from fake_prefect import RUN, FakePrefect

from proctor.flows.mirroring import mirror, mirror_process
from proctor.flows.mirroring.mirror import follow
from proctor.flows.mirroring.mirror_facts import Dismissed, RunState
from proctor.flows.mirroring.mirror_source import FROZEN_SECONDS, WAKING_SECONDS, Source
from proctor.flows.mirroring.mirror_told import Told, load_told, save_told
from proctor.flows.mirroring.mirrors_owed import owed
from proctor.flows.mirroring.untold_note import owe
from proctor.infra.ledgers.lease import TTL_SECONDS
from proctor.infra.process_ref import born

LIMIT = 120.0


def mirrored(directory: Path, prefect: FakePrefect, **options: object) -> bool:
    following = follow(directory, prefect, **options)
    return asyncio.run(asyncio.wait_for(following, LIMIT))


def finished(state: Path, name: str) -> Path:
    directory = state / "campaigns" / name
    JournalWriter(directory, began=time.time() - 100).finish()
    return directory


def test_what_could_not_be_told_is_found_by_whoever_tells_next(tmp_path):
    """A server that stays away leaves a note; the telling removes it."""
    directory = finished(tmp_path, "untold")
    assert not mirrored(directory, FakePrefect(fails=lambda call: "before"), patience=0.0)
    assert [*owed(tmp_path, but="")] == [directory]
    assert [*owed(tmp_path, but="untold")] == []

    prefect = FakePrefect()
    assert mirrored(directory, prefect)
    assert [state.state for state in prefect.states] == [RunState.FAILED]
    assert [*owed(tmp_path, but="")] == []


def test_a_mirror_that_is_killed_while_it_loads_leaves_its_campaign_to_the_next(
    tmp_path, monkeypatch
):
    """It has written nothing yet: no memory, no lock, no line."""
    monkeypatch.setattr(mirror_process, "spawn_detached", lambda *_, **__: 1)
    directory = finished(tmp_path, "untold")
    mirror_process.spawn_mirror(directory)
    assert [*owed(tmp_path, but="")] == [directory]

    prefect = FakePrefect()
    assert mirrored(directory, prefect, anew=False)
    assert [state.state for state in prefect.states] == [RunState.FAILED]
    assert [*owed(tmp_path, but="")] == []


def test_a_server_that_a_person_stopped_is_not_waited_for_as_one_that_is_away(
    tmp_path, monkeypatch
):
    """Everything was taken down: no mirror stays for ten minutes; the next one tells."""
    monkeypatch.setattr(mirror, "DISMISSED_SECONDS", 0.0)
    prefect, directory = FakePrefect(), finished(tmp_path, "untold")

    async def stopped(*_: object) -> str:
        raise Dismissed("the resident Prefect server was stopped")

    prefect.open_run = stopped
    assert not mirrored(directory, prefect, patience=LIMIT * 10)
    assert [*owed(tmp_path, but="")] == [directory]


def test_what_was_tried_longest_ago_comes_first(tmp_path):
    """What is always in vain must not keep the others from their turn, be they ever so many."""
    for number in range(3):
        owe(finished(tmp_path, f"c-{number}"))
        os.utime(tmp_path / f"campaigns/c-{number}/mirror/untold", (1000.0 + number,) * 2)
    first, *rest = owed(tmp_path, but="")
    assert first.name == "c-0"
    assert not mirrored(first, FakePrefect(fails=lambda call: "before"), patience=0.0)
    assert [*owed(tmp_path, but="")] == [*rest, first]


def test_a_campaign_that_runs_is_owed_to_nobody(tmp_path):
    """Its own mirror tells it."""
    directory = tmp_path / "campaigns" / "running"
    writer = JournalWriter(directory, began=time.time(), live=True)
    next(steps := writer.steps())
    (directory / "mirror").mkdir()
    (directory / "mirror" / "untold").touch()
    assert [*owed(tmp_path, but="")] == []
    for _ in steps:
        pass


def test_a_flow_run_whose_process_lives_is_owed_to_nobody(tmp_path):
    """It says itself how it ended; once it is dead, nobody else does."""
    directory = finished(tmp_path, "inside")
    prefect = FakePrefect()
    assert mirrored(directory, prefect, flow_run=RUN)
    assert [*owed(tmp_path, but="")] == []

    told = load_told(directory / "mirror")
    told.created -= 1000.0
    save_told(directory / "mirror", told)
    assert [*owed(tmp_path, but="")] == [directory]
    assert mirrored(directory, prefect)
    assert [state.state for state in prefect.states] == [RunState.FAILED]
    assert [*owed(tmp_path, but="")] == []


def test_a_run_of_another_server_is_not_made_on_this_one(tmp_path):
    """Who tells of others' campaigns does not know to which server these were told."""
    directory = finished(tmp_path, "elsewhere")
    assert not mirrored(directory, FakePrefect(fails=failing_after(3)), patience=0.0)

    here = FakePrefect(deleted=True)
    assert not mirrored(directory, here, anew=False)
    assert (here.runs, here.events, here.states) == ([], [], [])
    assert [*owed(tmp_path, but="")] == [directory]


def test_a_campaign_that_goes_on_in_another_flow_run_ends_the_one_before(tmp_path):
    """Its processes were all killed: nobody else says that it runs no more."""
    directory = finished(tmp_path, "moved")
    (directory / "mirror").mkdir()
    save_told(directory / "mirror", Told(flow_run="before"))

    prefect = FakePrefect()
    assert mirrored(directory, prefect, flow_run="another")
    (ended,) = prefect.states
    assert ended.state is RunState.CRASHED
    assert ended.message == "its campaign goes on in flow run another"


def failing_after(number: int):
    return lambda call: "before" if call > number else ""


def test_a_campaign_that_is_resumed_while_its_end_is_told_is_told_on(tmp_path):
    """Its next mirror found this one at it, and left."""
    directory = tmp_path / "campaigns" / "resumed"
    first = JournalWriter(directory, began=time.time() - 100)
    next(first.steps())
    first.ledger.write("close", state="cancelled", exit_code=2, counts={})
    first.ledger.close()
    prefect = FakePrefect()
    leave = prefect.leave

    async def resumed() -> None:
        if not (directory / "ledger-000002.jsonl").exists():
            assert await follow(directory, prefect)
            JournalWriter(directory, began=time.time() - 50).finish()
        await leave()

    prefect.leave = resumed
    assert mirrored(directory, prefect)
    told = [state.state for state in prefect.states]
    assert told == [RunState.CANCELLED, RunState.RUNNING, RunState.FAILED]


def test_a_full_disk_does_not_end_the_mirror(tmp_path, monkeypatch):
    """It cannot remember what it told, and tries again."""
    from proctor.flows.mirroring import mirror_teller

    directory = finished(tmp_path, "full")
    save, calls = mirror_teller.save_told, []

    def full(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(mirror_teller, "save_told", full)
    prefect = FakePrefect()
    assert mirrored(directory, prefect)
    assert [state.state for state in prefect.states] == [RunState.FAILED]


def test_a_campaign_that_was_removed_ends_its_mirror(tmp_path, monkeypatch):
    """There is nothing left to tell, and nowhere to remember it."""
    import shutil

    directory = tmp_path / "campaigns" / "removed"
    writer = JournalWriter(directory, began=time.time())
    next(writer.steps())
    prefect = FakePrefect()
    begin = prefect._begin

    def begun() -> str:
        if prefect.calls == 3:
            shutil.rmtree(directory)
        return begin()

    prefect._begin = begun
    assert not mirrored(directory, prefect)
    writer.ledger.abandon()


def test_a_campaign_that_is_no_more_is_not_made_anew(tmp_path):
    """Whoever removed it would find a folder of ours in its place."""
    assert not mirrored(tmp_path / "gone", FakePrefect())
    assert not (tmp_path / "gone").exists()


def test_what_was_refused_is_not_called_told_and_is_asked_for_again(tmp_path):
    """A key that was wrong may be right the next time."""
    from proctor.flows.mirroring.mirror_facts import Refused

    directory = finished(tmp_path, "refused")
    prefect = FakePrefect()
    write = prefect.write_lines

    async def refuse(flow_run, lines):
        raise Refused("401")

    prefect.write_lines = refuse
    assert not mirrored(directory, prefect)
    prefect.write_lines = write
    assert mirrored(directory, prefect)
    assert prefect.lines


@pytest.fixture
def another_process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    ("own", "patience"),
    [(False, FROZEN_SECONDS), (True, WAKING_SECONDS)],
    ids=["another process", "the mirror's own process"],
)
def test_a_writer_that_is_silent_and_lives_is_given_time(tmp_path, another_process, own, patience):
    """The machine slept, or somebody stopped the process: it goes on, and is not called dead."""
    pid = os.getpid() if own else another_process
    directory = tmp_path / "campaigns" / "frozen"
    writer = JournalWriter(directory, began=time.time())
    next(writer.steps())
    writer.ledger.abandon()
    lease = directory / "lease-000001"
    holder = json.loads(lease.read_text().splitlines()[0])
    started = born(psutil.Process(pid))
    lease.write_text(json.dumps({**holder, "pid": pid, "process_started": started}))
    now = time.time()
    source = Source(directory, now=lambda: now)
    source.poll()
    assert not source.is_lost

    now += TTL_SECONDS + FROZEN_SECONDS * 10
    source.poll()
    assert source.is_lost
    assert source.is_frozen
    assert not source.picture.is_over

    now += patience
    source.poll()
    assert source.picture.is_over
