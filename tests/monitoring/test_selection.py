"""Cases that a campaign was not asked for are told from those that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_parts import open_ledger

from proctor.infra.ledgers.ledger import read_campaign
from proctor.infra.records import Case
from proctor.monitoring.reports.selection import Selection, selection_of

UNIT = "tests/unit/test_a.py::test_one"
OTHER = "tests/unit/test_ab.py::test_one"
SLOW = "tests/slow/test_b.py::TestB::test_one[a-1]"


def selection(
    directory: Path, *, root: str = "/p", unselected: tuple[str, ...] | None = (), **asked: Any
) -> Selection:
    """That of a campaign which found nothing else."""
    with open_ledger(directory / "c1", root=root, settings={"request": asked}) as ledger:
        ledger.case(of("tests/unit/test_found.py::test_one"))
        if unselected is not None:
            ledger.unselected(unselected)
    return selection_of(read_campaign(directory / "c1"))


def of(case_id: str) -> Case:
    return Case(id=case_id, group=case_id.partition("::")[0], index=0)


def left_out(found: Selection) -> set[str]:
    return {each for each in (UNIT, OTHER, SLOW) if found.leaves_out(of(each))}


def test_who_was_asked_for_all_left_nothing_out(tmp_path: Path) -> None:
    """What it does not have is gone."""
    assert left_out(selection(tmp_path)) == set()


@pytest.mark.parametrize(
    ("root", "paths", "expected"),
    [
        ("/p", ["tests"], set()),
        ("/p", ["."], set()),
        ("/p", ["tests/unit/"], {SLOW}),
        ("/p", ["/p/tests/unit"], {SLOW}),
        ("/p", ["./tests/slow/../unit"], {SLOW}),
        ("/p", ["tests/unit/test_a.py"], {OTHER, SLOW}),
        ("/p", ["tests/unit/test_a.py::test_one"], {OTHER, SLOW}),
        ("/p", ["tests/unit/test_a.py::test_other"], {UNIT, OTHER, SLOW}),
        ("/p", ["tests/slow/test_b.py::TestB"], {UNIT, OTHER}),
        ("/p", ["tests/slow/test_b.py::TestB::test_one"], {UNIT, OTHER}),
        ("/p", ["tests/slow/test_b.py::TestB::test_one[a-1]"], {UNIT, OTHER}),
        ("/p", ["tests/slow/test_b.py::TestB::test_one[a"], {UNIT, OTHER, SLOW}),
        ("/p", ["tests/slow/test_b.py:"], {UNIT, OTHER, SLOW}),
        ("/p", ["tests/uni", "tests/slow/test_b"], {UNIT, OTHER, SLOW}),
        ("/p", ["tests/unit", "tests/slow"], set()),
        # The ini file stands above, and ids begin there.
        ("/p/tests", ["unit"], {SLOW}),
        ("/p/tests/unit", ["../slow"], {UNIT, OTHER}),
    ],
)
def test_what_no_path_names_was_left_out(
    tmp_path: Path, root: str, paths: list[str], expected: set[str]
) -> None:
    """However the path is written, and wherever pytest's root is."""
    assert left_out(selection(tmp_path, root=root, paths=paths)) == expected


@pytest.mark.parametrize(
    ("case_id", "beginning"),
    [
        ("a.py::t[x/y]", "a.py::t[x"),
        ("a.py::t[x::y]", "a.py::t[x"),
        ("a.py::t[[x]]", "a.py::t["),
        ("a.py:::t", "a.py:"),
        ("a.py:::t", "a.py"),
    ],
)
def test_a_name_may_end_wherever_an_id_has_a_seam(case_id: str, beginning: str) -> None:
    """Within brackets too: nothing that a path may name is taken for gone."""
    assert not Selection(beginnings=frozenset({beginning})).leaves_out(of(case_id))
    assert Selection(beginnings=frozenset({"a.p"})).leaves_out(of(case_id))


class Unwalked(frozenset[str]):
    """Names that are looked up, each by itself."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all names were gone through for one case")


def test_of_many_paths_only_those_are_looked_at_that_may_name_the_case() -> None:
    """100,000 cases and 1,000 paths take as long as with one path."""
    asked = Selection(beginnings=Unwalked(f"tests/test_{number}.py" for number in range(1000)))
    assert not asked.leaves_out(of("tests/test_7.py::test_one"))
    assert asked.leaves_out(of(UNIT))


@pytest.mark.parametrize(
    "asked", [{"keyword": "x"}, {"marks": "x"}, {"last_failed": True}, {"pytest_args": ["-k", "x"]}]
)
def test_what_was_found_and_not_asked_for_is_written_down(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    """Anything else is gone; where nothing was written down, nobody can say so."""
    assert left_out(selection(tmp_path / "1", unselected=(UNIT, SLOW), **asked)) == {UNIT, SLOW}
    assert left_out(selection(tmp_path / "2", unselected=None, **asked)) == {UNIT, OTHER, SLOW}


def test_files_that_an_option_hides_were_left_out(tmp_path: Path) -> None:
    """Of those that something was found in, the rest is gone."""
    found = selection(
        tmp_path,
        unselected=("tests/unit/test_a.py::test_two",),
        pytest_args=["--ignore=tests/slow"],
    )
    assert left_out(found) == {OTHER, SLOW}
