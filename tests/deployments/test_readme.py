"""What README promises of names that live in the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from proctor.infra.settings import RunSettings

README = Path(__file__).parents[2] / "README.md"
# What is no setting of its own.
ABOUT = {"project_file", "classes", "origins", "notes", "python_command"}


def test_each_setting_stands_in_the_table() -> None:
    """Nobody has to read the code to find what can be set."""
    text = README.read_text(encoding="utf-8").partition("### Settings")[2].partition("##")[0]
    told = set(re.findall(r"`(\w+)`", text))
    assert {each.name for each in fields(RunSettings)} - ABOUT <= told
