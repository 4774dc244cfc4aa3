"""Processes that stay out of the way of all others."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from proctor.flows.server import detached


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([BlockingIOError(11, "Resource temporarily unavailable"), None], 2),
        ([OSError(5, "Input/output error")], 1),
    ],
    ids=["others were just told", "no groups"],
)
def test_a_session_is_told_until_the_kernel_takes_it(
    monkeypatch: pytest.MonkeyPatch, answers: list[OSError | None], told: int
) -> None:
    """It grants a few such changes a second to all together; one that is lost is never made up."""
    written: list[str] = []

    def write_text(text: str, *, encoding: str) -> None:
        written.append(text)
        if problem := answers.pop(0):
            raise problem

    monkeypatch.setattr(detached, "GROUP", SimpleNamespace(write_text=write_text))
    monkeypatch.setattr(detached, "GROUP_SECONDS", 0.0)
    monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
    detached.share_niceness()
    assert written == [str(os.nice(0))] * told
