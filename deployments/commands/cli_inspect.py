"""Verbs that look at campaigns, or end one: how they are typed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .command_line import add_look, seconds

Act = Callable[[argparse.Namespace], int]

LAST = "last"
_ID = "a campaign: its id, the beginning of it, or `last` (default: last)"


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    one = add_look(
        verbs,
        "list",
        _act("list"),
        "the campaigns there are, newest first",
        example="proctor list --limit 5\nproctor list --json",
    )
    one.add_argument("--limit", type=_positive, default=20, metavar="N", help="so many (20)")
    one.add_argument(
        "--all", action="store_true", help="also those of cases made up for `proctor chaos`"
    )

    one = add_look(
        verbs,
        "show",
        _act("show"),
        "the summary and the reports of a campaign",
        example="proctor show last --html\nproctor show 2026 --junitxml junit.xml",
    )
    _campaign(one)
    one.add_argument(
        "--html", action="store_true", help="write its reports anew, and print only the page's path"
    )
    one.add_argument("--markdown", action="store_true", help="print the summary as Markdown")
    one.add_argument("--junitxml", type=Path, metavar="F", help="write its JUnit XML to a file")

    one = add_look(
        verbs,
        "diff",
        _act("diff"),
        "what changed between two campaigns: broken, fixed, slower, added",
        example="proctor diff               # the last two of the newest one's project\n"
        "proctor diff 20260131 last",
    )
    one.add_argument(
        "before", nargs="?", metavar="A", help="the earlier one (default: the one before B)"
    )
    one.add_argument("after", nargs="?", metavar="B", help="the later one (default: last)")

    one = add_look(
        verbs,
        "logs",
        _act("logs"),
        "all that a case wrote: traceback, stdout, stderr, log",
        example="proctor logs tests/test_cart.py::test_total\nproctor logs test_total --attempt 1",
    )
    _case(one)
    one.add_argument("--attempt", type=_positive, metavar="N", help="only this one (from 1)")

    one = add_look(
        verbs,
        "explain",
        _act("explain"),
        "why a case ran where and when it did, and what its wait was made of",
        example="proctor explain test_total",
    )
    _case(one)

    one = add_look(
        verbs,
        "watch",
        _act("watch"),
        "follow a running campaign to its end; exits with its exit code",
        example="proctor watch --timeout 600",
    )
    _campaign(one)
    one.add_argument(
        "--timeout", type=seconds, metavar="S", help="give up after so many seconds (exit 9)"
    )

    one = add_look(
        verbs,
        "cancel",
        _act("cancel"),
        "end a running campaign now; what has a result keeps it",
        example="proctor cancel            # the one that runs\nproctor cancel 20260101-0930",
    )
    one.add_argument(
        "campaign",
        nargs="?",
        metavar="ID",
        help="a campaign: its id, the beginning of it, or `last` (default: the one that runs)",
    )
    one.add_argument("--no-wait", action="store_true", help="do not wait until it has ended")


def _act(name: str) -> Act:
    # Reports, ledger and rich take 0.2 s to import: `proctor run` must not wait for them, too.
    def act(arguments: argparse.Namespace) -> int:
        from ..acts import inspect_acts

        return inspect_acts.ACTS[name](arguments)

    return act


def _campaign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("campaign", nargs="?", default=LAST, metavar="ID", help=_ID)


def _case(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", metavar="CASE", help="a case's id, the end of it, or a part")
    parser.add_argument("--campaign", default=LAST, metavar="ID", help=_ID)


def _positive(text: str) -> int:
    # Argparse would tell of a ValueError by the name of this function.
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return int(text)
