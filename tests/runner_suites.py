"""Writes small suites and runs them as a campaign would: batch after batch until all is told."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proctor.infra.runners.runner import BatchEnd, Message, Order, RunnerSpec, SessionRunner, Work

# Another interpreter, with another pytest, to run the same tests against.
PYTHON = os.environ.get("RUNNER_TEST_PYTHON", sys.executable)
# Long enough for a loaded machine; only what hangs comes near.
PATIENCE_SECONDS = 60.0


def write_suite(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files of a suite and make its folder the root of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def spec_of(folder: Path, *arguments: str, **settings: object) -> RunnerSpec:
    plain = ("-p", "no:cacheprovider", *(arguments or (".",)))
    defaults: dict[str, object] = {"run_id": "run-1", "python": PYTHON}
    return RunnerSpec(arguments=plain, directory=str(folder), **{**defaults, **settings})  # type: ignore[arg-type]


@dataclass
class Told:
    """All that a runner said."""

    messages: list[Message] = field(default_factory=list)
    ends: list[BatchEnd] = field(default_factory=list)

    def all(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["k"] == kind]

    @property
    def done(self) -> dict[str, Message]:
        """Records by the part of the id after the file, for tests with one file."""
        return {message["id"].partition("::")[2]: message for message in self.all("done")}

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: message["outcome"] for name, message in self.done.items()}

    def text(self, name: str, section: str) -> str:
        return "".join(text for title, text in self.done[name]["text"] if title == section)


def collect(runner: SessionRunner, told: Told | None = None) -> list[tuple[str, str]]:
    """The cases and their files, in the order pytest would run them."""
    told = told or Told()
    collected = runner.collect(told.messages.append)
    files = {message["id"]: message["file"] for message in told.all("item")}
    return [(case, files[case]) for case in collected["ids"]]


def run_batch(
    runner: SessionRunner,
    cases: Sequence[tuple[str, str]],
    told: Told,
    *,
    timeout: float | Callable[[str], float] = PATIENCE_SECONDS,
    memory: int | None = None,
    stop: threading.Event | None = None,
    kill: threading.Event | None = None,
    budget: float | None = None,
    finishes: tuple[str, ...] = (),
    ahead: tuple[str, ...] = (),
    beside: tuple[str, ...] = (),
) -> BatchEnd:
    allowed = timeout if callable(timeout) else lambda _: timeout
    order = Order(
        batch=f"batch-{len(told.ends)}",
        work=tuple(
            Work(id=case, group=file, timeout_seconds=allowed(case), memory_limit_bytes=memory)
            for case, file in cases
        ),
        budget_seconds=budget,
        finishes=finishes,
        ahead=ahead,
        beside=beside,
    )
    end = runner.run(order, told.messages.append, stop, kill)
    told.ends.append(end)
    return end


def run_suite(
    folder: Path,
    *arguments: str,
    timeout: float | Callable[[str], float] = PATIENCE_SECONDS,
    memory: int | None = None,
    **settings: object,
) -> Told:
    """Collect in one runner, run in another, and go on until no case is left."""
    told = Told()
    collector = SessionRunner(spec_of(folder, *arguments, **settings))
    runner = SessionRunner(spec_of(folder, *arguments, **settings))
    try:
        left = collect(collector, told)
        collector.close()
        while left:
            end = run_batch(runner, left, told, timeout=timeout, memory=memory)
            assert len(end.left) < len(left), "a batch must make progress"
            left = [case for case in left if case[0] in end.left]
        runner.close(emit=told.messages.append)
    finally:
        collector.close(0)
        runner.close(0)
    return told
