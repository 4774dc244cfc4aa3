"""Campaigns written through the real ledger, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from proctor.infra.judge import exit_code, judge_all, tally
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Attempt, Case

Text = Sequence[tuple[str, str]]


def case_of(name: str, index: int) -> Case:
    return Case(id=name, group=name.partition("::")[0], index=index)


def begin(
    state: Path, campaign: str, *, clock: Callable[[], float], project: str = "p1", name: str = ""
) -> Ledger:
    """Open a campaign's ledger; the caller closes it."""
    return Ledger.open(
        state / "campaigns" / campaign,
        campaign=campaign,
        name=name or f"suite {campaign}",
        root="/project",
        project=project,
        command=("proctor", "run"),
        clock=clock,
    )


def write_cases(ledger: Ledger, names: Sequence[str]) -> dict[str, Case]:
    cases = {name: case_of(name, index) for index, name in enumerate(names)}
    for case in cases.values():
        ledger.case(case)
    return cases


def finish(ledger: Ledger, cases: dict[str, Case], attempts: Sequence[Attempt]) -> int:
    """Write the last word and let go of the ledger."""
    by_case: dict[str, list[Attempt]] = {}
    for each in attempts:
        by_case.setdefault(each.case, []).append(each)
    counts = tally(judge_all(cases.values(), by_case).values())
    code = exit_code(counts)
    ledger.write(
        "close",
        state="completed",
        exit_code=code,
        counts=counts,
        makespan=10.0,
        lower_bound=9.0,
        slots=2,
    )
    ledger.close()
    return code


def write_campaign(
    state: Path,
    campaign: str,
    attempts: Sequence[tuple[Attempt, Text]],
    *,
    clock: Callable[[], float],
    project: str = "p1",
) -> Path:
    """A whole campaign, from its first line to its last; its directory."""
    ledger = begin(state, campaign, clock=clock, project=project)
    ledger.write("phase", phase="run")
    cases = write_cases(ledger, list(dict.fromkeys(each.case for each, _ in attempts)))
    written = [ledger.attempt(each, text) for each, text in attempts]
    finish(ledger, cases, written)
    return ledger.directory
