"""One campaign from what was asked to its reports: what the command line and the flow share.

Nothing here knows Prefect: tests never wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ...infra import inventory as inventories
from ...infra import timings as timing_files
from ...infra.dispatching.batches import Slot
from ...infra.engine.campaign import Campaign
from ...infra.engine.collect import Collection
from ...infra.engine.job import Job
from ...infra.engine.recovery import recover
from ...infra.engine.watcher import Watcher
from ...infra.errors import FleetUnavailable, LeaseLost, ProctorError
from ...infra.fleet.local_fleet import START_SECONDS
from ...infra.inventory import Inventory
from ...infra.ledgers.campaigns import CANCEL_FILE
from ...infra.ledgers.ledger import Ledger
from ...infra.ledgers.lines import WIDENED
from ...infra.ledgers.record import CampaignRecord, read_campaign
from ...infra.provenance import environment_of, revision_of
from ...infra.quick_start import loading
from ...infra.records import Attempt, Case
from ...infra.requirements import needs_of, unmatched
from ...infra.runners.doors import Knock
from ...infra.timings import Timings
from .closing import Conducted, Ending, close, inventory_path, keep_inventory
from .early import start_early
from .fleet_choice import open_fleet, reached
from .interpreter_told import tell_interpreter
from .interrupts import first_signal_asks
from .job_of import job_of
from .last_failed import last_failed
from .learned import Learned
from .once import Once
from .preparation import Prepared, prepare
from .request import RunRequest

if TYPE_CHECKING:
    from ...infra.engine.cluster import Cluster

# A fleet may have no worker yet: its campaign begins nevertheless.
LOOK_SECONDS = 1.0
# Options of pytest that leave out cases.
_NARROWING = ("-k", "-m", "--deselect", "--ignore")

__all__ = ["Conducted", "Prepared", "RunRequest", "conduct", "prepare"]


class Unwatched:
    """Nobody looks on."""

    def phase(self, name: str) -> None: ...
    def cases(self, total: int, predicted_seconds: float) -> None: ...
    def running(self, case: Case, slot: Slot) -> None: ...
    def attempt(self, case: Case, attempt: Attempt) -> None: ...
    def note(self, text: str) -> None: ...


def conduct(
    prepared: Prepared,
    view: Watcher | None = None,
    *,
    opened: Callable[[Path], object] = lambda directory: None,
    early: Knock | None = None,
) -> Conducted:
    """Run a prepared campaign to its end and write its reports.

    `opened` is called with its directory once the campaign stands in its ledger. Who is in a hurry
    has had sessions started by `start_early` before this was loaded.
    """
    with closing(start_early(prepared) if early is None else early) as knocked:
        return _Conductor(prepared, view or Unwatched(), knocked).conduct(opened)


class _Conductor:
    """Holds the parts of one campaign together while it runs."""

    def __init__(self, prepared: Prepared, watcher: Watcher, knocked: Knock) -> None:
        self._prepared = prepared
        self._request = prepared.request
        self._settings = prepared.settings
        self._watcher = watcher
        self._collection = Collection(
            needs_of=partial(needs_of, rules=prepared.settings.requirements)
        )
        self._job = self._make_job()
        self._job.numbers = knocked.numbers
        self._learned = Learned(
            # An interrupted campaign goes on with what its cases asked for.
            needs={} if prepared.record else self._job.timings.predicted.needs,
            workers=prepared.fleet.workers,
            limited=bool(prepared.settings.memory_limit),
        )
        self._collection.learned = self._learned

    def conduct(self, opened: Callable[[Path], object]) -> Conducted:
        with ExitStack() as stack:
            ledger = self._open_ledger()
            stack.callback(ledger.abandon)
            self._read_on(ledger)
            try:
                opened(self._prepared.directory)
            except OSError as problem:
                # Such as no room for one process more: tests do not wait for who is only told.
                self._note(ledger, "warning", f"Prefect is not told of this campaign: {problem}")
            for text in self._prepared.remarks:
                self._note(ledger, "warning", text)
            if self._request.last_failed and self._collection.only is None and not self._widened:
                text = "--lf: no case is known to have failed last time, so all run"
                self._note(ledger, "warning", text)
            if not self._is_all_known:
                self._phase(ledger, "collect")
            once = Once(self._prepared, self._job, note=partial(self._note, ledger, "info"))
            stack.callback(once.end)
            # The fleet starts first: its processes load while we look what there is to run.
            fleet = stack.enter_context(
                open_fleet(self._prepared.fleet, scratch=self._prepared.scratch)
            )
            known = self._known()
            ending = Ending()
            try:
                # Dask takes 0.4 s to import: the fleet's processes are starting meanwhile.
                with loading("distributed"):
                    from ...infra.engine.cluster import Cluster

                    # What the reports need is not waited for either.
                    import_module("...monitoring.reports.publish", __package__)

                cluster = Cluster(
                    fleet.address() if fleet else reached(self._prepared.fleet),
                    campaign=self._prepared.campaign_id,
                    deadline_seconds=START_SECONDS,
                    certificates=self._prepared.fleet.certificates,
                )
                stack.callback(cluster.close)
                ending = self._run(ledger, cluster, known, once)
            except LeaseLost:
                # Somebody else goes on with it: nothing of ours counts any more.
                raise
            except ProctorError as problem:
                tell_interpreter(problem, self._prepared)
                ledger.write("note", level="error", text=str(problem))
                ending = Ending(problem=problem)
            self._watcher.phase("report")
            # An inventory without the files that are broken today would hide them tomorrow.
            # And what an interrupted one knows of its cases is not only what they say themselves.
            whole = not self._collection.errors and self._prepared.record is None
            if self._job.collected_order and ending.problem is None and whole:
                keep_inventory(
                    self._prepared,
                    self._collection,
                    hello=self._job.hello,
                    order=self._job.collected_order,
                )
            if ending.problem is None and whole:
                for text in self._without_cases():
                    self._note(ledger, "warning", text)
            for text in self._learned.texts():
                self._note(ledger, "info", text)
            conducted = close(self._prepared, self._job, ledger, ending)
            self._watcher.phase("leave")
        if ending.problem is not None:
            raise ending.problem
        return conducted

    def _run(self, ledger: Ledger, cluster: Cluster, known: Inventory | None, once: Once) -> Ending:
        if self._learned.needs and not self._learned.workers:
            # A fleet that was named by its address: those who are there say what they have.
            with suppress(FleetUnavailable):
                cluster.wait_for_workers(LOOK_SECONDS)
            self._learned.workers = cluster.roster()
        campaign = Campaign(
            self._job,
            ledger=ledger,
            cluster=cluster,
            collection=self._collection,
            watcher=self._watcher,
        )
        try:
            self._fill(campaign, ledger, cluster, known)
            once.begin()
            with first_signal_asks(partial(self._ask_to_cancel, campaign)):
                campaign.run()
            # Fixtures of whole sessions are taken down, for as long as they like.
            self._watcher.phase("finish")
            campaign.finish()
        except KeyboardInterrupt:
            # While it was being filled or its sessions torn down, or somebody insists.
            self._mark_cancelled()
            campaign.cancelling.cancel("interrupted from the keyboard")
            campaign.run()
        except Exception:
            # Also for a defect of ours: a fleet that is up would work on for nobody.
            campaign.let_go()
            raise
        once.end(campaign)
        return Ending(
            cancelled_because=campaign.cancelling.because,
            deadline_passed=campaign.cancelling.deadline_passed,
            slots=campaign.slots,
            finishes=campaign.finishes,
        )

    def _ask_to_cancel(self, campaign: Campaign, why: str) -> None:
        self._mark_cancelled()
        campaign.cancelling.ask(why)

    def _mark_cancelled(self) -> None:
        """Whoever asks twice, the second time with kill -9, must not see it resumed."""
        with suppress(OSError):
            (self._prepared.directory / CANCEL_FILE).touch()

    # What there is to run -------------------------------------------------------------------

    def _fill(
        self, campaign: Campaign, ledger: Ledger, cluster: Cluster, known: Inventory | None
    ) -> None:
        record = self._prepared.record
        if record is not None:
            self._collection.restore(record.cases)
            cluster.wait_for_workers(START_SECONDS)
            past = recover(
                record,
                ledger=ledger,
                cluster=cluster,
                scratch=self._prepared.scratch,
                excuses=campaign.excuses,
            )
            campaign.add_known(list(record.cases.values()), past)
            if not self._is_all_known:
                campaign.search.collect()
            else:
                self._announce(campaign, ledger, self._lost_tasks(record))
                if self._collection.only is None:
                    self._doubt(campaign)
        elif self._prepared.tasks is not None:
            self._collection.restore(list(self._prepared.tasks.cases))
            self._announce(campaign, ledger, self._collection.wanted())
            ledger.unselected(self._collection.unselected())
        elif known is not None:
            self._collection.restore(list(known.cases))
            self._collection.deselected = known.deselected
            if said := self._collection.widen():
                self._note(ledger, "warning", said)
            self._announce(campaign, ledger, self._collection.wanted())
            ledger.unselected(self._collection.unselected())
            self._doubt(campaign)
            for case_id, why in known.skipped_files.items():
                campaign.search.skip_file(case_id, why)
        else:
            campaign.search.collect()

    def _doubt(self, campaign: Campaign) -> None:
        """Files may hold other cases than an inventory, or an earlier process, had found there."""
        # Of a file of which single cases were named, a session finds the others as well.
        named = any("::" in argument for argument in self._request.pytest_arguments())
        if not named and not self._request.tasks:
            campaign.search.doubt()

    def _lost_tasks(self, record: CampaignRecord) -> list[Case]:
        """Those that the list has and the record no longer."""
        tasks = self._prepared.tasks
        if tasks is None or self._request.last_failed:
            return []
        lost = [case for case in tasks.cases if case.id not in record.cases]
        taken = {case.index for case in record.cases.values()}
        free = (index for index in count() if index not in taken)
        self._collection.restore([replace(case, index=next(free)) for case in lost])
        return [self._collection.cases[case.id] for case in lost]

    def _announce(self, campaign: Campaign, ledger: Ledger, cases: list[Case]) -> None:
        for case in cases:
            ledger.case(case)
            campaign.search.mute(case)
        self._phase(ledger, "run")
        campaign.add_known(cases, {})

    def _known(self) -> Inventory | None:
        """What an earlier campaign collected, if it is still true."""
        if self._request.tasks or self._prepared.record is not None:
            return None
        inventory = inventories.load(inventory_path(self._prepared))
        if inventory is None or inventory.why_stale():
            return None
        return inventory

    def _without_cases(self) -> Iterator[str]:
        """Patterns of the settings that mean no case: mistyped, or left from what was renamed."""
        request, settings = self._request, self._settings
        some = request.paths or request.keyword or request.marks or request.pytest_args
        addopts = self._prepared.addopts
        some = some or request.tasks or any(word.startswith(_NARROWING) for word in addopts)
        ids = {*self._collection.cases, *self._collection.skipped_files}
        rules = [rule.match for rule in settings.requirements]
        for key, patterns in (("mute", settings.mute), ("requirements", rules)):
            # The project's own may be for cases that were not asked for now.
            if not some or settings.origin(key) == f"--{key}":
                for pattern in unmatched(patterns, ids):
                    yield f"{key} ({settings.origin(key)}): {pattern!r} matches no case"

    def _read_on(self, ledger: Ledger) -> None:
        """A writer that was only stopped may have gone on until this one took its place."""
        record = self._prepared.record
        if record is not None and any(
            record.bytes_read.get(epoch, 0) != size for epoch, size in ledger.predecessors.items()
        ):
            self._prepared = replace(self._prepared, record=read_campaign(ledger.directory))

    @property
    def _is_all_known(self) -> bool:
        """Whether an interrupted campaign had found all its cases."""
        record = self._prepared.record
        if record is None:
            return False
        # What a damaged line told of may be a case.
        return bool(self._request.tasks) or (_was_collected(record) and not record.problems)

    # Parts ----------------------------------------------------------------------------------

    def _open_ledger(self) -> Ledger:
        prepared = self._prepared
        return Ledger.open(
            prepared.directory,
            campaign=prepared.campaign_id,
            name=self._request.name or self._settings.name,
            root=str(prepared.root),
            project=prepared.project_name,
            command=self._request.pytest_arguments(),
            settings={
                "request": self._request.to_json(),
                "python": prepared.python,
                # Whoever checks the ledger has to know what was allowed.
                "rules": asdict(self._job.rules),
                "origin": asdict(prepared.origin),
                "resumed": prepared.resumed,
                # Whoever proposes workers for what was not run goes by it.
                "fleet": self._job.mend.value,
            },
            revision=revision_of(prepared.root),
            environment=environment_of(prepared.python),
        )

    def _make_job(self) -> Job:
        prepared = self._prepared
        timings = timing_files.load(prepared.project) if self._settings.history else Timings()
        failed = last_failed(prepared, timings)
        if self._request.last_failed and failed and not self._widened:
            self._collection.only = failed
        return job_of(prepared, timings, failed=failed)

    @property
    def _widened(self) -> bool:
        """Whether an earlier writer found nothing that --lf asks for, and set out to run all."""
        record = self._prepared.record
        return record is not None and any(each.text.startswith(WIDENED) for each in record.notes)

    def _note(self, ledger: Ledger, level: str, text: str) -> None:
        ledger.write("note", level=level, text=text)
        self._watcher.note(text)

    def _phase(self, ledger: Ledger, name: str) -> None:
        ledger.write("phase", phase=name)
        self._watcher.phase(name)


def _was_collected(record: CampaignRecord) -> bool:
    """Whether nobody was collecting when its process died, for the first time or anew."""
    phases = [name for name, _ in record.phases if name in {"collect", "run"}]
    return phases[-1:] == ["run"]
