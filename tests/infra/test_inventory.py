"""An inventory is fresh as long as nothing it was taken from changed, and says what did."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.infra import inventory as inventories
from proctor.infra.errors import StateUnwritable
from proctor.infra.inventory import Scope, load, path_for, save, take
from proctor.infra.records import Case, Requirements

CASES = (
    Case(
        id="test_a.py::test[ü]",
        group="test_a.py",
        index=0,
        needs=Requirements(gpu=1, tags=frozenset({"x"})),
        timeout_seconds=3.0,
        tags=("slow",),
    ),
    Case(id="sub/test_b.py::test", group="sub/test_b.py", index=1),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "venv").mkdir()
    (tmp_path / "site-packages" / "one-1.dist-info").mkdir(parents=True)
    for name in ("test_a.py", "sub/test_b.py", "conftest.py", "pyproject.toml", "venv/test_x.py"):
        (root / name).write_text(f"# {name}\n")
    return root


def scope_of(root: Path, *roots: str) -> Scope:
    return Scope(
        rootdir=str(root),
        directory=str(root),
        arguments=roots,
        roots=roots or (".",),
        patterns=("test_*.py",),
        norecurse=("venv", ".*"),
        site=(str(root.parent / "site-packages"),),
    )


def touch_again(root: Path) -> None:
    os.utime(root / "test_a.py", ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda root: (root / "test_a.py").write_text("# other\n"), "test_a.py changed"),
        (lambda root: (root / "test_a.py").write_text("# test_b.py\n"), "test_a.py changed"),
        (lambda root: (root / "conftest.py").write_text("# other\n"), "conftest.py changed"),
        (lambda root: (root / "pyproject.toml").write_text("[x]\n"), "pyproject.toml changed"),
        (lambda root: (root / "sub" / "test_c.py").touch(), "test_c.py is new"),
        (lambda root: (root / "sub" / "conftest.py").touch(), "conftest.py is new"),
        (lambda root: (root / "pytest.ini").touch(), "pytest.ini is new"),
        (lambda root: (root / "pytest.toml").touch(), "pytest.toml is new"),
        (lambda root: (root / "sub" / "test_b.py").unlink(), "test_b.py is gone"),
        (lambda root: (root.parent / "site-packages" / "two.pth").touch(), "packages changed"),
        (lambda root: (root / "venv" / "test_y.py").touch(), ""),
        (lambda root: (root / "source.py").touch(), ""),
        (touch_again, ""),
    ],
)
def test_it_says_what_changed(root: Path, change: Callable[[Path], object], why: str) -> None:
    """Content counts, not times: a fresh checkout has new times."""
    inventory = take(scope_of(root), CASES, {})
    assert inventory.why_stale() == ""
    change(root)
    assert why in inventory.why_stale()
    assert bool(why) == bool(inventory.why_stale())


def test_only_what_was_named_counts(root: Path) -> None:
    """Files outside the arguments may change; conftests and ini files above them may not."""
    inventory = take(scope_of(root, "sub"), CASES[1:], {})
    (root / "test_a.py").write_text("# other\n")
    assert inventory.why_stale() == ""
    (root / "conftest.py").write_text("# other\n")
    assert "conftest.py changed" in inventory.why_stale()


def test_conftests_between_the_root_and_what_was_named_count(root: Path) -> None:
    """They may ignore files or deselect cases as any other."""
    (root / "sub" / "deep").mkdir()
    inventory = take(scope_of(root, "sub/deep"), CASES, {})
    assert inventory.why_stale() == ""
    (root / "sub" / "conftest.py").touch()
    assert "conftest.py is new" in inventory.why_stale()


def test_patterns_of_paths_and_an_ini_file_elsewhere_count(root: Path, tmp_path: Path) -> None:
    """As `python_files = sub/check_*.py` and `-c FILE` have it."""
    ini = tmp_path / "elsewhere.ini"
    ini.touch()
    scope = replace(scope_of(root), patterns=("sub/check_*.py",), ini=str(ini))
    inventory = take(scope, CASES, {})
    (root / "check_no.py").touch()
    assert inventory.why_stale() == ""
    (root / "sub" / "check_yes.py").touch()
    assert "check_yes.py is new" in inventory.why_stale()
    (root / "sub" / "check_yes.py").unlink()
    ini.write_text("[pytest]\n")
    assert "elsewhere.ini changed" in inventory.why_stale()


def test_files_of_the_kinds_that_plugins_collect_count(root: Path) -> None:
    """A suite with cases in YAML files may get another such file."""
    inventory = take(scope_of(root), [*CASES, Case(id="a.yaml::x", group="a.yaml", index=9)], {})
    (root / "sub" / "b.yaml").touch()
    assert "b.yaml is new" in inventory.why_stale()


@pytest.mark.parametrize(
    "line",
    [
        'os.environ["RUN_SLOW"]',
        "os.environ.get('RUN_SLOW', '')",
        'os.getenv("RUN_SLOW")',
        'if "RUN_SLOW" not in os.environ: pass',
    ],
)
def test_variables_that_files_ask_for_count(
    root: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they deselect without one is there with it, and no runner would load those files."""
    (root / "conftest.py").write_text(f"import os\n{line}\n")
    inventory = take(scope_of(root), CASES, {})
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    assert inventory.why_stale() == ""
    monkeypatch.setenv("RUN_SLOW", "1")
    assert inventory.why_stale() == "RUN_SLOW in the environment changed"
    monkeypatch.delenv("RUN_SLOW")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k fast")
    assert "PYTEST_ADDOPTS" in inventory.why_stale()


def test_it_comes_back_as_it_was(root: Path, tmp_path: Path) -> None:
    """Cases of every shape, skipped files, stamps."""
    inventory = take(scope_of(root), CASES, {"test_s.py": "not here"})
    path = path_for(tmp_path / "project", python="p", directory=str(root), arguments=("-k", "x"))
    save(inventory, path)
    assert load(path) == inventory
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("deselected", [frozenset({"a", "b"}), None])
def test_what_was_deselected_comes_back(
    root: Path, tmp_path: Path, deselected: frozenset[str] | None
) -> None:
    """Or that it was too much to keep."""
    save(take(scope_of(root), CASES, {}, deselected), tmp_path / "inventory.json")
    kept = load(tmp_path / "inventory.json")
    assert kept is not None
    assert kept.deselected == deselected


def test_those_taken_long_ago_go(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest stay, whatever version wrote the others."""
    monkeypatch.setattr(inventories, "MOST_KEPT", 2)
    project = tmp_path / "project"
    project.mkdir()
    old, new, other = (project / f"inventory-{name}.json" for name in ("old", "new", "other"))
    for age, path in enumerate((other, new, old)):
        path.write_text("{}")
        os.utime(path, (1e9 - age, 1e9 - age))
    (project / "timings.json").write_text("{}")
    save(take(scope_of(root), CASES, {}), new)
    assert {path.name for path in project.iterdir()} == {new.name, other.name, "timings.json"}


def test_collections_have_files_of_their_own(tmp_path: Path) -> None:
    """Another interpreter, directory or argument is another collection."""
    paths = {
        path_for(tmp_path, python=python, directory=directory, arguments=arguments)
        for python in ("p", "q")
        for directory in ("d", "e")
        for arguments in ((), ("-k", "x"), ("-k x",))
    }
    assert len(paths) == 12


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"format": 0}'])
def test_what_cannot_be_read_is_no_inventory(tmp_path: Path, content: bytes | None) -> None:
    """It is a cache: the suite is collected again."""
    path = tmp_path / "inventory.json"
    if content is not None:
        path.write_bytes(content)
    assert load(path) is None


def test_a_name_that_is_no_utf8_is_not_kept(root: Path, tmp_path: Path) -> None:
    """The suite is collected each time; an older inventory of it is not trusted."""
    path = tmp_path / "inventory.json"
    save(take(scope_of(root), CASES, {}), path)
    (root / os.fsdecode(b"test_\xff.py")).touch()
    save(take(scope_of(root), CASES, {}), path)
    assert load(path) is None


def test_an_inventory_that_cannot_be_kept_is_told_in_a_line(root, tmp_path):
    """Where the state directory is a file, or its disk is read-only."""
    place = tmp_path / "state"
    place.write_text("a file")
    with pytest.raises(StateUnwritable, match="cannot be written"):
        save(take(scope_of(root), CASES, {}), place / "projects" / "inventory.json")
