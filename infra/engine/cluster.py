"""The campaign's side of Dask: who is there, send a batch, hear what comes back.

Everything that happens arrives on one queue, in the order it was heard, so that the campaign is
one loop in one thread and the Dask client's threads never touch its state.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import pickle
import queue
import time
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson
from distributed import Client, Future
from distributed.versions import VersionMismatchWarning

from ..codec import facts_from_json
from ..errors import FleetUnavailable
from ..fleet.certificates import Certificates
from ..fleet.one_version import ask_terms, refuse_other
from ..listener import no_scheduler, refuse_if_tls
from ..records import WorkerFacts
from ..runners.orders import FLEET_TOPIC, STANDING, WORKER_RESOURCE, SlotOrder, topic_of
from . import dask_settings, on_workers
from .carrier import Carrier
from .happenings import Draining, Ended, Happening, Joined, Left, Messages
from .shipment import Shipment

logger = logging.getLogger(__name__)

# Dask tells of workers that come and go on its topic "all"; a poll finds what it missed.
ROSTER_SECONDS = 1.0
ANSWER_SECONDS = 10.0
RECONNECT_SECONDS = 2.0
# A worker that does not say who it is in this time is left alone for a while.
DESCRIBE_SECONDS = 3.0
SILENT_SECONDS = 2.0
CLOSE_SECONDS = 2.0


def close_client(client: Client) -> None:
    """End a client of Dask's, whatever state it is in.

    In the middle of its own reconnecting it breaks in closing with what it meets there (a closed
    pool of connections is a RuntimeError). Whatever it still does, nobody hears.
    """
    try:
        client.close(timeout=CLOSE_SECONDS)
    except (TimeoutError, OSError, RuntimeError) as problem:
        logger.info("a connection to the scheduler ended badly: %s", problem)


class Cluster:
    """A connection to one fleet for one campaign."""

    def __init__(
        self,
        address: str,
        *,
        campaign: str,
        deadline_seconds: float,
        certificates: Certificates | None = None,
    ) -> None:
        dask_settings.apply()
        self._security = certificates.security() if certificates else None
        # It prints the whole way to a lost connection; the campaign says in a line what that means.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        # A container with another Python than ours would have it print a table of all packages.
        # What must not differ is Proctor's own version, and that is looked at.
        warnings.filterwarnings("ignore", category=VersionMismatchWarning)
        self.campaign = campaign
        self.happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._futures: dict[str, Future[None]] = {}
        self._roster: dict[str, WorkerFacts] = {}
        # Addresses of workers that fell silent, and when to look for them again.
        self._silent: dict[str, float] = {}
        # Incarnations that were said to drain.
        self._draining: set[str] = set()
        # What is being said to workers.
        self._telling: set[concurrent.futures.Future[None]] = set()
        self._roster_due = 0.0
        self._roster_changed = True
        self.address = address
        try:
            self._client = self._connect(deadline_seconds)
        except (OSError, TimeoutError) as error:
            refuse_if_tls(address)
            raise no_scheduler(address, f"within {deadline_seconds:g} s") from error
        self._carrier = Carrier(self._client)

    def _connect(self, deadline_seconds: float) -> Client:
        client = Client(
            self.address,
            timeout=deadline_seconds,
            set_as_default=False,
            heartbeat_interval="5s",
            security=self._security,
        )
        try:
            told: Any = client.sync(ask_terms, client.scheduler)
            refuse_other(self.address, told)
        except BaseException:
            close_client(client)
            raise
        self._line = client.scheduler_comm
        client.subscribe_topic(topic_of(self.campaign), self._heard)
        client.subscribe_topic("all", self._roster_news)
        client.subscribe_topic(FLEET_TOPIC, self._fleet_news)
        return client

    # Fleet ----------------------------------------------------------------------------------

    def watch_roster(self, now: float) -> None:
        """Find out who joined and who left; cheap to call often."""
        if not self._roster_changed and now < self._roster_due:
            return
        self._roster_changed = False
        self._roster_due = now + ROSTER_SECONDS
        # Dask may have reconnected by itself meanwhile, to a scheduler without our subscriptions:
        # workers would answer, and nothing that they tell would ever arrive.
        if self._client.status != "running" or self._client.scheduler_comm is not self._line:
            self._lose_scheduler()
            return
        try:
            self._update_roster()
        except (OSError, TimeoutError):
            self._lose_scheduler()

    def _update_roster(self) -> None:
        # Asked with a deadline: `scheduler_info()` may be 2 s old.
        info: Any = self._client.sync(_identity, self._client, callback_timeout=ANSWER_SECONDS)
        present = set(info["workers"])
        for address in [address for address in self._roster if address not in present]:
            facts = self._roster.pop(address)
            self._tell_left(facts, "its connection to the scheduler ended")
        now = time.monotonic()
        new = [
            address
            for address in present
            if address not in self._roster and self._silent.get(address, now) <= now
        ]
        described = self._describe(new)
        for address, given in described.items():
            facts = facts_from_json(given)
            self._roster[address] = facts
            # Back after a silence, it is to be told of again.
            self._draining.discard(facts.incarnation)
            self.happenings.put(Joined(facts=facts))
        # Its own word may have been missed; its heartbeats say it again and again.
        for address, each in info["workers"].items():
            if address in self._roster and each["metrics"].get(STANDING, {}).get("draining"):
                facts = self._roster[address]
                self._tell_draining(facts.name, facts.incarnation)

    def _describe(self, addresses: list[str]) -> dict[str, Any]:
        """What new workers say of themselves; who says nothing is asked again later."""
        try:
            described = self._run(on_workers.describe, workers=addresses, deadline=DESCRIBE_SECONDS)
        except TimeoutError:
            described = {}
        for address in addresses:
            if address in described:
                self._silent.pop(address, None)
            else:
                self._silent[address] = time.monotonic() + SILENT_SECONDS
        return described

    def suspect(self, worker: str, reason: str) -> None:
        """Take a worker for lost until it answers again, though its connection stands."""
        for address in [each for each, facts in self._roster.items() if facts.name == worker]:
            self._silent[address] = time.monotonic() + SILENT_SECONDS
            self._tell_left(self._roster.pop(address), reason)

    def wait_for_workers(self, deadline_seconds: float) -> None:
        """Return once one worker is there."""
        end = time.monotonic() + deadline_seconds
        while not self._roster:
            self._roster_changed = True
            self.watch_roster(time.monotonic())
            if self._roster:
                return
            if time.monotonic() > end:
                raise FleetUnavailable(
                    f"the scheduler has no worker after {deadline_seconds:g} s",
                    remedy="see `proctor status` and the workers' logs",
                )
            time.sleep(0.02)

    def roster(self) -> tuple[WorkerFacts, ...]:
        return tuple(self._roster.values())

    # Batches --------------------------------------------------------------------------------

    def send(self, order: SlotOrder, worker: str) -> None:
        """Submit a batch; its end arrives as `Ended`.

        As bytes: the scheduler would unpack it and pack it again, case by case.
        """
        future = self._client.submit(
            on_workers.perform,
            pickle.dumps(order),
            key=order.key,
            pure=False,
            retries=0,
            resources={f"{WORKER_RESOURCE}{worker}": 1},
        )
        self._futures[order.name] = future
        future.add_done_callback(partial(self._ended, order.name))

    def stop(self, batch: str, worker: str, *, kill: bool) -> None:
        """End a batch after its current case, or at once."""
        self._on(worker, on_workers.stop, self.campaign, batch, kill)

    def bring(self, worker: str, epoch: int, shipment: Shipment) -> None:
        """Send the project's files to a worker that asks for them; it asks until they are there."""
        for address in [each for each, facts in self._roster.items() if facts.name == worker]:
            self._carrier.bring(address, f"{self.campaign}/{epoch}", shipment)

    # Resume and end -------------------------------------------------------------------------

    def fence(self, epoch: int, deadline_seconds: float) -> None:
        """Kill what earlier epochs of this campaign still run, and wait until it is gone."""
        end = time.monotonic() + deadline_seconds
        while any(self._answers(on_workers.fence, self.campaign, epoch)):
            if time.monotonic() > end:
                raise FleetUnavailable(
                    f"batches of an earlier epoch still run after {deadline_seconds:g} s",
                    remedy="restart the workers named in `proctor status` and resume again",
                )
            time.sleep(0.05)

    def outboxes(self) -> Iterable[dict[str, Any]]:
        """What workers measured for this campaign, whether or not it was heard."""
        for messages in self._answers(on_workers.outbox, self.campaign):
            yield from messages

    def let_go(self, epoch: int) -> None:
        """A life of the campaign ends: workers end what they do for it."""
        self._everywhere(on_workers.let_go, self.campaign, epoch)

    def forget_campaign(self) -> None:
        """The ledger has everything: workers may drop what they kept."""
        self._everywhere(on_workers.discard, self.campaign)

    def close(self) -> None:
        # Dask's threads take theirs out meanwhile.
        for batch in list(self._futures):
            self.drop(batch)
        self._carrier.close()
        concurrent.futures.wait(self._telling, timeout=CLOSE_SECONDS)
        close_client(self._client)

    def _lose_scheduler(self) -> None:
        """All workers are out of reach; come back when a scheduler answers at the address again.

        Dask's client reconnects by itself, but without its subscriptions, and gives up for good
        after a while: a new one is made.
        """
        for address in list(self._roster):
            self._tell_left(self._roster.pop(address), "the scheduler does not answer")
        for batch in list(self._futures):
            self.drop(batch)
        try:
            fresh = self._connect(RECONNECT_SECONDS)
        except (OSError, TimeoutError):
            return
        self._carrier.close()
        lost, self._client = self._client, fresh
        self._carrier = Carrier(fresh)
        self._roster_changed = True
        close_client(lost)

    # Dask's threads call these --------------------------------------------------------------

    def _heard(self, event: tuple[float, Any]) -> None:
        self.happenings.put(Messages(messages=tuple(orjson.loads(event[1]))))

    def _roster_news(self, event: tuple[float, Any]) -> None:
        if event[1].get("action") in {"add-worker", "remove-worker"}:
            self._roster_changed = True

    def _fleet_news(self, event: tuple[float, Any]) -> None:
        if told := event[1].get("draining"):
            self._tell_draining(told["worker"], told["incarnation"])

    def _ended(self, batch: str, future: Future[None]) -> None:
        if self._futures.pop(batch, None) is None:
            return
        failure = ""
        if future.status != "finished":
            # Whatever Dask says of a batch of ours means the same: it was lost, not its cases.
            failure = f"the batch was lost with its worker or scheduler ({future.status})"
            self._roster_changed = True
        # Finished results still held on a dying worker would be executed again.
        future.release()
        self.happenings.put(Ended(batch=batch, result={}, failure=failure))

    # Helpers --------------------------------------------------------------------------------

    def drop(self, batch: str) -> None:
        """Stop waiting for a batch whose worker is gone."""
        future = self._futures.pop(batch, None)
        if future is not None:
            future.release()

    def _tell_draining(self, worker: str, incarnation: str) -> None:
        # Who has not joined yet is told of when it has, by its heartbeat.
        joined = any(facts.incarnation == incarnation for facts in list(self._roster.values()))
        if joined and incarnation not in self._draining:
            self._draining.add(incarnation)
            self.happenings.put(Draining(worker=worker, incarnation=incarnation))

    def _tell_left(self, facts: WorkerFacts, reason: str) -> None:
        self.happenings.put(Left(worker=facts.name, incarnation=facts.incarnation, reason=reason))

    def _on(self, worker: str, function: Any, *arguments: object) -> None:
        self._tell(
            [address for address, facts in self._roster.items() if facts.name == worker],
            function,
            *arguments,
        )

    def _everywhere(self, function: Any, *arguments: object) -> None:
        self._tell(list(self._roster), function, *arguments)

    def _tell(self, workers: list[str], function: Any, *arguments: object) -> None:
        """Say something that is said again, or no longer matters, if it is not heard.

        Nobody waits for it: the scheduler tries a worker that has just died for ten seconds.
        """
        client = self._client
        if not workers or client.status != "running":
            self._roster_changed = True
            return
        # Tornado's loop around asyncio's, which its types do not tell.
        loop: Any = client.loop
        saying = asyncio.run_coroutine_threadsafe(
            self._say(client, workers, function, arguments), loop.asyncio_loop
        )
        self._telling.add(saying)
        saying.add_done_callback(self._telling.discard)

    async def _say(
        self, client: Client, workers: list[str], function: Any, arguments: tuple[object, ...]
    ) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await client._run(  # pyright: ignore[reportPrivateUsage]
                    function, *arguments, workers=workers, wait=False, on_error="ignore"
                )
        except (OSError, TimeoutError) as error:
            logger.info("workers could not be told: %s", error or "no answer")
            self._roster_changed = True

    def _answers(self, function: Any, *arguments: object) -> list[Any]:
        return list(self._run(function, *arguments, workers=list(self._roster)).values())

    def _run(
        self,
        function: Any,
        *arguments: object,
        workers: list[str],
        deadline: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        if not workers:
            return {}
        # `Client.run` waits for ever; its coroutine takes the deadline that `sync` gives it.
        answers: Any = self._client.sync(
            self._client._run,  # pyright: ignore[reportPrivateUsage]
            function,
            *arguments,
            workers=workers,
            on_error="ignore",
            callback_timeout=deadline,
        )
        return answers or {}


async def _identity(client: Client) -> dict[str, Any]:
    scheduler: Any = client.scheduler
    return await scheduler.identity()
