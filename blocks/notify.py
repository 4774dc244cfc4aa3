"""Telling people: through the notification blocks that Prefect knows, and once each.

A block is named as Prefect names it, type/name: `slack-webhook/team`, `custom-webhook/ci`,
`email/me`. Mail, Slack, Teams, PagerDuty and a plain webhook are Prefect's own blocks.
"""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..infra.errors import InfrastructureProblem, UsageProblem
from ..infra.whole_file import replace_file

if TYPE_CHECKING:
    from ..monitoring.trends.journal import News

SEND_SECONDS = 30.0
# What people are told: news of these standings; a suspicion only asks for another run, and is told
# if that could not decide it.
_TOLD = {
    "confirmed": "found",
    "recovered": "recovered",
    "undecided": "suspected",
    "refuted": "not so",
}
# Of no interest to those who never heard of it.
_ENDS = {"recovered", "refuted"}


class NobodyTold(InfrastructureProblem):
    """A notification could not be sent."""


async def atell_news(
    news: Sequence[News], project: str, *, blocks: Sequence[str], state: Path
) -> int:
    """Tell what was not told yet; how many findings that were.

    What was told is kept apart from the findings: a message that could not be sent, or that came
    while no block was named, is sent the next time, and two analyses at once tell it once. A block
    that took it does not get it again because another one did not.
    """
    for name in blocks:
        check_name(name)
    if not blocks and not any(each.worse for each in news):
        return 0
    with _told(state) as told:
        _wait(told, news)
        done: dict[str, str] = told.setdefault("told", {})
        waiting: dict[str, list[str]] = told.setdefault("waiting", {})
        # By block, while another one of those that were named has not taken it.
        partly: dict[str, dict[str, str]] = told.setdefault("partly", {})
        if not blocks:
            return 0
        problems: list[str] = []
        for block in blocks:
            due = _due(waiting, {**done, **partly.get(block, {})})
            if not due:
                continue
            lines = [f"{_TOLD[status]}: {text}" for status, text in due.values()]
            subject = f"Proctor: {_subject(due.values(), project)}"
            if problem := await _send(block, subject, "\n".join(lines)):
                problems.append(problem)
            else:
                partly.setdefault(block, {}).update({name: due[name][0] for name in due})
        if problems:
            raise _not_sent(problems)
        heard = set[str]().union(*partly.values())
        done.update({name: status for name, (status, _) in waiting.items() if name in heard})
        partly.clear()
        waiting.clear()
        return len(heard)


def _due(
    waiting: Mapping[str, Sequence[str]], had: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    return {
        name: (status, text)
        for name, (status, text) in waiting.items()
        if had.get(name) != status and not (status in _ENDS and name not in had)
    }


def keep_news(news: Sequence[News], *, state: Path) -> None:
    """Have it told with the next message, also if this process ends before it sends one."""
    if any(each.worse for each in news):
        with _told(state) as told:
            _wait(told, news)


def _wait(told: dict[str, Any], news: Sequence[News]) -> None:
    for each in news:
        if each.status in _TOLD and each.worse:
            told.setdefault("waiting", {})[each.id] = [each.status, each.text]
        elif each.id in told.get("waiting", {}):
            # Dismissed before anyone heard of it.
            del told["waiting"][each.id]


async def asend(blocks: Sequence[str], *, subject: str, body: str) -> None:
    """Send one message through each block; raises after all were tried."""
    for name in blocks:
        check_name(name)
    problems = [problem for name in blocks if (problem := await _send(name, subject, body))]
    if problems:
        raise _not_sent(problems)


def _not_sent(problems: Sequence[str]) -> NobodyTold:
    return NobodyTold(
        f"not every notification was sent: {'; '.join(problems)}",
        remedy="`proctor trends test-notify --notify TYPE/NAME` tries one",
    )


async def acheck(blocks: Iterable[str]) -> None:
    """Refuse names under which there is no notification block."""
    for name in blocks:
        await _load(name)


def check_name(name: str) -> None:
    kind, slash, own = name.partition("/")
    if not (kind and slash and own) or "/" in own:
        raise UsageProblem(
            f"{name!r} names no block", remedy="give it as TYPE/NAME, such as slack-webhook/team"
        )


async def _load(name: str) -> Any:
    # Prefect takes a second to import.
    from prefect.blocks.abstract import NotificationBlock
    from prefect.blocks.core import Block

    check_name(name)
    try:
        block: Any = await Block.aload(name)
    except ValueError as problem:
        # Prefect's word for a block, or a kind of block, that it does not have.
        raise UsageProblem(
            f"there is no block {name}",
            remedy="save one on the Prefect server's page, under Blocks",
        ) from problem
    if not isinstance(block, NotificationBlock):
        raise UsageProblem(
            f"{name} is no notification block", remedy="name one such as slack-webhook/team"
        )
    return block


async def _send(name: str, subject: str, body: str) -> str:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            block = await _load(name)
            sent: Any = block.notify(body, subject)
            if inspect.isawaitable(sent):
                await sent
    except Exception as problem:  # noqa: BLE001 - whatever a block raises is told, with its name.
        return f"{name}: {type(problem).__name__} {problem}".strip()
    return ""


def _subject(due: Iterable[tuple[str, str]], project: str) -> str:
    standings = [status for status, _ in due]
    counts = {status: standings.count(status) for status in _TOLD}
    found = counts["confirmed"]
    parts = {
        "confirmed": f"{found} regression or flaky case"
        if found == 1
        else f"{found} regressions or flaky cases",
        "undecided": f"{counts['undecided']} suspected",
        "recovered": f"{counts['recovered']} recovered",
        "refuted": f"{counts['refuted']} not so",
    }
    told = ", ".join(text for status, text in parts.items() if counts[status])
    return f"{told} in {project}"


@contextmanager
def _told(state: Path) -> Generator[dict[str, Any]]:
    """What was told so far."""
    path = state / "trends" / "told.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as turn:
        # Held by others for as long as their messages take, which have a deadline.
        fcntl.flock(turn, fcntl.LOCK_EX)
        told = _read(path)
        before = json.dumps(told)
        try:
            yield told
        finally:
            if json.dumps(told) != before:
                replace_file(path, json.dumps(told))


def _read(path: Path) -> dict[str, Any]:
    """What another version wrote is as good as nothing: it is written anew, and told once more."""
    try:
        told: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}
