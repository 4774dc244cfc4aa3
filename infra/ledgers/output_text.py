"""The text of attempts: sections such as stdout or a traceback, in a file beside the journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import orjson

from ..errors import LedgerDamaged
from ..records import OutputRef
from .epochs import output_path

Sections = list[tuple[str, str]]


def encode_text(text: Sequence[tuple[str, str]]) -> bytes:
    try:
        return orjson.dumps(text)
    except TypeError:
        # A lone surrogate, as a program that prints undecodable bytes leaves it.
        return json.dumps(text).encode()


def read_output(directory: Path, ref: OutputRef) -> Sections:
    """The sections of an attempt's text, in the order they were written."""
    path = output_path(directory, ref.epoch)
    try:
        with path.open("rb") as file:
            file.seek(ref.offset)
            raw = file.read(ref.length)
    except FileNotFoundError as problem:
        raise _damaged(path, ref, "the file is gone") from problem
    if len(raw) < ref.length:
        raise _damaged(path, ref, f"the file ends {ref.length - len(raw)} bytes too early")
    try:
        return _sections(orjson.loads(raw))
    except ValueError:
        pass
    try:
        return _sections(json.loads(raw))
    except (ValueError, RecursionError) as problem:
        raise _damaged(path, ref, "it is no JSON") from problem


def _sections(data: object) -> Sections:
    return [(section, text) for section, text in cast("list[tuple[str, str]]", data)]


def _damaged(path: Path, ref: OutputRef, reason: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"the {ref.length} bytes of text at byte {ref.offset} of {path} cannot be read: {reason}",
        remedy="the verdict stands without them",
    )
