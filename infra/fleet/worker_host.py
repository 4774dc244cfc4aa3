"""The process that holds one Dask worker: `python -m proctor.infra.fleet.worker_host`.

No nanny stands between: whoever launched this process (the local fleet, a work pool) starts it
again, and a nanny would cost a second interpreter and a second of start.

SIGTERM asks it to leave. With `--drain` it first finishes what it runs, takes nothing more and
tears its sessions down; a second SIGTERM ends it at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from ..codec import facts_from_json
from ..cores import core_count
from ..errors import BadSetting, FleetUnavailable, ProctorError
from ..machine import this_machine
from ..process_life import die_with_parent
from ..quick_start import end_quickly, loading
from ..records import WorkerFacts
from ..resources import ORDERS_A_SLOT, dask_resources
from ..runners.capabilities import assign_devices, measure, missing_devices, with_measured
from ..runners.memory_room import memory_there
from ..runners.orders import STANDING
from ..runners.outbox import drop_old
from ..runners.stray_reaper import reap
from .certificates import PLACE, Certificates, certificates_in
from .edges import open_edges
from .reach import LOOPBACK, own_address
from .self_test import REFUSED, self_test

if TYPE_CHECKING:
    from distributed import Worker

    from ..runners.slot_keeper import SlotKeeper

# A worker that cannot find its scheduler for so long ends; its launcher decides what comes next.
LONGEST_ABSENCE_SECONDS = 60
# A batch that was under way when the drain was told of arrives within this, and is given back.
SETTLE_SECONDS = 0.5
LOOK_SECONDS = 0.05
# A killed runner and all it started are gone within this.
ABANDON_SECONDS = 3.0


@dataclass(slots=True)
class _Farewell:
    """How often this process was asked to leave."""

    asked: asyncio.Event
    insisted: asyncio.Event

    def hear(self) -> None:
        (self.insisted if self.asked.is_set() else self.asked).set()


async def _serve(
    scheduler: str,
    facts: WorkerFacts,
    *,
    scratch: Path,
    host: str,
    port: int,
    certificates: Certificates | None,
    drain_seconds: float,
) -> None:
    from distributed import Worker

    from ..runners.doorkeeper import open_door
    from ..runners.slot_keeper import SlotKeeper
    from .one_version import check_terms

    door: asyncio.Server | None = None
    farewell = _Farewell(asyncio.Event(), asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, farewell.hear)
    keeper = SlotKeeper(facts=facts, scratch=scratch)
    # Only where somebody has asked for a fleet that may be broken.
    edges = open_edges(os.environ, scheduler, facts.name)
    worker = Worker(
        edges.scheduler,
        name=facts.name,
        nthreads=facts.slots * ORDERS_A_SLOT,
        resources=dask_resources(facts),
        memory_limit=0,
        host=host,
        port=edges.port or port or None,
        security=certificates.security() if certificates else None,
        contact_address=edges.contact or None,
        dashboard=False,
        # It serves HTTP all the same, and in the clear.
        dashboard_address=f"{LOOPBACK}:0",
        local_directory=str(scratch),
        death_timeout=LONGEST_ABSENCE_SECONDS,
        metrics={STANDING: lambda worker: keeper.standing()},
        plugins=(keeper,),
    )
    try:
        # Nobody there yet: Dask waits for them.
        with suppress(OSError):
            await check_terms(edges.scheduler, certificates)
        await _join(worker, facts.name)
        # By the scheduler's own address, as campaigns know it.
        door = await open_door(keeper, scheduler)
        finished = asyncio.ensure_future(worker.finished())
        asked = asyncio.ensure_future(farewell.asked.wait())
        await asyncio.wait({finished, asked}, return_when=asyncio.FIRST_COMPLETED)
        if drain_seconds and not finished.done():
            drained = asyncio.ensure_future(_drain(keeper, drain_seconds))
            insisted = asyncio.ensure_future(farewell.insisted.wait())
            await asyncio.wait({finished, drained, insisted}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if door is not None:
            door.close()
        # Closing a session waits for whoever uses it.
        keeper.abandon()
        await _idle(keeper, ABANDON_SECONDS)
        keeper.close()
        await worker.close(timeout=2)
        edges.close()


async def _join(worker: Worker, name: str) -> None:
    try:
        await worker
    except RuntimeError as problem:
        # Dask's own "failed to start", with the scheduler's word as its cause.
        if "name taken" not in str(problem.__cause__):
            raise
        raise FleetUnavailable(
            f"the fleet has a worker {name} already", remedy="give this one another name"
        ) from problem


def _certificates(address: str, directory: Path | None) -> Certificates | None:
    if not address.startswith("tls://"):
        return None
    if directory is None:
        raise BadSetting(
            f"the fleet at {address} wants to see a certificate",
            remedy=f"copy its files here, and name their directory with --certs or {PLACE}",
        )
    return certificates_in(directory, now=time.time())


async def _drain(keeper: SlotKeeper, seconds: float) -> None:
    """Begin nothing more, and wait for what runs, up to a deadline."""
    keeper.drain()
    await asyncio.sleep(SETTLE_SECONDS)
    if await _idle(keeper, seconds):
        await asyncio.to_thread(keeper.retire_sessions)


async def _idle(keeper: SlotKeeper, seconds: float) -> bool:
    """Wait until nothing runs; whether it came to that."""
    end = time.monotonic() + seconds
    while not keeper.is_idle and time.monotonic() < end:  # noqa: ASYNC110 - set by threads
        await asyncio.sleep(LOOK_SECONDS)
    return keeper.is_idle


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold one Dask worker for Proctor.")
    parser.add_argument("--scheduler", help="address of the Dask scheduler")
    parser.add_argument("--scheduler-file", type=Path, help="file its host writes the address to")
    parser.add_argument("--facts", required=True, help="what this worker offers, as JSON")
    parser.add_argument("--scratch", type=Path, required=True, help="directory for its files")
    parser.add_argument("--host", default="", help="its own address; what the scheduler sees")
    parser.add_argument("--port", type=int, default=0, help="where it listens; any free port")
    parser.add_argument(
        "--certs",
        type=Path,
        default=os.environ.get(PLACE) or None,
        help="the certificates of a fleet that other machines can reach",
    )
    parser.add_argument("--parent", type=int, default=0, help="end when this process ends")
    parser.add_argument(
        "--drain", type=float, default=0.0, metavar="S", help="on SIGTERM wait so long for batches"
    )
    parser.add_argument(
        "--self-test", action="store_true", help="join only if this machine can run tests"
    )
    parser.add_argument("--launched", type=float, default=0.0, help="when, by the launcher's clock")
    parser.add_argument("--refusal", type=Path, help="file to write the reason for not joining to")
    arguments = parser.parse_args()
    if arguments.parent:
        die_with_parent(arguments.parent)
    try:
        facts = _facts(arguments)
    except ProctorError as problem:
        _refuse(arguments.refusal, str(problem))
    # Of a worker that was killed: its launcher starts this one in its place.
    reap(arguments.scratch)
    end_quickly()
    with loading("distributed"):
        from ..engine import dask_settings

        dask_settings.apply()
        import_module("..runners.slot_keeper", __package__)
    try:
        asyncio.run(_start(arguments, facts))
    except ProctorError as problem:
        _refuse(arguments.refusal, str(problem))


def _facts(arguments: argparse.Namespace) -> WorkerFacts:
    """Its orders, completed by what only this process can know."""
    given = json.loads(arguments.facts)
    # A launcher that cannot see this process says how it will know it again.
    life = given.get("incarnation") or uuid4().hex[:8]
    given.update(
        incarnation=f"{os.getpid()}-{life}", host=socket.gethostname(), machine=this_machine()
    )
    facts = facts_from_json(given)
    if not arguments.self_test:
        # What it shares with its neighbours; the rest takes a while to measure.
        return replace(facts, machine_cores=core_count(), machine_memory_bytes=memory_there())
    drop_old(arguments.scratch, time.time())
    reason = self_test(arguments.scratch, launched=arguments.launched, now=time.time())
    if reason:
        _refuse(arguments.refusal, reason)
    measured = measure(os.environ)
    if not facts.devices:
        # In a container or on another machine nobody could give it any.
        facts = assign_devices(facts, measured.gpus, ())
    lost = missing_devices(facts, measured)
    if lost:
        _refuse(arguments.refusal, f"its GPU {', '.join(lost)} does not answer")
    return with_measured(facts, measured)


def _refuse(file: Path | None, reason: str) -> NoReturn:
    print(f"this worker stays out: {reason}", file=sys.stderr)  # noqa: T201 - into its log
    if file is not None:
        # Where the disk is full the code alone says that it was no crash.
        with contextlib.suppress(OSError):
            file.write_text(reason, encoding="utf-8")
    raise SystemExit(REFUSED)


async def _start(arguments: argparse.Namespace, facts: WorkerFacts) -> None:
    address = arguments.scheduler or await _address(arguments.scheduler_file)
    await _serve(
        address,
        facts,
        scratch=arguments.scratch,
        host=arguments.host or own_address(address),
        port=arguments.port,
        certificates=_certificates(address, arguments.certs),
        drain_seconds=arguments.drain,
    )


async def _address(ready: Path) -> str:
    """The scheduler and its workers start side by side: wait for the file it writes."""
    async with asyncio.timeout(LONGEST_ABSENCE_SECONDS):
        while not await asyncio.to_thread(ready.exists):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    return json.loads(await asyncio.to_thread(ready.read_text))["address"]


if __name__ == "__main__":
    main()
