"""From attempts to the one verdict of each case, and from verdicts to the exit code. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType

from .ledgers.record import CampaignRecord
from .records import Attempt, Case, Judgement, Outcome, Verdict


class ExitCode(IntEnum):
    """What `proctor run` tells the shell: pytest's codes, then our own."""

    OK = 0
    FAILURES = 1
    # Interrupted, or the suite could not be collected.
    INTERRUPTED = 2
    INTERNAL = 3
    USAGE = 4
    NO_TESTS = 5
    INFRASTRUCTURE = 6
    # Only flaky failures, for those who asked to fail on them.
    FLAKY = 7
    # The ledger contradicts itself.
    INVARIANT = 8
    DEADLINE = 9


# These count against the campaign, worst first.
BLAMED = (
    Judgement.CRASHED,
    Judgement.OUT_OF_MEMORY,
    Judgement.TIMED_OUT,
    Judgement.ERROR,
    Judgement.FAILED,
)


def judge(
    case: str, attempts: Sequence[Attempt], *, muted: bool = False, unmet: str = ""
) -> Verdict:
    """The verdict on a case from its attempts, in the order they were recorded.

    Lost and cancelled attempts say nothing of it. The last result decides; a good one after a
    failure makes it flaky. What a muted case did wrong is reported and not counted. `unmet` is why
    no worker could run it, if it was left out last.
    """
    if len(attempts) == 1 and attempts[0].outcome is Outcome.PASSED:
        # Most cases of most campaigns; every report asks for all of them.
        return _verdict(case, attempts[0], Judgement.PASSED, attempts[0].message, executions=1)
    executions = [each for each in attempts if each.outcome is not Outcome.CANCELLED]
    results = [each for each in executions if each.outcome.is_result]
    if executions and not results:
        return Verdict(
            case=case,
            judgement=Judgement.INFRA_LOST,
            attempts=len(executions),
            message=executions[-1].message,
        )
    if not results:
        why = unmet or (attempts[-1].message if attempts else "")
        return Verdict(case=case, judgement=Judgement.NOT_RUN, attempts=0, message=why)
    last = results[-1]
    failures = [each for each in results if each.outcome.is_failure]
    judgement, message = Judgement(last.outcome.value), last.message
    if failures and not last.outcome.is_failure:
        judgement = Judgement.FLAKY
        message = f"passed after it had {_WORDS[failures[-1].outcome]}: {failures[-1].message}"
    if failures and muted:
        judgement = Judgement.MUTED
    return _verdict(case, last, judgement, message, executions=len(executions))


def _verdict(
    case: str, last: Attempt, judgement: Judgement, message: str, *, executions: int
) -> Verdict:
    return Verdict(
        case=case,
        judgement=judgement,
        attempts=executions,
        decided_by=last.id,
        message=message.removesuffix(": "),
        wall_seconds=last.usage.wall_seconds or max(0.0, last.finished - last.started),
    )


_WORDS = {
    Outcome.FAILED: "failed",
    Outcome.ERROR: "ended in an error",
    Outcome.CRASHED: "crashed",
    Outcome.TIMED_OUT: "timed out",
    Outcome.OUT_OF_MEMORY: "run out of memory",
}


def judge_all(
    cases: Iterable[Case],
    attempts: Mapping[str, Sequence[Attempt]],
    muted: Container[str] = frozenset(),
    unmet: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Verdict]:
    """One verdict for each case, in their order."""
    return {
        case.id: judge(
            case.id,
            attempts.get(case.id, ()),
            muted=case.id in muted,
            unmet=unmet.get(case.id, ""),
        )
        for case in cases
    }


def judge_record(record: CampaignRecord) -> dict[str, Verdict]:
    """One verdict for each case of a campaign, by what its ledger says."""
    unmet = record.left_out
    if stopped := record.stopped:
        unmet = {**dict.fromkeys(record.cases, stopped), **unmet}
    return judge_all(record.cases.values(), record.attempts, record.muted, unmet)


def tally(verdicts: Iterable[Verdict]) -> dict[Judgement, int]:
    """How many of each judgement, those that occur."""
    found = Counter(verdict.judgement for verdict in verdicts)
    return {kind: found[kind] for kind in Judgement if found[kind]}


def exit_code(
    counts: Mapping[Judgement, int],
    *,
    fail_on_flaky: bool = False,
    collection_failed: bool = False,
    cancelled: bool = False,
    deadline_passed: bool = False,
    violations: int = 0,
) -> int:
    """The one code for a campaign: what makes the rest unreliable comes first."""
    failures = sum(counts.get(kind, 0) for kind in BLAMED)
    not_run = counts.get(Judgement.NOT_RUN, 0)
    if violations:
        return ExitCode.INVARIANT
    if collection_failed:
        return ExitCode.INTERRUPTED
    if deadline_passed:
        return ExitCode.DEADLINE
    if cancelled:
        return ExitCode.INTERRUPTED
    if failures:
        # Cases that -x or --maxfail left out change nothing.
        return ExitCode.FAILURES
    if counts.get(Judgement.INFRA_LOST, 0) or not_run:
        return ExitCode.INFRASTRUCTURE
    if not sum(counts.values()):
        return ExitCode.NO_TESTS
    if fail_on_flaky and counts.get(Judgement.FLAKY, 0):
        return ExitCode.FLAKY
    return ExitCode.OK


def check_invariants(
    record: CampaignRecord,
    verdicts: Mapping[str, Verdict] | None = None,
    *,
    derived: Mapping[str, Verdict] | None = None,
) -> list[str]:
    """Sentences about what must never be; none for a sound campaign.

    With the verdicts that were told to people, those are checked against the ledger's too; whoever
    has just judged the record hands that on as `derived`.
    """
    if derived is None:
        derived = judge_record(record)
    return [
        *record.contradictions,
        *_orphans(record),
        *_fenced(record),
        *_misjudged(derived, derived if verdicts is None else verdicts),
        *miscounted(record, derived),
    ]


def _orphans(record: CampaignRecord) -> Iterator[str]:
    for case, attempts in record.attempts.items():
        if case not in record.cases:
            yield f"attempt {attempts[0].id} is of {case}, which is no case of this campaign"
        if len({each.id for each in attempts}) < len(attempts):
            yield f"an attempt of {case} is counted twice"
    for case in record.unmet:
        if case not in record.cases and case not in record.vanished:
            yield f"{case} was left out, which is no case of this campaign"


def _fenced(record: CampaignRecord) -> Iterator[str]:
    accepted: dict[int, int] = {}
    for header in record.headers:
        for epoch, size in header.predecessors.items():
            if accepted.setdefault(epoch, size) != size:
                yield f"writers disagree on how much of epoch {epoch} counts"
            if record.bytes_read.get(epoch, 0) > size:
                yield f"lines of epoch {epoch} count though epoch {header.epoch} had fenced them"


def _misjudged(derived: Mapping[str, Verdict], told: Mapping[str, Verdict]) -> Iterator[str]:
    for case, verdict in derived.items():
        if case not in told:
            yield f"{case} has no verdict"
        elif told[case].judgement is not verdict.judgement:
            wrong = told[case].judgement
            yield f"{case} is told to be {wrong}; its attempts say {verdict.judgement}"
    for case in told:
        if case not in derived:
            yield f"there is a verdict on {case}, which is no case of this campaign"


def miscounted(record: CampaignRecord, derived: Mapping[str, Verdict]) -> Iterator[str]:
    """Where the last line and what is left of the others differ: something was lost since."""
    if record.close is None or not record.close.counts:
        return
    written, counted = record.close.counts, tally(derived.values())
    for kind in Judgement:
        if written.get(kind, 0) != counted.get(kind, 0):
            yield (
                f"the last line says {written.get(kind, 0)} {kind}; "
                f"the attempts say {counted.get(kind, 0)}"
            )
