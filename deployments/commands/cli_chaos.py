"""The verbs of fault injection: chaos run, list, replay, shrink and undo."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

Act = Callable[[argparse.Namespace], int]


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    chaos = verbs.add_parser(
        "chaos",
        help="inject faults into a fleet that is there to be broken, or into a simulated one",
        description="Injects faults into a fleet that was started with `proctor up "
        "--chaos-target`\nand judges what became of its campaigns: valid, invalid or unknown.\n"
        "Every fault ends by itself, even if whoever injected it was killed.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = chaos.add_subparsers(title="verbs", metavar="VERB", required=True)

    run = _add(
        inner,
        "run",
        "run an experiment: 0 if it is valid, 8 if invalid, 6 if unknown, 9 if not over in time",
        example="proctor chaos run frozen_worker.yaml\n"
        "proctor chaos run frozen_worker.yaml --seed 7 --json\n"
        "proctor chaos run frozen_worker.yaml --check",
    )
    run.add_argument("experiment", type=Path, metavar="FILE", help="JSON, YAML or TOML")
    run.add_argument("--seed", type=int, metavar="N", help="instead of the experiment's own")
    run.add_argument("--check", action="store_true", help="only say whether it could be run now")

    listing = _add(
        inner,
        "list",
        "faults that act now and those that did; or what there is to inject",
        example="proctor chaos list\nproctor chaos list --kinds",
    )
    listing.add_argument("--kinds", action="store_true", help="the kinds of faults")
    listing.add_argument(
        "--schema", action="store_true", help="the JSON Schema of experiments, as one document"
    )

    replay = _add(
        inner,
        "replay",
        "play a schedule of faults, from a seed or a file, on a live fleet or in the simulator",
        example="proctor chaos replay 7\n"
        "proctor chaos replay 7 --simulated\n"
        "proctor chaos replay 7 --print > seven.json\n"
        "proctor chaos replay seven.json --suite ~/project --json",
    )
    _add_schedule(replay)
    replay.add_argument(
        "--simulated",
        action="store_true",
        help="on a virtual clock: the same history, event by event, each time",
    )
    replay.add_argument("--history", action="store_true", help="with --simulated: all events too")
    replay.add_argument("--print", action="store_true", help="only print the schedule, as a file")

    shrink = _add(
        inner,
        "shrink",
        "leave out of a schedule that fails all faults that are not needed for that",
        example="proctor chaos shrink failing.json\n"
        "proctor chaos shrink failing.json --output least.json\n"
        "proctor chaos shrink failing.json --live --tries 12",
    )
    _add_schedule(shrink)
    shrink.add_argument(
        "--live", action="store_true", help="try on a live fleet instead of in the simulator"
    )
    shrink.add_argument(
        "--tries", type=_count, metavar="N", help="at most so many (200; 20 with --live)"
    )
    shrink.add_argument("--output", type=Path, metavar="FILE", help="write what is left there")

    undo = _add(
        inner,
        "undo",
        "undo faults now, without waiting for their end",
        example="proctor chaos undo\nproctor chaos undo f-1a2b3c4d5e",
    )
    undo.add_argument("faults", nargs="*", metavar="ID", help="only these (all)")


def _add_schedule(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("schedule", metavar="SEED|FILE", help="a number, or JSON, YAML or TOML")
    verb.add_argument(
        "--most",
        type=_count,
        metavar="N",
        default=4,
        help="a seed gives at most so many faults (4)",
    )
    verb.add_argument(
        "--suite",
        type=Path,
        metavar="DIR",
        help="on a live fleet: run this (the file's own load; cases that sleep where it has none)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _add(inner: Any, name: str, summary: str, *, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = inner.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog="examples:\n" + textwrap.indent(example, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", metavar="DIR", help="where records are kept, or block:NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(act=_act(name))
    return parser


def _act(name: str) -> Act:
    # Reading the acts loads the engine of experiments: other verbs must not wait for it.
    def act(arguments: argparse.Namespace) -> int:
        if name in {"replay", "shrink"}:
            from ..acts import chaos_schedules

            return chaos_schedules.ACTS[name](arguments)
        from ..acts import chaos_acts

        return chaos_acts.ACTS[name](arguments)

    return act
