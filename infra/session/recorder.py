"""What the fixture `proctor` gives: a test says what it measured."""

from __future__ import annotations

import json
from typing import Any

import pytest


class Recorder:
    """What the fixture `proctor` gives: a test says what it measured."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def record(self, name: str, value: float, *, unit: str = "", better: str = "lower") -> None:
        """Remember a value with its unit, and whether lower or higher is better."""
        if not name:
            raise ValueError("a value needs a name")
        if better not in ("lower", "higher"):
            raise ValueError(f"better is {better!r}, and not 'lower' or 'higher'")
        told = {"value": float(value), "unit": unit, "better": better}
        self._properties.append((name, json.dumps(told)))


class RecorderFixture:
    """The fixture `proctor`; one of the suite's own under that name comes before it."""

    @pytest.fixture
    def proctor(self, request: Any) -> Recorder:
        return Recorder(request.node.user_properties)
