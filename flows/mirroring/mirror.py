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
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

from ...infra.discreet_log import log_discreetly
from ...infra.quick_start import end_quickly, loading
from ..server.detached import yield_to_others
from ..server.named_server import from_process
from ..server.prefect_server import ResidentServer, chosen_url
from .mirror_facts import Away, Prefect, Refused
from .mirror_source import Source
from .mirror_teller import NotHere, Teller
from .mirror_told import Told, load_told, save_told
from .mirrors_owed import owe, owed, settle

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# After the campaign's end, for a server that is away.
PATIENCE_SECONDS = 600.0
# For a server to write down what it took in, once everything is told.
CHECK_SECONDS = 30.0
# For the campaigns of others.
OTHERS_SECONDS = 120.0
_LONGEST_PAUSE = 15.0


async def follow(
    directory: Path,
    prefect: Prefect,
    *,
    flow_run: str = "",
    dashboard: str = "",
    patience: float = PATIENCE_SECONDS,
    anew: bool = True,
    now: Callable[[], float] = time.time,
) -> bool:
    """Mirror a campaign until it is over and told; whether everything could be told.

    `anew` is whether a flow run that the server does not have is made again.
    """
    memory = directory / "mirror"
    if not flow_run and not directory.is_dir():  # noqa: ASYNC240 - once, and on this machine
        # Inside a flow run it may be there before its campaign is; anybody else comes after it.
        logger.info("gave up: the campaign was removed")
        return False
    memory.mkdir(parents=True, exist_ok=True)
    source = Source(directory, now=now)
    while True:
        with _alone(memory) as alone:
            if not alone:
                logger.info("another mirror is at it")
                return True
            owe(directory)
            teller = Teller(
                prefect,
                directory=directory,
                told=_remembered(memory, flow_run),
                now=now,
                dashboard=dashboard,
                anew=anew,
            )
            try:
                done = await _follow(source, teller, prefect, patience)
            finally:
                await prefect.leave()
            if done and teller.has_last_word and not source.is_frozen:
                settle(directory)
        # The mirror of whoever resumed it meanwhile found this one at it, and left.
        await asyncio.to_thread(source.poll)
        if not done or teller.is_done(source.picture):
            return done and not teller.refused


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


async def _follow(source: Source, teller: Teller, prefect: Prefect, patience: float) -> bool:
    pause = POLL_SECONDS
    over_since: float | None = None
    while True:
        await asyncio.to_thread(source.poll)
        picture = source.picture
        if not source.exists:
            logger.info("gave up: the campaign was removed")
            return False
        if source.is_lost and picture.opened is None:
            logger.error("gave up: the campaign never began")
            return False
        # A campaign that was over runs again when it is resumed.
        over_since = (over_since or time.monotonic()) if picture.is_over else None
        try:
            await teller.tell(picture)
            if teller.is_done(picture) and await _is_written(teller, source):
                return True
            pause = POLL_SECONDS
        except Away as away:
            logger.info("away: %s", away)
            teller.doubt()
            await prefect.leave()
            pause = min(pause * 2, _LONGEST_PAUSE)
        except NotHere as problem:
            logger.info("not told: %s", problem)
            return False
        except Refused as refusal:
            # Without a flow run there is nothing to hang anything on.
            logger.error("gave up: the server refuses the flow run: %s", refusal)  # noqa: TRY400
            return False
        except OSError as problem:
            # A full disk, on which nothing can be remembered.
            logger.warning("not told now: %s", problem)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if over_since is not None and time.monotonic() > over_since + patience:
            logger.error("gave up: not all told within %.0f s of the campaign's end", patience)
            return False
        await asyncio.sleep(pause)


async def _is_written(teller: Teller, source: Source) -> bool:
    """Wait until the server wrote everything down; what it lost is told again."""
    deadline = time.monotonic() + CHECK_SECONDS
    while not await teller.is_written(source.picture):
        if time.monotonic() > deadline:
            await teller.tell_again(source.picture)
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m proctor.flows.mirroring.mirror")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--flow-run", default="", help="attach to this flow run of Prefect's")
    parser.add_argument("--prefect", default="auto", help="auto, or the address of a server")
    parser.add_argument("--dashboard", default="", help="where the dashboard is")
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
) -> bool:
    """Mirror a campaign from this process; whether everything could be told.

    `others` is whether to tell of those campaigns too whose mirrors were cut short.
    """
    # Prefect reports its use unless it is told not to.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Here, because it takes a second.
    with loading("prefect"):
        from .mirror_prefect import PrefectLink

    state = directory.parent.parent
    link = PrefectLink(_address(state, setting, began=time.time()))
    following = follow(directory, link, flow_run=flow_run, dashboard=dashboard, patience=patience)
    told = asyncio.run(following)
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


def _address(state: Path, setting: str, *, began: float) -> Callable[[], str]:
    """How to find the server anew each time: a resident one may have been replaced."""

    def address() -> str:
        chosen = chosen_url(setting, os.environ)
        if chosen is not None:
            return chosen
        return ResidentServer(state).ensure(unless_stopped_since=began).api_url

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
