"""Task lists: commands and Python callables as cases, from JSON, TOML or YAML.

`tasklist.schema.json` is the published schema; what it cannot say (a command's quoting, two
tasks with one id) is checked here. All mistakes are told, each in a line with its task and field.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..errors import BadSetting, BadTaskList
from ..quantities import parse_duration
from ..records import Case, CaseKind, TaskSpec
from ..requirements import Stated, from_mapping, merge
from .task_file import read_task_file
from .task_schema import NAMES, check_outline, place_of, wrong_in_defaults, wrong_in_task

Fields = Mapping[str, Any]

# What may also stand one level deeper, in a task's config.
_BODY = ("command", "callable", "args", "kwargs", "env", "cwd", "timeout")
# What a shell would not leave as it stands, where it is not quoted; there is no shell.
_QUOTED = re.compile(r"'[^']*'|\"((?:\\.|[^\"\\])*)\"|\\.", re.DOTALL)
_EXPANDED = re.compile(r"\$(?:\w+|[{(])|`")
_SHELL = re.compile(rf"&&|\|\||>>|<<|[;|&<>*\n]|(?<!\S)~|{_EXPANDED.pattern}")
_BUILTIN = frozenset({"cd", "eval", "exit", "export", "set", "source", "ulimit", "umask", "unset"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_GPUS = frozenset({"gpu", "cuda"})
_GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    """What a task file asks for."""

    # The highest priority first, else in the order of the file.
    cases: tuple[Case, ...]
    # Ids that run before all others: those above the lowest priority there is.
    first: frozenset[str] = frozenset()


def read_tasks(path: Path, *, python: str = "python") -> TaskList:
    """Read and check a task file; `python` runs tasks of the type "test"."""
    return tasks_from(read_task_file(path), source=path.name, python=python)


def tasks_from(document: object, *, source: str, python: str = "python") -> TaskList:
    """Check a task list and make cases of it; `source` names it in errors."""
    outline = check_outline(document, source=source)
    given = cast("list[object]", outline["tasks"])
    defaults = cast("Fields", outline.get("defaults", {}))
    wrong = wrong_in_defaults(defaults, source=source)
    if not wrong:
        nothing = _Reading(task={}, defaults=defaults, place=f"{source}: defaults")
        wrong = list(nothing.problems_of_defaults())
    usable = not wrong
    cases: list[tuple[int, Case]] = []
    for number, task in enumerate(given, start=1):
        place = f"{source}: {place_of(task, number)}"
        try:
            lifted = _lifted(task, place=place, python=python)
        except BadTaskList as problem:
            wrong.append(problem)
            continue
        if found := wrong_in_task(lifted, place=place):
            wrong.extend(found)
        elif usable:
            reading = _Reading(task=cast("Fields", lifted), defaults=defaults, place=place)
            if found := list(reading.problems()):
                wrong.extend(found)
            else:
                cases.append((reading.priority, reading.case()))
    if not wrong:
        wrong = list(_doubles([case.id for _, case in cases], source=source))
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        told = [str(each).removeprefix(f"{source}: ") for each in wrong]
        raise BadTaskList(f"{source} has {len(wrong)} mistakes", problems=told)
    # Stable: equal priorities keep the order of the file.
    ordered = sorted(cases, key=lambda pair: -pair[0])
    lowest = min((priority for priority, _ in cases), default=0)
    return TaskList(
        cases=tuple(replace(case, index=index) for index, (_, case) in enumerate(ordered)),
        first=frozenset(case.id for priority, case in cases if priority > lowest),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """One task on its way to a case; it is as the schema says."""

    task: Fields
    defaults: Fields
    place: str

    @property
    def priority(self) -> int:
        return int(self._field("priority") or 0)

    def problems(self) -> Iterator[BadTaskList]:
        """What the schema cannot say of it, the first of each part."""
        return self._problems(self._id, self._what, self._timeout, self._stated)

    def problems_of_defaults(self) -> Iterator[BadTaskList]:
        """The same of a task that says nothing itself."""
        return self._problems(self._timeout, self._stated)

    def _problems(self, *parts: Callable[[], object]) -> Iterator[BadTaskList]:
        for part in parts:
            try:
                part()
            except BadTaskList as problem:
                yield problem

    def case(self) -> Case:
        command, callable_ = self._what()
        spec = TaskSpec(
            command=command,
            callable=callable_,
            arguments=self._table("kwargs") if callable_ else {},
            environment={key: str(value) for key, value in self._table("env").items()},
            working_directory=self._field("cwd") or "",
        )
        own_id = self._id() or callable_ or " ".join(shlex.join(command).split())
        return Case(
            id=own_id,
            # Tasks share no warm state: each is a group of its own.
            group=own_id,
            index=0,
            kind=CaseKind.CALLABLE if callable_ else CaseKind.COMMAND,
            needs=self._stated().requirements(),
            timeout_seconds=self._timeout(),
            tags=tuple(dict.fromkeys((*_tags(self.defaults), *_tags(self.task)))),
            task=spec,
        )

    def _what(self) -> tuple[tuple[str, ...], str]:
        command, callable_ = self._command(), self.task.get("callable", "")
        if bool(command) == bool(callable_):
            raise self._problem(*self._unclear(both=bool(command)))
        return command, callable_

    def _field(self, key: str) -> Any:
        return self.task.get(key, self.defaults.get(key))

    def _table(self, key: str) -> dict[str, Any]:
        return {**self.defaults.get(key, {}), **self.task.get(key, {})}

    def _problem(self, message: str, remedy: str) -> BadTaskList:
        return BadTaskList(f"{self.place}: {message}", remedy=remedy)

    def _unclear(self, *, both: bool) -> tuple[str, str]:
        if both:
            return "it has a command and a callable", "leave one of them"
        kind = self.task.get("type")
        says = f", and its type {kind!r} says what it is, not what to run" if kind else ""
        return f"it has neither command nor callable{says}", 'add command = "..."'

    def _id(self) -> str:
        given = [key for key in NAMES if key in self.task]
        if len(given) > 1:
            raise self._problem(f"it has both {' and '.join(given)}", "leave one of them")
        return self.task[given[0]].strip() if given else ""

    def _command(self) -> tuple[str, ...]:
        command: str | list[str] = self.task.get("command", ())
        if isinstance(command, str):
            command = self._words(command)
        if command and not command[0].strip():
            raise self._problem("command names no program", "write the program first")
        extra = [str(each) for each in self.task.get("args", ())]
        if extra and "callable" in self.task:
            raise self._problem(
                "a callable is called with kwargs, not with args", "name them in kwargs"
            )
        if extra and not command:
            raise self._problem("args belong to a command", 'add command = "..."')
        if command and "kwargs" in self.task:
            raise self._problem("kwargs belong to a callable", "give a command its args")
        if any("\x00" in word for word in (*command, *extra)):
            raise self._problem("command holds a zero character", "leave it out")
        return (*command, *extra)

    def _words(self, text: str) -> list[str]:
        # A line that goes on is one line.
        text = _QUOTED.sub(lambda part: " " if part[0] == "\\\n" else part[0], text)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise self._problem(
                f"command {text!r} cannot be split into words ({error})", "mend its quotes"
            ) from error
        sign = _shell_sign(text.strip())
        if sign:
            raise self._problem(
                f"command {text!r} has a bare {sign}, but no shell runs it",
                'write ["sh", "-c", "..."], or \'...\' around what is to stay as it stands',
            )
        if words and _ASSIGNMENT.match(words[0]):
            raise self._problem(
                f"command {text!r} begins with a variable, but no shell runs it", "set it in env"
            )
        if words and words[0] in _BUILTIN:
            raise self._problem(
                f"command {text!r} begins with the shell's own {words[0]}, but no shell runs it",
                'write ["sh", "-c", "..."], or cwd and env for where and with what it runs',
            )
        if not words:
            raise self._problem(f"command {text!r} is empty", "name a program")
        return words

    def _timeout(self) -> float | None:
        value = self._field("timeout")
        if value is None:
            return None
        try:
            seconds = parse_duration(value, what="timeout")
        except BadSetting as error:
            raise self._problem(error.message, error.remedy) from error
        if not seconds:
            raise self._problem(
                "timeout is 0, and every task needs a limit", "leave it out for the campaign's"
            )
        return seconds

    def _stated(self) -> Stated:
        try:
            return merge(
                *(_stated(each.get("requirements", {})) for each in (self.task, self.defaults))
            )
        except BadSetting as error:
            raise self._problem(error.message, error.remedy) from error


def _shell_sign(text: str) -> str:
    """The first sign of a shell in a command; empty if there is none."""
    found: list[str] = []

    def look(quoted: re.Match[str]) -> str:
        # Double quotes keep a shell from splitting words, and from nothing else.
        found.extend(_EXPANDED.findall(quoted[1] or "")[:1])
        return "_"

    bare = _SHELL.search(_QUOTED.sub(look, text))
    sign = bare[0] if bare else next(iter(found), "")
    return "line break" if sign == "\n" else sign


def _lifted(task: object, *, place: str, python: str) -> object:
    """Take what stands in a task's config up into the task, as the schema has it."""
    if not isinstance(task, dict) or not isinstance(cast("Fields", task).get("config"), dict):
        return cast("object", task)
    fields = dict(cast("Fields", task))
    config: dict[str, Any] = dict(fields.pop("config"))
    if fields.get("type") == "test" and "test_file" in config:
        arguments: Any = config.pop("test_args", [])
        if not isinstance(arguments, list):
            raise BadTaskList(f"{place}: test_args is no list", remedy="write [...]")
        config["command"] = [python, "-m", "pytest", config.pop("test_file"), *arguments]
    for key in _BODY:
        if key not in config:
            continue
        if key in fields:
            raise BadTaskList(
                f"{place}: {key} stands in the task and in its config", remedy="leave one of them"
            )
        fields[key] = config.pop(key)
    if config and "command" in fields:
        raise BadTaskList(
            f"{place}: its config has {', '.join(sorted(config))}, which a command cannot be told",
            remedy="write arguments into the command, or values into env",
        )
    if "callable" in fields and isinstance(fields.get("kwargs", {}), dict):
        fields["kwargs"] = {**config, **fields.get("kwargs", {})}
    return fields


def _stated(requirements: Fields) -> Stated:
    values = dict(requirements)
    gigabytes = values.pop("min_memory_gb", None)
    if gigabytes is not None:
        if "memory" in values:
            raise BadSetting(
                "requirements have memory and min_memory_gb", remedy="leave one of them"
            )
        values["memory"] = gigabytes * _GB
    hardware = _listed(values.pop("hardware", ()))
    if _GPUS.intersection(hardware):
        values.setdefault("gpu", 1)
    kinds = [kind for kind in hardware if kind != "cpu" and kind not in _GPUS]
    values["tags"] = [*_listed(values.get("tags", ())), *kinds]
    return from_mapping(values, where="requirements")


def _tags(fields: Fields) -> Sequence[str]:
    return _listed(fields.get("tags", ()))


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _doubles(ids: Sequence[str], *, source: str) -> Iterator[BadTaskList]:
    for case_id, count in Counter(ids).items():
        if count > 1:
            at = [str(number) for number, each in enumerate(ids, start=1) if each == case_id]
            yield BadTaskList(
                f"{source}: {count} tasks are called {case_id!r}"
                f" (tasks {', '.join(at[:-1])} and {at[-1]})",
                remedy="give each an id of its own",
            )
