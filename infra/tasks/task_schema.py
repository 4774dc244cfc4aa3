"""The published schema of task lists, and what it says of one in a sentence."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from ..errors import BadTaskList
from ..suggestions import guess, known

FILE = "tasklist.schema.json"
# What a task is called: the first of these that it has.
NAMES = ("id", "name", "task_id")

_ORDER = ("tasks run in any order", "put steps that must follow each other into one command")
# Fields people know from elsewhere, and what to do instead.
_ELSEWHERE = {
    "depends_on": _ORDER,
    "depends-on": _ORDER,
    "dependencies": _ORDER,
    "after": _ORDER,
    "retries": ("a campaign has one number of retries", "give it with --retries"),
    "shell": ("no shell runs", 'write command = ["sh", "-c", "..."]'),
}
_WORDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "object": "a table of fields",
    "array": "a list",
}


@cache
def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12)."""
    return json.loads(files(cast("str", __package__)).joinpath(FILE).read_text(encoding="utf-8"))


def wrong_in_task(task: object, *, place: str) -> list[BadTaskList]:
    """Everything in which a task is not as the schema says."""
    return _wrong("task", task, place=place)


def wrong_in_defaults(defaults: object, *, source: str) -> list[BadTaskList]:
    return _wrong("defaults", defaults, place=f"{source}: defaults")


def check_outline(document: object, *, source: str) -> Mapping[str, object]:
    """Check what stands around the tasks; a bare list becomes {"tasks": [...]}."""
    if isinstance(document, list):
        return {"tasks": cast("list[object]", document)}
    if not isinstance(document, dict):
        raise BadTaskList(
            f"{source} is neither a list of tasks nor a table with tasks",
            remedy='write {"tasks": [{"id": "first", "command": "echo hello"}]}',
        )
    outline = cast("dict[str, object]", document)
    fields = schema()["anyOf"][1]["properties"]
    for key in outline:
        if key not in fields:
            raise BadTaskList(
                f"{source}: {key!r} is nothing a task list has", remedy=known(key, fields)
            )
    if not isinstance(outline.get("tasks"), list):
        raise BadTaskList(f"{source} has no list of tasks", remedy='write {"tasks": [...]}')
    return outline


def place_of(task: object, number: int) -> str:
    """Name a task for an error, as "task 3 (train)"."""
    fields = cast("dict[str, object]", task) if isinstance(task, dict) else {}
    name = next((fields[key] for key in NAMES if isinstance(fields.get(key), str)), None)
    return f"task {number}" if name is None else f"task {number} ({reprlib.repr(name)[1:-1]})"


def _wrong(kind: str, value: object, *, place: str) -> list[BadTaskList]:
    # The order of the schema's own checks says nothing; that of reading does.
    problems = sorted(_validator(kind).iter_errors(value), key=lambda e: list(map(str, e.path)))
    return [told for problem in problems for told in _explained(problem, place)]


@cache
def _validator(kind: str) -> Any:
    # Takes 0.1 s to import, and most campaigns have no task list.
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema()["$defs"]})


def _explained(problem: Any, place: str) -> Iterator[BadTaskList]:
    """One sentence for a violation, or for each field that nobody knows."""
    if problem.validator == "anyOf":
        # Of the alternatives, one whose type fits says what is wrong inside.
        inside = (each for each in problem.context if each.validator != "type" or each.path)
        inner = next(inside, None)
        if inner is not None:
            yield from _explained(inner, place)
            return
    steps = problem.absolute_path
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    at = f"{place}: {field.removeprefix('.')}" if field else place
    if problem.validator == "additionalProperties":
        fields: Mapping[str, object] = problem.schema["properties"]
        yield from (_unknown(key, fields, at) for key in problem.instance if key not in fields)
        return
    shown = reprlib.repr(problem.instance)
    yield BadTaskList(f"{at} {shown} {_reason(problem)}", remedy=_remedy(problem))


def _remedy(problem: Any) -> str:
    """What the schema first says of the place, or of the one around it."""
    while problem is not None:
        if "description" in problem.schema:
            what = problem.schema["description"].partition(". ")[0].rstrip(".")
            return f"write {what[0].lower()}{what[1:]}"
        problem = problem.parent
    return "mend it"


def _unknown(unknown: str, fields: Mapping[str, object], at: str) -> BadTaskList:
    if unknown in _ELSEWHERE:
        fact, mend = _ELSEWHERE[unknown]
        return BadTaskList(f"{at}: there is no field {unknown!r}, {fact}", remedy=mend)
    hint = guess(unknown, fields)
    return BadTaskList(
        f"{at}: there is no field {unknown!r}", remedy=hint or f"known: {', '.join(fields)}"
    )


def _reason(problem: Any) -> str:
    limit = problem.validator_value
    match problem.validator:
        case "type":
            return f"is not {_kinds(limit)}"
        case "anyOf":
            return f"is not {_kinds([each['type'] for each in limit])}"
        case "minLength" | "minItems":
            return "is empty"
        case "maxLength":
            return f"is longer than {limit} characters"
        case "minimum":
            return f"is less than {limit}"
        case "pattern":
            return "is not of the right form"
        case _:
            return f"is wrong ({problem.message})"


def _kinds(types: str | Sequence[str]) -> str:
    kinds = [types] if isinstance(types, str) else types
    return " or ".join(_WORDS.get(each, each) for each in kinds)
