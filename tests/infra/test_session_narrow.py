"""One file of many is found without a look at the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.infra.session.narrow import Narrow, modules_with_scandir


def test_all_that_does_not_lead_to_the_file_is_passed_over(tmp_path: Path) -> None:
    """Folders above it are gone into, and asked about only once."""
    narrow = Narrow()
    file = tmp_path / "a" / "test_it.py"
    assert narrow.pytest_ignore_collect(file) is None
    with narrow.to([file]):
        assert narrow.pytest_ignore_collect(tmp_path / "b") is True
        assert narrow.pytest_ignore_collect(file.with_name("test_other.py")) is True
        assert narrow.pytest_ignore_collect(file) is None
        assert narrow.pytest_ignore_collect(file.parent) is None
        narrow.entered.add(str(file.parent))
        assert narrow.pytest_ignore_collect(file.parent) is False
    assert narrow.pytest_ignore_collect(tmp_path / "b") is None


def test_pytest_lists_whole_folders_again_afterwards(tmp_path: Path) -> None:
    """Even if the file could not be imported."""
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).touch()
    narrow = Narrow()
    modules = modules_with_scandir()
    assert modules, "pytest lists folders otherwise by now"

    def fail() -> None:
        with narrow.to([tmp_path / "test_b.py"]):
            for module in modules:
                assert [each.name for each in module.scandir(str(tmp_path))] == ["test_b.py"]
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    for module in modules:
        assert len(module.scandir(str(tmp_path))) == 2
