"""Text as it may leave the session: bounded, and Unicode that every JSON library takes."""

from __future__ import annotations

import math
import os
import re
import traceback
from typing import Any

from .system import System

MESSAGE_LENGTH = 500

# What plain_text makes of a byte of a file's name that is no UTF-8.
SURROGATE = re.compile(r"\\u(dc[89a-f][0-9a-f])")


def plain_text(text: str) -> str:
    """Without lone surrogates, which are no Unicode and break every stricter JSON library."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shortened(text: str, limit: int) -> str:
    """At most about `limit` bytes: the head, the tail, and how much was left out between them."""
    if len(text) <= limit // 4:
        return plain_text(text)
    total = len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
    if total <= limit:
        return plain_text(text)
    # Cut characters first, so that a text of gigabytes is never copied as a whole.
    half = limit // 2
    head = text[:half].encode("utf-8", "backslashreplace")[:half].decode("utf-8", "ignore")
    tail = text[-half:].encode("utf-8", "backslashreplace")[-half:].decode("utf-8", "ignore")
    left_out = total - len(head.encode()) - len(tail.encode())
    return f"{head}\n[... {left_out} bytes left out ...]\n{tail}"


def headline(text: str) -> str:
    """The first line that says something, short enough for a table."""
    for line in text.splitlines():
        if line.strip():
            return plain_text(line.strip()[:MESSAGE_LENGTH])
    return ""


def reason_in(text: str) -> str:
    """The line that matters of why a file cannot be loaded."""
    # pytest marks those that do; the last of them is the exception itself.
    told = [line[1:] for line in text.splitlines() if line.startswith("E ")]
    # A traceback of ours ends with it.
    return headline(told[-1] if told else text.rstrip().rpartition("\n")[2])


def plain_value(value: object, depth: int = 0) -> object:
    """A marker's argument as JSON has it, or its repr."""
    if isinstance(value, int) and abs(value) >= 2**63:
        # More than most JSON libraries and Dask's msgpack take.
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return plain_text(value) if isinstance(value, str) else value
    if depth < 4 and isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(part, depth + 1) for part in value]
    if depth < 4 and isinstance(value, dict):
        return {str(key): plain_value(part, depth + 1) for key, part in value.items()}
    try:
        return repr(value)[:MESSAGE_LENGTH]
    except Exception:  # noqa: BLE001 - a user's repr may raise anything
        return f"<{type(value).__name__}>"


def property_value(value: object) -> object:
    if isinstance(value, float):
        # JSON has no word for the others, and null would not say which of them it was.
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    # Also numbers larger than most JSON libraries take.
    try:
        return plain_text(str(value))
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}>"


def longrepr_text(report: Any) -> str:
    try:
        if hasattr(report, "longreprtext"):
            return first_line_as_drawn(report.longrepr, str(report.longreprtext))
        return str(report.longrepr)
    except Exception as broken:  # noqa: BLE001 - drawing a traceback runs users' code
        return f"the traceback could not be drawn: {type(broken).__name__}"


def first_line_as_drawn(longrepr: Any, text: str) -> str:
    """With its indentation, which pytest strips off the front of the whole text."""
    chain = getattr(longrepr, "chain", None)
    drawn = chain[0][0] if chain else getattr(longrepr, "reprtraceback", None)
    entries = getattr(drawn, "reprentries", None)
    lines = getattr(entries[0], "lines", None) if entries else None
    first = str(lines[0]) if lines else ""
    if first.strip() and text.startswith(first.strip()):
        return first[: len(first) - len(first.lstrip())] + text
    return text


def warning_text(told: Any, root: str) -> str:
    """One line of a warning: where, which kind, what it says."""
    file = str(told.filename)
    if file.startswith(root + os.sep):
        file = file[len(root) + 1 :]
    try:
        said = headline(str(told.message))
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        said = ""
    # Reports know notes of this kind by their first word.
    return plain_text(f"warning: {file}:{told.lineno}: {told.category.__name__}: {said}")


def case_problem_text(item: Any, problem: BaseException) -> str:
    """As pytest draws a failure of the case, without the hundred frames below it."""
    trace = problem.__traceback__
    if trace is None:
        return problem_text(problem)
    try:
        import pytest

        told = pytest.ExceptionInfo.from_exc_info((type(problem), problem, trace))
        drawn = item.repr_failure(told)
        return plain_text(first_line_as_drawn(drawn, str(drawn)))
    except Exception:  # noqa: BLE001 - drawing a traceback runs users' code
        return problem_text(problem)


def read_ends(descriptor: int, start: int, size: int, limit: int) -> str:
    """Text of a file from `start`: all of it, or head and tail when it is far too long."""
    if size - start <= 2 * limit:
        return System.pread(descriptor, size - start, start).decode("utf-8", "replace")
    head = System.pread(descriptor, limit // 2, start).decode("utf-8", "replace")
    tail = System.pread(descriptor, limit // 2, size - limit // 2).decode("utf-8", "replace")
    return f"{head}\n[... {size - start - 2 * (limit // 2)} bytes left out ...]\n{tail}"


def problem_text(problem: BaseException) -> str:
    return plain_text(
        "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    )
