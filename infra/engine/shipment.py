"""What a campaign brings to workers that do not have its project: the files, named by content."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageProblem
from ..quantities import format_size

GIT_SECONDS = 60.0
# More than this is no project but its data: a shared path or an image holds it better.
MOST_BYTES = 512 * 2**20
# What nobody keeps in git, for projects that are in none.
_PASSED_OVER = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "__pycache__", "node_modules", ".tox", ".nox"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files as they were when somebody first asked."""

    digest: str
    archive: bytes
    count: int


class Shipment:
    """The files of one project; read when a worker first asks, for most campaigns never."""

    def __init__(
        self, root: Path, *, also: Sequence[str] = (), without: Sequence[Path] = ()
    ) -> None:
        """`also` are patterns of what git does not have; `without` stays here."""
        self._root = root
        self._also = also
        self._without = without
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        with self._lock:
            if self._snapshot is None:
                self._snapshot = take_snapshot(self._root, also=self._also, without=self._without)
            return self._snapshot


def project_root(directory: Path) -> Path:
    """The checkout that the directory lies in, or itself."""
    for each in (directory, *directory.parents):
        if (each / ".git").exists():
            return each
    return directory


def take_snapshot(
    root: Path, *, also: Sequence[str] = (), without: Sequence[Path] = ()
) -> Snapshot:
    """What git has or would take, and what is named beside that."""
    kept = [path.resolve() for path in without]
    names = sorted(
        name
        for name in {*_project_files(root), *_named(root, also)}
        if not any((root / name).is_relative_to(path) for path in kept)
    )
    digest = hashlib.blake2b(digest_size=16)
    packed = io.BytesIO()
    # Level 1: the wire is quick, and tests wait.
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name in names:
            _add(archive, digest, root, name)
            # It comes out in blocks: much is noticed while it is packed, little at the end.
            _check_size(root, packed.tell())
    _check_size(root, packed.tell())
    return Snapshot(digest=digest.hexdigest(), archive=packed.getvalue(), count=len(names))


def _check_size(root: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise UsageProblem(
            f"the files of {root} are more than {format_size(MOST_BYTES)}, packed",
            remedy='leave data out by .gitignore and share it, or say `ship = "never"`',
        )


def _add(archive: tarfile.TarFile, digest: hashlib.blake2b, root: Path, name: str) -> None:
    path = root / name
    try:
        mode = path.lstat().st_mode
        if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            # A pipe would be waited for, and a device is of this machine.
            return
        entry = archive.gettarinfo(path, arcname=name)
        content = path.read_bytes() if stat.S_ISREG(mode) else b""
    except FileNotFoundError:
        # Deleted and not committed, or just now: it is not there for tests here either.
        return
    # A second name of a file is a file as well.
    if entry.islnk():
        entry.type, entry.linkname = tarfile.REGTYPE, ""
    if Path(entry.linkname).is_relative_to(root):
        # What leads into the project leads into its copy there.
        entry.linkname = os.path.relpath(entry.linkname, path.parent)
    entry.size = len(content)
    told = f"{mode:o}\0{entry.linkname}\0{len(content)}\0"
    digest.update(os.fsencode(f"{name}\0{told}"))
    digest.update(content)
    # Read once: what is named by its content must be that content.
    archive.addfile(entry, io.BytesIO(content))


def _project_files(root: Path) -> Iterator[str]:
    if (root / ".git").exists():
        try:
            yield from _git_files(root)
        except (OSError, subprocess.SubprocessError):
            # No git here, or not its owner's: all files then.
            yield from _all_files(root)
    else:
        yield from _all_files(root)


def _git_files(root: Path) -> Iterator[str]:
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        timeout=GIT_SECONDS,
    ).stdout
    for raw in filter(None, listed.split(b"\0")):
        name = os.fsdecode(raw)
        path = root / name
        if path.is_dir() and not path.is_symlink():
            # A submodule, or a checkout inside this one.
            yield from (f"{name.rstrip('/')}/{each}" for each in _project_files(path))
        else:
            yield name


def _all_files(root: Path) -> Iterator[str]:
    for directory, folders, names in os.walk(root):
        # A virtual environment under any name says so.
        folders[:] = [
            each
            for each in folders
            if each not in _PASSED_OVER and not Path(directory, each, "pyvenv.cfg").exists()
        ]
        links = [each for each in folders if Path(directory, each).is_symlink()]
        for name in (*names, *links):
            yield str(Path(directory, name).relative_to(root))
        if not names and not folders and Path(directory) != root:
            # Tests may write there.
            yield str(Path(directory).relative_to(root))


def _named(root: Path, patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        if pattern.startswith("/"):
            raise UsageProblem(
                f"ship_also {pattern!r} is outside the project",
                remedy="write patterns below the project's root, such as data/*.bin",
            )
        for path in root.glob(pattern):
            name = path.relative_to(root)
            yield str(name)
            if path.is_dir() and not path.is_symlink():
                yield from (str(name / each) for each in _all_files(path))
