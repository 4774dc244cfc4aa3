"""The verbs that look at the resident fleet: status and workers; what they do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...infra.errors import ProctorError
from ...monitoring.reports.terminal import Terminal
from ..standing.fleet_standing import look
from ..texts.fleet_text import print_standing, print_workers, standing_document
from .class_flags import settings_of

if TYPE_CHECKING:
    from ...monitoring.prediction.worker_scores import Score


def status_act(arguments: argparse.Namespace) -> int:
    if arguments.campaign:
        from . import inspect_acts

        return inspect_acts.ACTS["status"](arguments)
    return _show(arguments, only_workers=False)


def workers_act(arguments: argparse.Namespace) -> int:
    return _show(arguments, only_workers=True)


def _show(arguments: argparse.Namespace, *, only_workers: bool) -> int:
    standing = look(settings_of(arguments).state)
    if arguments.json:
        document: Any = standing_document(standing)
        if only_workers:
            scores = _scores(standing.state) if standing.workers else {}
            document = [
                {**each, "speed": scores[each["name"]].plain() if each["name"] in scores else None}
                for each in document["workers"]
            ]
        print(json.dumps(document))
        return 0
    if not only_workers:
        print_standing(Terminal(), standing)
    elif standing.workers:
        print_workers(Terminal(), standing.workers, _scores(standing.state))
    elif standing.is_up:
        print("the fleet is up and has no worker; `proctor scale cpu=1` starts one")
    else:
        print("no fleet is up; `proctor up` starts one")
    return 0


def _scores(state: Path) -> Mapping[str, Score]:
    """How fast the workers are, as far as the store knows; it may be in use just now."""
    # DuckDB and SciPy: half a second that only who asks for workers pays.
    from ...monitoring.prediction.worker_scores import read_scores

    try:
        return read_scores(state)
    except ProctorError as problem:
        print(f"without speeds: {problem}", file=sys.stderr, flush=True)
        return {}


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "status": status_act,
    "workers": workers_act,
}
