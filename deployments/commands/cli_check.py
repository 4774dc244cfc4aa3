"""The verb `check`: whether what must hold of every campaign holds of this one."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

_ID = "a campaign: its id, the beginning of it, or `last`"
_EXAMPLE = """proctor check
proctor check 20260131 --against last    # the same verdicts as another campaign's
proctor check last --expect-faults --wait-limit 1m --json"""
_TEXT = """Hold what must be true of every campaign against what is written of this one.

Its journals are read anew, and judged by SQL: no case lost, one verdict each, nothing accepted
of a writer or worker that had been given up, no slot or resource overcommitted, no wait
without end, and the same told as was found. Each invariant is valid, invalid or unknown.

exit codes:
  0  all are valid
  6  nobody can tell: the campaign has not ended, or does not say what is needed
  8  one is violated"""


def register(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "check",
        help="whether a campaign's record holds: nothing lost, counted twice or overcommitted",
        description=_TEXT,
        epilog=f"examples:\n{textwrap.indent(_EXAMPLE, '  ')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "campaign", nargs="?", default="last", metavar="ID", help=f"{_ID} (default: last)"
    )
    parser.add_argument(
        "--against", metavar="ID", help="a campaign of the same suite that must agree with it"
    )
    parser.add_argument(
        "--expect-faults",
        action="store_true",
        help="nothing is valid unless faults were injected while it ran",
    )
    parser.add_argument(
        "--wait-limit",
        default="30",
        metavar="TIME",
        help="how long a worker may idle while a case waits that it could run (30)",
    )
    parser.add_argument("--state", metavar="DIR", help="where records are kept, or block:NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(act=_act)


def _act(arguments: argparse.Namespace) -> int:
    # DuckDB takes 0.15 s to import: other verbs must not wait for it.
    from ..acts import check_act

    return check_act.check(arguments)
