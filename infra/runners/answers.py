"""What a worker answers when an order is over that came to nothing."""

from __future__ import annotations

from ..errors import ProctorError
from .orders import SlotOrder
from .session_problem import SessionProblem


def given_back(order: SlotOrder, reason: str) -> dict[str, object]:
    left = [work.id for work in order.order.work] if order.order else []
    return {"left": left, "reason": reason, "died": False}


def problem_told(problem: ProctorError) -> dict[str, object]:
    kind = problem.kind if isinstance(problem, SessionProblem) else type(problem)
    return {
        "reason": "problem",
        "problem": kind.__name__,
        "message": problem.message,
        "remedy": problem.remedy,
    }
