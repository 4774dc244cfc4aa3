"""The flags that name worker classes, declared once for all verbs that take them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...infra.settings import load_settings

if TYPE_CHECKING:
    from ...infra.settings import RunSettings
    from ...infra.worker_classes import WorkerClass


def declare_classes(parser: Any, *, fleet: str, classes: str) -> None:
    """Add --fleet, --class and --templates, with what the first two mean to the verb."""
    metavar = "block:NAME" if "block" in fleet else "CLASS=N,..."
    parser.add_argument("--fleet", metavar=metavar, help=fleet)
    parser.add_argument(
        "--class",
        # As `proctor run` has it.
        "--fleet-class",
        dest="classes",
        action="append",
        default=[],
        metavar="CLASS",
        help=classes,
    )
    parser.add_argument(
        "--templates", type=Path, metavar="FILE", help="worker classes (JSON or TOML)"
    )


def settings_of(arguments: argparse.Namespace) -> RunSettings:
    """The settings where the verb was typed, or in the directory it names."""
    given = {name: getattr(arguments, name, None) for name in ("state", "prefect", "certs")}
    flags = {name: value for name, value in given.items() if value is not None}
    directory = Path(getattr(arguments, "directory", "."))
    return load_settings(directory.resolve(), os.environ, flags)


def classes_written(arguments: argparse.Namespace, *, cores: int) -> dict[str, WorkerClass]:
    """The classes that --class writes out, as `up` and `run` would read them here."""
    from ...infra.fleet.class_choice import coming_from
    from ...infra.worker_classes import parse_class

    with coming_from("--class"):
        written = [parse_class(text, cores=cores) for text in arguments.classes if ":" in text]
    return {each.name: each for each in written}
