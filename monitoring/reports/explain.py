"""Why a case ran where and when it did, and what its wait was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ...infra.ledgers.record import SentBatch, Unmet
from ...infra.records import Attempt, Case, Outcome, WorkerFacts
from ...infra.resources import describe, fits, offer
from ...infra.wanted_workers import remedy_for
from .digest import Digest
from .next_steps import workers_of
from .wording import cases, size, span

# Parts of a wait that nobody would notice.
_LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One part of the time between the campaign's start and the case's."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to "why then, why there"."""

    case: Case
    sentences: tuple[str, ...]
    # In order of time; they add up to `waited`.
    waits: tuple[Wait, ...]
    # From the campaign's start to that of the attempt that decided.
    waited: float
    attempts: tuple[Attempt, ...]


def explain(digest: Digest, case: Case, flags: str = "") -> Explanation:
    """Everything the ledger knows of why a case ran as it did.

    `flags` is what a further command needs to find the campaign, such as " --state DIR".
    """
    attempts = digest.attempts.get(case.id, ())
    verdict = digest.verdicts[case.id]
    if not attempts:
        return Explanation(
            case=case,
            sentences=(_never(digest, case), *_wanted(digest, case, flags)),
            waits=(),
            waited=0.0,
            attempts=(),
        )
    last = next((a for a in attempts if a.id == verdict.decided_by), attempts[-1])
    sentences = [_judged(digest, case)]
    sentences.extend(_left_out(digest, each) for each in digest.unmet.get(case.id, ()))
    sentences.extend(_wanted(digest, case, flags))
    sentences.extend(_moves(digest, case, attempts))
    sentences.extend(_told(digest, case, attempt) for attempt in attempts)
    return Explanation(
        case=case,
        sentences=tuple(sentences),
        waits=tuple(_waits(digest, case, attempts, last)),
        waited=max(0.0, last.started - digest.started),
        attempts=attempts,
    )


def _waits(digest: Digest, case: Case, attempts: tuple[Attempt, ...], last: Attempt) -> list[Wait]:
    first = min(attempts, key=lambda attempt: attempt.started)
    sent = _sent(digest, case, first)
    began = digest.started
    dispatched = first.started if sent is None else min(sent.at, first.started)
    # Running may begin while collection goes on, but not before the case was found.
    collected = min(max(began, _runnable_at(digest, began)), dispatched)
    # A fleet that is up for long joins a campaign only once that has reached it.
    reached = min(max(collected, _joined_at(digest, lambda facts: True)), dispatched)
    fitting = _joined_at(digest, lambda facts: fits(case.needs, facts))
    worker_there = min(max(reached, fitting), dispatched)
    before = _ran_before(digest, first)
    queued = min(before, max(0.0, first.started - dispatched))
    waits = [
        Wait(what="collection and planning", seconds=collected - began),
        Wait(what="the first worker to join the campaign", seconds=reached - collected),
        Wait(what="no worker that could run it", seconds=worker_there - reached),
        Wait(what="a free slot", seconds=dispatched - worker_there),
        Wait(what="earlier cases of its batch", seconds=queued),
        Wait(
            what="the runner to start, import and set up",
            seconds=first.started - dispatched - queued,
        ),
    ]
    if last.started > first.started:
        lost = any(a.outcome is Outcome.INFRA_LOST for a in attempts)
        why = "executions that were lost" if lost else "earlier attempts and their queue"
        waits.append(Wait(what=why, seconds=last.started - first.started))
    return [wait for wait in waits if wait.seconds >= _LEAST_SECONDS]


def _never(digest: Digest, case: Case) -> str:
    verdict = digest.verdicts[case.id]
    why = f": {verdict.message}" if verdict.message else ""
    sent = [batch for batch in digest.batches if case.index in batch.cases]
    if sent:
        return (
            f"It was sent to {sent[-1].worker} in batch {sent[-1].id} ({sent[-1].why}), "
            f"but the campaign is {digest.state} and it has no attempt{why}."
        )
    return f"It was never sent to a worker, and the campaign is {digest.state}{why}."


def _wanted(digest: Digest, case: Case, flags: str) -> Iterator[str]:
    """What it asks for and what there was, where no worker had it; and what would do."""
    workers = workers_of(digest)
    if not workers or any(fits(case.needs, each) for each in workers):
        return
    classes = {each.worker_class: each for each in workers}
    offers = "; ".join(f"{name} has {describe(offer(each))}" for name, each in classes.items())
    yield f"It asks for {describe(case.needs)}, and of the classes there were {offers}."
    # The campaign is there: what is proposed goes on with it, as its summary does.
    verb = f"resume {digest.campaign}"
    remedy = remedy_for(digest.mend, [case.needs], workers, flags, verb=verb)
    yield f"{remedy[0].upper()}{remedy[1:]}; or ask for less."


def _left_out(digest: Digest, unmet: Unmet) -> str:
    since = span(max(0.0, unmet.at - digest.started))
    return f"It was left out {since} into the campaign: {unmet.reason}."


def _judged(digest: Digest, case: Case) -> str:
    verdict = digest.verdicts[case.id]
    attempts = f"{verdict.attempts} attempt{'' if verdict.attempts == 1 else 's'}"
    message = f": {verdict.message}" if verdict.message else ""
    return f"Judged {verdict.judgement} after {attempts}{message}."


def _moves(digest: Digest, case: Case, attempts: tuple[Attempt, ...]) -> Iterator[str]:
    """Batches it went out with and came back from unrun: it was taken to where there was room."""
    ran = {(attempt.batch, attempt.epoch) for attempt in attempts}
    sent = [batch for batch in digest.batches if case.index in batch.cases]
    why = {(move.batch, move.epoch): move.why for move in digest.moves if case.index in move.cases}
    for batch, then in pairwise(sent):
        told = why.get((then.id, then.epoch), "")
        if batch.epoch != then.epoch:
            continue
        # A second try beside a straggler goes out while the first still counts.
        if (batch.id, batch.epoch) in ran:
            if told:
                yield (
                    f"While {batch.worker} ran it, it was begun anew on {then.worker} in batch "
                    f"{then.id}: {told}."
                )
            continue
        where = "to another slot of it" if then.worker == batch.worker else f"to {then.worker}"
        yield (
            f"It waited in batch {batch.id} on {batch.worker} for "
            f"{span(max(0.0, then.at - batch.at))} without its turn, "
            f"and moved {where} in batch {then.id}{': ' + told if told else ''}."
        )


def _told(digest: Digest, case: Case, attempt: Attempt) -> str:
    sent = _sent(digest, case, attempt)
    since = span(max(0.0, attempt.started - digest.started))
    usage = attempt.usage
    memory = f", {size(usage.peak_memory_bytes)}" if usage.peak_memory_bytes else ""
    place = f"on {attempt.worker or 'an unknown worker'}, slot {attempt.slot}"
    batch = ""
    if sent is not None:
        batch = (
            f" It came in batch {sent.id} of {cases(len(sent.cases))}: {sent.why or 'no reason'}."
        )
    shared = usage.shared_setup_seconds
    fixtures = f", {span(shared)} of it for fixtures it shares" if shared >= _LEAST_SECONDS else ""
    return (
        f"It ran {place}, {since} into the campaign: {attempt.outcome} in "
        f"{span(usage.wall_seconds)}{fixtures} ({span(usage.cpu_seconds)} of CPU{memory}).{batch}"
    )


def _sent(digest: Digest, case: Case, attempt: Attempt) -> SentBatch | None:
    # Batch ids begin anew in each epoch.
    key = (attempt.batch, attempt.epoch)
    found = (b for b in digest.batches if (b.id, b.epoch) == key and case.index in b.cases)
    return next(found, None)


def _ran_before(digest: Digest, attempt: Attempt) -> float:
    """Seconds that other cases of its batch took before it."""
    if not attempt.batch:
        return 0.0
    return sum(
        other.usage.wall_seconds
        for attempts in digest.attempts.values()
        for other in attempts
        if other.batch == attempt.batch
        and other.epoch == attempt.epoch
        and other.finished <= attempt.started
    )


def _runnable_at(digest: Digest, began: float) -> float:
    run = [at for phase, at in digest.phases if phase == "run"]
    return run[0] if run else began


def _joined_at(digest: Digest, is_meant: Callable[[WorkerFacts], bool]) -> float:
    """When the first such worker joined the campaign."""
    able = (
        news.at
        for news in digest.news
        if news.event == "joined" and news.facts is not None and is_meant(news.facts)
    )
    return min(able, default=0.0)
