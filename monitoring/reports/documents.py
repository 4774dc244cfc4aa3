"""Campaigns, cases and comparisons as JSON documents: what `--json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...infra.ledgers.campaigns import CampaignSummary
from ...infra.records import Attempt, Case, Judgement
from .compare import Comparison
from .digest import Digest
from .explain import Explanation

Document = dict[str, Any]


def summary_document(summary: CampaignSummary) -> Document:
    """A campaign as a list shows it."""
    return {
        "campaign": summary.id,
        # As the other documents have it.
        "name": summary.name or Path(summary.root).name,
        "state": summary.state,
        "started": summary.started,
        "ended": summary.ended,
        "exit_code": summary.exit_code,
        "counts": dict(summary.counts),
        "makespan": summary.makespan,
        "root": summary.root,
        "command": list(summary.command),
        "directory": str(summary.directory),
        "resumed": summary.resumed,
        "reason": summary.reason,
        "problems": list(summary.problems),
        "problem_count": summary.problem_count,
    }


def campaign_document(digest: Digest) -> Document:
    """A campaign without its cases."""
    return {
        "campaign": digest.campaign,
        "name": digest.name,
        "state": digest.state,
        "exit_code": digest.exit_code,
        "root": digest.root,
        "command": list(digest.command),
        "host": digest.host,
        "started": digest.started,
        # Nothing is finished yet, and what has not run waits.
        "finished": None if digest.state == "running" else digest.finished,
        "cases": len(digest.cases),
        "counts": {
            "waiting" if digest.state == "running" and kind == Judgement.NOT_RUN else kind: count
            for kind, count in digest.counts.items()
        },
        "makespan": digest.makespan,
        "lower_bound": digest.lower_bound,
        "ratio": digest.ratio,
        "idle": asdict(digest.idle),
        "predicted_makespan": digest.predicted_makespan,
        "slots": digest.slots,
        "phase": digest.phases[-1][0] if digest.phases else None,
        "resumed": list(digest.resumed),
        "notes": [{"level": level, "text": text} for level, text in digest.notes],
        "problems": list(digest.problems),
        # That -x or --maxfail ended it; empty where they did not.
        "stopped": digest.stopped,
    }


def whole_document(digest: Digest) -> Document:
    """A campaign with the verdict of every case."""
    return {
        **campaign_document(digest),
        "verdicts": [case_document(digest, case) for case in digest.cases],
    }


def case_document(digest: Digest, case: Case) -> Document:
    """The verdict of one case."""
    verdict = digest.verdicts[case.id]
    return {
        "case": case.id,
        "judgement": verdict.judgement.value,
        "attempts": verdict.attempts,
        "message": verdict.message,
        "wall_seconds": verdict.wall_seconds,
    }


def attempt_document(attempt: Attempt) -> Document:
    """One execution of a case."""
    return {
        "id": attempt.id,
        "outcome": attempt.outcome.value,
        "started": attempt.started,
        "finished": attempt.finished,
        "worker": attempt.worker,
        "slot": attempt.slot,
        "batch": attempt.batch,
        "message": attempt.message,
        "usage": asdict(attempt.usage),
        "properties": [list(pair) for pair in attempt.properties],
        "notes": list(attempt.notes),
    }


def logs_document(
    digest: Digest, case: Case, texts: Sequence[tuple[Attempt, Sequence[tuple[str, str]]]]
) -> Document:
    """A case with all that its attempts wrote."""
    return {
        **case_document(digest, case),
        "campaign": digest.campaign,
        "attempts": [
            {
                **attempt_document(attempt),
                "text": [{"section": name, "text": text} for name, text in sections],
            }
            for attempt, sections in texts
        ],
    }


def explanation_document(digest: Digest, explanation: Explanation) -> Document:
    """Why a case ran as it did."""
    return {
        **case_document(digest, explanation.case),
        "campaign": digest.campaign,
        "sentences": list(explanation.sentences),
        "waited_seconds": explanation.waited,
        "waits": [{"what": wait.what, "seconds": wait.seconds} for wait in explanation.waits],
        "attempts": [attempt_document(attempt) for attempt in explanation.attempts],
    }


def comparison_document(comparison: Comparison) -> Document:
    """What changed between two campaigns."""
    return asdict(comparison)
