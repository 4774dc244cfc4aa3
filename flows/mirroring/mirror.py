"""The mirror: follows one campaign's journal and tells Prefect, at leisure.

    python -m proctor.flows.mirroring.mirror DIRECTORY [--flow-run ID] [--prefect auto|URL]

It runs beside the campaign, as nice as can be, and nobody waits for it. Losing it costs lines of
history, never verdicts; started again, it goes on where it was. While the server is away it tries
again, until some time after the campaign's end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

from ...infra.discreet_log import log_discreetly
from ...infra.quick_start import end_quickly, loading
from ...monitoring.reports.wording import one_line
from ..server.detached import yield_to_others
from ..server.named_server import from_process
from ..server.prefect_server import START_SECONDS, ResidentServer, chosen_url
from .mirror_facts import Away, Dismissed, Prefect, Refused
from .mirror_source import Source
from .mirror_teller import NotHere, Teller
from .mirror_told import Told, load_told, save_told
from .mirrors_owed import owed
from .onlooker import Onlooker
from .untold_note import owe, settle

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# After the campaign's end, for a server that is away.
PATIENCE_SECONDS = 600.0
# For one that a person stopped, who may be about to start it again.
DISMISSED_SECONDS = 30.0
# For a server to write down what it took in, once everything is told.
CHECK_SECONDS = 30.0
# A person waits no longer for that: the next mirror looks after it.
BRIEF_CHECK_SECONDS = 10.0
# One try is worth so much time at least.
TRY_SECONDS = 5.0
# For the campaigns of others.
OTHERS_SECONDS = 120.0
_LONGEST_PAUSE = 15.0


class _End(Enum):
    """How far one came."""

    GIVEN_UP = auto()
    # The server has taken in all; whether it wrote all down is not known.
    TAKEN = auto()
    WRITTEN = auto()


async def follow(
    directory: Path,
    prefect: Prefect,
    *,
    flow_run: str = "",
    dashboard: str = "",
    patience: float = PATIENCE_SECONDS,
    anew: bool = True,
    now: Callable[[], float] = time.time,
    onlooker: Onlooker | None = None,
) -> bool:
    """Mirror a campaign until it is over and told; whether everything could be told.

    `anew` is whether a flow run that the server does not have is made again. Where a person looks
    on, another mirror that is at it is waited for, within the patience.
    """
    memory = directory / "mirror"
    if not flow_run and not directory.is_dir():  # noqa: ASYNC240 - once, and on this machine
        # Inside a flow run it may be there before its campaign is; anybody else comes after it.
        logger.info("gave up: the campaign was removed")
        return False
    memory.mkdir(parents=True, exist_ok=True)
    source = Source(directory, now=now)
    waited_until = time.monotonic() + patience
    while True:
        ended: tuple[Teller, _End] | None = None
        with _alone(memory) as alone:
            if alone:
                owe(directory)
                teller = Teller(
                    prefect,
                    directory=directory,
                    told=_remembered(memory, flow_run),
                    now=now,
                    dashboard=dashboard,
                    anew=anew,
                    at=onlooker.sees if onlooker else _nobody_sees,
                )
                try:
                    end = await _follow(source, teller, prefect, patience, onlooker)
                finally:
                    await prefect.leave()
                if end is _End.WRITTEN and teller.has_last_word and not source.is_frozen:
                    settle(directory)
                ended = teller, end
        if ended is None:
            if onlooker is None:
                logger.info("another mirror is at it")
                return True
            onlooker.sees("another process that tells Prefect of it")
            if time.monotonic() > waited_until:
                return False
            await asyncio.sleep(POLL_SECONDS)
            continue
        teller, end = ended
        # The mirror of whoever resumed it meanwhile found this one at it, and left.
        await asyncio.to_thread(source.poll)
        done = end is not _End.GIVEN_UP
        if not done or teller.is_done(source.picture):
            if onlooker:
                onlooker.saw_it_written = end is _End.WRITTEN
                if teller.refused:
                    onlooker.problem = "Prefect refuses a part of it"
            return done and not teller.refused


def _nobody_sees(awaited: str) -> None:
    """For a mirror in the background."""


def _remembered(memory: Path, flow_run: str) -> Told:
    """What an earlier mirror told; the server is asked anew for what it refused to that one."""
    told = load_told(memory)
    told.refused.clear()
    if flow_run:
        inside = Told.beside(flow_run)
        if told.owned or told.is_abandoned:
            inside.former = told.flow_run
        if told.flow_run == flow_run:
            inside = replace(
                told, owned=False, pid=inside.pid, created=inside.created, place=inside.place
            )
        # Kept at once: who goes on with this later must not make another run of it.
        save_told(memory, inside)
        return inside
    return told


async def _follow(
    source: Source, teller: Teller, prefect: Prefect, patience: float, onlooker: Onlooker | None
) -> _End:
    pause = POLL_SECONDS
    over_since: float | None = None
    while True:
        await asyncio.to_thread(source.poll)
        picture = source.picture
        if not source.exists:
            return _given_up("the campaign was removed", onlooker)
        if source.is_lost and picture.opened is None:
            return _given_up("the campaign never began", onlooker)
        # A campaign that was over runs again when it is resumed.
        over_since = (over_since or time.monotonic()) if picture.is_over else None
        limit = patience
        bound = asyncio.timeout(_left(over_since, patience))
        try:
            async with bound:
                await teller.tell(picture)
                if teller.is_done(picture) and (end := await _check(teller, source, onlooker)):
                    return end
            pause = POLL_SECONDS
            if onlooker:
                onlooker.problem = ""
                if not picture.is_over:
                    onlooker.sees("the campaign, which is not over")
        except Away as away:
            logger.info("away: %s", away)
            if onlooker:
                onlooker.problem = f"Prefect is away: {one_line(str(away))}"
            teller.doubt()
            await prefect.leave()
            pause = min(pause * 2, _LONGEST_PAUSE)
            if isinstance(away, Dismissed):
                limit = min(patience, DISMISSED_SECONDS)
        except NotHere as problem:
            logger.info("not told: %s", problem)
            return _End.GIVEN_UP
        except Refused as refusal:
            # Without a flow run there is nothing to hang anything on.
            return _given_up(f"the server refuses the flow run: {refusal}", onlooker)
        except OSError as problem:
            if isinstance(problem, TimeoutError) and bound.expired():
                # Out of patience, in the middle of something.
                if onlooker and teller.is_done(picture):
                    return _End.TAKEN
                teller.doubt()
            else:
                # A full disk, on which nothing can be remembered, or one that does not answer.
                logger.warning("not told now: %s", problem)
                pause = min(pause * 2, _LONGEST_PAUSE)
        if over_since is not None and time.monotonic() > over_since + limit:
            if not onlooker:
                logger.error("gave up: not all told within %.0f s of the campaign's end", limit)
            return _End.GIVEN_UP
        await asyncio.sleep(pause)


def _given_up(why: str, onlooker: Onlooker | None) -> _End:
    if onlooker:
        onlooker.problem = why
    else:
        logger.error("gave up: %s", why)
    return _End.GIVEN_UP


def _left(over_since: float | None, patience: float) -> float | None:
    """How long one try may take: a server that is busy answers each of many requests late."""
    if over_since is None:
        return None
    return max(over_since + patience - time.monotonic(), TRY_SECONDS)


async def _check(teller: Teller, source: Source, onlooker: Onlooker | None) -> _End | None:
    """Wait until the server wrote everything down; None where what it lost is told again."""
    if onlooker:
        try:
            async with asyncio.timeout(BRIEF_CHECK_SECONDS):
                written = await _is_written(teller, source, seconds=BRIEF_CHECK_SECONDS)
        except TimeoutError:
            written = False
        return _End.WRITTEN if written else _End.TAKEN
    if await _is_written(teller, source, seconds=CHECK_SECONDS):
        return _End.WRITTEN
    await teller.tell_again(source.picture)
    return None


async def _is_written(teller: Teller, source: Source, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not await teller.is_written(source.picture):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m proctor.flows.mirroring.mirror")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--flow-run", default="", help="attach to this flow run of Prefect's")
    parser.add_argument("--prefect", default="auto", help="auto, or the address of a server")
    parser.add_argument("--dashboard", default="", help="where the dashboard is")
    parser.add_argument("--since", type=float, default=time.time(), help="when it was asked for")
    options = parser.parse_args(argv)
    yield_to_others()
    end_quickly()
    log_discreetly("%(asctime)s %(levelname)s %(message)s")
    logger.setLevel(logging.INFO)
    logging.getLogger(Teller.__module__).setLevel(logging.INFO)
    directory: Path = options.directory.resolve()
    told = mirror(
        directory,
        setting=from_process(options.prefect, os.environ),
        flow_run=options.flow_run,
        dashboard=options.dashboard,
        since=options.since,
        others=True,
    )
    return 0 if told else 1


def mirror(
    directory: Path,
    *,
    setting: str = "auto",
    flow_run: str = "",
    dashboard: str = "",
    patience: float = PATIENCE_SECONDS,
    others: bool = False,
    onlooker: Onlooker | None = None,
    since: float | None = None,
) -> bool:
    """Mirror a campaign from this process; whether everything could be told.

    A resident server that a person stopped after `since` stays stopped; usually, from now on.
    `others` is whether to tell of those campaigns too whose mirrors were cut short.
    """
    since = time.time() if since is None else since
    # Prefect reports its use unless it is told not to.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Here, because it takes a second.
    with loading("prefect"):
        from .mirror_prefect import PrefectLink

    state = directory.parent.parent
    # Who waits for a server to start cannot be called back: half the patience each time.
    starting = min(START_SECONDS, patience / 2)
    link = PrefectLink(_address(state, setting, began=since, seconds=starting, by=onlooker))
    following = follow(
        directory,
        link,
        flow_run=flow_run,
        dashboard=dashboard,
        patience=patience,
        onlooker=onlooker,
    )
    told = asyncio.run(following if onlooker is None else _seen(following, onlooker))
    if told and others:
        asyncio.run(_tell_of_others(state, link, but=directory.name))
    return told


async def _tell_of_others(state: Path, prefect: Prefect, *, but: str) -> None:
    """Tell of campaigns whose mirrors were killed, or waited in vain for a server."""
    until = time.monotonic() + OTHERS_SECONDS
    for directory in owed(state, but=but):
        if time.monotonic() > until:
            return
        # One that was told to another server is that server's.
        told = await follow(directory, prefect, patience=CHECK_SECONDS, anew=False)
        logger.info("campaign %s: %s", directory.name, "told" if told else "not told")


async def _seen(following: Coroutine[None, None, bool], onlooker: Onlooker) -> bool:
    looking = asyncio.create_task(onlooker.look_on())
    try:
        return await following
    finally:
        looking.cancel()


def _address(
    state: Path, setting: str, *, began: float, seconds: float, by: Onlooker | None
) -> Callable[[], str]:
    """How to find the server anew each time: a resident one may have been replaced."""

    def address() -> str:
        chosen = chosen_url(setting, os.environ)
        if chosen is not None:
            return chosen
        with by.sees_meanwhile("the resident Prefect server to answer") if by else nullcontext():
            resident = ResidentServer(state)
            return resident.ensure(seconds=seconds, unless_stopped_since=began).api_url

    return address


@contextlib.contextmanager
def _alone(memory: Path) -> Generator[bool]:
    """Whether no other mirror is at this campaign; the kernel frees the lock of a dead one."""
    with (memory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


if __name__ == "__main__":
    sys.exit(main())
