"""The reports of a campaign, written from its ledger: each file appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...infra.errors import BadSetting
from ...infra.ledgers.append_file import unwritable
from ...infra.ledgers.record import CampaignRecord, read_campaign
from .digest import Digest, digest_of
from .html_report import write_html
from .junit import write_junit
from .markdown import markdown

_NAMES = ("report.html", "summary.md", "junit.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the reports of a campaign are."""

    html: Path
    markdown: Path
    # Where it was asked for, else beside the others.
    junit: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.html, self.markdown, self.junit)


def publish_reports(
    directory: Path,
    *,
    junitxml: Path | None = None,
    record: CampaignRecord | None = None,
    digest: Digest | None = None,
) -> Published:
    """Write all reports of a campaign; what was already read of it need not be read again."""
    record = record or read_campaign(directory)
    digest = digest or digest_of(record)
    text_of = record.text_of
    folder = directory / "report"
    try:
        folder.mkdir(exist_ok=True)
        html, summary, junit = (folder / name for name in _NAMES)
        _replace(html, lambda path: write_html(path, digest, text_of))
        text = markdown(digest, text_of)
        _replace(summary, lambda path: _write(path, text))
        _replace(junit, lambda path: write_junit(path, digest, text_of))
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    if junitxml is not None:
        write_junit_where_asked(junitxml, record, digest)
        junit = junitxml
    return Published(html=html, markdown=summary, junit=junit)


def existing_reports(directory: Path) -> tuple[Path, ...]:
    """The reports that were published before."""
    paths = (directory / "report" / name for name in _NAMES)
    return tuple(path for path in paths if path.exists())


def write_junit_where_asked(path: Path, record: CampaignRecord, digest: Digest) -> None:
    """`--junitxml F`: in a folder of the user's, which is made if need be, as pytest does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, lambda part: write_junit(part, digest, record.text_of))
    except OSError as problem:
        raise BadSetting(
            f"the JUnit report cannot be written to {path}: {problem.strerror}",
            remedy=f"`proctor show {record.campaign} --junitxml FILE` writes it elsewhere",
        ) from problem


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    # Beside the file, because a rename is atomic on one file system only; named after the process,
    # because `proctor show` may publish while the campaign's own end does.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    # A lone surrogate in an id has no UTF-8.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
