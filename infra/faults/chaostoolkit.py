"""Chaos Toolkit experiments, as far as they and ours say the same; the rest is refused by name.

Understood: the hypothesis's probes, the method's actions and probes with their pauses, rollbacks,
plain and environment configuration, `${name}`; providers `process` and `http`, and `python` with
the module `proctor.faults`, whose functions are the kinds of faults and the probe `workers`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any, cast

from .targets import FaultRefused

MODULE = "proctor.faults"
# What says nothing of what is done.
_IGNORED = frozenset(
    {"version", "title", "description", "tags", "contributions", "extensions", "runtime"}
)
_READ = frozenset({"steady-state-hypothesis", "method", "rollbacks", "configuration"})
_NAME = re.compile(r"\$\{(\w+)\}")


def translate(given: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """The same experiment in our words."""
    for name in given:
        if name not in _IGNORED | _READ:
            raise FaultRefused(
                f"{source}: {name!r} of Chaos Toolkit is not understood here",
                remedy=f"understood: {', '.join(sorted(_IGNORED | _READ))}",
            )
    names = _configuration(given.get("configuration", {}), source)
    hypothesis: dict[str, Any] = given.get("steady-state-hypothesis") or {}
    return {
        "title": given.get("title", source),
        "description": given.get("description", ""),
        "steady_state": [
            step for each in hypothesis.get("probes", []) for step in _activity(each, names, source)
        ],
        "method": [
            step for each in given.get("method", []) for step in _activity(each, names, source)
        ],
        "rollbacks": [
            step for each in given.get("rollbacks", []) for step in _activity(each, names, source)
        ],
    }


def _activity(each: Mapping[str, Any], names: Mapping[str, Any], source: str) -> list[Any]:
    name = str(each.get("name", "an activity"))
    place = f"{source}: {name}"
    if "ref" in each or "controls" in each or "secrets" in each:
        raise FaultRefused(
            f"{place} uses ref, controls or secrets, which are not understood here",
            remedy="write the activity out",
        )
    provider = cast("dict[str, Any]", _filled(each.get("provider", {}), names))
    is_probe = each.get("type") == "probe"
    match provider.get("type"):
        case "process":
            step = _process(provider, each, is_probe=is_probe)
        case "http" if is_probe:
            step = {
                "probe": "http",
                "url": provider.get("url", ""),
                "tolerance": each.get("tolerance", 200),
            }
        case "python" if provider.get("module") == MODULE:
            step = _ours(provider, each, is_probe=is_probe)
        case other:
            what = provider.get("module") or other
            raise FaultRefused(
                f"{place} is done by {what!r}, which is not understood here",
                remedy=f"use the providers process and http, or python with the module {MODULE}",
            )
    step["name"] = name
    if "timeout" in provider and "fault" not in step:
        step["timeout"] = provider["timeout"]
    pauses: dict[str, Any] = each.get("pauses", {})
    before = [{"pause": pauses["before"]}] if pauses.get("before") else []
    after = [{"pause": pauses["after"]}] if pauses.get("after") else []
    return [*before, step, *after]


def _process(
    provider: Mapping[str, Any], each: Mapping[str, Any], *, is_probe: bool
) -> dict[str, Any]:
    arguments = provider.get("arguments", [])
    if isinstance(arguments, str):
        words = shlex.split(arguments)
    elif isinstance(arguments, dict):
        pairs = cast("dict[str, Any]", arguments).items()
        words = [str(word) for pair in pairs for word in pair if word not in (None, "")]
    else:
        words = [str(word) for word in cast("list[Any]", arguments)]
    command = [str(provider.get("path", "")), *words]
    if is_probe:
        return {"probe": "process", "command": command, "tolerance": each.get("tolerance", 0)}
    return {"command": command}


def _ours(
    provider: Mapping[str, Any], each: Mapping[str, Any], *, is_probe: bool
) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(provider.get("arguments", {}))
    function = str(provider.get("func", ""))
    if is_probe:
        return {"probe": function, "tolerance": each.get("tolerance", True), **arguments}
    step: dict[str, Any] = {"fault": function, "target": arguments.pop("target", "")}
    for name in ("for", "at", "after"):
        if name in arguments:
            step[name] = arguments.pop(name)
    return {**step, "with": arguments} if arguments else step


def _configuration(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, each in given.items():
        if not isinstance(each, dict):
            values[name] = each
            continue
        told = cast("dict[str, Any]", each)
        if told.get("type") != "env":
            raise FaultRefused(
                f"{source}: configuration {name!r} of type {told.get('type')!r} is not understood",
                remedy="give it a plain value or type env",
            )
        value = os.environ.get(str(told.get("key", "")), told.get("default"))
        if value is None:
            raise FaultRefused(
                f"{source}: configuration {name!r} wants the variable {told.get('key')!r}",
                remedy="set it, or give it a default",
            )
        values[name] = value
    return values


def _filled(value: Any, names: Mapping[str, Any]) -> Any:
    match value:
        case str():
            whole = _NAME.fullmatch(value)
            if whole:
                return _named(whole, names)
            return _NAME.sub(lambda found: str(_named(found, names)), value)
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return {key: _filled(each, names) for key, each in pairs}
        case list():
            return [_filled(each, names) for each in cast("list[Any]", value)]
        case _:
            return value


def _named(found: re.Match[str], names: Mapping[str, Any]) -> Any:
    if found[1] not in names:
        raise FaultRefused(
            f"there is no configuration called {found[1]!r}", remedy="name it in configuration"
        )
    return names[found[1]]
