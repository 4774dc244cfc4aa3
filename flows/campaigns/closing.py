"""The end of a campaign: its verdicts, the last line of its ledger, and what the project learns."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...infra import inventory as inventories
from ...infra import timings as timing_files
from ...infra.engine.collect import Collection
from ...infra.engine.finishes import Finishes
from ...infra.engine.job import Job
from ...infra.errors import (
    PROBLEMS_TOLD,
    BrokenConftest,
    CollectionProblem,
    ProctorError,
    StateUnwritable,
    UsageProblem,
)
from ...infra.inventory import Scope
from ...infra.judge import BLAMED, check_invariants, exit_code, judge_record, tally
from ...infra.ledgers.ledger import Ledger
from ...infra.ledgers.lines import REFUSED, Note
from ...infra.ledgers.record import CampaignRecord, Close, read_campaign
from ...infra.records import Attempt, Judgement, Verdict
from ...infra.simulation.campaign import lower_bound
from ...monitoring.prediction.idle_gpus import remark
from ...monitoring.reports.digest import Digest, digest_of, makespan_of
from .preparation import Prepared

logger = logging.getLogger(__name__)

_NO_RESULT = frozenset({Judgement.NOT_RUN, Judgement.INFRA_LOST})
# Of what is written down: ids may be of any length, files that cannot be collected any number, and
# the last line is looked for at the end of the ledger alone.
_LONGEST_PROBLEM = 500
_LONGEST_REASON = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Conducted:
    """How a campaign ended."""

    campaign_id: str
    directory: Path
    exit_code: int
    counts: Mapping[str, int]
    makespan: float = 0.0
    lower_bound: float = 0.0
    # What the ledger says in the end, and the reports made of it.
    record: CampaignRecord | None = None
    digest: Digest | None = None
    reports: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why the engine came back."""

    problem: ProctorError | None = None
    cancelled_because: str = ""
    deadline_passed: bool = False
    slots: int = 0
    # What sessions made of their exit codes.
    finishes: Finishes = field(default_factory=Finishes)


def close(prepared: Prepared, job: Job, ledger: Ledger, ending: Ending) -> Conducted:
    """Judge what the ledger holds, write its closing line, learn, and publish the reports."""
    # On the way to a campaign nobody waits for what its reports need.
    from ...monitoring.reports.publish import publish_reports

    ledger.write("phase", phase="judge")
    ledger.commit()
    record = read_campaign(prepared.directory)
    verdicts = judge_record(record)
    violations = check_invariants(record, derived=verdicts)
    for sentence in violations:
        ledger.write("note", level="error", text=f"invariant violated: {sentence}")
    if idle := remark(record):
        ledger.write("note", level="warning", text=idle)
        record.notes.append(Note(at=time.time(), level="warning", text=idle))
    counts = tally(verdicts.values())
    attempts = [each for several in record.attempts.values() for each in several]
    makespan, bound = measure(attempts, ending.slots)
    own = _code(prepared, ending, counts, len(violations))
    code, told = ending.finishes.judge(own)
    if told:
        ledger.write("note", level="warning", text=told)
        record.notes.append(Note(at=time.time(), level="warning", text=told))
    refused = _is_refusal(ending.problem, record)
    problems = ending.problem.problems if ending.problem else ()
    reason = ending.problem.message if ending.problem else told if code not in (0, own) else ""
    closed = Close(
        at=time.time(),
        state=REFUSED if refused else _state(ending),
        exit_code=code,
        counts={str(kind): number for kind, number in counts.items()},
        makespan=makespan,
        lower_bound=bound,
        slots=ending.slots,
        # What is not the cases' doing is told wherever the campaign is.
        reason=_shortened(reason, _LONGEST_REASON),
        problems=tuple(_shortened(each, _LONGEST_PROBLEM) for each in problems[:PROBLEMS_TOLD]),
        problem_count=len(problems),
    )
    ledger.write("close", **{name: value for name, value in asdict(closed).items() if name != "at"})
    ledger.close()
    if not refused:
        try:
            learn(job, prepared, record, verdicts)
        except OSError as problem:
            # The ledger is closed, and has all of it: nobody loses reports and exit code for that.
            logger.warning("what was measured is not kept for the next campaign: %s", problem)
    # Said last and not worth reading everything again.
    record.close = closed
    record.state = closed.state
    digest = digest_of(record, verdicts)
    published = publish_reports(
        prepared.directory, junitxml=_junit_path(prepared), record=record, digest=digest
    )
    return Conducted(
        campaign_id=prepared.campaign_id,
        directory=prepared.directory,
        exit_code=code,
        counts={str(kind): number for kind, number in counts.items()},
        makespan=makespan,
        lower_bound=bound,
        record=record,
        digest=digest,
        reports=published.paths,
    )


def measure(attempts: Sequence[Attempt], slots: int) -> tuple[float, float]:
    """The makespan, and the least it could have been: both from what was measured."""
    ran = [attempt for attempt in attempts if attempt.worker]
    if not ran:
        return 0.0, 0.0
    return makespan_of(ran), lower_bound((each.finished - each.started for each in ran), slots)


def learn(
    job: Job, prepared: Prepared, record: CampaignRecord, verdicts: Mapping[str, Verdict]
) -> None:
    """Keep durations, and what failed, for the project's next campaign."""
    if not prepared.settings.history:
        return
    timings = job.timings
    timings.take_in(each for several in record.attempts.values() for each in several)
    shared: defaultdict[str, float] = defaultdict(float)
    for case in record.cases.values():
        for attempt in record.attempts.get(case.id, ()):
            shared[case.group] = max(shared[case.group], attempt.usage.shared_setup_seconds)
    for group, seconds in shared.items():
        timings.take_in_group(
            group, collect_seconds=job.collect_seconds.get(group, 0.0), shared_seconds=seconds
        )
    # What did not run this time keeps its place on the list: it has not passed yet.
    failed = {case for case, verdict in verdicts.items() if verdict.judgement in BLAMED}
    ran = {case for case, verdict in verdicts.items() if verdict.judgement not in _NO_RESULT}
    still = [case for case in timings.last_failed if case not in ran]
    timings.last_failed = tuple(dict.fromkeys((*still, *sorted(failed))))
    timing_files.save(timings, prepared.project)


def keep_inventory(
    prepared: Prepared, collection: Collection, *, hello: Mapping[str, Any], order: Sequence[str]
) -> None:
    """Remember what was collected, in the order pytest settled on."""
    if hello.get("elsewhere"):
        # Packages of another machine cannot be looked at here: it would be taken for fresh.
        return
    if any(case.startswith("../") for case in order):
        # Files outside the root whose cases pytest gives one id: who loads one of them alone knows
        # them by other ids.
        return
    roots = tuple(argument.partition("::")[0] for argument in hello["arguments"])
    if not all((prepared.root / root).exists() for root in roots):
        # Packages named by --pyargs: there is no telling which files they stand in.
        return
    scope = Scope(
        rootdir=hello["rootdir"],
        directory=str(prepared.root),
        arguments=prepared.request.pytest_arguments(),
        roots=roots,
        patterns=tuple(hello["test_patterns"]),
        norecurse=tuple(hello["norecurse"]),
        site=tuple(hello["site"]),
        ini=hello["inifile"] or "",
    )
    cases = [
        replace(collection.as_stated.get(case_id, collection.cases[case_id]), index=index)
        for index, case_id in enumerate(order)
        if case_id in collection.cases
    ]
    try:
        inventories.save(
            inventories.take(scope, cases, collection.skipped_files, collection.deselected),
            inventory_path(prepared),
        )
    except (OSError, StateUnwritable) as problem:
        # A file that is gone by now, or cannot be read: only the next campaign collects once more.
        logger.warning("what was collected is not kept: %s", problem)


def inventory_path(prepared: Prepared) -> Path:
    """Where the inventory of this collection is kept."""
    return inventories.path_for(
        prepared.project,
        python=prepared.python,
        directory=str(prepared.root),
        arguments=prepared.request.pytest_arguments(),
    )


def _code(
    prepared: Prepared, ending: Ending, counts: Mapping[Judgement, int], violations: int
) -> int:
    if isinstance(ending.problem, (UsageProblem, BrokenConftest)):
        return 4
    if ending.problem is not None and not isinstance(ending.problem, CollectionProblem):
        return 6
    return exit_code(
        counts,
        fail_on_flaky=prepared.settings.fail_on_flaky,
        collection_failed=ending.problem is not None,
        cancelled=bool(ending.cancelled_because),
        deadline_passed=ending.deadline_passed,
        violations=violations,
    )


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def _is_refusal(problem: ProctorError | None, record: CampaignRecord) -> bool:
    """Whether nothing ran, for a reason that says nothing of the suite."""
    # A suite that cannot be collected is news of the suite.
    if problem is None or isinstance(problem, CollectionProblem) or record.attempts:
        return False
    # A fleet that failed while it had work says something of the fleet.
    return isinstance(problem, UsageProblem) or not record.batches


def _state(ending: Ending) -> str:
    if ending.problem is not None:
        return "failed"
    return "cancelled" if ending.cancelled_because else "completed"


def _junit_path(prepared: Prepared) -> Path | None:
    asked = prepared.request.junitxml
    return None if asked is None else prepared.root / asked
