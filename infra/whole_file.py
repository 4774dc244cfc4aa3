"""Small files that readers see whole or not at all."""

from __future__ import annotations

from pathlib import Path

from .ledgers.append_file import unwritable


def replace_file(path: Path, text: str) -> None:
    """Write the file beside its place and move it there."""
    beside = path.with_suffix(f"{path.suffix}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as problem:
        raise unwritable(path, problem) from problem
