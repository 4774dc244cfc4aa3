"""What a campaign came to: its verdicts, and what stands out among them.

Every report and every question is answered from a `Digest`, so that all of them say the same.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...infra.judge import BLAMED, ExitCode, judge, judge_record, miscounted
from ...infra.ledgers.lines import CANCELLED, LACKING, STOPPED, Note
from ...infra.ledgers.record import (
    CampaignRecord,
    MovedCases,
    SentBatch,
    Unmet,
    WorkerEvent,
)
from ...infra.records import Attempt, Case, Judgement, Outcome, Verdict
from ...infra.simulation.campaign import lower_bound
from ...infra.wanted_workers import Mend
from .idle_time import IdleTime, idle_time
from .selection import Selection, selection_of
from .wording import ORDER, one_line

# Sections of an attempt's text: (name, text), such as ("traceback", "...").
ReadOutput = Callable[[Attempt], Sequence[tuple[str, str]]]

# What a campaign says that its record no longer tells of all it ended with.
DAMAGED = "the record is damaged"
# How a runner's session begins the note of a warning.
WARNED = "warning: "
# Numbers and addresses differ between failures that have one cause.
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A campaign, judged."""

    campaign: str
    name: str
    state: str
    root: str
    project: str
    command: tuple[str, ...]
    host: str
    started: float
    # When its last attempt or its close was written.
    finished: float
    exit_code: int | None
    makespan: float
    lower_bound: float
    predicted_makespan: float | None
    slots: int
    cases: tuple[Case, ...]
    attempts: Mapping[str, tuple[Attempt, ...]]
    verdicts: Mapping[str, Verdict]
    counts: Mapping[str, int]
    phases: tuple[tuple[str, float], ...]
    batches: tuple[SentBatch, ...]
    news: tuple[WorkerEvent, ...]
    notes: tuple[tuple[str, str], ...]
    # Lines of the journal that could not be read.
    problems: tuple[str, ...] = ()
    # How it was continued, once for each time: "by itself" or "by hand".
    resumed: tuple[str, ...] = ()
    moves: tuple[MovedCases, ...] = ()
    # By case, each time that no worker had what it needs.
    unmet: Mapping[str, Sequence[Unmet]] = field(default_factory=dict[str, Sequence[Unmet]])
    # Why it was refused or failed as a whole, in a sentence, if it was.
    reason: str = ""
    # That -x or --maxfail ended it, in a sentence, if they did.
    stopped: str = ""
    # What of its suite it was asked for.
    selection: Selection = field(default_factory=Selection)
    # How its fleet gets other workers.
    mend: Mend = Mend.EITHER
    # What `proctor run` is given to run such a campaign again, but not which cases.
    again: tuple[str, ...] = ()
    # What pytest was given, and where to look for the cases if that needs it.
    for_pytest: tuple[str, ...] = ()

    @property
    def idle(self) -> IdleTime:
        """When its slots ran no case, between its first and its last."""
        ran = (each for several in self.attempts.values() for each in several)
        return idle_time(ran, self.slots)

    @property
    def ratio(self) -> float | None:
        """Makespan over lower bound; 1 is perfect."""
        return self.makespan / self.lower_bound if self.lower_bound > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Cases that failed in the same way."""

    judgement: Judgement
    message: str
    cases: tuple[Case, ...]


def digest_of(record: CampaignRecord, verdicts: Mapping[str, Verdict] | None = None) -> Digest:
    """Judge what the ledger says, unless that was done; measure what its last word leaves out."""
    if verdicts is None:
        verdicts = judge_record(record)
    close, plan, header = record.close, record.plan, record.header
    lost = tuple(miscounted(record, verdicts))
    # Files that could not be collected are no cases, but every report names them as errors.
    last = len(record.cases)
    broken = [
        Case(id=file, group=file, index=last + place)
        for place, file in enumerate(record.broken)
        if file not in record.cases
    ]
    verdicts = {
        **verdicts,
        **{case.id: judge(case.id, [record.broken[case.id]]) for case in broken},
    }
    attempts = {case: tuple(attempts) for case, attempts in record.attempts.items()}
    attempts.update((case.id, (record.broken[case.id],)) for case in broken)
    ran = [each for several in record.attempts.values() for each in several if each.worker]
    slots = (close and close.slots) or (plan and plan.slots) or _slots_seen(ran)
    finished = close.at if close else record.last
    return Digest(
        campaign=header.campaign,
        name=header.name or Path(header.root).name,
        state=record.state,
        root=header.root,
        project=header.project,
        command=header.command,
        host=header.host,
        started=record.started,
        finished=finished,
        exit_code=ExitCode.INVARIANT.value if lost else record.exit_code,
        makespan=close.makespan if close else makespan_of(ran),
        lower_bound=close.lower_bound
        if close
        else lower_bound((each.finished - each.started for each in ran), slots),
        predicted_makespan=plan.predicted_makespan if plan else None,
        slots=slots,
        cases=(*record.cases.values(), *broken),
        attempts=attempts,
        verdicts=verdicts,
        counts=count(verdicts.values()),
        phases=tuple(record.phases),
        batches=tuple(record.batches),
        moves=tuple(record.moves),
        unmet=record.unmet,
        selection=selection_of(record),
        reason=f"{DAMAGED}: {lost[0]}" if lost else close.reason if close else "",
        stopped=record.stopped,
        mend=_mend(header.settings.get("fleet")),
        again=tuple(_again(header.settings.get("request", {}))),
        for_pytest=_for_pytest(header.settings.get("request", {})),
        news=tuple(record.workers),
        notes=tuple((note.level, note.text) for note in record.notes if not _is_past(note, record)),
        problems=(*(str(problem) for problem in record.problems), *record.contradictions, *lost),
        resumed=tuple(each.settings.get("resumed") or "by hand" for each in record.headers[1:]),
    )


def with_judgement(digest: Digest, *judgements: Judgement) -> list[Case]:
    """Cases of these judgements, in collection order."""
    return [case for case in digest.cases if digest.verdicts[case.id].judgement in judgements]


def failure_groups(digest: Digest) -> list[FailureGroup]:
    """What failed, worst kind first, then the message that most cases share."""
    groups: dict[tuple[Judgement, str], list[Case]] = {}
    for case in with_judgement(digest, *BLAMED):
        verdict = digest.verdicts[case.id]
        key = (verdict.judgement, _VARYING.sub("#", one_line(verdict.message)))
        groups.setdefault(key, []).append(case)
    return [
        FailureGroup(
            judgement=judgement,
            message=one_line(digest.verdicts[cases[0].id].message),
            cases=tuple(cases),
        )
        for (judgement, _), cases in sorted(
            groups.items(), key=lambda group: (ORDER.index(group[0][0]), -len(group[1]))
        )
    ]


def slowest(digest: Digest, count: int) -> list[tuple[Case, Verdict]]:
    """The cases that took longest."""
    pairs = ((case, digest.verdicts[case.id]) for case in digest.cases)
    return heapq.nlargest(count, pairs, key=lambda pair: pair[1].wall_seconds)


def decisive(digest: Digest, case: str) -> Attempt | None:
    """The attempt that decided about a case, or else its last one."""
    attempts = digest.attempts.get(case, ())
    wanted = digest.verdicts[case].decided_by
    chosen = next((attempt for attempt in attempts if attempt.id == wanted), None)
    return chosen or (attempts[-1] if attempts else None)


def losses(digest: Digest) -> list[Attempt]:
    """Executions that the infrastructure lost, in order of time."""
    lost = (
        attempt
        for attempts in digest.attempts.values()
        for attempt in attempts
        if attempt.outcome is Outcome.INFRA_LOST
    )
    return sorted(lost, key=lambda attempt: attempt.finished)


def warnings_of(digest: Digest) -> list[str]:
    """What Python warned of, each place once, in the order of the cases that met it."""
    notes = [text for _, text in digest.notes]
    for case in digest.cases:
        for attempt in digest.attempts.get(case.id, ()):
            notes.extend(attempt.notes)
    found = (note.removeprefix(WARNED) for note in notes if note.startswith(WARNED))
    return list(dict.fromkeys(found))


def makespan_of(attempts: Iterable[Attempt]) -> float:
    """From the first start to the last end; a pause between a campaign's writers is no part of it.

    Only what ran on a worker counts.
    """
    spans: dict[int, tuple[float, float]] = {}
    for each in attempts:
        if each.worker:
            began, ended = spans.get(each.epoch, (each.started, each.finished))
            spans[each.epoch] = (min(began, each.started), max(ended, each.finished))
    return sum(ended - began for began, ended in spans.values())


def count(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many verdicts of each judgement, worst first, those that occur."""
    found = Counter(verdict.judgement for verdict in verdicts)
    return {kind.value: found[kind] for kind in ORDER if found[kind]}


def _mend(told: object) -> Mend:
    """Other versions may not say it, or have another word."""
    return next((each for each in Mend if each == told), Mend.EITHER)


def _again(request: Mapping[str, Any]) -> Iterator[str]:
    """From where, with what and which tasks: as it was typed then."""
    flags: Mapping[str, object] = request.get("flags", {})
    where = request.get("directory")
    given = {"directory": None if where == "." else where}
    given |= {name: flags.get(name) for name in ("python", "fleet", "certs")}
    for name, value in given.items():
        if value:
            yield from (f"--{name}", str(value))
    for each in request.get("fleet_classes", ()):
        yield from ("--fleet-class", each)
    if request.get("tasks"):
        yield from ("--tasks", request["tasks"])


def _for_pytest(request: Mapping[str, Any]) -> tuple[str, ...]:
    """What followed `--`: without --pyargs or --doctest-modules no case may be found again."""
    given = tuple(request.get("pytest_args", ()))
    return (*given, *request.get("paths", ())) if given else ()


def _is_past(note: Note, record: CampaignRecord) -> bool:
    """Whether it tells why an earlier writer ended, or what its fleet lacked: others came since."""
    ends = note.level == "error" or note.text.startswith((CANCELLED, STOPPED, LACKING))
    return ends and note.at < record.header.at


def _slots_seen(ran: Iterable[Attempt]) -> int:
    return len({(each.worker, each.slot) for each in ran})
