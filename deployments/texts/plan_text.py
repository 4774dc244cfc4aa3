"""`proctor run --plan`: a plan for people, or as one JSON document."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice

from rich.table import Table

from ...flows.campaigns.rehearsal import Rehearsal
from ...infra.predictions import Calibration
from ...infra.resources import MOST_REASONS, misses_told
from ...infra.simulation.campaign import Placement
from ...monitoring.reports.terminal import screen
from ...monitoring.reports.wording import cases as of_cases
from ...monitoring.reports.wording import counted, number, printable, span

# Longer plans are read as JSON.
ROWS_PER_SLOT = 12


def print_plan(plan: Rehearsal, *, as_json: bool) -> int:
    """Print the plan; the exit code is pytest's for an empty suite."""
    if as_json:
        print(json.dumps(_document(plan)))
    else:
        _print(plan)
    return 0 if plan.cases else 5


def _document(plan: Rehearsal) -> dict[str, object]:
    return {
        "cases": len(plan.cases),
        "known_durations": plan.known,
        "slots": plan.slots,
        "predicted_makespan_seconds": plan.makespan,
        "lower_bound_seconds": plan.lower_bound,
        "learned_needs": list(plan.learned),
        "widened": plan.widened,
        "not_run": [{"case": case, "why": why} for case, why in plan.not_run.items()],
        "not_found": [{"case": case, "why": why} for case, why in plan.not_found.items()],
        "calibration": asdict(plan.calibration) if plan.calibration.runs else None,
        "placements": [
            {
                "case": placed.case.id,
                "worker": placed.worker,
                "slot": placed.slot,
                "start_seconds": placed.started,
                "end_seconds": placed.finished,
                "why": placed.why,
            }
            for placed in plan.placements
        ],
    }


def _print(plan: Rehearsal) -> None:
    terminal = screen()
    by_slot: defaultdict[tuple[str, int], list[Placement]] = defaultdict(list)
    for placed in plan.placements:
        by_slot[placed.worker, placed.slot].append(placed)
    for (worker, slot), placements in sorted(by_slot.items()):
        table = Table(box=None, pad_edge=False, title=f"{worker} slot {slot}", title_justify="left")
        for heading in ("from", "to", "cases", "what", "why"):
            table.add_column(heading, justify="right" if heading in {"from", "to"} else "left")
        runs = _runs(placements)
        for run in runs[:ROWS_PER_SLOT]:
            table.add_row(
                f"{run[0].started:.1f} s",
                f"{run[-1].finished:.1f} s",
                str(len(run)),
                run[0].case.group if len(run) > 1 else run[0].case.id,
                run[0].why,
            )
        terminal.print(table)
        if len(runs) > ROWS_PER_SLOT:
            terminal.print(f"... and {len(runs) - ROWS_PER_SLOT} more; --json has all")
        terminal.print()
    guessed = len(plan.cases) - plan.known
    if plan.cases:
        terminal.print(
            f"{of_cases(len(plan.cases))} on {counted(plan.slots, 'slot')}: about "
            f"{span(plan.makespan)}, and no schedule takes less than {span(plan.lower_bound)}."
        )
    else:
        terminal.print(plan.nothing, soft_wrap=True)
    if guessed:
        terminal.print(no_history(guessed, len(plan.cases)) + ": they are guessed.")
    for line in misses_told(plan.not_run):
        terminal.print(printable(f"not run: {line}"), soft_wrap=True)
    for line in _errors_to_come(plan.not_found):
        terminal.print(printable(line), soft_wrap=True)
    for line in plan.learned:
        terminal.print(printable(line))
    if plan.widened:
        terminal.print(plan.widened, soft_wrap=True)
    if plan.calibration.runs:
        terminal.print(calibrated(plan.calibration))
    terminal.print("Nothing was run.")


def _errors_to_come(not_found: Mapping[str, str]) -> Iterator[str]:
    """A line for all that lack the same."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for case, why in not_found.items():
        ids[why].append(case)
    for why, who in islice(ids.items(), MOST_REASONS):
        named = ", ".join((*who[:2], *(["..."] if len(who) > 2 else [])))
        yield f"would be {'an error' if len(who) == 1 else 'errors'}: {named}: {why}"
    if len(ids) > MOST_REASONS:
        yield f"... and {len(ids) - MOST_REASONS} programs more; --json has all"


def no_history(guessed: int, cases: int) -> str:
    """Of how many cases nothing is known."""
    some = f"{number(guessed)} of them have no" if guessed < cases else "None of them has a"
    return f"{some} duration yet"


def calibrated(so_far: Calibration) -> str:
    """How well predictions did, for people."""
    return (
        f"Predictions so far: half of {number(so_far.runs)} runs over 0.1 s were foreseen within "
        f"{so_far.error:.0%} (by the last value {so_far.last_value_error:.0%}, by the median "
        f"{so_far.median_error:.0%}), {so_far.coverage:.0%} within the 90 % interval."
        + (
            f" With the campaign's own pace, known from its first cases: within "
            f"{so_far.paced_error:.0%}."
            if so_far.paced_error
            else ""
        )
    )


def _runs(placements: list[Placement]) -> list[list[Placement]]:
    """Neighbours of one file and one reason as one row."""
    runs: list[list[Placement]] = []
    for placed in placements:
        if runs and (runs[-1][-1].case.group, runs[-1][-1].why) == (placed.case.group, placed.why):
            runs[-1].append(placed)
        else:
            runs.append([placed])
    return runs
