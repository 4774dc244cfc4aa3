"""Garbage is looked for seldom while modules are imported, and as ever afterwards."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from runner_suites import PATIENCE_SECONDS, PYTHON, run_suite, write_suite

from proctor.infra.session.garbage import OBJECTS, seldom_garbage_collection


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold, enabled = gc.get_threshold(), gc.isenabled()
    yield
    gc.set_threshold(*threshold)
    (gc.enable if enabled else gc.disable)()


def test_it_is_as_it_was_afterwards_even_if_the_import_fails() -> None:
    """Tests run with the thresholds they would have under plain pytest."""
    gc.set_threshold(123, 4, 5)
    inside: list[int] = []

    def load() -> None:
        with seldom_garbage_collection():
            inside.append(gc.get_threshold()[0])
            raise ImportError

    with pytest.raises(ImportError):
        load()
    assert inside == [OBJECTS]
    assert gc.get_threshold()[:2] == (123, 4)


def test_what_a_module_sets_when_imported_stays() -> None:
    """Its tests may be about just that."""
    with seldom_garbage_collection():
        gc.set_threshold(9, 9, 9)
        gc.disable()
    assert gc.get_threshold()[:2] == (9, 9)
    assert not gc.isenabled()


@pytest.mark.parametrize("own", [0, OBJECTS * 2])
def test_who_looks_never_or_more_seldom_is_left_alone(own: int) -> None:
    """A conftest.py that switched it off would not have it switched on."""
    gc.set_threshold(own)
    with seldom_garbage_collection():
        assert gc.get_threshold()[0] == own
    assert gc.get_threshold()[0] == own


def test_a_session_loads_conftests_so_and_runs_cases_as_usual(tmp_path: Path) -> None:
    """They stay as its files do."""
    write_suite(
        tmp_path,
        {
            "conftest.py": """
                import gc, pytest

                THRESHOLD = gc.get_threshold()[0]

                @pytest.fixture
                def at_start():
                    return THRESHOLD
            """,
            "test_a.py": """
                import gc

                def test_a(at_start, record_property):
                    record_property("start", at_start)
                    record_property("case", gc.get_threshold()[0])
            """,
        },
    )
    told = run_suite(tmp_path)
    ask = (PYTHON, "-c", "import gc; print(gc.get_threshold()[0])")
    usual = int(subprocess.check_output(ask, timeout=PATIENCE_SECONDS))
    assert dict(told.done["test_a"]["props"]) == {"start": OBJECTS, "case": usual}
