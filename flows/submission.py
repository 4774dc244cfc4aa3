"""What a submission says and gives back, and how one key stands for one campaign."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..infra.errors import InfrastructureProblem, ProctorError, UsageProblem
from ..infra.ledgers.lease import newest_holder
from ..infra.ledgers.lines import REFUSED
from ..infra.settings import load_settings
from .campaigns.conduct import Conducted, Prepared, RunRequest, prepare
from .mirroring.mirror_picture import Closed
from .mirroring.mirror_source import START_SECONDS, Source

# How often a submission that waits for another's campaign looks.
_LOOK_SECONDS = 0.5


class Selection(StrEnum):
    """Which cases to run, and in which order."""

    ALL = "all"
    LAST_FAILED = "last-failed"
    FAILED_FIRST = "failed-first"


class RunOptions(BaseModel):
    """How to run; what is left empty is as the project's configuration says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: int | None = Field(default=None, ge=1, description="How many cases at a time.")
    timeout: str | None = Field(
        default=None, description="For each case, such as 90, 10m or 1h30m.", examples=["10m"]
    )
    deadline: str | None = Field(
        default=None, description="For the whole campaign, such as 2h.", examples=["2h"]
    )
    retries: int | None = Field(
        default=None, ge=0, description="How often a failed case is run again."
    )
    maxfail: int | None = Field(
        default=None, ge=0, description="Stop after so many failures; 0 never stops."
    )
    isolate: bool | None = Field(default=None, description="Run each case in its own process.")
    fail_on_flaky: bool | None = Field(
        default=None, description="Fail the campaign if a case passed only when run again."
    )
    python: str | None = Field(
        default=None, description="The interpreter that has the suite's packages."
    )
    fleet: str | None = Field(
        default=None, description="The scheduler of a running fleet.", examples=["tcp://host:8786"]
    )
    state: str | None = Field(default=None, description="The state directory.")

    def flags(self) -> dict[str, object]:
        """The settings that were given."""
        return self.model_dump(exclude_none=True)


class CampaignResult(BaseModel):
    """What a campaign came to."""

    campaign: str
    directory: str
    # completed, cancelled or failed.
    state: str
    exit_code: int
    counts: dict[str, int]
    makespan_seconds: float = 0.0
    lower_bound_seconds: float = 0.0


class CampaignFailed(ProctorError):
    """The campaign ran, and did not pass: what a caller of the flow catches."""

    def __init__(self, message: str, result: CampaignResult) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[type[CampaignFailed], tuple[str, CampaignResult]]:
        # Prefect passes exceptions between processes.
        return CampaignFailed, (self.message, self.result)


def claim(request: RunRequest) -> tuple[Prepared | None, Path]:
    """Prepare the campaign of the request's key, or find the one that has it already.

    Returns the prepared campaign, or None where another's is running or over; and its directory.
    An interrupted campaign is prepared to go on. A key that stands for other cases is refused: who
    waits for them would take their result for that of what was asked for.
    """
    state = load_settings(Path(request.directory), os.environ, request.flags).state
    with _turn(state / "keys", request.idempotency_key or "") as entry:
        known, asked = _read(entry)
        directory = state / "campaigns" / known
        if known and _begins(directory, entry):
            source = Source(directory)
            source.poll()
            closed = source.picture.closed
            if closed is None or closed.state != REFUSED:
                _check_same(request, known, asked)
                if closed is None and source.is_lost:
                    return prepare(replace(request, resume=known)), directory
                return None, directory
        prepared = prepare(request)
        fresh = entry.with_suffix(".new")
        kept = {"campaign": prepared.campaign_id, "request": request.what_runs()}
        fresh.write_text(json.dumps(kept))
        fresh.replace(entry)
        return prepared, prepared.directory


def _read(entry: Path) -> tuple[str, dict[str, Any]]:
    """The campaign of a key, and what it was asked to run."""
    text = entry.read_text().strip() if entry.exists() else ""
    if not text.startswith("{"):
        # Of a version that kept the campaign alone.
        return text, {}
    kept = json.loads(text)
    return kept["campaign"], kept["request"]


def _check_same(request: RunRequest, campaign: str, asked: Mapping[str, Any]) -> None:
    if request.resume:
        # All else that it says is ignored.
        return
    now = request.what_runs()
    other = [name for name in now if name in asked and asked[name] != now[name]]
    if other:
        raise UsageProblem(
            f"idempotency_key {request.idempotency_key!r} stands for campaign {campaign}, which was"
            f" asked for something else: {', '.join(other)}",
            remedy="give each thing to run a key of its own",
        )


def _begins(directory: Path, entry: Path) -> bool:
    """Whether the campaign began, or still may: who made it may have been killed at once."""
    began = newest_holder(directory) is not None
    return began or time.time() < entry.stat().st_mtime + START_SECONDS


async def attach(directory: Path) -> CampaignResult:
    """Wait for the end of a campaign that another process conducts."""
    source = Source(directory)
    while True:
        await asyncio.to_thread(source.poll)
        if source.picture.is_over:
            return _result(directory, source.picture.closed)
        if source.is_lost and source.picture.opened is None:
            raise InfrastructureProblem(
                f"campaign {directory.name} never began", remedy="submit it again"
            )
        await asyncio.sleep(_LOOK_SECONDS)


def result_of(conducted: Conducted) -> CampaignResult:
    """What a campaign of this process came to."""
    close = conducted.record.close if conducted.record else None
    return CampaignResult(
        campaign=conducted.campaign_id,
        directory=str(conducted.directory),
        state=close.state if close else "completed",
        exit_code=conducted.exit_code,
        counts={str(judgement): count for judgement, count in conducted.counts.items()},
        makespan_seconds=conducted.makespan,
        lower_bound_seconds=conducted.lower_bound,
    )


def _result(directory: Path, closed: Closed | None) -> CampaignResult:
    if closed is None:
        raise InfrastructureProblem(
            f"the process that ran campaign {directory.name} died",
            remedy=f"`proctor resume {directory.name}` or the same key again continues it",
        )
    return CampaignResult(
        campaign=directory.name,
        directory=str(directory),
        state=closed.state,
        exit_code=closed.exit_code,
        counts=dict(closed.counts),
        makespan_seconds=closed.makespan,
        lower_bound_seconds=closed.lower_bound,
    )


@contextmanager
def _turn(keys: Path, key: str) -> Generator[Path]:
    """Hold a key while its campaign is made; the kernel frees it when the holder dies."""
    keys.mkdir(parents=True, exist_ok=True)
    entry = keys / hashlib.sha256(key.encode()).hexdigest()[:32]
    with entry.with_suffix(".lock").open("w") as file:
        # Held by others for as long as making a campaign directory takes.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield entry
