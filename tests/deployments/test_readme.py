"""What README promises of names that live in the code."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from proctor.deployments import cli
from proctor.infra.settings import RunSettings

README = Path(__file__).parents[2] / "README.md"
# What is no setting of its own.
ABOUT = {"project_file", "classes", "origins", "notes", "python_command"}


def test_each_setting_stands_in_the_table() -> None:
    """Nobody has to read the code to find what can be set."""
    text = README.read_text(encoding="utf-8").partition("### Settings")[2].partition("##")[0]
    told = set(re.findall(r"`(\w+)`", text))
    assert {each.name for each in fields(RunSettings)} - ABOUT <= told


def test_each_command_in_it_can_be_typed() -> None:
    """Its verbs and flags are those that there are."""
    text = README.read_text(encoding="utf-8")
    typed = re.findall(r"^\$ (proctor [^#\n]*)", text, re.MULTILINE) + re.findall(
        r"`(proctor [^`]*)`", text
    )
    assert len(typed) > 50
    for line in typed:
        words = line.partition(" -- ")[0].split()[1:]
        verb: argparse.ArgumentParser = cli.parser()
        while verbs := _verbs_of(verb):
            assert words, line
            if words[0] not in verbs:
                # Of several at once, or of the command itself.
                break
            verb = verbs[words.pop(0)]
        known = {flag for action in verb._actions for flag in action.option_strings}
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= known, line


def _verbs_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    groups = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return {name: verb for group in groups for name, verb in group.choices.items()}
