"""The campaign that an experiment runs meanwhile, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..ledgers.append_file import unwritable
from ..ledgers.campaigns import campaigns_directory, summarise
from .commits import Commits
from .experiment import Load

# A load that goes on after its campaign has ended is writing reports.
END_SECONDS = 20.0
# Of what it said last, so much is looked through for what it could not do.
TAIL_BYTES = 1 << 14
LONGEST_LINE = 400


class RunningLoad:
    """Started when this is made; `end` it."""

    def __init__(self, load: Load, *, state: Path, commits: Commits, log: Path) -> None:
        self._state = state
        self._commits = commits
        self._log = log
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            file = log.open("ab")
        except OSError as problem:
            raise unwritable(log, problem) from problem
        with file:
            # Loads of former experiments stand before it.
            self._from = file.tell()
            self._process = subprocess.Popen(
                (
                    *(sys.executable, "-m", "proctor", "run", "--state", str(state)),
                    *load.arguments,
                ),
                cwd=load.directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def is_over(self) -> bool:
        """Its own process may have been killed: then whoever resumes the campaign ends it."""
        if self._process.poll() is None:
            return False
        self._commits.look()
        return all(_is_closed(self._state, each) for each in self._commits.campaigns)

    def end(self) -> None:
        """Its process is no more when this returns; what was wrong with it can be asked for."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)

    def problem(self) -> str:
        """Why it began no campaign, in its own words; nothing if it began one."""
        self._commits.look()
        if self._commits.campaigns:
            return ""
        code = self._process.poll()
        how = "it was not over" if code is None else f"exit code {code}"
        return f"the load began no campaign ({how}): {self._last_line() or 'it said nothing'}"

    def _last_line(self) -> str:
        try:
            with self._log.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self._from, size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError as problem:
            return f"what it said cannot be read ({problem})"
        lines = ["".join(filter(str.isprintable, line)).strip() for line in text.splitlines()]
        said = next((line for line in reversed(lines) if line), "")
        return said.removeprefix("proctor: ")[:LONGEST_LINE]


def _is_closed(state: Path, campaign: str) -> bool:
    summary = summarise(campaigns_directory(state) / campaign, now=time.time())
    return summary is not None and summary.ended is not None
