"""What a campaign tests: the commit, its branch, and the environment, without starting a process.

Git's own files are read: `git rev-parse` costs 5 ms and wants a git, a submission has neither to
spare. What cannot be told is left empty; nothing here can fail a campaign.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cores import core_count

# Where the files are a bare checkout without .git, CI says what they are.
_COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION")
_BRANCHES = ("GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "GIT_BRANCH", "BUILD_SOURCEBRANCHNAME")
# /proc/cpuinfo repeats itself for each core.
_CPU_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit and the branch it was on; empty where that is unknown."""

    commit: str = ""
    branch: str = ""


UNKNOWN = Revision()


def revision_of(root: Path, environ: Mapping[str, str] = os.environ) -> Revision:
    """The checkout that `root` lies in, or what CI says of it."""
    try:
        git = _git_directory(root)
        if git is not None:
            return _head(git)
    except (OSError, UnicodeDecodeError):
        # Somebody else's unreadable repository is no reason not to run tests.
        pass
    return Revision(commit=_first(environ, _COMMITS), branch=_first(environ, _BRANCHES))


def environment_of(python: str) -> dict[str, str]:
    """What may move every duration at once: interpreter, pytest, system and processor."""
    prefix = Path(python).parent.parent
    told = {
        "python": _python_version(python, prefix),
        "pytest": _pytest_version(prefix),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": str(core_count()),
    }
    return {name: value for name, value in told.items() if value}


def _git_directory(root: Path) -> Path | None:
    for folder in (root, *root.parents):
        entry = folder / ".git"
        if entry.is_dir():
            return entry
        if entry.is_file():
            # A worktree or a submodule: the file names its directory.
            target = entry.read_text().partition("gitdir:")[2].strip()
            return (folder / target).resolve() if target else None
    return None


def _head(git: Path) -> Revision:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return Revision(commit=head)
    name = head.removeprefix("ref:").strip()
    pointer = git / "commondir"
    common = (git / pointer.read_text().strip()).resolve() if pointer.is_file() else git
    commit = _loose(git / name) or _loose(common / name) or _packed(common / "packed-refs", name)
    return Revision(commit=commit, branch=name.removeprefix("refs/heads/"))


def _loose(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


def _packed(path: Path, name: str) -> str:
    if not path.is_file():
        return ""
    for line in path.read_text().splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit
    return ""


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _python_version(python: str, prefix: Path) -> str:
    if python == sys.executable:
        return platform.python_version()
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    told = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    return told.get("version") or told.get("version_info", "")


def _pytest_version(prefix: Path) -> str:
    found = sorted(prefix.glob("lib/python3*/site-packages/pytest-*.dist-info"))
    return found[0].name.removeprefix("pytest-").removesuffix(".dist-info") if found else ""


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            text = file.read(_CPU_BYTES)
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
