"""Results on a worker's disk survive the worker and the campaign, until they are discarded."""

from __future__ import annotations

import logging
import os
import resource
import time
from pathlib import Path

import pytest

from proctor.infra.runners.outbox import KEPT_SECONDS, Outbox, drop_old, read_outbox


def done(case: str) -> dict[str, object]:
    return {"k": "done", "id": case, "text": [["stdout", "ü\n\x85\u2028"]]}


def test_only_results_are_kept_and_read_in_order(tmp_path: Path) -> None:
    """What a session says on its way is of no use later."""
    box = Outbox.of(tmp_path, "c1", "life-1")
    said: list[dict[str, object]] = [
        {"k": "start", "id": "a"},
        done("a"),
        {"k": "idle"},
        {"k": "late", "id": "a"},
    ]
    for message in said:
        box.keep(message)
    assert list(read_outbox(tmp_path, "c1")) == [said[1], said[3]]
    Outbox.discard(tmp_path, "c1")


def test_lives_of_a_worker_keep_apart_and_are_read_together(tmp_path: Path) -> None:
    """The outbox of a worker that died is still there."""
    Outbox.of(tmp_path, "c1", "life-1").keep(done("a"))
    Outbox.of(tmp_path, "c1", "life-2").keep(done("b"))
    Outbox.of(tmp_path, "c2", "life-2").keep(done("c"))
    assert [each["id"] for each in read_outbox(tmp_path, "c1")] == ["a", "b"]
    Outbox.discard(tmp_path, "c1")
    assert list(read_outbox(tmp_path, "c1")) == []
    assert [each["id"] for each in read_outbox(tmp_path, "c2")] == ["c"]
    Outbox.discard(tmp_path, "c2")


def test_an_outbox_can_be_opened_again_after_it_was_discarded(tmp_path: Path) -> None:
    """A campaign that is resumed after its end keeps results as before."""
    Outbox.of(tmp_path, "c1", "life-1").keep(done("a"))
    Outbox.discard(tmp_path, "c1")
    Outbox.of(tmp_path, "c1", "life-1").keep(done("b"))
    assert [each["id"] for each in read_outbox(tmp_path, "c1")] == ["b"]
    Outbox.discard(tmp_path, "c1")


def test_torn_and_broken_lines_cost_only_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk cut one short in the middle; a kill tore the last one."""
    Outbox.of(tmp_path, "c1", "life-1").keep(done("a"))
    (path,) = tmp_path.rglob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"k":"done","id":\n{"k":"done","id":"b"}\n{"k":"done","id":"c"')
    with caplog.at_level(logging.WARNING):
        assert [each["id"] for each in read_outbox(tmp_path, "c1")] == ["a", "b"]
    assert "line 2 of" in caplog.text
    Outbox.discard(tmp_path, "c1")


def test_there_may_be_none(tmp_path: Path) -> None:
    """A fleet that is new has nothing of an old campaign."""
    assert list(read_outbox(tmp_path, "c1")) == []
    Outbox.discard(tmp_path, "c1")


def test_a_full_disk_costs_only_what_did_not_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The work goes on; a line cut short spoils no later one."""
    box = Outbox.of(tmp_path, "c1", "life-1")
    box.keep(done("a"))
    (path,) = tmp_path.rglob("*.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        box.keep(done("b"))
        box.keep(done("c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    box.keep(done("d"))
    with caplog.at_level(logging.ERROR):
        assert [each["id"] for each in read_outbox(tmp_path, "c1")] == ["a", "d"]
    Outbox.discard(tmp_path, "c1")


def test_what_nobody_came_back_for_is_dropped_in_the_end(tmp_path: Path) -> None:
    """By the newest of its files: a campaign that was only just interrupted keeps everything."""
    now = time.time()
    for campaign, ages in {"old": (3.0, 2.0), "recent": (3.0, 0.5)}.items():
        for life, age in enumerate(ages):
            Outbox.of(tmp_path, campaign, f"life-{life}").keep(done("a"))
            written = now - age * KEPT_SECONDS
            os.utime(tmp_path / "outbox" / campaign / f"life-{life}.jsonl", (written, written))
        os.utime(tmp_path / "outbox" / campaign, (now - 2 * KEPT_SECONDS,) * 2)
    drop_old(tmp_path, now)
    assert list(read_outbox(tmp_path, "old")) == []
    assert len(list(read_outbox(tmp_path, "recent"))) == 2
    Outbox.discard(tmp_path, "old")
    Outbox.discard(tmp_path, "recent")
