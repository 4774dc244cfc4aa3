"""A flow that finds its server when it is called: which one that is, and with which key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Flow
from prefect.settings import (
    PREFECT_API_KEY,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)
from prefect.states import Completed

from proctor.flows.server import called_flow
from proctor.flows.server.called_flow import CalledFlow

SERVER = "http://127.0.0.1:9/api"


async def double(number: int) -> int:
    """What the flow does, if anybody lets it."""
    return 2 * number


class Told(CalledFlow[Any, Any]):
    """A flow with settings of its own, that needs no server."""

    def settings(self, parameters: Mapping[str, Any]) -> Any:
        return SimpleNamespace(prefect=parameters.get("prefect", "auto"), state=Path("nowhere"))

    async def without_server(self, parameters: Mapping[str, Any], state: Path) -> Any:
        return Completed(data=f"without a server: {parameters['number']}, {state}")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The keys with which flows ran on servers, all of which answer."""
    seen: list[str | None] = []

    async def run(self: Any, *arguments: Any, return_state: bool, number: int) -> Any:
        del self, arguments, return_state
        key = get_current_settings().api.key
        seen.append(key and key.get_secret_value())
        return Completed(data=await double(number))

    monkeypatch.setattr(called_flow, "why_unusable", lambda url: "")
    monkeypatch.setattr(Flow, "__call__", run)
    return seen


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_key_of_a_profile_goes_with_its_server(keys: list[str | None], slash: str) -> None:
    """However its address ends; a person may have written either."""
    with temporary_settings({PREFECT_API_URL: SERVER + slash, PREFECT_API_KEY: "secret"}):
        assert asyncio.run(Told(double, name="double")(4)) == 8
    assert keys == ["secret"]


def test_a_flow_with_other_options_finds_its_server_in_the_same_way() -> None:
    """Prefect's own would start a temporary server, of which nobody sees anything afterwards."""
    flow = Told(double, name="double").with_options(name="again", retries=2)
    assert (flow.name, flow.retries) == ("again", 2)
    with temporary_settings({PREFECT_API_URL: None}):
        assert asyncio.run(flow(4)) == "without a server: 4, nowhere"
        assert asyncio.run(flow.with_options(name="x")(5)) == "without a server: 5, nowhere"
