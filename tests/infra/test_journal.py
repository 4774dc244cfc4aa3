"""Journals: what is committed stays, what is torn waits, what is damaged is reported."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EIO, ENOSPC, EROFS
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_parts import Clock

from proctor.infra.errors import StateUnwritable
from proctor.infra.ledgers.append_file import AppendFile, unwritable
from proctor.infra.ledgers.journal import COMMIT_SECONDS, Journal, JournalFollower, JournalReader

# Every commit waits for the disk: fewer examples, and no deadline for one.
on_disk = settings(max_examples=50, deadline=None)


def numbers(lines: Iterator[dict] | list[dict]) -> list[int]:
    return [line["n"] for line in lines]


def write(path: Path, count: int, first: int = 0) -> None:
    journal = Journal(path, clock=Clock())
    for number in range(first, first + count):
        journal.append("x", {"n": number})
    journal.commit()
    journal.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files may grow to this size: beyond it the kernel cuts a write short, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_lines_carry_kind_and_time(tmp_path: Path):
    """Every line says what it is and when it was written."""
    clock = Clock(5.0)
    journal = Journal(tmp_path / "j", clock=clock)
    journal.append("note", {"text": "a"})
    clock.now = 6.0
    journal.append("phase", {"phase": "run"})
    journal.commit()
    assert list(JournalReader(tmp_path / "j")) == [
        {"k": "note", "t": 5.0, "text": "a"},
        {"k": "phase", "t": 6.0, "phase": "run"},
    ]
    journal.close()


def test_nothing_is_visible_before_its_commit(tmp_path: Path):
    """A line is buffered until then, and commits come at most every 200 ms."""
    monotonic = Clock(0.0)
    journal = Journal(tmp_path / "j", clock=Clock(), monotonic=monotonic)
    journal.append("x", {"n": 1})
    journal.commit_if_due()
    assert list(JournalReader(tmp_path / "j")) == []
    monotonic.now = COMMIT_SECONDS
    journal.commit_if_due()
    assert numbers(list(JournalReader(tmp_path / "j"))) == [1]
    journal.append("x", {"n": 2})
    journal.commit_if_due()
    assert numbers(list(JournalReader(tmp_path / "j"))) == [1]
    journal.close()


def test_a_second_writer_of_one_file_is_refused(tmp_path: Path):
    """No two processes ever write one file."""
    write(tmp_path / "j", 1)
    with pytest.raises(StateUnwritable, match="exists"):
        Journal(tmp_path / "j", clock=Clock())


def test_a_torn_last_line_is_passed_over_at_every_byte(tmp_path: Path):
    """Wherever a writer dies, whole lines are read and no problem is seen."""
    write(tmp_path / "j", 3)
    whole = (tmp_path / "j").read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        (tmp_path / "j").write_bytes(whole[:size])
        reader = JournalReader(tmp_path / "j")
        assert numbers(reader) == list(range(sum(end <= size for end in ends)))
        assert reader.problems == []
        assert reader.offset == max((end for end in ends if end <= size), default=0)


@pytest.mark.parametrize(
    "damage",
    [b"\0\0\0\n", b"[1]\n", b'{"k":"x"}\n', b"\xff\xfe\n", b"{\n", b"\n", b"[" * 9000 + b"\n"],
)
def test_a_broken_whole_line_is_reported_with_its_place(tmp_path: Path, damage: bytes):
    """Lines before and after it are read; it is never skipped in silence."""
    write(tmp_path / "j", 2)
    first, second = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(first + damage + second)
    reader = JournalReader(tmp_path / "j")
    assert numbers(reader) == [0, 1]
    (problem,) = reader.problems
    assert f"byte {len(first)} of {tmp_path / 'j'}" in str(problem)


@on_disk
@given(st.data())
def test_a_follower_sees_each_line_once_in_order(tmp_path_factory, data: st.DataObject):
    """However the bytes arrive, and wherever another follower goes on from its offset."""
    path = tmp_path_factory.mktemp("follow") / "j"
    write(path, 6)
    whole = path.read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    path.unlink()
    seen: list[dict] = []
    offset = 0
    for size in [0, *cuts, len(whole)]:
        path.write_bytes(whole[:size])
        follower = JournalFollower(path, offset=offset)
        while lines := follower.poll(most=data.draw(st.integers(1, 200))):
            seen.extend(lines)
        offset = follower.offset
    assert numbers(seen) == list(range(6))
    assert offset == len(whole)


def test_a_follower_waits_for_a_file_that_is_not_there_yet(tmp_path: Path):
    """A mirror may start before the campaign has written anything."""
    follower = JournalFollower(tmp_path / "j")
    assert follower.poll() == []
    write(tmp_path / "j", 1)
    assert numbers(follower.poll()) == [0]


@on_disk
@given(room=st.integers(0, 400), first=st.integers(0, 3))
def test_a_full_disk_loses_nothing_and_spoils_nothing(tmp_path_factory, room: int, first: int):
    """A write cut short at any byte leaves whole lines; with room again, every line is there."""
    path = tmp_path_factory.mktemp("full") / "j"
    journal = Journal(path, clock=Clock())
    for number in range(first):
        journal.append("x", {"n": number})
    journal.commit()
    committed = path.stat().st_size
    for number in range(first, 10):
        journal.append("x", {"n": number})
    with room_for(committed + room):
        try:
            journal.commit()
        except StateUnwritable:
            assert path.read_bytes().endswith(b"\n") or path.stat().st_size == 0
            assert numbers(JournalReader(path))[:first] == list(range(first))
    journal.append("x", {"n": 10})
    journal.commit()
    journal.close()
    reader = JournalReader(path)
    assert numbers(reader) == list(range(11))
    assert reader.problems == []


def test_text_that_did_not_fit_is_written_whole_later(tmp_path: Path):
    """References to it were made before the disk was full: its place must not move."""
    file = AppendFile(tmp_path / "o", keeps_lines=False)
    file.append(b"first")
    file.sync()
    file.append(b"sec\nond")
    with room_for(9), pytest.raises(StateUnwritable):
        file.sync()
    assert (tmp_path / "o").read_bytes() == b"first"
    assert file.end == len(b"firstsec\nond")
    file.sync()
    assert (tmp_path / "o").read_bytes() == b"firstsec\nond"
    file.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [(ENOSPC, "disk is full"), (EROFS, "read-only"), (EIO, "disk reports an error")],
)
def test_what_the_disk_says_becomes_a_sentence(code: int, words: str):
    """It names the file and says what to do."""
    problem = unwritable(Path("/state/x"), OSError(code, "?"))
    assert words in problem.message
    assert "/state/x" in problem.message
    assert "--state" in problem.remedy


def test_a_failed_sync_is_never_forgotten(tmp_path: Path):
    """The kernel drops what it could not sync: a second try would only seem to work."""
    file = AppendFile(tmp_path / "j", keeps_lines=True)
    good = os.dup(file._file)
    _, pipe = os.pipe()
    # A pipe takes bytes and cannot be synced.
    os.dup2(pipe, file._file)
    file.append(b"a\n")
    with pytest.raises(StateUnwritable):
        file.sync()
    os.dup2(good, file._file)
    with pytest.raises(StateUnwritable):
        file.sync()
