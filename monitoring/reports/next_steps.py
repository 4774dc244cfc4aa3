"""What to type after a campaign: commands that work for that run, with its state and its fleet."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...infra.judge import ExitCode
from ...infra.records import Case, Judgement, Requirements, WorkerFacts
from ...infra.runners.capabilities import find_gpus
from ...infra.runners.memory_room import memory_there
from ...infra.wanted_workers import Mend, class_flags, fleet_flags
from .digest import Digest, failure_groups
from .wording import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, and what it is for."""

    command: str
    purpose: str


def next_steps(digest: Digest, flags: str = "") -> Iterator[Step]:
    """The few that help most; `flags` is what finds the campaign, such as " --state DIR"."""
    steps = [*_after_failures(digest, flags), *_to_go_on(digest, flags)]
    if not steps and digest.cases:
        show = f"proctor show {digest.campaign}{flags}"
        steps.append(Step(command=show, purpose="this summary again"))
    yield from steps


def logs_command(case: str) -> str:
    """What to type to see all of a case."""
    return f"proctor logs {shlex.quote(printable(case))}"


def left_out(digest: Digest) -> list[Case]:
    """The cases for which the fleet had no worker, and that have not run since."""
    return [
        case
        for case in digest.cases
        if case.id in digest.unmet and digest.verdicts[case.id].judgement is Judgement.NOT_RUN
    ]


def _after_failures(digest: Digest, flags: str) -> Iterator[Step]:
    bad = [case for group in failure_groups(digest)[:1] for case in group.cases[:1]]
    if bad:
        yield Step(command=logs_command(bad[0].id) + flags, purpose="all of its output")
    # A file that could not be collected has no cases to run again.
    if any(attempt.worker for case in bad for attempt in digest.attempts.get(case.id, ())):
        again = _words(digest.again)
        rest = _words(("--", *digest.for_pytest)) if digest.for_pytest else ""
        yield Step(command=f"proctor run{again} --lf{flags}{rest}", purpose="only what failed")


def _words(given: Iterable[str]) -> str:
    return "".join(f" {shlex.quote(word)}" for word in given)


def _to_go_on(digest: Digest, flags: str) -> Iterator[Step]:
    resume = f"proctor resume {digest.campaign}"
    if unmet := left_out(digest):
        yield from _with_workers(digest, unmet, resume, flags)
        return
    gave_up = digest.state == "failed" and digest.exit_code == ExitCode.INFRASTRUCTURE
    if gave_up or digest.state in {"interrupted", "cancelled"}:
        yield Step(command=resume + flags, purpose="run what has no result yet")
    elif digest.stopped:
        yield Step(command=resume + flags, purpose="run what was not run, to its end")


def _with_workers(digest: Digest, unmet: list[Case], resume: str, flags: str) -> Iterator[Step]:
    """Such workers as this machine can have; what the others need is explained.

    Where nobody knows who would add them, all of it is.
    """
    there = workers_of(digest)
    here = [needs for needs in dict.fromkeys(case.needs for case in unmet) if _is_here(needs)]
    elsewhere = [case for case in unmet if case.needs not in here]
    steps: list[Step] = []
    if digest.mend is Mend.OWN and there and here:
        command = f"{resume} {fleet_flags(here, there)}{flags}"
        steps.append(Step(command=command, purpose="what was not run, with workers for it"))
    elif digest.mend is Mend.KEPT and here:
        command = f"proctor up {class_flags(here, there)}{flags}"
        steps.append(Step(command=command, purpose="adds such workers"))
        steps.append(Step(command=resume + flags, purpose="what was not run"))
    yield from steps
    if elsewhere or not steps:
        case = shlex.quote(printable((elsewhere or unmet)[0].id))
        explain = f"proctor explain {case} --campaign {digest.campaign}{flags}"
        yield Step(command=explain, purpose="what it needs, and what there was")
    if not steps:
        yield Step(command=resume + flags, purpose="what was not run, once a worker has it")


def workers_of(digest: Digest) -> list[WorkerFacts]:
    """All that joined it, each as it last said it was."""
    found = {each.worker: each.facts for each in digest.news if each.facts is not None}
    return list(found.values())


def _is_here(needs: Requirements) -> bool:
    """Whether this machine has as much: what is proposed is to work."""
    gpus = len(find_gpus()) if needs.gpu else 0
    return needs.gpu <= gpus and needs.memory_bytes <= memory_there()
