"""The flow that runs a campaign: one job for the deployment, the schedule, the form and Python.

    from proctor import submit_tests

    await submit_tests(paths=["tests"])                 # from a coroutine
    asyncio.run(submit_tests(paths=["tests"]))          # from anywhere else

gives a CampaignResult, or raises CampaignFailed, which holds one. It is an async flow (a sync one
costs a second more), so calling it gives something to await. The campaign itself knows nothing of
Prefect: it runs in a thread, and its mirror beside it. Where Prefect has no server configured that
answers, the campaign begins all the same, as `proctor run` does, and its mirror tells the resident
server once that is up.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import State, get_run_logger
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run as this_run
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from ..infra.errors import ProctorError, UsageProblem
from ..infra.settings import RunSettings, load_settings
from ..monitoring.reports.wording import one_line
from .campaigns.conduct import Prepared, RunRequest, conduct, prepare
from .mirroring.last_word import conclude
from .mirroring.mirror import follow
from .mirroring.mirror_facts import RunState
from .mirroring.mirror_prefect import PrefectLink
from .mirroring.mirror_process import spawn_mirror
from .remembering.remember import spawn_remember
from .server.called_flow import CalledFlow
from .submission import (
    CampaignFailed,
    CampaignResult,
    RunOptions,
    Selection,
    attach,
    claim,
    result_of,
)

logger = logging.getLogger(__name__)

FLOW_NAME = "submit-tests"
# A cancelled campaign kills what runs and writes its last lines. Prefect's worker kills a
# cancelled flow run after 30 s.
CANCEL_SECONDS = 20.0
LAST_WORDS_SECONDS = 8.0
# The flow run ends this long after its campaign at the latest, told or not.
MIRROR_SECONDS = 60.0

_OPTIONS = RunOptions()

P = ParamSpec("P")
R = TypeVar("R")


class _Submission(CalledFlow[P, R]):
    """The flow, which needs no server to begin."""

    def settings(self, parameters: Mapping[str, Any]) -> RunSettings:
        options: RunOptions = parameters["options"]
        return load_settings(Path(parameters["directory"]), os.environ, options.flags())

    async def without_server(
        self,
        parameters: Mapping[str, Any],
        state: Path,  # noqa: ARG002 - its mirror finds the server.
    ) -> Any:
        return await submit_tests.fn(**parameters)


def _run_name() -> str:
    given = this_run.parameters
    paths = [path for path in given.get("paths") or [] if path != "."]
    directory = os.path.abspath(given.get("directory") or ".")  # noqa: PTH100 - touches no disk.
    what = given.get("resume") or given.get("tasks") or " ".join(paths)
    return one_line(given.get("name") or what or Path(directory).name or "campaign")


def _submission(submit: Callable[P, R]) -> _Submission[P, R]:
    return _Submission(submit, name=FLOW_NAME, flow_run_name=_run_name, persist_result=False)


@_submission
async def submit_tests(
    paths: Annotated[list[str], Field(max_length=1000)] = ["."],  # noqa: B006 - shown in the form.
    *,
    directory: str = ".",
    keyword: str = "",
    marks: str = "",
    select: Selection = Selection.ALL,
    tasks: str = "",
    options: RunOptions = _OPTIONS,
    pytest_args: list[str] = [],  # noqa: B006 - as above.
    junitxml: str = "",
    name: str = "",
    idempotency_key: str = "",
    resume: str = "",
) -> State[CampaignResult]:
    """Run a test suite, or a list of tasks, over the fleet and report every verdict.

    Args:
        paths: Files, folders or node ids, as one would give them to pytest.
        directory: Where the suite stands, on the machine that runs the flow; an absolute path for
            a deployed run, since a worker starts it in a directory of its own.
        keyword: Only cases whose names match this expression (pytest -k).
        marks: Only cases whose markers match this expression (pytest -m).
        select: All cases, only those that failed last time, or those first.
        tasks: A task list (JSON, TOML or YAML) to run instead of a suite.
        options: How to run: slots, time limits, retries.
        pytest_args: Further arguments for pytest.
        junitxml: Where to write a JUnit report as well.
        name: What to call the campaign; its paths if left empty.
        idempotency_key: Submitting twice with the same key runs one campaign: the second
            submission waits for the first one's result, or resumes it if it was interrupted;
            with other cases than the first one's, or from another directory, it is refused.
        resume: The id of an interrupted campaign to go on with; the rest is then ignored.

    """
    request = RunRequest(
        # What the form proposes is no choice of paths beside a task list.
        paths=() if tasks and paths == ["."] else tuple(paths),
        keyword=keyword,
        marks=marks,
        tasks=tasks or None,
        directory=os.path.abspath(os.path.expanduser(directory)),  # noqa: PTH100, PTH111, ASYNC240
        pytest_args=tuple(pytest_args),
        flags=options.flags(),
        last_failed=select is Selection.LAST_FAILED,
        failed_first=select is Selection.FAILED_FIRST,
        junitxml=junitxml or None,
        idempotency_key=idempotency_key or None,
        name=name,
        resume=resume or None,
    )
    try:
        result = await _submit(request)
    except ProctorError as problem:
        if this_run.id is not None:
            get_run_logger().error("%s", problem)
        return Failed(message=str(problem), data=problem)
    return _final_state(result)


async def _submit(request: RunRequest) -> CampaignResult:
    if this_run.id is not None and not request.resume:
        _check_place(Path(request.directory))
    if request.idempotency_key is None:
        return await _run(await asyncio.to_thread(prepare, request))
    prepared, directory = await asyncio.to_thread(claim, request)
    if prepared is not None:
        return await _run(prepared)
    _run_logger().info("the key stands for campaign %s: waiting for its end", directory.name)
    return await attach(directory)


async def _run(prepared: Prepared) -> CampaignResult:
    """Conduct the campaign in a thread, its mirror attached to this flow run if there is one."""
    _run_logger().info("campaign %s in %s", prepared.campaign_id, prepared.directory)
    mirroring: asyncio.Task[None] | None = None
    if this_run.id is None:
        mirror = partial(spawn_mirror, prefect=prepared.settings.prefect)
        conducting = asyncio.create_task(asyncio.to_thread(conduct, prepared, opened=mirror))
    else:
        conducting = asyncio.create_task(asyncio.to_thread(conduct, prepared))
        mirroring = asyncio.create_task(_mirror(prepared.directory, this_run.id))
    try:
        # Shielded: a cancelled flow run asks its campaign to end, and waits for that.
        return result_of(await asyncio.shield(conducting))
    except BaseException:
        if not conducting.done():
            _ask_to_end(prepared.directory)
            _, late = await asyncio.wait({conducting}, timeout=CANCEL_SECONDS)
            if late:
                logger.warning("campaign %s did not end in time", prepared.campaign_id)
        raise
    finally:
        if mirroring is not None:
            await _let_finish(mirroring, prepared.directory)
            _leave_to_mirror(prepared)
        if prepared.settings.history:
            spawn_remember(prepared.state)


def _check_place(directory: Path) -> None:
    """A worker starts its runs in a new directory, in which there is nothing to be found."""
    if directory.is_dir() and not any(directory.iterdir()):
        raise UsageProblem(
            f"there is nothing in {directory}",
            remedy="say in the parameter directory where the suite stands, by an absolute path",
        )


def _ask_to_end(directory: Path) -> None:
    (directory / "cancel").write_text("the flow run was cancelled\n")


def _run_logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The flow run's own, if there is one: its lines stand in Prefect's page."""
    return logger if this_run.id is None else get_run_logger()


async def _mirror(directory: Path, flow_run: UUID | str | None) -> None:
    """Tell the surrounding flow run; whatever goes wrong here is not the campaign's affair."""
    try:
        await follow(
            directory, PrefectLink(), flow_run=str(flow_run or ""), patience=MIRROR_SECONDS
        )
    except Exception:
        logger.exception("the mirror of %s failed; `proctor mirror` tells the rest", directory.name)
    except TerminationSignal:
        # Prefect's wish that the flow run ends strikes whatever runs at that moment.
        _ask_to_end(directory)


async def _let_finish(mirroring: asyncio.Task[None], directory: Path) -> None:
    _, late = await asyncio.wait({mirroring}, timeout=MIRROR_SECONDS)
    if mirroring in late:
        mirroring.cancel()
    elif mirroring.cancelled():
        # Together with the flow run: another one tells how the campaign ended.
        again = asyncio.create_task(_mirror(directory, this_run.id))
        await asyncio.wait({again}, timeout=LAST_WORDS_SECONDS)


def _leave_to_mirror(prepared: Prepared) -> None:
    """What this one could not tell within its time, and what mirrors before it could not."""
    if get_current_settings().api.url:
        spawn_mirror(prepared.directory, prefect=prepared.settings.prefect)


def _final_state(result: CampaignResult) -> State[CampaignResult]:
    end = conclude(
        exit_code=result.exit_code,
        counts=result.counts,
        makespan=result.makespan_seconds,
        cancelled=result.state == "cancelled",
    )
    if end.state is RunState.COMPLETED:
        return Completed(message=end.message, data=result)
    # Who awaits the flow gets what such a state holds raised.
    enter = Cancelled if end.state is RunState.CANCELLED else Failed
    return enter(message=end.message, data=CampaignFailed(end.message, result))
