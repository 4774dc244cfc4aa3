"""What a worker holds for its slots, without a worker around it."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import psutil
import pytest
from distributed import Worker
from runner_suites import PYTHON, spec_of, write_suite
from waiting import wait_until

from proctor.infra.records import WorkerFacts
from proctor.infra.runners import slot_keeper
from proctor.infra.runners.memory_room import Memory, MemoryRoom
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.slot_keeper import MOST_SESSIONS, OWN_PYTHON, SlotKeeper
from proctor.infra.runners.spec import Order, RunnerSpec, Work

# Long enough for a loaded machine: nobody waits for it where all is well.
SECONDS = 60.0
SUITE = {
    "test_one.py": """
        import os
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def whole(request):
            yield
            with open("torn-down", "a") as file:
                file.write(f"{os.getpid()} ")

        @pytest.mark.parametrize("n", range(3))
        def test_it(n, record_property):
            record_property("pid", os.getpid())
    """
}


def is_session(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any("session" in word for word in child.cmdline())
    # It has ended, and nobody has asked how.
    return False


class Bench:
    """A keeper of one slot, an event loop for it, and all that it says."""

    def __init__(
        self, folder: Path, loop: asyncio.AbstractEventLoop, loop_thread: int | None
    ) -> None:
        self.folder = folder
        self.loop, self.loop_thread = loop, loop_thread
        self.python = PYTHON
        # Of other tests, which may still end.
        self.children_before = set(psutil.Process().children())
        self.said: list[dict[str, Any]] = []
        facts = WorkerFacts(
            name="cpu-1", incarnation="1", worker_class="cpu", slots=1, cpu=1, memory_bytes=2**30
        )
        # A worker's own directory is below.
        (folder / "scratch").mkdir()
        self.keeper = SlotKeeper(facts=facts, scratch=folder / "scratch")
        # What Dask knows of orders, by their keys.
        self.tasks: dict[str, SimpleNamespace] = {}
        worker = SimpleNamespace(
            log_event=self._hear,
            loop=SimpleNamespace(asyncio_loop=loop),
            state=SimpleNamespace(tasks=self.tasks),
        )
        self.keeper.setup(cast("Worker", worker))

    def _hear(self, topic: str, messages: Any) -> None:
        del topic
        if threading.get_ident() == self.loop_thread:
            self._take(messages)
            return
        # As a worker does it: whatever the loop is about to say comes before this.
        taken = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (self._take(messages), taken.set()))
        assert taken.wait(60)

    def _take(self, messages: Any) -> None:
        for message in messages if isinstance(messages, list) else [messages]:
            told = orjson.loads(message) if isinstance(message, bytes) else message
            self.said.extend(told if isinstance(told, list) else [told])

    def run(self, campaign: str, number: int, epoch: int = 1) -> int:
        """Run one case for a campaign; the process that ran it."""
        case = f"test_one.py::test_it[{number}]"
        order = Order(batch=f"b{number}", work=(Work(id=case, group="test_one.py"),))
        self.perform(campaign, Act.RUN, epoch=epoch, order=order, name=f"{campaign}-b{number}")
        done = next(each for each in reversed(self.said) if each["k"] == "done")
        assert (done["id"], done["outcome"]) == (case, "passed")
        return dict(done["props"])["pid"]

    def order(self, campaign: str, act: Act, **more: Any) -> SlotOrder:
        told: dict[str, Any] = {"epoch": 1, "name": str(act), **more}
        told.setdefault("runner", spec_of(self.folder, python=self.python))
        return SlotOrder(campaign=campaign, slot=0, act=act, **told)

    def sessions(self) -> list[psutil.Process]:
        children = set(psutil.Process().children()) - self.children_before
        return [each for each in children if is_session(each)]

    def perform(self, campaign: str, act: Act, **more: Any) -> None:
        self.keeper.perform(self.order(campaign, act, **more))
        end = self.said[-1]
        assert end["k"] == "end", end
        assert end["result"].get("reason") != "problem", end


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    bench = Bench(write_suite(tmp_path, SUITE), loop, thread.ident)
    yield bench
    bench.keeper.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_campaigns_that_take_turns_keep_their_sessions(bench: Bench) -> None:
    """A turn of another campaign does not cost a session; ending one leaves the other's alone."""
    first = bench.run("apple", 0)
    other = bench.run("pear", 0)
    assert first != other
    assert (bench.run("apple", 1), bench.run("pear", 1)) == (first, other)
    bench.perform("apple", Act.FINISH)
    assert (bench.folder / "torn-down").read_text().split() == [str(first)]
    assert bench.run("pear", 2) == other
    assert not psutil.pid_exists(first)


def test_the_session_that_was_used_longest_ago_goes_first(bench: Bench) -> None:
    """Campaigns that died without a word leave sessions behind: not more than a few."""
    oldest, kept = bench.run("campaign-0", 0), bench.run("campaign-1", 0)
    for number in range(2, MOST_SESSIONS):
        bench.run(f"campaign-{number}", 0)
    assert bench.run("campaign-1", 1) == kept
    bench.run("another", 0)
    assert not psutil.pid_exists(oldest)
    assert bench.run("campaign-1", 2) == kept


def test_a_session_of_an_earlier_epoch_is_not_used(bench: Bench) -> None:
    """A campaign that was resumed begins with sessions of its own."""
    first = bench.run("apple", 0)
    assert bench.run("apple", 1, epoch=2) != first
    assert not psutil.pid_exists(first)


def test_nothing_new_begins_on_a_machine_that_is_short_of_memory(bench: Bench) -> None:
    """The batch goes back as it came, with the reason; sessions may end and start all the same."""
    machine = [Memory(total_bytes=1000, available_bytes=1000)]
    room = MemoryRoom(
        reserve_bytes=500, measure=lambda: machine[0], clock=itertools.count().__next__
    )
    bench.keeper._room = room
    bench.run("apple", 0)
    machine[0] = Memory(total_bytes=1000, available_bytes=100)
    case = Work(id="test_one.py::test_it[1]", group="test_one.py")
    bench.perform("apple", Act.RUN, order=Order(batch="b2", work=(case,)), name="apple-b2")
    told = bench.said[-1]["result"]
    assert (told["reason"], told["left"], told["died"]) == ("memory", [case.id], False)
    assert "are to stay free" in told["why"]
    bench.perform("apple", Act.FINISH)
    machine[0] = Memory(total_bytes=1000, available_bytes=1000)
    bench.run("apple", 2)


def test_a_worker_that_names_its_interpreter_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """An image has an interpreter of its own; that of whoever asked need not be in it."""
    own = tmp_path / "own-python"
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    monkeypatch.setenv(OWN_PYTHON, str(own))
    bench: Bench = request.getfixturevalue("bench")
    bench.python = "/nowhere/python"
    assert bench.run("apple", 0)


def test_a_worker_without_the_project_says_so(bench: Bench) -> None:
    """A container without its volume: neither the interpreter nor the suite is to blame."""
    bench.folder = bench.folder / "elsewhere"
    with pytest.raises(AssertionError):
        bench.perform("apple", Act.WARM)
    said = bench.said[-1]["result"]
    assert said["problem"] == "InfrastructureProblem"
    assert said["message"] == f"worker cpu-1 has no directory {bench.folder}"


def test_a_broken_conftest_is_told_apart_from_what_was_typed(bench: Bench) -> None:
    """Pytest ends with the same exit code for both."""
    (bench.folder / "conftest.py").write_text("raise RuntimeError('no licence')\n")
    with pytest.raises(AssertionError):
        bench.perform("apple", Act.WARM)
    said = bench.said[-1]["result"]
    assert said["problem"] == "BrokenConftest"
    assert said["message"].endswith(
        "conftest.py cannot be imported: RuntimeError: no licence (conftest.py:1)"
    )


def test_that_a_session_is_gone_is_told_though_nobody_is_to_blame(bench: Bench) -> None:
    """A case broke what the imports of others need: the next batch starts a session."""
    write_suite(
        bench.folder,
        {
            "test_a.py": "import sys\ndef test_breaks(): sys.path.clear()\n",
            "test_b.py": "import json.tool\ndef test_fine(): assert json.tool\n",
        },
    )
    work = (
        Work(id="test_a.py::test_breaks", group="test_a.py"),
        Work(id="test_b.py::test_fine", group="test_b.py"),
    )
    results: list[dict[str, Any]] = []
    for left in (work, work[1:]):
        order = Order(batch=f"b{len(results)}", work=left)
        bench.perform("c1", Act.RUN, order=order, name=order.batch)
        results.append(bench.said[-1]["result"])
    told = [(each["left"], each["died"], each["cold"]) for each in results]
    assert told == [([work[1].id], False, True), ([], False, False)]


def test_a_session_that_was_started_early_is_the_one_that_is_used(bench: Bench) -> None:
    """And it is nobody's to end but its campaign's, even if who started it has gone."""
    early = bench.order("apple", Act.WARM, name="early-0")
    bench.keeper.start_early(early)
    (session,) = bench.sessions()
    assert not bench.said
    bench.perform("apple", Act.WARM)
    bench.keeper.end_unclaimed(early)
    assert bench.run("apple", 0) == session.pid
    bench.perform("apple", Act.FINISH)
    assert not session.is_running()


def test_a_session_that_was_started_otherwise_than_its_campaign_asks_is_not_used(
    bench: Bench,
) -> None:
    """Such as with more threads, by who did not know of all other slots."""
    early = bench.order("apple", Act.WARM, name="early-0")
    early = replace(early, runner=replace(early.runner, math_threads=9))
    bench.keeper.start_early(early)
    (session,) = bench.sessions()
    bench.perform("apple", Act.WARM)
    assert not session.is_running()
    assert [each.pid for each in bench.sessions()] == [bench.run("apple", 0)]


def test_a_session_that_nobody_came_for_ends(bench: Bench) -> None:
    """In good order, as any other."""
    early = bench.order("apple", Act.WARM, name="early-0")
    bench.keeper.start_early(early)
    (session,) = bench.sessions()
    bench.keeper.end_unclaimed(early)
    assert not session.is_running()
    assert bench.run("apple", 0) != session.pid


def test_a_session_that_nobody_came_for_ends_beside_a_long_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another campaign; it would stay as long as its worker."""
    monkeypatch.setattr(slot_keeper, "UNCLAIMED_SECONDS", 0.01)
    early = bench.order("apple", Act.WARM, name="early-0")
    bench.keeper.start_early(early)
    (session,) = bench.sessions()
    with bench.keeper._slots[0].lock:
        bench.keeper.end_unclaimed(early)
        assert not session.is_running()
    assert bench.run("apple", 0, epoch=2) != session.pid


def test_nobody_waits_to_end_what_is_used(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a long batch each campaign that ends would hold a thread for as long as it may."""
    monkeypatch.setattr(slot_keeper, "UNCLAIMED_SECONDS", 10 * SECONDS)
    early = bench.order("apple", Act.WARM, name="early-0")
    bench.keeper.start_early(early)
    pid = bench.run("apple", 0)
    with bench.keeper._slots[0].lock, ThreadPoolExecutor() as pool:
        ended = pool.submit(bench.keeper.end_unclaimed, early)
        ended.result(SECONDS)
    assert bench.run("apple", 1) == pid


@pytest.fixture
def waiting(bench: Bench) -> Iterator[Waiting]:
    with ThreadPoolExecutor() as pool:
        yield Waiting(bench, pool)


class Waiting:
    """Orders of a campaign that wait for their slot, where another's batch goes on for ever."""

    def __init__(self, bench: Bench, pool: ThreadPoolExecutor) -> None:
        self.bench, self.pool = bench, pool

    def send(self, act: Act, **more: Any) -> Future[None]:
        order = self.bench.order("apple", act, **more)
        sent = self.pool.submit(self.bench.keeper.perform, order)
        running = self.bench.keeper._running
        wait_until(lambda: f"apple/{order.name}" in running, what="the order waits")
        return sent

    def slow_down(self) -> None:
        """From now on sessions start for longer than anybody waits."""
        conftest = self.bench.folder / "conftest.py"
        conftest.write_text(f"import time\ntime.sleep({10 * SECONDS})\n")

    def patient(self) -> RunnerSpec:
        return replace(
            self.bench.order("apple", Act.WARM).runner, hang_timeout_seconds=10 * SECONDS
        )

    def send_slow(self, act: Act, **more: Any) -> Future[None]:
        """An order that starts a session, and has not done so yet."""
        self.slow_down()
        sent = self.send(act, runner=self.patient(), **more)
        wait_until(self.bench.sessions, what="a session starts")
        return sent

    def reasons(self) -> dict[str, str]:
        """Of all that have ended, by the names of orders."""
        ends = [each for each in self.bench.said if each.get("k") == "end"]
        return {each["b"]: each["result"]["reason"] for each in ends}


def test_an_order_that_is_stopped_no_longer_waits_for_its_slot(
    bench: Bench, waiting: Waiting
) -> None:
    """Whoever cancels or resumes a campaign waits until what it has sent is over."""
    case = Work(id="test_one.py::test_it[0]", group="test_one.py")
    with bench.keeper._slots[0].lock:
        batch = waiting.send(Act.RUN, name="b1", order=Order(batch="b1", work=(case,)))
        assert bench.keeper.fence("apple", 2) == 1
        batch.result(SECONDS)
        assert bench.keeper.fence("apple", 2) == 0
    assert waiting.reasons() == {"b1": "interrupted"}
    assert bench.sessions() == []


def test_nothing_begins_for_a_campaign_that_has_gone(bench: Bench, waiting: Waiting) -> None:
    """It died while its orders waited: Dask, which can end none that has begun, forgets them."""
    with bench.keeper._slots[0].lock:
        start = waiting.send(Act.WARM, name="warm")
        bench.tasks["apple/1/warm"] = SimpleNamespace(state="executing")
        bench.tasks["apple/1/warm"].state = "cancelled"
        start.result(SECONDS)
    assert bench.sessions() == []


def test_a_session_that_is_to_end_does_not_start_first(bench: Bench, waiting: Waiting) -> None:
    """Nor after that, as nobody would end it any more."""
    with bench.keeper._slots[0].lock:
        start = waiting.send(Act.WARM, name="warm")
        end = waiting.send(Act.FINISH, name="finish")
        start.result(SECONDS)
        assert not end.done()
    end.result(SECONDS)
    assert waiting.reasons() == {"warm": "interrupted", "finish": "finished"}
    assert bench.sessions() == []


def test_a_worker_that_ends_waits_for_no_session_that_starts(
    bench: Bench, waiting: Waiting
) -> None:
    """A conftest.py takes as long as it likes."""
    start = waiting.send_slow(Act.WARM, name="warm")
    waiting.pool.submit(bench.keeper.close).result(SECONDS)
    start.result(SECONDS)
    assert bench.sessions() == []


@pytest.mark.parametrize("act", [Act.WARM, Act.COLLECT, Act.RUN])
def test_a_worker_that_drains_ends_sessions_that_start(
    bench: Bench, waiting: Waiting, act: Act
) -> None:
    """Nothing has run in them: what they are for begins elsewhere, and nobody is to blame."""
    case = Work(id="test_one.py::test_it[0]", group="test_one.py")
    start = waiting.send_slow(act, name="b1", order=Order(batch="b1", work=(case,)))
    bench.keeper.drain()
    start.result(SECONDS)
    assert bench.sessions() == []
    told = bench.said[-1]["result"]
    assert told == {"left": [case.id], "reason": "draining", "died": False}
    told_first = next(each for each in bench.said if "draining" in each or each["k"] == "end")
    assert "draining" in told_first, "the campaign would send it here again"
    bench.perform("apple", act, name="b2", order=Order(batch="b2", work=(case,)))
    assert waiting.reasons() == {"b1": "draining", "b2": "draining"}


def test_a_worker_that_drains_ends_sessions_that_start_early(
    bench: Bench, waiting: Waiting
) -> None:
    """Their campaign has yet to come, and will not come here."""
    waiting.slow_down()
    early = bench.order("apple", Act.WARM, name="early-0", runner=waiting.patient())
    start = waiting.pool.submit(bench.keeper.start_early, early)
    wait_until(bench.sessions, what="a session starts")
    bench.keeper.drain()
    start.result(SECONDS)
    assert bench.sessions() == []


def test_what_has_begun_is_finished_by_a_worker_that_drains(bench: Bench, waiting: Waiting) -> None:
    """Only what has yet to begin goes back."""
    held = "import pathlib, time\ndef test_it():\n    while not pathlib.Path('go').exists():\n"
    (bench.folder / "test_held.py").write_text(f"{held}        time.sleep(0.01)\n")
    case = Work(id="test_held.py::test_it", group="test_held.py")
    batch = waiting.send(Act.RUN, name="b1", order=Order(batch="b1", work=(case,)))
    wait_until(lambda: any(each.get("k") == "start" for each in bench.said), what="a case runs")
    bench.keeper.drain()
    (bench.folder / "go").touch()
    batch.result(SECONDS)
    assert [each["outcome"] for each in bench.said if each.get("k") == "done"] == ["passed"]


@pytest.mark.parametrize("act", [Act.WARM, Act.COLLECT, Act.RUN])
def test_a_campaign_that_is_let_go_waits_for_no_session_that_starts(
    bench: Bench, waiting: Waiting, act: Act
) -> None:
    """As after Ctrl-C: what runs for it ends at once, too."""
    case = Work(id="test_one.py::test_it[0]", group="test_one.py")
    start = waiting.send_slow(act, name="b1", order=Order(batch="b1", work=(case,)))
    bench.keeper.let_go("apple", 1)
    start.result(SECONDS)
    assert waiting.reasons() == {"b1": "interrupted"}
    assert bench.sessions() == []


def test_nothing_starts_early_where_somebody_works_or_nothing_is_to_begin(bench: Bench) -> None:
    """Nor for a life of a campaign that another has taken over."""
    early = bench.order("apple", Act.WARM, name="early-0")
    with bench.keeper._slots[0].lock:
        bench.keeper.start_early(early)
    bench.keeper.fence("apple", 2)
    bench.keeper.start_early(early)
    bench.keeper.drain()
    bench.keeper.start_early(bench.order("pear", Act.WARM, name="early-0"))
    assert bench.sessions() == []


def test_what_fails_early_is_told_when_the_campaign_asks(bench: Bench) -> None:
    """It has nobody to hear of it before."""
    conftest = bench.folder / "conftest.py"
    conftest.write_text("raise RuntimeError('no licence')\n")
    early = bench.order("apple", Act.WARM, name="early-0")
    bench.keeper.start_early(early)
    assert not bench.said
    with pytest.raises(AssertionError):
        bench.perform("apple", Act.WARM)
    assert bench.said[-1]["result"]["problem"] == "BrokenConftest"
    conftest.unlink()
    bench.perform("apple", Act.WARM)
    assert bench.run("apple", 0)
