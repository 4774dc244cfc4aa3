"""The console for people, on whatever they call a terminal."""

from __future__ import annotations

import io

import pytest

from proctor.monitoring.reports.terminal import Terminal


def test_a_terminal_of_no_columns_is_one_of_the_usual_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some that have no terminal set COLUMNS=0; Rich would print nothing at all."""
    monkeypatch.setenv("COLUMNS", "0")
    text = io.StringIO()
    Terminal(text).print("3 passed")
    assert text.getvalue() == "3 passed\n"


def test_columns_that_are_told_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of them is believed."""
    monkeypatch.setenv("COLUMNS", "33")
    assert Terminal(io.StringIO()).width == 33
