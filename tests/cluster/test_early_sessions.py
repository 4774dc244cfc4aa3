"""Sessions of a campaign start on workers of its machine before it has reached its fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from real_campaigns import request_of, write_project
from waiting import is_over, wait_until

from proctor.flows.campaigns.conduct import conduct, prepare
from proctor.flows.campaigns.early import start_early
from proctor.flows.campaigns.preparation import Prepared
from proctor.infra.judge import check_invariants
from proctor.infra.runners import doors
from proctor.infra.runners.doors import door_prefix

# Not by its whole name, which would have it done once for all sessions, and before them.
CONFTEST = """\
import os
from pathlib import Path

with Path(__file__).with_name("sessions").open("a") as log:
    print(os.environ["PYTEST_" + "XDIST_WORKER"], os.getpid(), file=log)
"""
SUITE = """\
import pytest

@pytest.mark.parametrize("n", range(30))
def test_it(n):
    pass
"""


class Orchard:
    """A project whose sessions sign when they start."""

    def __init__(self, folder: Path, state: Path, fleet: str) -> None:
        self.folder = write_project(folder, {"conftest.py": CONFTEST, "test_a.py": SUITE})
        self.request = request_of(self.folder, state, fleet=fleet)

    def prepare(self) -> Prepared:
        return prepare(self.request)

    def sessions(self) -> Iterator[tuple[str, int]]:
        log = self.folder / "sessions"
        for line in log.read_text().splitlines() if log.exists() else ():
            name, pid = line.split()
            yield name, int(pid)


@pytest.fixture
def orchard(tmp_path: Path, state: Path, fleet: str, monkeypatch: pytest.MonkeyPatch) -> Orchard:
    # Its workers join when they are loaded; and a loaded machine lets them think.
    wait_until(lambda: len(doors._doors(door_prefix(fleet))) == 2, what="workers have doors")
    monkeypatch.setattr(doors, "GREETING_SECONDS", 60.0)
    return Orchard(tmp_path / "p", state, fleet)


def test_a_campaign_uses_the_sessions_that_came_before_it(orchard: Orchard) -> None:
    """Each slot has one session, under a name that no other has."""
    prepared = orchard.prepare()
    early = start_early(prepared)
    assert early.numbers
    wait_until(lambda: list(orchard.sessions()), what="a session starts")
    first = list(orchard.sessions())
    conducted = conduct(prepared, early=early)
    assert conducted.counts == {"passed": 30}
    assert conducted.record is not None
    assert check_invariants(conducted.record) == []
    all_of_them = list(orchard.sessions())
    assert all_of_them[: len(first)] == first
    assert sorted(name for name, _ in all_of_them) == ["gw0", "gw1", "gw2"]


def test_sessions_of_a_campaign_that_never_came_end(orchard: Orchard) -> None:
    """It was killed on its way: they would stay as long as their worker."""
    with closing(start_early(orchard.prepare())) as early:
        wait_until(
            lambda: len(list(orchard.sessions())) == len(early.numbers), what="sessions start"
        )
        started = [psutil.Process(pid) for _, pid in orchard.sessions()]
    wait_until(lambda: all(map(is_over, started)), what="the sessions end")
