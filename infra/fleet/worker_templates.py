"""Reads worker classes from files, by their published schema; what is wrong is said in a line."""

from __future__ import annotations

import json
import reprlib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from ..errors import BadSetting
from ..suggestions import guess
from ..worker_classes import WorkerClass, class_of

FILE = "worker_templates.schema.json"
# Said whole: whoever leaves out the outer table has to see where it stands.
JSON_EXAMPLE = '{"classes": {"big": {"slots": 2, "memory": "16GB"}}}'
TOML_EXAMPLE = "[classes.big] and below it slots = 2"


@cache
def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12)."""
    return json.loads(files(cast("str", __package__)).joinpath(FILE).read_text(encoding="utf-8"))


def read_templates(path: Path) -> dict[str, WorkerClass]:
    """The classes of a JSON or TOML file."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise BadSetting(
            f"worker templates {path} cannot be read ({error.strerror})",
            remedy="name a file that is there",
        ) from error
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise BadSetting(f"{path} is not valid {kind}: {error}", remedy="mend that line") from error
    _check(document, {"$ref": "#"}, source=str(path))
    return _classes(document["classes"], source=str(path))


def read_classes(given: object, *, source: str) -> dict[str, WorkerClass]:
    """The classes of a table, such as [tool.proctor.classes]."""
    _check(given, {"$ref": "#/$defs/classes"}, source=source)
    return _classes(cast("dict[str, Any]", given), source=source)


def _classes(given: Mapping[str, Any], *, source: str) -> dict[str, WorkerClass]:
    return {
        name: class_of(name, fields, what=f"{source}: class {name}")
        for name, fields in given.items()
    }


def _check(value: Any, part: Mapping[str, str], *, source: str) -> None:
    # Takes 0.1 s to import, and most fleets have no templates.
    from jsonschema import Draft202012Validator

    whole = schema()
    rules = whole if part == {"$ref": "#"} else {**part, "$defs": whole["$defs"]}
    problems = sorted(
        Draft202012Validator(rules).iter_errors(value), key=lambda each: list(map(str, each.path))
    )
    if problems:
        raise _explained(problems[0], source)


def _explained(problem: Any, source: str) -> BadSetting:
    field = ".".join(map(str, problem.absolute_path))
    if problem.validator == "required":
        example = TOML_EXAMPLE if source.endswith(".toml") else JSON_EXAMPLE
        return BadSetting(f"{source} has no table 'classes'", remedy=f"write {example}")
    place = f"{source}: {field}" if field else source
    remedy = problem.schema.get("description") or (
        problem.parent.schema.get("description", "") if problem.parent else ""
    )
    if problem.validator == "additionalProperties":
        fields = problem.schema["properties"]
        unknown = next(key for key in problem.instance if key not in fields)
        hint = guess(unknown, fields)
        return BadSetting(
            f"{place}: there is no field {unknown!r}", remedy=hint or f"known: {', '.join(fields)}"
        )
    shown = reprlib.repr(problem.instance)
    match problem.validator:
        case "minimum":
            reason = f"is less than {problem.validator_value}"
        case "maximum":
            reason = f"is more than {problem.validator_value}"
        case "type":
            reason = f"is not of the type {problem.validator_value}"
        case "pattern":
            reason = "is no name for a class (letters, digits, - and _)"
        case _:
            reason = f"is wrong ({problem.message})"
    return BadSetting(f"{place} {shown} {reason}", remedy=remedy.rstrip(".") or "mend it")
