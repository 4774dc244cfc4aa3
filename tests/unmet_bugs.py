"""What bugs do to cases that no worker can run, or none that is there now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from proctor.infra.records import Judgement


def fits_nobody(old: Any) -> Any:
    """Workers that are still to come, or to come back, are forgotten."""
    return lambda needs, worker: False


def leaves_out_at_once(old: Any) -> Any:
    """Others still run, and meanwhile a worker that fits may come."""

    def tell(self: Any, unmet: Any, known: Any) -> None:
        old(self, unmet, known)
        self._leave_out(unmet, known)

    return tell


def leaves_out_in_vain(old: Any) -> Any:
    """It is said of them, and they go on waiting."""
    return lambda self, unmet, known: None


def leaves_out_the_first(old: Any) -> Any:
    """The others of its kind are settled, and nothing is written of them."""

    def leave_out(self: Any, lane: Any) -> Any:
        return old(self, lane)[:1]

    return leave_out


def of_another_case(old: Any) -> Any:
    """The line names a case that has run."""

    def append(self: Any, kind: str, fields: Any) -> None:
        if kind == "case":
            named.append(fields["id"])
        old(self, kind, {**fields, "case": named[0]} if kind == "unmet" else fields)

    named: list[str] = []
    return append


def stays_left_out(old: Any) -> Any:
    """What an earlier writer left out is nobody's any more."""

    def recover(record: Any, **more: Any) -> Any:
        for case in record.left_out:
            record.cases.pop(case, None)
        return old(record, **more)

    return recover


def not_run_counts_for_nothing(old: Any) -> Any:
    def code(counts: Any, **known: Any) -> Any:
        left = {kind: number for kind, number in counts.items() if kind is not Judgement.NOT_RUN}
        return old(left, **known)

    return code


def judged_as(judgement: Judgement) -> Callable[[Any, Any], Any]:
    def change(verdict: Any, attempts: Any) -> Any:
        if verdict.judgement is Judgement.NOT_RUN:
            return replace(verdict, judgement=judgement)
        return verdict

    return change
