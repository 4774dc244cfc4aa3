"""Bugs, each put into the engine for as long as a block lasts: the checker has to find them.

They replace methods in memory; no file changes. `equivalent` names what changes nothing that
anyone could see in a campaign's record, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import engine_bugs as bugs
import record_bugs as records
import unmet_bugs as unmet

from proctor.infra import judge
from proctor.infra.dispatching.choosing import ByWork
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.lanes import Lane
from proctor.infra.dispatching.state import WorkerState
from proctor.infra.dispatching.stragglers import Stragglers
from proctor.infra.dispatching.tallies import Tallies
from proctor.infra.engine import executions, recovery, waits
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.executions import Executions
from proctor.infra.engine.outgoing import Outgoing
from proctor.infra.engine.waits import Waits
from proctor.infra.ledgers import ledger
from proctor.infra.ledgers import record as ledger_record
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Judgement
from proctor.infra.runners.outbox import Outbox

# What is replaced: an object, the name of its attribute, and from the old value the new one.
Change = tuple[Any, str, Callable[[Any], Any]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug."""

    name: str
    part: str
    changes: tuple[Change, ...]
    equivalent: str = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        # By vars(): a classmethod is to be put back as one.
        olds = [vars(owner)[name] for owner, name, _ in self.changes]
        try:
            for (owner, name, change), old in zip(self.changes, olds, strict=True):
                setattr(owner, name, change(old))
            yield
        finally:
            for (owner, name, _), old in zip(self.changes, olds, strict=True):
                setattr(owner, name, old)


def _mutant(part: str, name: str, *changes: Change, equivalent: str = "") -> Mutant:
    return Mutant(name, part, changes, equivalent)


JOURNAL = ledger.Journal


def mutants() -> list[Mutant]:
    """All of them; made anew, so that what they count begins at nothing."""
    return [
        # What the queue does with cases.
        _mutant("dispatcher", "cases are forgotten as they come", (Lane, "add", bugs.forgets_some)),
        _mutant(
            "dispatcher", "the first case that comes back is dropped",
            (Lane, "give_back", bugs.drops_what_comes_back),
        ),
        _mutant("dispatcher", "nothing comes back", (Lane, "give_back", bugs.ignores)),
        _mutant(
            "dispatcher", "a case that was taken stays queued", (Lane, "_take", bugs.keeps_what_it_takes)
        ),
        _mutant(
            "dispatcher", "a batch's first case comes back though it is settled",
            (Dispatcher, "_end_flight", bugs.returns_settled),
        ),
        _mutant("dispatcher", "nothing is tried again", (Dispatcher, "_again", bugs.never_again)),
        _mutant("dispatcher", "everything is tried again twice", (Dispatcher, "_again", bugs.again_twice)),
        _mutant("dispatcher", "one retry too many", (Tallies, "judge", bugs.judges(bugs.one_more))),
        _mutant("dispatcher", "no retry", (Tallies, "judge", bugs.judges(bugs.one_less))),
        _mutant("dispatcher", "a loss settles a case", (Tallies, "judge", bugs.judges(bugs.losses_blame))),
        _mutant(
            "dispatcher", "losses have no budget", (Tallies, "judge", bugs.judges(bugs.losses_are_free))
        ),
        _mutant(
            "dispatcher", "a pass does not settle a case",
            (Tallies, "judge", bugs.judges(bugs.passes_run_again)),
            (Dispatcher, "finished", bugs.requeues_passes),
        ),
        # Slots and resources.
        _mutant("dispatcher", "a single slot takes two", (WorkerState, "free_slots", bugs.two_in_a_slot)),
        _mutant("dispatcher", "slots are never taken", (WorkerState, "free_slots", bugs.forgets_taken)),
        _mutant("dispatcher", "a slot more than there are", (WorkerState, "free_slots", bugs.one_slot_more)),
        _mutant("dispatcher", "nothing is reserved", (WorkerState, "reserve", bugs.reserves_nothing)),
        _mutant("dispatcher", "twice as much is released", (WorkerState, "reserve", bugs.releases_double)),
        _mutant("dispatcher", "nothing is released", (WorkerState, "reserve", bugs.never_releases)),
        _mutant(
            "dispatcher", "tags are ignored", (WorkerState, "can_ever", bugs.ignores_need(tags=frozenset()))
        ),
        _mutant(
            "dispatcher", "GPUs are ignored",
            (WorkerState, "can_ever", bugs.ignores_need(gpu=0.0)),
            (WorkerState, "can_now", bugs.ignores_need(gpu=0.0)),
        ),
        _mutant(
            "dispatcher", "cores are ignored",
            (WorkerState, "can_ever", bugs.ignores_need(cpu=0.0)),
            (WorkerState, "can_now", bugs.ignores_need(cpu=0.0)),
        ),
        # Workers that go.
        _mutant("dispatcher", "a lost execution is not told", (Dispatcher, "worker_lost", bugs.loses_quietly)),
        _mutant("dispatcher", "dead workers are sent to", (Dispatcher, "worker_lost", bugs.keeps_dead_worker)),
        _mutant(
            "dispatcher", "the rest of a dead worker's batch is dropped",
            (Dispatcher, "worker_lost", bugs.drops_the_rest),
        ),
        _mutant(
            "dispatcher", "the rest of a dead worker's batch is lost too",
            (Dispatcher, "worker_lost", bugs.blames_the_rest),
        ),
        _mutant("dispatcher", "batches share their names", (Dispatcher, "_next_id", bugs.repeats_ids)),
        _mutant("dispatcher", "it ends with one case open", (Dispatcher, "done", bugs.done_too_soon)),
        _mutant("dispatcher", "one worker is given nothing", (ByWork, "choose", bugs.hoards)),
        _mutant("dispatcher", "lost work waits for the rest", (ByWork, "choose", bugs.long_wait)),
        _mutant("dispatcher", "a resumed campaign knows no past", (Tallies, "of", bugs.forgets_past)),
        _mutant(
            "dispatcher", "a resumed campaign runs nothing twice", (Tallies, "of", bugs.trusts_past)
        ),
        _mutant("dispatcher", "the twin of a settled case runs on", (Stragglers, "others", lambda old: lambda *_: iter(())),
                equivalent="no record tells its result from that of a twin that ended in the same moment; "
                "a case that passes twice has passed, and only time is lost"),
        # The campaign's loop.
        _mutant("campaign", "a batch goes to another worker", (Outgoing, "order", bugs.wrong_worker)),
        _mutant("campaign", "some results are not heard", (Campaign, "_hear", records.hears_nothing_of("done"))),
        _mutant("campaign", "some results are counted twice", (Executions, "done", records.counts_twice)),
        _mutant("campaign", "passes and failures are mixed up", (Executions, "done", records.swaps_outcome)),
        _mutant("campaign", "starts are not heard", (Executions, "started", lambda old: lambda *_: [])),
        _mutant("campaign", "a lost worker is not written down", (Campaign, "_lose_worker", records.ignores_lost_worker)),
        _mutant("campaign", "a lost worker stays listed", (Campaign, "_lose_worker", records.loses_after_joining)),
        _mutant("campaign", "losses are blamed on cases", (executions, "lost_attempt", records.blames_losses)),
        _mutant("campaign", "losses count as passed", (executions, "lost_attempt", records.loses_as_passed)),
        _mutant("campaign", "silence is never noticed", (Waits, "look_for_silence", bugs.ignores)),
        # The ledger.
        _mutant("ledger", "some attempts are not written", (Ledger, "attempt", records.forgets_to_write)),
        _mutant("ledger", "attempt lines are spoilt", (JOURNAL, "append", records.tears_lines)),
        _mutant("ledger", "a line is lost at each third commit", (ledger.AppendFile, "sync", records.forgets_buffer)),
        _mutant("ledger", "batches are not written", (JOURNAL, "append", records.skips_kind("batch", 5))),
        _mutant("ledger", "cases are not written", (JOURNAL, "append", records.skips_kind("case", 13))),
        _mutant("ledger", "workers are not written", (JOURNAL, "append", records.skips_kind("worker", 2))),
        _mutant("ledger", "mutes are not written", (JOURNAL, "append", records.skips_kind("muted"))),
        _mutant("ledger", "the wrong epoch is written", (JOURNAL, "append", records.changes_field("attempt", "epoch", lambda epoch: epoch + 1))),
        _mutant("ledger", "the wrong slot is written", (JOURNAL, "append", records.changes_field("attempt", "slot", lambda slot: slot + 1))),
        _mutant("ledger", "the wrong incarnation is written", (JOURNAL, "append", records.changes_field("attempt", "incarnation", lambda life: f"{life}-0"))),
        _mutant("ledger", "a batch names a case less", (JOURNAL, "append", records.changes_field("batch", "cases", lambda cases: cases[1:]))),
        _mutant("ledger", "attempt lines are written twice", (JOURNAL, "append", records.writes_kind_twice("attempt")),
                equivalent="a line that says the same of the same execution counts once, by design"),
        _mutant("ledger", "a writer accepts nothing of the one before", (ledger, "_accept", records.accepts_nothing)),
        _mutant("ledger", "a writer accepts half of the one before", (ledger, "_accept", records.accepts_half)),
        _mutant("ledger", "a writer does not say what it accepted", (ledger, "_accept", records.says_nothing)),
        _mutant("ledger", "fenced lines are read", (ledger_record, "accepted_bytes", records.reads_everything)),
        _mutant("ledger", "only the newest epoch is read", (ledger_record, "accepted_bytes", records.reads_newest_only)),
        # The judge.
        _mutant("judge", "the first result decides", (judge, "judge", records.judge_with(records.first_decides))),
        _mutant("judge", "flaky is passed", (judge, "judge", records.judge_with(records.flaky_passes))),
        _mutant("judge", "lost is passed", (judge, "judge", records.judge_with(records.lost_passes))),
        _mutant("judge", "lost is failed", (judge, "judge", records.judge_with(records.lost_fails))),
        _mutant("judge", "mutes are ignored", (judge, "judge", records.judge_with(records.mute_passes))),
        _mutant("judge", "one case is left out", (judge, "judge_all", lambda old: lambda *a, **k: dict(list(old(*a, **k).items())[1:]))),
        _mutant("judge", "the exit code is always good", (judge, "exit_code", lambda old: lambda *a, **k: 0)),
        # What workers keep, and what is made of it.
        _mutant("outbox", "nothing is kept", (Outbox, "keep", records.keeps_in_vain),
                equivalent="what was not committed runs again: slower, and nothing is lost or "
                "counted twice"),
        _mutant("outbox", "a third is not read", (recovery, "read_outbox", records.outbox_every_other),
                equivalent="as above: those cases run again"),
        _mutant("recovery", "known results are written again", (recovery, "attempt_id", records.recovers_twice)),
        _mutant("recovery", "results are written as this epoch's", (recovery, "recover", records.recovers_as_ours)),
        _mutant("recovery", "results are believed and not written", (recovery, "recover", records.recovers_unwritten)),
        _mutant("recovery", "everything runs again", (recovery, "recover", records.recovers_nothing)),
        _mutant("recovery", "old batches run on", (recovery, "recover", records.unfenced)),
        _mutant("campaign", "late failures are dropped", (Ledger, "amend", records.late_is_ignored)),
        # What nobody can run.
        _mutant("needs", "workers that are away are forgotten", (waits, "fits", unmet.fits_nobody)),
        _mutant("needs", "what nobody meets is left out at once", (Waits, "_tell_unmet", unmet.leaves_out_at_once)),
        _mutant("needs", "what nobody meets waits for ever", (Waits, "_leave_out", unmet.leaves_out_in_vain)),
        _mutant("needs", "one of those left out stands for all", (Dispatcher, "leave_out", unmet.leaves_out_the_first)),
        _mutant("needs", "what is left out is not written", (JOURNAL, "append", records.skips_kind("unmet"))),
        _mutant("needs", "what is left out has another's name", (JOURNAL, "append", unmet.of_another_case)),
        _mutant("needs", "what was left out stays so", (recovery, "recover", unmet.stays_left_out)),
        _mutant("needs", "what was not run is no matter", (judge, "exit_code", unmet.not_run_counts_for_nothing)),
        _mutant("needs", "what was not run is passed", (judge, "judge", records.judge_with(unmet.judged_as(Judgement.PASSED)))),
        _mutant("needs", "what was not run is failed", (judge, "judge", records.judge_with(unmet.judged_as(Judgement.FAILED)))),
    ]  # fmt: skip
