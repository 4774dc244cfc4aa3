"""What of a project is brought to workers that do not have it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from proctor.infra.engine import shipment
from proctor.infra.engine.shipment import Shipment, project_root, take_snapshot
from proctor.infra.errors import UsageProblem


def git(folder: Path, *arguments: str) -> None:
    person = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "orchard"
    write(root, tests__test_a_dot_py="", gone_dot_py="", secret_dot_env="", data__x_dot_bin="x")
    (root / ".gitignore").write_text("*.env\n*.bin\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    (root / "gone.py").unlink()
    write(root, tests__test_new_dot_py="")
    (root / "link").symlink_to("tests")
    return root


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        return packed.getnames()


def test_a_checkout_is_what_git_has_or_would_take(checkout):
    """New files are in it, deleted and ignored ones are not."""
    assert names(take_snapshot(checkout).archive) == [
        ".gitignore",
        "link",
        "tests/test_a.py",
        "tests/test_new.py",
    ]


def test_what_is_named_comes_too(checkout):
    """Data that git does not keep, and whole folders."""
    assert "data/x.bin" in names(take_snapshot(checkout, also=["data/*.bin"]).archive)
    assert "data/x.bin" in names(take_snapshot(checkout, also=["data"]).archive)


def test_the_same_files_have_the_same_name(checkout):
    """By content and mode: a touched file is the same, a changed or executable one is not."""
    first = take_snapshot(checkout).digest
    (checkout / "tests/test_a.py").touch()
    assert take_snapshot(checkout).digest == first
    (checkout / "tests/test_a.py").chmod(0o755)
    second = take_snapshot(checkout).digest
    (checkout / "tests/test_a.py").write_text("pass\n")
    assert len({first, second, take_snapshot(checkout).digest}) == 3


def test_a_checkout_inside_a_checkout_comes_with_its_files(checkout):
    """As submodules do."""
    inner = checkout / "inner"
    write(inner, a_dot_py="")
    git(inner, "init", "-q")
    assert "inner/a.py" in names(take_snapshot(checkout).archive)


def test_without_git_all_files_come_but_environments(tmp_path):
    """Nobody ships a virtual environment, whatever it is called."""
    write(tmp_path, a_dot_py="", env__pyvenv_dot_cfg="", env__lib="", node_modules__x="")
    assert names(take_snapshot(tmp_path).archive) == ["a.py"]


def unpacked(archive: bytes, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="tar")
    return folder


def test_empty_folders_and_links_to_folders_come_too(tmp_path):
    """Tests write there; git has no empty folders, and what is not in git may need them."""
    root = tmp_path / "orchard"
    write(root, src__a_dot_py="one", skipped____pycache____x="")
    (root / "out").mkdir()
    (root / "lib").symlink_to("src")
    there = unpacked(take_snapshot(root).archive, tmp_path / "there")
    assert (there / "out").is_dir()
    assert (there / "lib" / "a.py").read_text() == "one"


def test_a_link_into_the_project_leads_into_the_copy(checkout, tmp_path):
    """It would lead nowhere there, or to another project; one that leads out is left alone."""
    (checkout / "tests" / "data").symlink_to(checkout / "tests" / "test_new.py")
    (checkout / "out").symlink_to("/dev/null")
    there = unpacked(take_snapshot(checkout).archive, tmp_path / "there")
    assert (there / "tests" / "data").resolve() == there / "tests" / "test_new.py"
    assert str((there / "out").readlink()) == "/dev/null"


def test_what_is_the_fleets_own_stays_here(checkout):
    """Its keys, and records that grow with every campaign."""
    write(checkout, state__certs__key_dot_pem="secret", state__ledger="")
    assert "state/ledger" in names(take_snapshot(checkout).archive)
    shipped = names(take_snapshot(checkout, without=[checkout / "state"]).archive)
    assert not [name for name in shipped if name.startswith("state")]


def test_what_is_no_file_is_left_out_and_any_name_goes(tmp_path):
    """A pipe would be waited for; a name need not be text."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    assert len(names(take_snapshot(tmp_path).archive)) == 1


def test_patterns_stay_below_the_root(tmp_path):
    """One line, and not an error of pathlib's."""
    with pytest.raises(UsageProblem, match=r"ship_also '/data/.' is outside the project"):
        take_snapshot(tmp_path, also=["/data/*"])


def test_the_root_is_the_checkout_that_a_folder_lies_in(checkout):
    """Conftests above the folder count as well."""
    assert project_root(checkout / "tests") == checkout


def test_too_much_is_refused_with_what_to_do(checkout, monkeypatch):
    """Before the campaign's memory is full of it."""
    monkeypatch.setattr(shipment, "MOST_BYTES", 10)
    with pytest.raises(UsageProblem, match=r"more than 10B, packed.*ship = .never.") as refused:
        take_snapshot(checkout)
    assert str(checkout) in str(refused.value)


def test_the_files_are_read_when_somebody_asks_and_once(checkout):
    """All workers of a campaign get the same, whatever is edited meanwhile."""
    parcel = Shipment(checkout)
    first = parcel.snapshot()
    (checkout / "tests/test_a.py").write_text("changed\n")
    assert parcel.snapshot() is first
