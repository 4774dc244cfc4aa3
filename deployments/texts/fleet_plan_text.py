"""What `proctor plan` says: the options as a table, the chosen fleet and its certificate.

Or why none was chosen; and one JSON document for programs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from ...infra.resources import misses_told
from ...monitoring.reports.terminal import Terminal, screen
from ...monitoring.reports.wording import cases, span
from .plan_text import no_history

if TYPE_CHECKING:
    from ...flows.campaigns.fleet_planning import PlannedFleet
    from ...infra.planning.bounds import Bound
    from ...infra.planning.mixes import Market
    from ...infra.planning.options import FleetOption, FleetPlanning, Wish

# As for a campaign that ran out of its time.
NOT_POSSIBLE = 9
# As pytest has it.
NO_CASES = 5
# Longer fronts and lists of bounds are read as JSON.
ROWS = 14
BOUNDS = 5


def print_planned(
    planned: PlannedFleet,
    market: Market,
    wish: Wish,
    *,
    priced: bool,
    start: str,
    as_json: bool,
) -> int:
    """Print it; returns the exit code. `start` is the command that has the chosen fleet."""
    unit = "" if priced else " worker-hours"
    planning = planned.planning
    if planning is None:
        print(json.dumps({"cases": 0}) if as_json else "There are no cases to plan for.")
        return NO_CASES
    problem = _problem(planning, market, wish, unit)
    if as_json:
        print(json.dumps(_document(planned, planning, wish, problem, unit) | {"start": start}))
    else:
        _print(planned, planning, wish, unit, start)
    if problem:
        print(f"proctor: {problem}", file=sys.stderr)
        return NOT_POSSIBLE
    return 0


def _problem(planning: FleetPlanning, market: Market, wish: Wish, unit: str) -> str:
    """Why nothing was chosen, with what would have to be asked instead; empty if something was."""
    if planning.chosen is not None or not wish.says_anything:
        return ""
    quickest, cheapest = planning.quickest, planning.cheapest
    if wish.deadline is not None and quickest.makespan > wish.deadline:
        most = fleet_text(market.most())
        if planning.least_seconds > wish.deadline:
            proof = f"no schedule takes less than {span(planning.least_seconds)}"
        else:
            proof = f"{span(planning.least_seconds)} is all that is proven to be needed"
        return (
            f"no fleet was found that ends within {span(wish.deadline)}: even with the most workers"
            f" allowed ({most}) it takes {span(quickest.makespan)}, and {proof};"
            " allow more workers, or a later deadline"
        )
    assert wish.max_cost is not None
    if wish.deadline is None or cheapest.cost > wish.max_cost:
        return (
            f"no fleet was found that costs {wish.max_cost:g} or less: the cheapest,"
            f" {fleet_text(cheapest.counts)}, costs {_cost(cheapest.cost)}{unit}, and none can cost"
            f" less than {_cost(planning.least_cost)}; allow more"
        )
    in_time = min(
        (each for each in planning.front if each.makespan <= wish.deadline),
        key=lambda each: each.cost,
    )
    in_budget = min(
        (each for each in planning.front if each.cost <= wish.max_cost),
        key=lambda each: each.makespan,
    )
    return (
        f"no fleet was found that ends within {span(wish.deadline)} for {wish.max_cost:g}: in time"
        f" it costs {_cost(in_time.cost)} ({fleet_text(in_time.counts)}), and for the money it"
        f" takes {span(in_budget.makespan)} ({fleet_text(in_budget.counts)}); allow more of either"
    )


def fleet_text(counts: Mapping[str, int]) -> str:
    """A fleet as --fleet takes it: "cpu=4,gpu=1"."""
    return ",".join(f"{name}={count}" for name, count in counts.items() if count) or "none"


def _print(
    planned: PlannedFleet, planning: FleetPlanning, wish: Wish, unit: str, start: str
) -> None:
    terminal = screen()
    _say(terminal, f"{cases(planned.cases)}, {span(planned.work_seconds)} of work.")
    guessed = planned.cases - planned.known
    if guessed:
        _say(
            terminal,
            f"{no_history(guessed, planned.cases)}: they are guessed, and so is this plan.",
        )
    for line in misses_told(planned.not_run):
        _say(terminal, f"not run: {line}")
    if planned.advice:
        _say(terminal, f"  {planned.advice}")
    for line in planned.learned:
        _say(terminal, line)
    terminal.print()
    terminal.print(_table(planning, unit))
    terminal.print()
    if planning.chosen is not None:
        _print_chosen(terminal, planning, planning.chosen, wish, unit)
        if start:
            _say(terminal, f"To have it: {start}")
    elif not wish.says_anything:
        _say(terminal, "--deadline or --max-cost has one of them chosen.")
    _say(terminal, "Nothing was run.")


def _table(planning: FleetPlanning, unit: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("fleet")
    table.add_column("time", justify="right")
    table.add_column(f"cost{unit and ' in' + unit}", justify="right")
    table.add_column("by")
    rows = _shown(planning)
    for option in rows:
        chosen = planning.chosen is not None and option.counts == planning.chosen.counts
        table.add_row(
            "*" if chosen else "",
            fleet_text(option.counts),
            span(option.makespan),
            _cost(option.cost),
            "simulation" if option.simulated else "estimate",
        )
    if len(rows) < len(planning.front):
        table.add_row("", f"... and {len(planning.front) - len(rows)} more; --json has all")
    return table


def _shown(planning: FleetPlanning) -> list[FleetOption]:
    """The front thinned out evenly, with its ends and the chosen fleet."""
    front = list(planning.front)
    if planning.chosen is not None and planning.chosen not in front:
        front.append(planning.chosen)
        front.sort(key=lambda each: each.makespan)
    if len(front) <= ROWS:
        return front
    kept = {round(row * (len(front) - 1) / (ROWS - 1)) for row in range(ROWS)}
    return [each for row, each in enumerate(front) if row in kept or each == planning.chosen]


def _print_chosen(
    terminal: Terminal, planning: FleetPlanning, chosen: FleetOption, wish: Wish, unit: str
) -> None:
    certificate = planning.certificate
    assert certificate is not None, "what is chosen is certified"
    _say(
        terminal,
        f"Chosen: {fleet_text(chosen.counts)}, done after {span(chosen.makespan)}"
        f" for {_cost(chosen.cost)}{unit}.",
    )
    best = certificate.bounds[0].seconds
    _say(
        terminal,
        f"On this fleet no schedule takes less than {span(best)}: the plan is"
        f" {_percent(chosen.makespan, best)} over it. What it cannot get below:",
    )
    for bound in _distinct(certificate.bounds)[:BOUNDS]:
        _say(terminal, f"  {span(bound.seconds):>12}  {bound.why}")
    if certificate.least_cost is not None and wish.deadline is not None:
        _say(
            terminal,
            f"No fleet that ends within {span(wish.deadline)} costs less than"
            f" {_cost(certificate.least_cost)}{unit}: this one is"
            f" {_percent(chosen.cost, certificate.least_cost)} over it.",
        )
    if certificate.least_seconds is not None and wish.max_cost is not None:
        _say(
            terminal,
            f"No fleet for {wish.max_cost:g} ends before {span(certificate.least_seconds)}: this"
            f" one is {_percent(chosen.makespan, certificate.least_seconds)} over it.",
        )


def _distinct(bounds: Iterable[Bound]) -> list[Bound]:
    """Of several reasons for the same time the first: where one case fills a slot, all agree."""
    by_text: dict[str, Bound] = {}
    for bound in bounds:
        by_text.setdefault(span(bound.seconds), bound)
    return list(by_text.values())


def _say(terminal: Terminal, text: str) -> None:
    """A line that is not cut where a terminal ends: ids are long, and people copy them."""
    terminal.print(text, soft_wrap=True)


def _document(
    planned: PlannedFleet,
    planning: FleetPlanning,
    wish: Wish,
    problem: str,
    unit: str,
) -> dict[str, object]:
    certificate = planning.certificate
    return {
        "cases": planned.cases,
        "known_durations": planned.known,
        "work_seconds": planned.work_seconds,
        "not_run": [{"case": case, "why": why} for case, why in planned.not_run.items()],
        "deadline_seconds": wish.deadline,
        "max_cost": wish.max_cost,
        "cost_unit": unit.strip() or "as the classes have it",
        "front": [_option(each) for each in planning.front],
        "chosen": None if planning.chosen is None else _option(planning.chosen),
        "certificate": None if certificate is None else asdict(certificate),
        "least_seconds": planning.least_seconds,
        "least_cost": planning.least_cost,
        "problem": problem or None,
    }


def _option(option: FleetOption) -> dict[str, object]:
    return {
        "fleet": dict(option.counts),
        "makespan_seconds": option.makespan,
        "cost": option.cost,
        "simulated": option.simulated,
    }


def _cost(cost: float) -> str:
    return f"{cost:.2f}" if cost >= 1 else f"{cost:.3g}"


def _percent(value: float, bound: float) -> str:
    return f"{max(0.0, value / bound - 1):.1%}" if bound > 0 else "0.0%"
