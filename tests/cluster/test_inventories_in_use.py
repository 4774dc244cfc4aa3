"""A cached inventory starts a campaign at once; a stale one is noticed and mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_campaigns import judgements, run, write_project

from proctor.infra.errors import CollectionProblem


def test_files_that_change_come_and_go(tmp_path: Path, state: Path, fleet: str) -> None:
    """What runs is what is there now, whichever way the suite changed."""
    project = write_project(
        tmp_path / "p",
        {"test_a.py": "def test_one(): ...\n", "test_b.py": "def test_b(): ...\n"},
    )
    assert set(judgements(run(project, state, fleet=fleet))) == {
        "test_a.py::test_one",
        "test_b.py::test_b",
    }
    (project / "test_a.py").write_text("def test_two(): ...\n\ndef test_three(): ...\n")
    assert set(judgements(run(project, state, fleet=fleet))) == {
        "test_a.py::test_two",
        "test_a.py::test_three",
        "test_b.py::test_b",
    }
    (project / "test_b.py").unlink()
    (project / "sub").mkdir()
    (project / "sub" / "test_c.py").write_text("def test_c(): ...\n")
    assert set(judgements(run(project, state, fleet=fleet))) == {
        "test_a.py::test_two",
        "test_a.py::test_three",
        "sub/test_c.py::test_c",
    }


def test_parameters_from_a_data_file_are_mended(tmp_path: Path, state: Path, fleet: str) -> None:
    """No test file changed, yet the ids did: what is gone is dropped, what is new runs."""
    project = write_project(
        tmp_path / "p",
        {
            "data.txt": "apple pear plum",
            "test_data.py": """\
            from pathlib import Path
            import pytest

            WORDS = Path(__file__).with_name("data.txt").read_text().split()

            @pytest.mark.parametrize("word", WORDS)
            def test_word(word): ...

            def test_other(): ...
            """,
        },
    )
    assert run(project, state, fleet=fleet).counts == {"passed": 4}
    (project / "data.txt").write_text("apple fig quince lemon")
    mended = judgements(run(project, state, fleet=fleet))
    assert mended == {
        f"test_data.py::{name}": "passed"
        for name in (
            "test_word[apple]",
            "test_word[fig]",
            "test_word[quince]",
            "test_word[lemon]",
            "test_other",
        )
    }


def test_a_file_that_skips_itself_is_told_from_the_inventory_too(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """One skipped case for it, the first time and every other time."""
    project = write_project(
        tmp_path / "p",
        {
            "test_skip.py": "import pytest\npytest.skip('not here', allow_module_level=True)\n",
            "test_a.py": "def test_a(): ...\n",
        },
    )
    for _ in range(2):
        assert run(project, state, fleet=fleet).counts == {"passed": 1, "skipped": 1}


def test_a_source_that_broke_since_is_a_collection_problem(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """No test file changed, but one cannot be imported any more: said as pytest says it."""
    project = write_project(
        tmp_path / "p",
        {
            "source.py": "SIZE = 3\n",
            "test_a.py": "from source import SIZE\n\ndef test_a(): ...\n\ndef test_b(): ...\n",
            "test_c.py": "def test_c(): ...\n",
        },
    )
    assert run(project, state, fleet=fleet).counts == {"passed": 3}
    (project / "source.py").write_text("SIZES = 3\n")
    with pytest.raises(CollectionProblem, match=r"test_a\.py.*cannot import name 'SIZE'"):
        run(project, state, fleet=fleet)
    (project / "source.py").write_text("SIZE = 3 # mended\n")
    assert run(project, state, fleet=fleet).counts == {"passed": 3}


def test_what_was_collected_in_a_copy_is_collected_again(
    tmp_path: Path, state: Path, fleet: str
) -> None:
    """Nobody here sees what is installed there: a file that skipped itself may have tests now."""
    installed = tmp_path / "installed"
    project = write_project(
        tmp_path / "p",
        {
            "test_skip.py": f"""\
            from pathlib import Path
            import pytest

            if not Path({str(installed)!r}).exists():
                pytest.skip("not here", allow_module_level=True)

            def test_it(): ...
            """,
        },
    )
    assert judgements(run(project, state, fleet=fleet, ship="always")) == {
        "test_skip.py": "skipped"
    }
    installed.touch()
    assert judgements(run(project, state, fleet=fleet, ship="always")) == {
        "test_skip.py::test_it": "passed"
    }
