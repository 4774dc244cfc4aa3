"""How a campaign parts with Dask's client."""

from __future__ import annotations

import warnings

import pytest
from distributed.versions import VersionMismatchWarning

from proctor.infra.engine import cluster
from proctor.infra.engine.cluster import Cluster, close_client


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


class Connected:
    """A client whose fleet has containers with another Python than ours."""

    scheduler = scheduler_comm = None

    def __init__(self, *_: object, **__: object) -> None:
        warnings.warn(VersionMismatchWarning("Mismatched versions found"), stacklevel=2)

    def sync(self, *_: object) -> dict[str, str]:
        return {}

    def subscribe_topic(self, *_: object) -> None:
        pass


def test_a_fleet_with_other_packages_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's table of all of them was printed at each run, and ended one that heeds warnings."""
    monkeypatch.setattr(cluster, "Client", Connected)
    assert Cluster("tcp://127.0.0.1:1", campaign="c", deadline_seconds=1.0).address
