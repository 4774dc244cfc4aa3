"""Processes of ours that outlive the one that starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path


def spawn(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, its output appended to a file; its number."""
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = list(_handed_down())
    # posix_spawn refuses to close a number that `ulimit -n` does not allow any more.
    most = os.sysconf("SC_OPEN_MAX")
    beyond = [file for file in inherited if 0 <= most <= file]
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        *((os.POSIX_SPAWN_CLOSE, file) for file in inherited if file not in beyond),
    ]
    # Not subprocess: its object complains when it is forgotten before the process ends.
    with _kept_here(beyond):
        return os.posix_spawn(command[0], list(command), environ, file_actions=files, setsid=True)


def _handed_down() -> Iterator[int]:
    """Files that a shell or a CI runner gave to whoever runs here.

    A process that stays would keep them: a lock of `flock 9` would never be free again, and whoever
    reads the other end of a pipe would wait for an end that does not come.
    """
    for entry in Path("/proc/self/fd").iterdir():
        # The one that listed them is closed by now.
        with contextlib.suppress(OSError):
            if (number := int(entry.name)) > 2 and os.get_inheritable(number):
                yield number


@contextlib.contextmanager
def _kept_here(files: Sequence[int]) -> Generator[None]:
    """Hand them to nobody meanwhile."""
    _set_inheritable(files, False)
    try:
        yield
    finally:
        _set_inheritable(files, True)


def _set_inheritable(files: Sequence[int], inheritable: bool) -> None:
    for file in files:
        # One that was closed meanwhile is handed to nobody either.
        with contextlib.suppress(OSError):
            os.set_inheritable(file, inheritable)
