"""The verbs about what moved: trends, bisect."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .command_line import add_look, seconds

Act = Callable[[argparse.Namespace], int]


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    trends = _add(
        verbs,
        "trends",
        "what got slower, faster, flaky or odd, and since which commit",
        example="proctor trends\n"
        "proctor trends tests/test_press.py::test_pips --html press.html\n"
        "proctor trends --fail-on regression\n"
        "proctor trends --confirm --notify slack-webhook/team\n"
        "proctor trends --demo\n"
        "proctor trends confirm 3f2a91c07b\n"
        "proctor trends dismiss 3f2a91c07b --why 'a new disk'\n"
        "proctor trends import bench.json\n"
        "proctor trends test-notify --notify slack-webhook/team",
    )
    trends.add_argument(
        "what",
        nargs="*",
        metavar="CASE",
        help="only this case; or confirm ID, dismiss ID, import FILE, test-notify",
    )
    look = trends.add_argument_group("what to look at")
    look.add_argument("--project", metavar="NAME", help="another than the one that ran last")
    look.add_argument("--since", metavar="TIME", help='only the last "30d", or since 2026-01-31')
    look.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="seconds, memory or your own (all)",
    )
    look.add_argument(
        "--smallest",
        type=float,
        default=0.03,
        metavar="SHARE",
        help="a change that is worth a word (0.03)",
    )
    look.add_argument("--demo", action="store_true", help="look at a made-up history")
    output = trends.add_argument_group("what it says and does")
    output.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots there")
    output.add_argument("--png", type=Path, metavar="FILE", help="draw the first finding there")
    output.add_argument(
        "--fail-on", choices=("regression",), help="exit 10 if a regression is confirmed"
    )
    output.add_argument(
        "--notify",
        action="append",
        default=[],
        metavar="BLOCK",
        help="tell news to this Prefect notification block, such as slack-webhook/team",
    )
    rerun = trends.add_argument_group(
        "run it again",
        "Both commits in turns where --directory is a git checkout that has them; else the case as "
        "it stands there now, on the same worker class, against what the history knows.",
    )
    rerun.add_argument(
        "--confirm", action="store_true", help="run again what is suspected or new, then tell"
    )
    rerun.add_argument("--directory", default=".", metavar="DIR", help="the tested project (.)")
    rerun.add_argument("--most", type=int, default=15, metavar="N", help="runs of each side (15)")
    rerun.add_argument(
        "--why", default="", metavar="TEXT", help="with dismiss: the reason, for others"
    )
    rerun.add_argument(
        "--timeout", type=seconds, default=3600.0, metavar="S", help="give up (3600)"
    )

    bisect = _add(
        verbs,
        "bisect",
        "find the commit that made a case slower, or made it fail",
        example="proctor bisect tests/test_press.py::test_pips --good v1.4 --bad HEAD",
    )
    bisect.add_argument("case", metavar="CASE", help="a case's id")
    bisect.add_argument("--good", required=True, metavar="COMMIT", help="where it was as it should")
    bisect.add_argument("--bad", default="HEAD", metavar="COMMIT", help="where it is not (HEAD)")
    bisect.add_argument(
        "--directory", default=".", metavar="DIR", help="the project's git checkout (.)"
    )
    bisect.add_argument("--most", type=int, default=15, metavar="N", help="runs of a commit (15)")
    bisect.add_argument(
        "--timeout", type=seconds, default=3600.0, metavar="S", help="give up (3600)"
    )


def _add(verbs: Any, name: str, summary: str, *, example: str) -> Any:
    return add_look(verbs, name, _act(name), summary, example=example)


def _act(name: str) -> Act:
    # DuckDB and SciPy take 0.5 s to import: other verbs must not wait for them.
    def act(arguments: argparse.Namespace) -> int:
        from ..acts import trend_acts

        return trend_acts.ACTS[name](arguments)

    return act
