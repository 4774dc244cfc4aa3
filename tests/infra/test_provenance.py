"""What a campaign tests is told from git's own files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from proctor.infra.provenance import Revision, environment_of, revision_of


def git(folder: Path, *words: str) -> str:
    made = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b", *words],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return made.stdout.strip()


def repository(folder: Path) -> str:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def test_a_checkout_says_its_commit_and_branch(tmp_path):
    """Also from a folder inside it."""
    commit = repository(tmp_path / "r")
    inside = tmp_path / "r" / "src"
    inside.mkdir()
    assert revision_of(inside, {}) == Revision(commit=commit, branch="trunk")


def test_packed_references_are_read(tmp_path):
    """`git gc` moves branches into one file."""
    commit = repository(tmp_path / "r")
    git(tmp_path / "r", "pack-refs", "--all")
    assert revision_of(tmp_path / "r", {}).commit == commit


def test_a_worktree_says_its_own_commit(tmp_path):
    """Its .git is a file, and its branches lie in the main repository."""
    commit = repository(tmp_path / "r")
    git(tmp_path / "r", "worktree", "add", "-q", "-b", "side", str(tmp_path / "w"))
    git(tmp_path / "w", "commit", "-q", "--allow-empty", "-m", "two")
    told = revision_of(tmp_path / "w", {})
    assert told.branch == "side"
    assert told.commit == git(tmp_path / "w", "rev-parse", "HEAD") != commit
    git(tmp_path / "w", "checkout", "-q", "--detach", commit)
    assert revision_of(tmp_path / "w", {}) == Revision(commit=commit)


def test_ci_says_the_commit_where_there_is_no_repository(tmp_path):
    """An exported tree has no .git."""
    told = revision_of(Path("/"), {"GITHUB_SHA": "abc", "GITHUB_REF_NAME": "main"})
    assert told == Revision(commit="abc", branch="main")


def test_a_broken_repository_fails_nothing(tmp_path):
    """An empty .git directory has no HEAD."""
    (tmp_path / ".git").mkdir()
    assert revision_of(tmp_path, {}) == Revision()


def test_the_environment_names_the_interpreter():
    """Ours is known without asking anyone."""
    told = environment_of(sys.executable)
    assert told["python"].startswith(f"{sys.version_info.major}.")
    assert told["cores"]
