"""A trend report as one HTML file that needs nothing else: plots that answer to the pointer."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ...infra.errors import BadSetting
from .document import trend_document
from .findings import TrendReport


def trend_page(report: TrendReport) -> str:
    """The whole document."""
    # Jinja2 costs 60 ms to import; most looks at trends need no page.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(os.fspath(Path(__file__).parent))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    told = json.dumps(trend_document(report), separators=(",", ":"), allow_nan=False)
    # Inside a script element only "<" can end it or begin a comment; JSON has it in strings only.
    data = Markup(told.replace("<", "\\u003c"))  # noqa: S704
    return environment.get_template("report.j2").render(project=report.project, data=data)


def write_trend_page(path: Path, report: TrendReport) -> None:
    """Write it whole or not at all."""
    text = trend_page(report)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(path)
    except OSError as problem:
        fresh.unlink(missing_ok=True)
        raise BadSetting(
            f"the page cannot be written to {path}: {problem.strerror}",
            remedy="name a file that can be written",
        ) from problem
