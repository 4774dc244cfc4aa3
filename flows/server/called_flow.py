"""Flows as Python calls them: kept in the history that the command line keeps, on no other server.

Where no server is configured, Prefect runs a flow that is called in a temporary server of its own:
that takes ten seconds to start, and nobody sees the run afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Flow
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import get_current_settings
from prefect.utilities.callables import get_call_parameters
from prefect.utilities.visualization import get_task_viz_tracker

from ...infra.errors import ProctorError
from ...infra.setting_readers import without_credentials
from ...infra.settings import RunSettings, load_settings
from .connection import speaking_to, why_unusable
from .prefect_server import ResidentServer, chosen_url

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class CalledFlow(Flow[P, R]):
    """An async flow that finds its server when it is called: the configured or the resident one.

    A flow run of a deployment, and a flow that is called by another, have theirs.
    """

    def settings(self, parameters: Mapping[str, Any]) -> RunSettings:
        """The settings that go with these parameters."""
        return load_settings(Path.cwd(), os.environ, {"state": parameters.get("state") or None})

    async def without_server(self, parameters: Mapping[str, Any], state: Path) -> Any:
        """Where none is configured that answers: on the resident one, started if need be."""
        record = await asyncio.to_thread(ResidentServer(state).ensure)
        return await self._on(record.api_url, parameters)

    def with_options(self, **options: Any) -> CalledFlow[P, R]:
        """The same flow with other options of Prefect's: it finds its server as this one does."""
        changed = super().with_options(**options)
        # Prefect makes a flow of its own class, whatever this one's is.
        changed.__class__ = type(self)
        return cast("CalledFlow[P, R]", changed)

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - overloads of one coroutine.
        self, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any
    ) -> Any:
        if FlowRunContext.get() or TaskRunContext.get() or get_task_viz_tracker():
            return cast("Any", super().__call__)(
                *args, return_state=return_state, wait_for=wait_for, **kwargs
            )
        return self._call(get_call_parameters(self.fn, args, kwargs), return_state=return_state)

    async def _call(self, given: dict[str, Any], *, return_state: bool) -> Any:
        parameters = self.validate_parameters(given)
        settings = await asyncio.to_thread(self.settings, parameters)
        url = await asyncio.to_thread(_configured, settings.prefect)
        try:
            state = await (
                self.without_server(parameters, settings.state)
                if not url
                else self._on(url, parameters)
            )
            return state if return_state else await state.aresult()
        except ProctorError as problem:
            # What Prefect did on the way fills a screen and says nothing.
            raise problem.with_traceback(None) from None

    async def _on(self, url: str, parameters: Mapping[str, Any]) -> Any:
        """A flow run on that server; the state it ends in."""
        with speaking_to(url):
            return await cast("Any", super().__call__)(**parameters, return_state=True)


def _configured(setting: str) -> str:
    """The server that is configured, if it answers; empty for none."""
    if setting == "off":
        return ""
    url = _current() if setting == "auto" else chosen_url(setting, os.environ)
    if url and (why := why_unusable(url)):
        logger.warning("the Prefect server %s is done without: %s", without_credentials(url), why)
        return ""
    return url or ""


def _current() -> str:
    """The server by Prefect's settings of this moment: a caller may have changed them."""
    return (get_current_settings().api.url or "").rstrip("/")
