"""What bugs in the campaign's loop, the ledger, the judge and recovery do to a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from engine_bugs import ignores, often

from proctor.infra.records import Judgement, Outcome

# The campaign -----------------------------------------------------------------------------------


def forgets_to_write(old: Any) -> Any:
    def record(self: Any, attempt: Any, text: Any = ()) -> Any:
        return attempt if now() else old(self, attempt, text)

    now = often(9)
    return record


def hears_nothing_of(word: str) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        def hear(self: Any, messages: Any) -> None:
            now = often_of(self)
            old(self, [each for each in messages if each["k"] != word or not now()])

        return hear

    return made


def often_of(owner: Any) -> Callable[[], bool]:
    return owner.__dict__.setdefault("_mutant_often", often(7))


def counts_twice(old: Any) -> Any:
    def done(self: Any, message: Any) -> list[Any]:
        commands = old(self, message)
        again = old(self, {**message, "b": f"{message['b']}x"}) if now() else []
        return [*commands, *again]

    now = often(9)
    return done


def swaps_outcome(old: Any) -> Any:
    def done(self: Any, message: Any) -> list[Any]:
        wrong = {**message, "outcome": "passed" if message["outcome"] != "passed" else "failed"}
        return old(self, wrong if now() else message)

    now = often(9)
    return done


def ignores_lost_worker(old: Any) -> Any:
    def lose(self: Any, name: str, incarnation: str, reason: str) -> None:
        facts = self._workers.pop(name, None)
        if facts is not None:
            self._dispatcher.worker_lost(name)

    return lose


def loses_after_joining(old: Any) -> Any:
    """A worker's new life is taken for the one that was lost."""

    def lose(self: Any, name: str, incarnation: str, reason: str) -> None:
        facts = self._workers.get(name)
        old(self, name, facts.incarnation if facts else incarnation, reason)
        if facts is not None:
            self._workers[name] = facts
            self._dispatcher.worker_joined(facts)

    return lose


def blames_losses(old: Any) -> Any:
    def lost(batch: Any, case: Any, **fields: Any) -> Any:
        return replace(old(batch, case, **fields), outcome=Outcome.CRASHED)

    return lost


def loses_as_passed(old: Any) -> Any:
    def lost(batch: Any, case: Any, **fields: Any) -> Any:
        return replace(old(batch, case, **fields), outcome=Outcome.PASSED)

    return lost


def unawaited(old: Any) -> Any:
    """A batch that Dask ends is over, though its records are not here yet."""

    def end(self: Any, ended: Any) -> None:
        if ended.result:
            return
        old(self, replace(ended, failure="over"))

    return end


# The ledger -------------------------------------------------------------------------------------


def accepts_nothing(old: Any) -> Any:
    return lambda directory: dict.fromkeys(old(directory), 0)


def accepts_half(old: Any) -> Any:
    return lambda directory: {epoch: size // 2 for epoch, size in old(directory).items()}


def says_nothing(old: Any) -> Any:
    return lambda directory: {}


def reads_everything(old: Any) -> Any:
    return lambda directory: dict.fromkeys(old(directory))


def reads_newest_only(old: Any) -> Any:
    return lambda directory: {
        epoch: (0 if size is not None else None) for epoch, size in old(directory).items()
    }


def tears_lines(old: Any) -> Any:
    def append(self: Any, kind: str, fields: Any) -> None:
        old(self, kind, fields)
        if kind == "attempt" and now():
            del self._file._buffer[-9:-1]

    now = often(9)
    return append


def skips_kind(kind: str, each: int = 1) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        def append(self: Any, told: str, fields: Any) -> None:
            if told != kind or not now():
                old(self, told, fields)

        now = often(each)
        return append

    return made


def writes_kind_twice(kind: str) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        def append(self: Any, told: str, fields: Any) -> None:
            old(self, told, fields)
            if told == kind and now():
                old(self, told, fields)

        now = often(6)
        return append

    return made


def changes_field(kind: str, field: str, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        def append(self: Any, told: str, fields: Any) -> None:
            if told == kind and field in fields and now():
                fields = {**fields, field: change(fields[field])}
            old(self, told, fields)

        now = often(6)
        return append

    return made


def forgets_buffer(old: Any) -> Any:
    def sync(self: Any) -> None:
        if self._keeps_lines and now():
            cut = self._buffer.rfind(b"\n", 0, len(self._buffer) - 1) + 1
            del self._buffer[cut:]
        old(self)

    now = often(3)
    return sync


# Judging, outbox, recovery ----------------------------------------------------------------------


def judge_with(change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    def made(old: Any) -> Any:
        def judged(case: str, attempts: Any, **known: Any) -> Any:
            return change(old(case, attempts, **known), attempts)

        return judged

    return made


def first_decides(verdict: Any, attempts: Any) -> Any:
    results = [each for each in attempts if each.outcome.is_result]
    if not results:
        return verdict
    return replace(verdict, judgement=Judgement(results[0].outcome.value))


def flaky_passes(verdict: Any, attempts: Any) -> Any:
    if verdict.judgement is Judgement.FLAKY:
        return replace(verdict, judgement=Judgement.PASSED)
    return verdict


def lost_passes(verdict: Any, attempts: Any) -> Any:
    if verdict.judgement in (Judgement.INFRA_LOST, Judgement.NOT_RUN):
        return replace(verdict, judgement=Judgement.PASSED)
    return verdict


def lost_fails(verdict: Any, attempts: Any) -> Any:
    if any(each.outcome is Outcome.INFRA_LOST for each in attempts):
        return replace(verdict, judgement=Judgement.FAILED)
    return verdict


def mute_passes(verdict: Any, attempts: Any) -> Any:
    if verdict.judgement is Judgement.MUTED:
        return replace(verdict, judgement=Judgement.FAILED)
    return verdict


def outbox_every_other(old: Any) -> Any:
    def read(*arguments: Any) -> Iterator[Any]:
        for message in old(*arguments):
            if not now():
                yield message

    now = often(3)
    return read


def keeps_in_vain(old: Any) -> Any:
    return ignores(old)


def recovers_twice(old: Any) -> Any:
    def name(message: Any) -> str:
        return f"{old(message)}{'+' if now() else ''}"

    now = often(2)
    return name


def recovers_as_ours(old: Any) -> Any:
    """What an earlier epoch measured is written down as of this one."""

    def recover(record: Any, *, ledger: Any, cluster: Any, **more: Any) -> Any:
        write = ledger.attempt
        ledger.attempt = lambda attempt, text=(): write(replace(attempt, epoch=ledger.epoch), text)
        try:
            return old(record, ledger=ledger, cluster=cluster, **more)
        finally:
            del ledger.attempt

    return recover


def recovers_unwritten(old: Any) -> Any:
    """What workers kept is taken for done, and not written down."""

    def recover(record: Any, *, ledger: Any, cluster: Any, **more: Any) -> Any:
        ledger.attempt = lambda attempt, text=(): attempt
        try:
            return old(record, ledger=ledger, cluster=cluster, **more)
        finally:
            del ledger.attempt

    return recover


def recovers_nothing(old: Any) -> Any:
    def recover(record: Any, *, ledger: Any, cluster: Any, **more: Any) -> Any:
        cluster.fence(ledger.epoch, 15.0)
        return {}

    return recover


def unfenced(old: Any) -> Any:
    def recover(record: Any, *, ledger: Any, cluster: Any, **more: Any) -> Any:
        cluster.fence = lambda epoch, deadline: None
        try:
            return old(record, ledger=ledger, cluster=cluster, **more)
        finally:
            del cluster.fence

    return recover


def late_is_ignored(old: Any) -> Any:
    return ignores(old)
