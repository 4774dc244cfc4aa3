"""`proctor mirror` before a server that is busy: it says what it waits for, and has an end."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from campaign_journals import JournalWriter
from fake_prefect import FakePrefect

from proctor.flows.mirroring import mirror, onlooker
from proctor.flows.mirroring.mirror import follow
from proctor.flows.mirroring.mirror_facts import Away, RunState
from proctor.flows.mirroring.mirrors_owed import owed
from proctor.flows.mirroring.onlooker import Onlooker

LIMIT = 120.0


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """For servers that do not answer; one that does has its time, however busy the machine is."""
    for name in ("TRY_SECONDS", "BRIEF_CHECK_SECONDS"):
        monkeypatch.setattr(mirror, name, 2.0)


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    directory = tmp_path / "campaigns" / "c-1"
    JournalWriter(directory, began=time.time() - 100).finish()
    return directory


def seen(directory: Path, prefect: FakePrefect, patience: float) -> tuple[bool, Onlooker]:
    person = Onlooker(lambda text: None)
    following = follow(directory, prefect, patience=patience, onlooker=person)
    return asyncio.run(asyncio.wait_for(following, LIMIT)), person


async def never(*_: object) -> Any:
    await asyncio.Event().wait()


@pytest.mark.usefixtures("short_waits")
def test_a_server_that_takes_something_in_and_never_answers_is_left(campaign: Path) -> None:
    """Within the patience, with the word for what it did not take; the rest is for the next one."""
    prefect = FakePrefect()
    prefect.write_lines = never

    told, person = seen(campaign, prefect, 0.0)

    assert not told
    assert person.why_not == "it still waited for Prefect to take in the log"
    assert [*owed(campaign.parent.parent, but="")] == [campaign]

    del prefect.write_lines
    assert seen(campaign, prefect, 60.0)[0]
    assert [state.state for state in prefect.states] == [RunState.FAILED]


@pytest.mark.usefixtures("short_waits")
def test_a_server_that_is_away_is_called_so(campaign: Path) -> None:
    """Not by what was asked of it last."""
    told, person = seen(campaign, FakePrefect(fails=lambda call: "before"), 0.0)
    assert (told, person.why_not) == (False, "Prefect is away: the server is away")


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("written", [never, lambda *_: nothing()], ids=["no answer", "not yet"])
def test_who_looks_on_goes_once_all_is_taken_in(
    campaign: Path, written: Callable[..., Awaitable[Any]]
) -> None:
    """The run has its end; whether a busy server wrote all down, the next mirror looks."""
    prefect = FakePrefect()
    prefect.phases = written

    told, person = seen(campaign, prefect, 60.0)

    assert told
    assert not person.saw_it_written
    assert [state.state for state in prefect.states] == [RunState.FAILED]
    assert [*owed(campaign.parent.parent, but="")] == [campaign]


async def nothing() -> dict[str, str]:
    return {}


def test_who_looks_on_sees_that_all_is_written(campaign: Path) -> None:
    """Then nothing is left to do."""
    told, person = seen(campaign, FakePrefect(), 60.0)
    assert told
    assert person.saw_it_written
    assert [*owed(campaign.parent.parent, but="")] == []


def test_another_mirror_that_is_at_it_is_waited_for_and_named(campaign: Path) -> None:
    """It may be held up as well: nobody knows yet whether all is told."""
    (campaign / "mirror").mkdir()
    with (campaign / "mirror" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told, person = seen(campaign, FakePrefect(), 0.0)
        assert not told
        assert person.why_not == "it still waited for another process that tells Prefect of it"
    assert seen(campaign, FakePrefect(), 60.0)[0]


def test_what_is_waited_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lasts, and once for each thing until it lasts long."""
    monkeypatch.setattr(onlooker, "FIRST_SECONDS", 0.05)

    async def looked_on() -> list[str]:
        said: list[str] = []
        enough = asyncio.Event()

        def say(text: str) -> None:
            said.append(text)
            if len(said) == 1:
                person.problem = "Prefect is away: 503"
            else:
                enough.set()

        person = Onlooker(say)
        person.sees("Prefect to take in the log")
        looking = asyncio.create_task(person.look_on())
        await asyncio.wait_for(enough.wait(), LIMIT)
        looking.cancel()
        return said

    said = [line.partition(": ")[2] for line in asyncio.run(looked_on())]
    assert said == [
        "waiting for Prefect to take in the log",
        "waiting for Prefect to take in the log; Prefect is away: 503",
    ]


def test_what_failed_within_another_thing_stays_in_sight() -> None:
    """A server that does not start is what is waited for, not the piece that needs it."""
    person = Onlooker(lambda text: None)
    person.sees("Prefect to take in the log")
    with person.sees_meanwhile("the server"):
        assert person.awaited == "the server"
    assert person.awaited == "Prefect to take in the log"
    with pytest.raises(Away), person.sees_meanwhile("the server"):
        raise Away("not yet")
    assert person.awaited == "the server"
