"""How a campaign parts with Dask's client."""

from __future__ import annotations

import pytest

from proctor.infra.engine.cluster import close_client


class Client:
    """One that is asked to close in the middle of its own reconnecting."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem
        self.asked = 0

    def close(self, timeout: float) -> None:
        assert timeout > 0
        self.asked += 1
        raise self.problem


@pytest.mark.parametrize(
    "problem", [RuntimeError("ConnectionPool is closed"), TimeoutError(), OSError("gone")]
)
def test_a_client_that_breaks_in_closing_ends_no_campaign(problem: Exception) -> None:
    """Whatever it breaks with, the next one is there already."""
    client = Client(problem)
    close_client(client)  # type: ignore[arg-type]
    assert client.asked == 1
