"""Telling people through blocks, for callers that have no server around them: the command line.

Blocks are kept where the run history is: by the configured server, or by the resident one. Without
this Prefect would start a server of its own over another database, and find none of them there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...blocks.notify import acheck, asend, atell_news, check_name
from ...monitoring.trends.journal import News
from ..server.prefect_server import usable_url


class Notifier:
    """Some blocks, at the server that keeps them."""

    def __init__(self, blocks: Sequence[str], *, state: Path, prefect: str) -> None:
        self._blocks = tuple(blocks)
        self._state = state
        self._prefect = prefect
        self._url = ""

    def check(self) -> None:
        """Refuse what is no block, before anything is looked at: not on the day it matters."""
        for name in self._blocks:
            # A server that is started for nothing takes ten seconds.
            check_name(name)
        if self._blocks:
            with self._server():
                asyncio.run(acheck(self._blocks))

    def tell(self, news: Sequence[News], project: str) -> None:
        """Without a block it waits for the next time that there is one."""
        if not self._blocks:
            asyncio.run(atell_news(news, project, blocks=(), state=self._state))
            return
        with self._server():
            asyncio.run(atell_news(news, project, blocks=self._blocks, state=self._state))

    def send(self, *, subject: str, body: str) -> None:
        with self._server():
            asyncio.run(asend(self._blocks, subject=subject, body=body))

    @contextmanager
    def _server(self) -> Generator[None]:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        self._url = self._url or usable_url(
            self._prefect, self._state, purpose=", and it keeps the blocks"
        )
        with temporary_settings({PREFECT_API_URL: self._url}):
            yield
