"""`proctor config show`: what is set, and where it was set."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ...infra.errors import UsageProblem
from ...infra.settings import CLASSES, DEFAULT, load_settings


def register(verbs: Any) -> None:
    """Add the verbs of this group."""
    config = verbs.add_parser("config", help="show the settings and where each comes from")
    inner = config.add_subparsers(title="verbs", metavar="VERB", required=True)
    show = inner.add_parser(
        "show",
        help="all settings",
        description="All settings, as a run from here would have them: [tool.proctor] in\n"
        "pyproject.toml, then PROCTOR_*; flags of a run come before both.",
        epilog="examples:\n  proctor config show --origin\n"
        "  PROCTOR_RETRIES=2 proctor config show --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument("--origin", action="store_true", help="say where each value comes from")
    show.add_argument("--directory", default=".", metavar="DIR", help="as if started there")
    show.add_argument("--json", action="store_true", help="one JSON document on stdout")
    show.set_defaults(act=_show)


def _show(arguments: argparse.Namespace) -> int:
    from ...infra.fleet.class_choice import named_classes, workers_asked
    from ...infra.worker_classes import class_text, common_classes

    directory = Path(arguments.directory)
    if not directory.is_dir():
        raise UsageProblem(f"there is no directory {directory}", remedy="name one that is there")
    settings = load_settings(directory, os.environ, {})
    rows = settings.rows()
    classes = named_classes(settings)
    known = common_classes(gpus=0) | classes
    # What cannot be read is refused here, and not by the first run.
    asked = settings.fleet_classes
    at = settings.origin("fleet_classes")
    list(workers_asked(asked, lambda: known, cores=settings.slots, origin=at))
    origin = settings.project_file.name if settings.project_file and classes else DEFAULT
    if arguments.json:
        document = {row.key: {"value": row.value, "origin": row.origin} for row in rows}
        document[CLASSES] = {"value": dict(settings.classes), "origin": origin}
        print(json.dumps(document, indent=2))
        return 0
    from rich.table import Table

    from ...monitoring.reports.terminal import Terminal

    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", *(["origin"] if arguments.origin else [])):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.key, row.text, *([row.origin] if arguments.origin else []))
    table.add_row(
        CLASSES,
        " ".join(map(class_text, classes.values())) or "none",
        *([origin] if arguments.origin else []),
    )
    Terminal().print(table)
    for note in settings.notes:
        print(f"note: {note}")
    return 0
