"""What a project does once for all its workers, done once: as the controller of pytest-xdist does.

There a first process runs pytest's hooks and no case, and the others are its workers. A conftest.py
that starts a database where the config has no `workerinput` means this process. Every session of a
campaign is a worker to it: nobody would start the database. So where a conftest.py asks, one more
session stands by from before the first of the others until after the last.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..runners.session_problem import SessionProblem
from ..runners.spec import Emit, RunnerSpec

# Whoever writes one of these has something done by workers only, or by all others only.
_ASKS = re.compile(
    r"workerinput|slaveinput|PYTEST_XDIST_WORKER|is_xdist_(?:worker|controller|master)"
    r"|get_xdist_worker_id"
)
_GIVES = re.compile(r"\bdef\s+pytest_configure_node\b")


class Controller:
    """The session that runs no case; it starts at once, beside whoever made it."""

    def __init__(self, spec: RunnerSpec, *, scratch: Path, addopts: Sequence[str] = ()) -> None:
        # Only campaigns that need it pay for the import.
        from ..runners.runner import SessionRunner

        words = (*addopts, *spec.arguments)
        # It measures nothing, and pytest-cov would take away what the others leave.
        without = ("--no-cov",) if any(word.startswith("--cov") for word in words) else ()
        own = replace(spec, worker_id="", files=None, arguments=(*without, *spec.arguments))
        self._runner: Any = SessionRunner(own, scratch=scratch)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proctor-controller")
        self._started = self._thread.submit(self._runner.start)

    def wait(self) -> None:
        """Until its hooks have done what comes first; raises what keeps them from it."""
        try:
            self._started.result()
        except SessionProblem as problem:
            raise problem.kind(problem.message, remedy=problem.remedy) from problem

    def close(self, hear: Emit, *, failed: int, ran: int, interrupted: bool = False) -> bool:
        """Let its hooks undo what they did, and tell them how it went; whether it was there."""
        if not self._started.done():
            self._runner.kill()
        there = self._started.exception() is None and self._runner.alive
        news = {"failed": failed, "ran": ran, "interrupted": interrupted}
        self._runner.close(emit=hear, news=news)
        self._thread.shutdown()
        return there


def read_conftests(root: Path, arguments: Iterable[str]) -> dict[Path, str]:
    """Those that pytest loads at its start, and the modules of the project that they load."""
    texts: dict[Path, str] = {}
    for conftest in _conftests(root, arguments):
        texts[conftest] = _text(conftest)
        for path in _loaded_by(conftest, texts[conftest], root):
            texts.setdefault(path, _text(path))
    return texts


def that_ask(texts: Mapping[Path, str]) -> list[Path]:
    """Those that tell workers of pytest-xdist from others."""
    return [path for path, text in texts.items() if _ASKS.search(text)]


def that_give(texts: Mapping[Path, str]) -> list[Path]:
    """Those that hand data to each worker."""
    return [path for path, text in texts.items() if _GIVES.search(text)]


def is_wanted(texts: Mapping[Path, str]) -> bool:
    """Whether a controller has something to do before any other session."""
    return not that_give(texts) and bool(that_ask(texts))


def _conftests(root: Path, arguments: Iterable[str]) -> list[Path]:
    named = [root / word.partition("::")[0] for word in arguments if word and word[0] != "-"]
    found: dict[Path, None] = {}
    for place in dict.fromkeys([root, *(path for path in named if path.exists())]):
        for folder in (place, *place.parents):
            found[folder / "conftest.py"] = None
            if folder == root or not folder.is_relative_to(root):
                break
        # As pytest does, and one folder deeper, where `testpaths` may point.
        for pattern in ("test*/conftest.py", "*/test*/conftest.py"):
            found.update(dict.fromkeys(sorted(place.glob(pattern))))
    return [path for path in found if path.is_file()]


def _loaded_by(conftest: Path, text: str, root: Path) -> Iterator[Path]:
    """Modules of the project that it names in `pytest_plugins`."""
    for name in _plugins(text):
        for folder in dict.fromkeys((conftest.parent, root)):
            path = folder.joinpath(*name.split("."))
            both = (path.with_suffix(".py"), path / "__init__.py")
            yield from (each for each in both if each.is_file())


def _plugins(text: str) -> Iterator[str]:
    if "pytest_plugins" not in text:
        return
    # What cannot be read is pytest's to complain of.
    with suppress(SyntaxError, ValueError, TypeError):
        for line in ast.parse(text).body:
            if isinstance(line, ast.Assign) and "pytest_plugins" in map(ast.unparse, line.targets):
                named = ast.literal_eval(line.value)
                yield from [named] if isinstance(named, str) else map(str, named)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
