"""What the process of the resident Prefect server adds to Prefect's own application."""

from __future__ import annotations

import asyncio
import threading

import anyio
import httpx
import pytest
from prefect.client.base import PrefectHttpxAsyncClient

from proctor.flows.server.prefect_host import AGAIN_SECONDS, SoonAgain


def test_a_client_that_found_the_database_locked_comes_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Left to itself, Prefect's client sleeps for 2, 4, 8, 16 and 32 s."""
    answers, slept = [503, 503, 503, 200], []

    async def locked(scope, receive, send) -> None:
        start = {"type": "http.response.start", "status": answers.pop(0), "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"{}"})

    asking, really = threading.get_ident(), anyio.sleep

    async def sleep(seconds: float) -> None:
        if threading.get_ident() == asking:
            slept.append(seconds)
        else:
            # Prefect's own threads, of earlier tests.
            await really(seconds)

    async def ask() -> int:
        transport = httpx.ASGITransport(SoonAgain(locked))
        async with PrefectHttpxAsyncClient(transport=transport, base_url="http://here") as client:
            monkeypatch.setattr(anyio, "sleep", sleep)
            return (await client.post("/flow_runs/")).status_code

    assert asyncio.run(ask()) == 200
    assert len(slept) == 3
    assert max(slept) < 2 * AGAIN_SECONDS
