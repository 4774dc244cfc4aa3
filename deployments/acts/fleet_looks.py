"""The verbs that look at the resident fleet: status and workers; what they do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...infra.errors import LedgerProblem, ProctorError
from ...infra.state_flag import state_flag
from ...monitoring.reports.how_far import progress_of
from ...monitoring.reports.progress import Progress
from ...monitoring.reports.terminal import screen
from ..standing.fleet_standing import Standing, look
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
    flags = state_flag(arguments.state)
    standing = look(settings_of(arguments).state, flags)
    if only_workers:
        return _show_workers(standing, flags, as_json=arguments.json)
    progress = _progress(standing)
    if arguments.json:
        print(json.dumps(standing_document(standing, progress)))
    else:
        print_standing(screen(), standing, progress, flags)
    return 0


def _show_workers(standing: Standing, flags: str, *, as_json: bool) -> int:
    scores = _scores(standing.state) if standing.workers else {}
    if as_json:
        document: list[dict[str, Any]] = [
            {
                **each.plain(),
                "speed": scores[each.instance.name].plain()
                if each.instance.name in scores
                else None,
            }
            for each in standing.workers
        ]
        print(json.dumps(document))
    elif standing.workers:
        print_workers(screen(), standing.workers, scores)
    elif standing.is_up:
        print(f"the fleet is up and has no worker; `proctor scale cpu=1{flags}` starts one")
    else:
        print(f"no fleet is up; `proctor up{flags}` starts one")
    return 0


def _progress(standing: Standing) -> dict[str, Progress]:
    """Of the campaigns that run, by their ids; of one that nobody tells of there is none."""
    running = [each for each in standing.campaigns if each.state == "running"]
    found: dict[str, Progress] = {}
    for each in running:
        # One that is removed or damaged while we look keeps its line, without.
        with suppress(OSError, LedgerProblem):
            if (at := progress_of(each.directory)) is not None:
                found[each.id] = at
    return found


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
