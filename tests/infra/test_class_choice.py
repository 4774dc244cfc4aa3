"""What people type to say which workers they want."""

from __future__ import annotations

import pytest

from proctor.infra.errors import BadSetting
from proctor.infra.fleet.class_choice import counts_asked, workers_asked
from proctor.infra.worker_classes import WorkerClass

KNOWN = {"cpu": WorkerClass(name="cpu", slots=0), "big": WorkerClass(name="big", slots=3)}


def asked(*texts: str) -> list[tuple[str, int, int]]:
    return [
        (each.name, each.slots, count)
        for each, count in workers_asked(texts, lambda: KNOWN, cores=4, origin="--fleet-class")
    ]


def test_names_numbers_and_classes_that_are_written_out() -> None:
    """A class that was written out can be named afterwards, before one that is known."""
    assert asked("cpu", "big=2", "big:slots=1", "big") == [
        ("cpu", 0, 1),
        ("big", 3, 2),
        ("big", 1, 1),
        ("big", 1, 1),
    ]


def test_what_is_written_out_asks_for_no_known_class() -> None:
    """Finding those takes a while: NVML, a schema, a file."""

    def unasked() -> dict[str, WorkerClass]:
        raise AssertionError("nobody named a class")

    asked_for = workers_asked(["a:slots=1", "a"], unasked, cores=1, origin="--fleet-class")
    assert [count for _, count in asked_for] == [1, 1]


@pytest.mark.parametrize("text", ["cup", "cpu=", "cpu=-1", "cpu=many", "cpu=½"])
def test_what_says_nothing_is_refused(text: str) -> None:
    """With where it was typed, and the text as it was or the name that is near."""
    with pytest.raises(BadSetting, match=r"^--fleet-class: .*cpu"):
        asked(text)


def test_numbers_by_class() -> None:
    """As --fleet has them; nothing is nothing."""
    assert counts_asked("cpu=2, big=0") == {"cpu": 2, "big": 0}
    assert counts_asked(None) == counts_asked("") == {}
