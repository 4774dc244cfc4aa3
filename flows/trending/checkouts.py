"""Commits beside each other: a git worktree for each that is asked for, and none left behind."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ...infra.errors import UsageProblem

_GIT_SECONDS = 120.0


class BadCheckout(UsageProblem):
    """Git cannot do what is needed."""


class NoRepository(BadCheckout):
    """There is no git, or no repository of it."""


@dataclass(slots=True)
class Checkouts:
    """Worktrees of one repository below a scratch directory."""

    repository: Path
    # Where in the repository the project lies.
    inner: Path
    scratch: Path
    made: dict[str, Path] = field(default_factory=dict[str, Path])

    def resolve(self, name: str) -> str:
        """The whole name of a commit."""
        return git(self.repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def has(self, name: str) -> bool:
        """Whether the commit is here."""
        try:
            return bool(name) and bool(self.resolve(name))
        except BadCheckout:
            return False

    def between(self, good: str, bad: str) -> list[str]:
        """The commits after the good one up to the bad one, oldest first."""
        told = git(
            self.repository, "rev-list", "--first-parent", "--reverse", f"{good}..{bad}"
        ).split()
        if not told or not self._is_ancestor(good, bad):
            raise BadCheckout(
                f"{good[:12]} is no earlier commit of {bad[:12]}",
                remedy="give --good an ancestor of --bad",
            )
        return told

    def parent(self, commit: str) -> str:
        """Its first parent."""
        return self.resolve(f"{commit}^")

    def at(self, commit: str) -> Path:
        """The project as it was at a commit."""
        if commit not in self.made:
            place = self.scratch / f"tree-{len(self.made)}"
            git(self.repository, "worktree", "add", "--detach", "--quiet", str(place), commit)
            self.made[commit] = place
        return self.made[commit] / self.inner

    def drop(self, commit: str) -> None:
        """Remove a worktree that is not needed any more."""
        place = self.made.pop(commit, None)
        if place is not None:
            git(self.repository, "worktree", "remove", "--force", str(place))

    def _is_ancestor(self, good: str, bad: str) -> bool:
        return git(self.repository, "merge-base", good, bad) == good


@contextmanager
def checkouts(directory: Path) -> Generator[Checkouts]:
    """Worktrees of the repository that holds the directory; gone at the end, whatever happens."""
    try:
        top = Path(git(directory, "rev-parse", "--show-toplevel"))
    except BadCheckout as problem:
        raise NoRepository(problem.message, remedy=problem.remedy) from problem
    with tempfile.TemporaryDirectory(prefix="proctor-trees-") as scratch:
        made = Checkouts(top, directory.resolve().relative_to(top.resolve()), Path(scratch))
        try:
            yield made
        finally:
            for commit in list(made.made):
                made.drop(commit)


def git(directory: Path, *words: str) -> str:
    """What git says; raises with git's own sentence."""
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *words],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError as problem:
        raise BadCheckout("git is not installed", remedy="install it") from problem
    except subprocess.TimeoutExpired as problem:
        raise BadCheckout(f"git {words[0]} took longer than {_GIT_SECONDS:g} s") from problem
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise BadCheckout(
            f"git {words[0]} failed in {directory}: {told[-1] if told else 'no such commit'}",
            remedy="name a commit of the project's git repository, and its directory with "
            "--directory",
        )
    return done.stdout.strip()
