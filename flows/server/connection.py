"""How a Prefect server is spoken to that was named: with which credentials, and past no proxy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_CLIENT_MAX_RETRIES,
    get_current_settings,
    temporary_settings,
)

from ...infra.secrets import without_passwords

_LOOPBACK = "127.0.0.1"


@contextmanager
def speaking_to(url: str) -> Generator[None]:
    """Prefect's client speaks to this server; a person's credentials go to their server only.

    Where Prefect's own settings name no server, the credentials that they have are for this one.
    """
    configured = (get_current_settings().api.url or "").rstrip("/")
    changed: dict[Any, Any] = {}
    if configured != url.rstrip("/"):
        changed[PREFECT_API_URL] = url
        if configured:
            changed[PREFECT_API_KEY] = None
            changed[PREFECT_API_AUTH_STRING] = None
            changed[PREFECT_CLIENT_CUSTOM_HEADERS] = {}
    if urlsplit(url).hostname == _LOOPBACK:
        spare_loopback(os.environ)
    with temporary_settings(changed):
        yield


def spare_loopback(environ: MutableMapping[str, str]) -> None:
    """A proxy cannot reach this machine's own servers, and few people think of saying so."""
    if not any(
        environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    ):
        return
    spared = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if _LOOPBACK not in spared.split(","):
        # Both: which of them counts depends on who asks.
        environ["no_proxy"] = environ["NO_PROXY"] = f"{spared},{_LOOPBACK}".lstrip(",")


def why_unusable(url: str, *, seconds: float = 10.0) -> str:
    """Why a server that somebody named cannot be used; empty if it can.

    Asked as Prefect's client asks, with its credentials and certificates: a server's /health is
    open to all, and Prefect Cloud has none.
    """
    # A thread of its own: flows ask too, and they have a loop that runs.
    with ThreadPoolExecutor(1, thread_name_prefix="prefect") as pool:
        return pool.submit(copy_context().run, asyncio.run, _why_unusable(url, seconds)).result()


async def _why_unusable(url: str, seconds: float) -> str:
    try:
        with speaking_to(url), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            # The client connects four times, each with a time limit of its own.
            async with asyncio.timeout(seconds), get_client() as client:
                await client.request("POST", "/flows/filter", json={"limit": 1})
    except TimeoutError:
        return f"it did not answer within {seconds:g} s"
    except httpx.HTTPStatusError as problem:
        status = problem.response.status_code
        if status in {401, 403}:
            return (
                f"it refuses us ({status}): PREFECT_API_KEY or PREFECT_API_AUTH_STRING is not its"
            )
        return f"it answers with status {status}"
    except (httpx.HTTPError, OSError, RuntimeError, ValueError) as problem:
        return without_passwords(str(problem)) or type(problem).__name__
    return ""
