"""The file behind a task list: JSON, TOML or YAML, down to plain values."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ..errors import BadTaskList


def read_task_file(path: Path) -> object:
    """Read a file by its ending; what comes back is what JSON can say, and nothing else."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadTaskList(
            f"{path.name} is no task list by its ending {path.suffix!r}",
            remedy=f"call it {', '.join(_READERS)}",
        )
    try:
        # Some editors write a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadTaskList(f"there is no task list {path}", remedy="check the path") from error
    except OSError as error:
        raise BadTaskList(
            f"{path} cannot be read ({error.strerror})", remedy="make it a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise BadTaskList(
            f"{path.name} is not UTF-8 ({error.reason})", remedy="save it as UTF-8"
        ) from error
    document = reader(text, path.name)
    _check_plain(document, source=path.name, field="")
    return document


def _read_json(text: str, source: str) -> object:
    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) < len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise BadTaskList(
                f"{source}: the field {twice!r} stands twice in one place", remedy="delete one"
            )
        return made

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise BadTaskList(
            f"{source} is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}",
            remedy="mend that place",
        ) from error
    except RecursionError as error:
        raise BadTaskList(f"{source} is nested too deeply", remedy="flatten it") from error


def _read_toml(text: str, source: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTaskList(
            f"{source} is not valid TOML: {error}", remedy="mend that place"
        ) from error


def _read_yaml(text: str, source: str) -> object:
    import yaml  # Takes 15 ms to import, for one of three formats.

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_keys(node, source)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" at line {mark.line + 1} column {mark.column + 1}"
        raise BadTaskList(
            f"{source} is not valid YAML: {error.problem}{where}", remedy="mend that place"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        # A character that may not be, or a date such as 2020-99-99.
        raise BadTaskList(
            f"{source} is not valid YAML: {' '.join(str(error).split())}", remedy="mend that place"
        ) from error


def _check_keys(node: Any, source: str) -> None:
    """Refuse a key that stands twice: YAML would silently keep the last."""
    # An anchor may lead back to where it stands, so that each node is looked at once.
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen or isinstance(node.value, str):
            continue
        seen.add(id(node))
        keys: set[object] = set()
        for part in node.value:
            if not isinstance(part, tuple):
                waiting.append(part)
                continue
            key, value = cast("tuple[Any, Any]", part)
            waiting.append(value)
            if not isinstance(key.value, str):
                continue
            if key.value in keys and key.value != "<<":
                raise BadTaskList(
                    f"{source} line {key.start_mark.line + 1}:"
                    f" the field {key.value!r} stands twice in one place",
                    remedy="delete one",
                )
            keys.add(key.value)


_READERS: dict[str, Callable[[str, str], object]] = {
    ".json": _read_json,
    ".toml": _read_toml,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}


def _check_plain(value: object, *, source: str, field: str, depth: int = 0) -> None:
    """Hold to what JSON can say: TOML and YAML know dates, YAML keys of any kind, and loops."""
    place = f"{source}: {field}" if field else source
    if depth > 50:
        raise BadTaskList(f"{place[:200]} is nested too deeply", remedy="flatten it")
    if isinstance(value, dict):
        for key, inner in cast("dict[object, object]", value).items():
            if not isinstance(key, str) or not _is_unicode(key):
                raise BadTaskList(f"{place}: the key {key!r} is no text", remedy="put it in quotes")
            inner_field = f"{field}.{key}" if field else key
            _check_plain(inner, source=source, field=inner_field, depth=depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(cast("list[object]", value)):
            _check_plain(inner, source=source, field=f"{field}[{number}]", depth=depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadTaskList(f"{place}: {value!r} is no finite number", remedy="put it in quotes")
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise BadTaskList(
            f"{place}: a number of {value.bit_length()} bits is more than 64 bits hold",
            remedy="put it in quotes",
        )
    elif isinstance(value, str) and not _is_unicode(value):
        raise BadTaskList(
            f"{place}: {value!r} holds half a character", remedy="write the whole of it"
        )
    elif value is not None and not isinstance(value, str | int | float):
        raise BadTaskList(
            f"{place}: {value} is a {type(value).__name__}, not a text or a number",
            remedy="put it in quotes",
        )


def _is_unicode(text: str) -> bool:
    """JSON can spell surrogates that stand alone, and no ledger can hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
