"""A ledger and its writers, one after the other: who may write, and what of it counts."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_parts import Clock, attempt, case, check_invariants_but_cases, freeze, ids, open_ledger

from proctor.infra.errors import LeaseLost, StateUnwritable
from proctor.infra.ledgers.epochs import CampaignFollower, accepted_bytes, ledger_path
from proctor.infra.ledgers.ledger import Ledger, read_campaign
from proctor.infra.records import Attempt

# Every commit waits for the disk: fewer examples, and no deadline for one.
on_disk = settings(max_examples=25, deadline=None)


def test_a_writer_that_was_passed_over_cannot_commit(tmp_path: Path):
    """It is told so, and what it wrote afterwards does not count."""
    clock = Clock()
    first = open_ledger(tmp_path / "c", clock=clock)
    first.attempt(attempt(0))
    first.commit()
    freeze(first)
    clock.now += 60
    second = open_ledger(tmp_path / "c", clock=clock)
    first.attempt(attempt(1))
    size = ledger_path(tmp_path / "c", 1).stat().st_size
    with pytest.raises(LeaseLost, match="taken over"):
        first.commit()
    assert ledger_path(tmp_path / "c", 1).stat().st_size == size
    # Frozen between looking at the lease and writing: the bytes are there, and do not count.
    first._journal.commit()
    second.attempt(attempt(2))
    second.close()
    assert b"b1.test_a" in ledger_path(tmp_path / "c", 1).read_bytes()
    record = read_campaign(tmp_path / "c")
    assert ids(record) == [attempt(0).id, attempt(2).id]
    assert record.state == "interrupted"
    with pytest.raises(LeaseLost):
        first.close()


class Rival:
    """Takes the campaign over at a chosen moment: while another writer writes."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._sync = ledger._output.sync
        ledger._output.sync = self._interfere  # type: ignore[method-assign]
        self.ledger: Ledger | None = None

    def _interfere(self) -> None:
        self._sync()
        self._clock.now += 60
        self.ledger = open_ledger(self._ledger.directory, clock=self._clock)


def test_a_writer_passed_over_while_it_writes_is_told(tmp_path: Path):
    """A commit returns only if nobody can have measured the file before it was written."""
    clock = Clock()
    first = open_ledger(tmp_path / "c", clock=clock)
    freeze(first)
    rival = Rival(first, clock)
    first.attempt(attempt(0))
    with pytest.raises(LeaseLost):
        first.commit()
    assert rival.ledger is not None
    rival.ledger.close()
    assert ids(read_campaign(tmp_path / "c")) == []


@on_disk
@given(
    st.lists(
        st.one_of(
            st.just(("take over", 0)),
            st.tuples(st.sampled_from(["write", "commit", "force"]), st.integers(0, 3)),
        ),
        max_size=30,
    )
)
def test_acknowledged_lines_count_and_fenced_lines_do_not(tmp_path_factory, steps):
    """Any number of writers that wake up at any time, looking at the lease or not."""
    directory = tmp_path_factory.mktemp("fence") / "c"
    clock = Clock()
    writers = [open_ledger(directory, clock=clock)]
    freeze(writers[0])
    buffered: dict[int, list[str]] = {0: []}
    written: dict[int, list[str]] = {0: []}
    acknowledged: set[str] = set()
    accepted_before: set[str] = set()
    number = 0
    for act, which in steps:
        if act == "take over":
            clock.now += 60
            accepted_before.update(written[len(writers) - 1])
            writers.append(open_ledger(directory, clock=clock))
            freeze(writers[-1])
            buffered[len(writers) - 1], written[len(writers) - 1] = [], []
            continue
        who = which % len(writers)
        if act == "write":
            number += 1
            each = attempt(number)
            writers[who].attempt(each)
            buffered[who].append(each.id)
        elif act == "commit":
            try:
                writers[who].commit()
            except LeaseLost:
                assert who < len(writers) - 1
            else:
                assert who == len(writers) - 1
                written[who] += buffered[who]
                acknowledged.update(buffered[who])
                buffered[who] = []
        else:
            writers[who]._journal.commit()
            written[who] += buffered[who]
            buffered[who] = []
    record = read_campaign(directory, clock=clock)
    found = ids(record)
    assert acknowledged <= set(found)
    assert set(found) == accepted_before | set(written[len(writers) - 1])
    assert len(found) == len(set(found))
    assert check_invariants_but_cases(record) == []


def test_a_successor_that_died_before_its_first_line_changes_nothing(tmp_path: Path):
    """Its torn first line says nothing of what it accepted."""
    with open_ledger(tmp_path / "c") as ledger:
        ledger.attempt(attempt(0))
    with open_ledger(tmp_path / "c"):
        pass
    second = ledger_path(tmp_path / "c", 2)
    second.write_bytes(second.read_bytes()[:-1])
    assert accepted_bytes(tmp_path / "c") == {1: None}
    with open_ledger(tmp_path / "c") as third:
        assert third.epoch == 3
        third.attempt(attempt(1))
    assert ids(read_campaign(tmp_path / "c")) == [attempt(0).id, attempt(1).id]


def test_a_campaign_without_a_last_word_runs_or_was_interrupted(tmp_path: Path):
    """Its lease tells which; a writer that opens it again takes the last word back."""
    ledger = open_ledger(tmp_path / "c")
    assert read_campaign(tmp_path / "c").state == "running"
    ledger.close()
    assert read_campaign(tmp_path / "c").state == "interrupted"
    with open_ledger(tmp_path / "c") as ledger:
        ledger.write("close", state="failed", exit_code=6, counts={})
    assert read_campaign(tmp_path / "c").state == "failed"
    with open_ledger(tmp_path / "c"):
        assert read_campaign(tmp_path / "c").state == "running"


def test_a_campaign_that_runs_cannot_be_opened_again(tmp_path: Path):
    """And the attempt to leaves nothing behind."""
    with open_ledger(tmp_path / "c"):
        before = sorted(os.listdir(tmp_path / "c"))
        with pytest.raises(LeaseLost, match="run by pid"):
            open_ledger(tmp_path / "c")
        assert sorted(os.listdir(tmp_path / "c")) == before


def test_a_state_directory_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    """A file stands where the directory should be."""
    (tmp_path / "file").touch()
    with pytest.raises(StateUnwritable, match="cannot be written"):
        open_ledger(tmp_path / "file" / "c")


@on_disk
@given(st.data())
def test_a_campaign_is_followed_across_its_writers(tmp_path_factory, data: st.DataObject):
    """Looking at any moments, going on from saved offsets: each line once, in order."""
    directory = tmp_path_factory.mktemp("followed") / "c"
    seen: list[Attempt | str] = []
    offsets: dict[int, int] = {}
    expected: list[str] = []
    number = 0
    for _ in range(data.draw(st.integers(1, 4))):
        with open_ledger(directory) as ledger:
            for _ in range(data.draw(st.integers(0, 3))):
                number += 1
                ledger.attempt(attempt(number))
                ledger.commit()
                expected.append(attempt(number).id)
                if data.draw(st.booleans()):
                    offsets = follow(directory, offsets, seen)
    follow(directory, offsets, seen)
    assert seen == expected


def follow(directory: Path, offsets: dict[int, int], seen: list) -> dict[int, int]:
    follower = CampaignFollower(directory, offsets=offsets)
    while lines := follower.poll():
        seen.extend(line["id"] for _, line in lines if line["k"] == "attempt")
    assert (follower.overrun, follower.problems) == (0, [])
    return follower.offsets


def test_a_follower_notices_that_it_took_in_fenced_lines(tmp_path: Path):
    """What it built on them must be built anew."""
    clock = Clock()
    first = open_ledger(tmp_path / "c", clock=clock)
    freeze(first)
    first.attempt(attempt(0))
    clock.now += 60
    follower = CampaignFollower(tmp_path / "c")
    second = open_ledger(tmp_path / "c", clock=clock)
    first._journal.commit()
    while follower.poll():
        pass
    assert follower.overrun == 0
    ledger_path(tmp_path / "c", 2).rename(tmp_path / "aside")
    while follower.poll():
        pass
    (tmp_path / "aside").rename(ledger_path(tmp_path / "c", 2))
    follower.poll()
    assert follower.overrun > 0
    second.close()


def test_a_reader_overtaken_by_a_new_writer_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it had just read of the former writer may not have been accepted."""
    clock = Clock()
    first = open_ledger(tmp_path / "c", clock=clock)
    freeze(first)
    looks: list[dict[int, int | None]] = []

    def look(directory: Path) -> dict[int, int | None]:
        looks.append(accepted_bytes(directory))
        if len(looks) == 1:
            clock.now += 60
            second = open_ledger(directory, clock=clock)
            freeze(second)
            first.attempt(attempt(0))
            first._journal.commit()
        return looks[-1]

    monkeypatch.setattr("proctor.infra.ledgers.record.accepted_bytes", look)
    record = read_campaign(tmp_path / "c", clock=clock)
    assert ids(record) == []
    assert record.header.epoch == 2


def test_a_campaign_whose_disk_is_full_says_how_it_goes_on(tmp_path: Path):
    """Another place would not hold what it has done; with room again, nothing is lost."""
    ledger = open_ledger(tmp_path / "c")
    ledger.case(case(0))
    ledger.attempt(attempt(0))
    soft, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))
    try:
        with pytest.raises(StateUnwritable, match="`proctor resume c` goes on from here"):
            ledger.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, most))
    ledger.close()
    assert len(ids(read_campaign(tmp_path / "c"))) == 1
