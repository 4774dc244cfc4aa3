"""A second process reads the journals of a large ingest; nobody can tell from what comes out."""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
from contextlib import contextmanager, suppress
from functools import partial

import psutil
import pytest
from campaign_journals import JournalWriter
from ingest_parts import append, campaign, rebuilt
from ledger_parts import attempt, case, freeze, open_ledger
from store_dump import dump
from waiting import wait_until

from proctor import __version__
from proctor.infra.ledgers.epochs import ledger_path
from proctor.monitoring import ingest as ingest_module
from proctor.monitoring import rebuild as rebuild_module
from proctor.monitoring.ingest import Ingest, Ingested, ingest
from proctor.monitoring.ingest_ahead import ReadAhead
from proctor.monitoring.rebuild import rebuild
from proctor.monitoring.store import Store

# Begun at the first portion, on a machine that has a core for it.
AT_ONCE = {"from_bytes": 0, "cores": 2}


def long_ago() -> float:
    """By this a lease has run out: what is told of a campaign does not change meanwhile."""
    return 1e9


class Watched(ReadAhead):
    """Counts what came from the other process."""

    received = 0

    def portions(self, until=math.inf):
        for portion in super().portions(until):
            self.received += portion.lines
            yield portion


@pytest.fixture
def store(tmp_path):
    """Campaigns of every sort, and a recorder."""
    state = tmp_path / "state"
    for number in range(5):
        JournalWriter(state / "campaigns" / f"c{number}", began=1e9 + number, total=9).finish()
    damaged = ledger_path(state / "campaigns" / "c2", 1)
    append(damaged, b'{"k":"attempt","t":1.0,"case":\n', {"k": "note", "t": 2.0}, b"[]\n")
    append(
        damaged,
        {"k": "attempt", "t": 5.0, "case": case(0).id, "id": "odd", "outcome": "passed",
         "started": 4.0, "finished": 1e15, "properties": [["size", 3]], "notes": ["odd"]},
        {"k": "attempt", "t": 5.0, "case": case(0).id, "id": "fine \ud800", "outcome": "failed",
         "started": 4.0, "finished": 5.0, "properties": [["size", 3]], "notes": ["fine"]},
    )  # fmt: skip
    append(ledger_path(state / "campaigns" / "c3", 1), b'{"k":"note","t":3.0,"lev')
    _resumed(state / "campaigns" / "d-resumed")
    # As earlier versions wrote a case that no worker could run.
    with open_ledger(state / "campaigns" / "e-old", project="garden", clock=long_ago) as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(2, "cancelled", batch="unmet", message="needs gpu=2"))
    path = state / "recorders" / "fleet" / "1.jsonl"
    path.parent.mkdir(parents=True)
    append(path, *({"k": "usage", "t": 5.0, "worker": f"w{number}"} for number in range(30)))
    append(path, {"k": "usage", "t": 5.0, "worker": "w", "slots": 10**12})
    return Store(state)


def _resumed(directory) -> None:
    """Two writers, of whom the first wrote more than the second accepted, and both the same."""
    first = open_ledger(directory, clock=long_ago)
    first.case(case(0))
    first.attempt(attempt(1))
    first.commit()
    freeze(first)
    accepted = ledger_path(directory, 1).stat().st_size
    told = {"k": "attempt", "t": 20.0, "case": case(0).id, "id": "late", "outcome": "failed",
            "started": 19.0, "finished": 20.0}  # fmt: skip
    append(ledger_path(directory, 1), told)
    append(
        ledger_path(directory, 2),
        {"k": "open", "t": 30.0, "schema": 1, "campaign": directory.name, "epoch": 2,
         "predecessors": {"1": accepted}},
        {**told, "id": "again"},
        {**told, "id": "again", "outcome": "passed"},
        {"k": "amend", "t": 31.0, "case": case(0).id, "attempt": "again", "outcome": "error",
         "message": "teardown failed"},
    )  # fmt: skip


def alone(store: Store) -> tuple[Ingested, dict[str, list[tuple[object, ...]]]]:
    """What comes out where one process does it all; the store is gone again."""
    done = ingest(store, ahead=ReadAhead(cores=1))
    found = dump(store)
    store.path.unlink()
    return done, found


@pytest.mark.parametrize("lines", [7, 40])
def test_what_a_second_process_reads_is_the_same(store, lines):
    """Damaged lines, a torn end, fenced bytes, old forms, two projects, a recorder."""
    expected, found = alone(store)
    ahead = Watched(**AT_ONCE)
    done = ingest(store, lines_at_once=lines, ahead=ahead)
    assert ahead.received > 50
    assert dump(store) == found
    assert sorted(done.problems) == sorted(expected.problems)
    assert len(done.problems) == 6
    assert (done.lines, done.attempts) == (expected.lines, expected.attempts)
    assert done.campaigns == expected.campaigns


def test_it_reads_on_while_the_file_is_closed_between_turns(store):
    """One process for all turns, however many they are."""
    _, found = alone(store)
    ahead = Watched(**AT_ONCE)
    ingest(store, lines_at_once=7, hold_seconds=-1.0, ahead=ahead)
    assert ahead.received > 50
    assert dump(store) == found


def test_a_rebuild_reads_ahead_too(store, monkeypatch):
    """And comes to the same."""
    ingest(store)
    found = dump(store)
    ahead = Watched(**AT_ONCE)
    monkeypatch.setattr(rebuild_module, "ReadAhead", lambda: ahead)
    monkeypatch.setattr(ingest_module, "BYTES_AT_ONCE", 2000)
    rebuild(store)
    assert ahead.received > 50
    assert dump(store) == found


def test_what_was_taken_in_before_is_not_read_again(store):
    """It goes on where the store is; a journal that shrank meanwhile is read anew."""
    ingest(store)
    for number in range(5, 9):
        JournalWriter(campaign(store, f"c{number}"), began=1e9 + number, total=9).finish()
    shrunk = ledger_path(campaign(store, "c8"), 1)
    ingest(store)
    for number in range(9, 12):
        JournalWriter(campaign(store, f"f{number}"), began=1e9 + number, total=9).finish()
    shrunk.write_bytes(shrunk.read_bytes()[:-40])
    ahead = Watched(**AT_ONCE)
    done = ingest(store, lines_at_once=7, ahead=ahead)
    assert ahead.received > 30
    assert done.taken_back == ["c8"]
    assert done.campaigns == ["c8", "f10", "f11", "f9"]
    assert dump(store) == rebuilt(store)


# What ends in the middle of its work, each in its way, after so many portions.
ENDING = """
import os, signal, sys, time
from multiprocessing.connection import Connection
from proctor.monitoring import ingest_reader

class Ending(Connection):
    left = {after}

    def _send_bytes(self, told):
        self.left -= 1
        if self.left < 0:
            {end}
        super()._send_bytes(told)

ingest_reader.Connection = Ending
sys.exit(ingest_reader.main())
"""
ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "raises": "raise MemoryError",
    "garbage": "told = b'nonsense'",
    "half": "os.write(self.fileno(), (len(told)).to_bytes(4) + bytes(told[:9])); time.sleep(3600)",
    "leaves": "os._exit(0)",
}


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("end", ENDS)
def test_a_second_process_that_ends_early_is_told_and_costs_nothing(store, caplog, end, after):
    """Killed, frozen, out of memory, or talking nonsense: this process reads on."""
    _, found = alone(store)
    code = ENDING.format(after=after, end=ENDS[end])
    hangs = end in {"stopped", "half"}
    ahead = Watched(
        **AT_ONCE, command=(sys.executable, "-c", code), patience=3.0 if hangs else 120.0
    )
    with caplog.at_level(logging.WARNING):
        done = ingest(store, lines_at_once=7, ahead=ahead)
    assert dump(store) == found
    assert done.attempts == len(found["results"])
    (line,) = [record.getMessage() for record in caplog.records]
    why = "was ended after 3 s without a word" if hangs else "ended early"
    assert line.startswith(f"the second process that reads journals {why}")
    assert not ahead.is_reading


def test_while_it_says_nothing_others_have_the_file(store, tmp_path):
    """It goes on only once somebody else has had the store, and has not changed it."""
    _, found = alone(store)
    had = tmp_path / "had"
    waits = f"while not os.path.exists({str(had)!r}): time.sleep(0.01)"

    class Shared(Store):
        turns = 0

        @contextmanager
        def writing(self):
            self.turns += 1
            if self.turns == 3:
                with Store(self.state).writing():
                    had.touch()
            with super().writing() as connection:
                yield connection

    code = ENDING.format(after=0, end=waits)
    ahead = Watched(**AT_ONCE, command=(sys.executable, "-c", code), patience=60.0)
    ingest(Shared(store.state), lines_at_once=7, hold_seconds=0.1, ahead=ahead)
    assert ahead.received > 50
    assert dump(store) == found


def test_one_that_cannot_be_started_is_told(store, caplog):
    """The first does it all."""
    _, found = alone(store)
    with caplog.at_level(logging.WARNING):
        ingest(store, lines_at_once=7, ahead=ReadAhead(**AT_ONCE, command=("/nowhere/python",)))
    assert dump(store) == found
    assert "cannot be started" in caplog.text


def test_one_of_another_version_reads_nothing(store, caplog):
    """As after an upgrade under a process that lives on: it reads by itself, as it always did."""
    _, found = alone(store)
    ahead = Watched(**AT_ONCE, version="0.0.1")
    with caplog.at_level(logging.WARNING):
        ingest(store, lines_at_once=7, ahead=ahead)
    assert (ahead.received, dump(store)) == (0, found)
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"(it is of version {__version__}, and this one of 0.0.1)" in line


def test_another_ingest_between_two_turns_makes_what_was_read_ahead_void(store):
    """Its numbers and places were those of a store that is no more."""
    _, found = alone(store)

    class Shared(Store):
        turns = 0

        @contextmanager
        def writing(self):
            self.turns += 1
            if self.turns == 3:
                JournalWriter(campaign(self, "a-first"), began=1e9, total=2).finish()
                with Store(self.state).writing() as connection:
                    Ingest(connection, self.state, done=Ingested(), lines_at_once=7).run(until=0.0)
            with super().writing() as connection:
                yield connection

    shared = Shared(store.state)
    ahead = Watched(**AT_ONCE)
    ingest(shared, lines_at_once=7, hold_seconds=-1.0, ahead=ahead)
    assert shared.turns > 3
    assert not ahead.is_reading
    assert dump(store) == rebuilt(store)
    assert len(dump(store)["results"]) == len(found["results"]) + 2


@pytest.mark.parametrize(
    "how", [{"from_bytes": 0, "cores": 1}, {"from_bytes": 1 << 30, "cores": 2}]
)
def test_little_work_starts_no_process(store, how):
    """Nor does a machine of one core."""
    ahead = ReadAhead(**how, command=("/nowhere/python",))
    ingest(store, lines_at_once=7, ahead=ahead)
    assert not ahead.has_begun


_INGEST = """
import sys
from pathlib import Path
from proctor.monitoring.ingest import ingest
from proctor.monitoring.ingest_ahead import ReadAhead
from proctor.monitoring.store import Store

class Telling(ReadAhead):
    def _start(self):
        super()._start()
        print(self._process.pid, flush=True)

ingest(Store(Path(sys.argv[1])), lines_at_once=9, ahead=Telling(from_bytes=0, cores=2))
"""


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_each_line_arrives_once_and_nobody_is_left(tmp_path, seed):
    """The second process ends with the first."""
    chance = random.Random(seed)
    store = Store(tmp_path)
    for number in range(6):
        JournalWriter(campaign(store, f"c{number}"), began=1e9 + number, total=60, bad=7).finish()
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _INGEST, str(store.state)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        beside = process.stdout.readline().strip()
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.0, 0.6))
        process.kill()
        process.wait()
        process.stdout.close()
        if beside:
            wait_until(partial(_is_gone, int(beside)), what="the second process ends")
    ingest(store)
    incremental = dump(store)
    assert len(incremental["results"]) == 360
    assert incremental == rebuilt(store)


def _is_gone(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
