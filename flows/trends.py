"""The flow that analyses trends, reports them as artifacts, and tells people the news.

    from proctor import analyze_trends

    await analyze_trends(notify=("slack-webhook/team",))

Everything but its form in Prefect is `flows.trending.trend_run`: the command runs the same without
it.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from prefect import State, get_run_logger
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field

from ..blocks.notify import atell_news
from ..infra.errors import ProctorError
from ..infra.quantities import parse_duration
from ..infra.settings import load_settings
from ..monitoring.reports.wording import counted
from .server.called_flow import CalledFlow

# DuckDB loads where it is needed, and nothing here names what it made: Prefect's threads hold the
# flow they ran, and with it this module, until the process is gone. DuckDB's bindings would tell
# on stderr of each of their objects that is still held then, in some fifty lines.
if TYPE_CHECKING:
    from .trending.confirm import Confirming
    from .trending.trend_run import Looked

FLOW_NAME = "analyze-trends"
_ROWS = 200


class TrendResult(BaseModel):
    """What an analysis said."""

    project: str
    series: int
    findings: int
    regressions: list[str]
    news: list[str]
    page: str


class RegressionsFound(ProctorError):
    """A regression is confirmed, and that was to count as a failure; has the `result`."""

    def __init__(self, message: str, result: TrendResult) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[type[RegressionsFound], tuple[str, TrendResult]]:
        # Prefect passes exceptions between processes.
        return RegressionsFound, (self.message, self.result)


@partial(CalledFlow, name=FLOW_NAME, persist_result=False)
async def analyze_trends(
    project: str = "",
    *,
    since: str = "",
    metrics: tuple[str, ...] = (),
    notify: tuple[str, ...] = (),
    smallest: Annotated[float, Field(gt=0, lt=10)] = 0.03,
    confirm: bool = False,
    directory: str = "",
    most: Annotated[int, Field(ge=5, le=100)] = 15,
    confirm_minutes: Annotated[float, Field(gt=0)] = 60.0,
    fail_on_regression: bool = False,
    state: str = "",
) -> State[TrendResult]:
    """Find what got slower, faster, flaky or odd in a project's history, and since which commit.

    Args:
        project: Its name; the one that ran last if left empty.
        since: Look at the last "30d" only; at everything if left empty.
        metrics: Only these: seconds, memory, or names that cases record.
        notify: Prefect notification blocks that are told the news, such as slack-webhook/team.
        smallest: Moves below this share of the level are not worth a word.
        confirm: Run what is suspected again before anybody is told: both commits in turns, or the
            case as it stands where the directory is no git checkout that has them. In turns also
            what was just found, and what the newest runs only hint at.
        directory: Where the tested project is, for that; the worker's own directory if left empty.
        most: Runs of each side at most.
        confirm_minutes: Running again ends after so long.
        fail_on_regression: End failed while a regression is confirmed.
        state: The state directory; the usual one if left empty.

    """
    from ..monitoring.trends.analyzer import Limits
    from .trending.trend_run import look

    try:
        where = Path(load_settings(Path.cwd(), os.environ, {"state": state or None}).state)
        looked = await asyncio.to_thread(
            look,
            where,
            project=project or None,
            since=time.time() - parse_duration(since, what="since") if since else None,
            metrics=metrics,
            limits=Limits(smallest=smallest),
            confirming=_confirming(directory, most, confirm_minutes) if confirm else None,
        )
        await atell_news(looked.news, looked.report.project, blocks=notify, state=where)
    except ProctorError as problem:
        get_run_logger().error("%s", problem)
        return Failed(message=str(problem), data=problem)
    await _artifacts(looked)
    result = result_of(looked)
    message = (
        f"{counted(len(result.regressions), 'regression')}, {counted(result.findings, 'finding')}"
    )
    if fail_on_regression and result.regressions:
        return Failed(message=message, data=RegressionsFound(message, result))
    return Completed(message=message, data=result)


def _confirming(directory: str, most: int, minutes: float) -> Confirming:
    from .trending.confirm import Confirming

    # In another thread than the flow's, where Prefect's logger of the run is not to be had.
    logger = get_run_logger()
    return Confirming(
        directory=Path(directory or ".").resolve(),
        most=most,
        deadline=time.monotonic() + minutes * 60,
        say=lambda text: logger.info("%s", text),
    )


def result_of(looked: Looked) -> TrendResult:
    """The plain values of a run."""
    return TrendResult(
        project=looked.report.project,
        series=looked.report.series_seen,
        findings=len(looked.report.findings),
        regressions=[each.text for each in looked.report.regressions],
        news=[f"{each.status}: {each.text}" for each in looked.news],
        page=str(looked.page),
    )


async def _artifacts(looked: Looked) -> None:
    from ..monitoring.trends.document import trend_markdown

    report = looked.report
    regressions = counted(len(report.regressions), "regression")
    await acreate_markdown_artifact(
        markdown=f"{trend_markdown(report)}\nPlots: {looked.page}\n",
        key="trends",
        description=f"{regressions} in {report.series_seen} series",
    )
    rows = [
        {
            "finding": each.id,
            "kind": str(each.kind),
            "status": str(each.status),
            "case": each.lead.case,
            "metric": each.lead.metric,
            "size": f"{each.size:+.1%}",
            "commit": each.commit[:12],
            "probability": f"{each.probability:.1%}",
        }
        for each in report.findings[:_ROWS]
    ]
    if rows:
        await acreate_table_artifact(table=rows, key="trend-findings")
