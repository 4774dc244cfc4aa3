"""What scaling decisions turned out to be worth: pure sums over what later passes see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..ledgers.journal import Line
from .policy import Crew
from .state import OpenDecision

# A decision is watched for so long at most.
WATCH_SECONDS = 300.0
# A shrunk class that grows again within this should not have shrunk.
REGRET_SECONDS = 60.0
# Between two looks further apart than this nobody knows what happened.
LONGEST_GAP_SECONDS = 10.0
# Of the time added workers had, the share spent on cases that makes a decision good, or fair.
GOOD_SHARE = 0.5
FAIR_SHARE = 0.1


def watch(decision: OpenDecision, crew: Crew, now: float) -> OpenDecision:
    """Sum up what the workers by which the sizes differ did since the last look."""
    seconds = min(max(0.0, now - decision.seen_at), LONGEST_GAP_SECONDS)
    there = crew.running + len(crew.starting)
    if decision.after > decision.before:
        extra = decision.after - decision.before
        running = _between(crew.running - decision.before, extra)
        busy = min(running, _between(crew.busy - decision.before, extra))
        starting = min(len(crew.starting), extra - running)
        reached = crew.running >= decision.after
        return replace(
            decision,
            seen_at=now,
            reached_at=_first(decision.reached_at, now if reached else None),
            busy_seconds=decision.busy_seconds + busy * seconds,
            idle_seconds=decision.idle_seconds + (running - busy) * seconds,
            starting_seconds=decision.starting_seconds + starting * seconds,
        )
    gone = _between(decision.before - there, decision.before - decision.after)
    return replace(
        decision,
        seen_at=now,
        reached_at=_first(decision.reached_at, now if there <= decision.after else None),
        idle_seconds=decision.idle_seconds + gone * seconds,
    )


def grade(decision: OpenDecision, counts: Mapping[str, int], now: float) -> Line | None:
    """Its grade, once it can be told: when the size has turned, or after a while."""
    count = counts.get(decision.worker_class, 0)
    age = now - decision.at
    grew = decision.after > decision.before
    turned = count < decision.after if grew else count > decision.after
    if not turned and age < WATCH_SECONDS:
        return None
    word, text, cost = _of_growing(decision) if grew else _of_shrinking(decision, turned, age)
    effect = None if decision.reached_at is None else round(decision.reached_at - decision.at, 3)
    return {
        "k": "grade",
        "t": now,
        "decision": decision.id,
        "grade": word,
        "effect_seconds": effect,
        "cost_seconds": round(cost, 3),
        "text": text,
    }


def _of_growing(decision: OpenDecision) -> tuple[str, str, float]:
    extra = decision.after - decision.before
    wasted = decision.idle_seconds + decision.starting_seconds
    did = (
        f"they ran cases for {decision.busy_seconds:.0f} s, idled for {decision.idle_seconds:.0f} s"
        f" and started for {decision.starting_seconds:.0f} s"
    )
    if decision.reached_at is None and not decision.busy_seconds:
        return "missed", f"the {extra} more were never there in time; {did}", wasted
    share = decision.busy_seconds / max(1e-9, decision.busy_seconds + wasted)
    word = "good" if share >= GOOD_SHARE else "fair" if share >= FAIR_SHARE else "wasted"
    return word, f"{extra} more: {did}", wasted


def _of_shrinking(decision: OpenDecision, turned: bool, age: float) -> tuple[str, str, float]:
    saved = decision.idle_seconds
    if turned and age < REGRET_SECONDS:
        return "regretted", f"more were needed again after {age:.0f} s", -saved
    fewer = decision.before - decision.after
    return "good", f"{fewer} fewer saved {saved:.0f} worker seconds", -saved


def _between(value: int, most: int) -> int:
    return max(0, min(value, most))


def _first(known: float | None, now: float | None) -> float | None:
    return now if known is None else known
