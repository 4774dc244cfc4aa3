"""The verb `check`: what it does."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from ...infra.errors import UsageProblem
from ...infra.faults.verdict import Validity
from ...infra.judge import ExitCode
from ...infra.quantities import parse_duration
from ...infra.settings import load_settings
from ...monitoring.ingest import RECORDERS
from ...monitoring.invariants import Examination, Limits, examine_campaign
from ...monitoring.reports.terminal import Terminal
from ...monitoring.reports.wording import printable
from .chosen_campaign import chosen

_CODES = {
    Validity.VALID: ExitCode.OK,
    Validity.INVALID: ExitCode.INVARIANT,
    Validity.UNKNOWN: ExitCode.INFRASTRUCTURE,
}
_STYLES = {Validity.VALID: "green", Validity.INVALID: "red", Validity.UNKNOWN: "yellow"}
# Of one invariant a person reads so many rows; --json has more.
_SHOWN = 5


def check(arguments: argparse.Namespace) -> int:
    flags = {} if arguments.state is None else {"state": arguments.state}
    state = Path(load_settings(Path.cwd(), os.environ, flags).state)
    wait = parse_duration(arguments.wait_limit, what="--wait-limit")
    directory = chosen(state, arguments.campaign)
    against = None
    if arguments.against is not None:
        against = chosen(state, arguments.against)
    if against == directory:
        raise UsageProblem(
            f"{directory.name} cannot be compared with itself", remedy="give --against another"
        )
    examination = examine_campaign(
        directory,
        against=against,
        recorders=state / RECORDERS,
        limits=Limits(wait=wait),
        faults_expected=arguments.expect_faults,
    )
    if arguments.json:
        document = {"validity": examination.validity, **asdict(examination)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _say(examination)
    return _CODES[examination.validity]


def _say(examination: Examination) -> None:
    terminal = Terminal()
    for held in examination.held:
        line = Text(f"{held.validity:<8}", style=_STYLES[held.validity])
        terminal.print(line.append(f" {held.invariant}", style="default"), soft_wrap=True)
        for offence in held.offences[:_SHOWN]:
            terminal.print(Text(f"         {printable(offence.reason)}"), soft_wrap=True)
        if held.count > _SHOWN:
            terminal.print(Text(f"         … and {held.count - _SHOWN:,} more", style="dim"))
    against = f", against {examination.against}" if examination.against else ""
    terminal.print(
        Text(f"Campaign {examination.campaign}{against} is ").append(
            str(examination.validity), style=_STYLES[examination.validity]
        ),
        soft_wrap=True,
    )
