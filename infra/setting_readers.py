"""How the value of each kind of setting is read, whichever layer it comes from."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from .cores import core_count
from .errors import BadSetting
from .quantities import parse_duration, parse_size
from .requirements import PatternRule, rule_from
from .secrets import without_passwords
from .suggestions import known

# Less than any interpreter needs to start: surely meant in another unit.
LEAST_MEMORY = 16 * 2**20
LONGEST_NAME = 200
# Each is a process: more than this is mistyped, and would only be waited for.
MOST_SLOTS = 4096

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NONE = frozenset({"", "none"})
# A fleet, or a state directory, that a block of Prefect says, by the block's name.
FLEET_BLOCK = STATE_BLOCK = "block:"
_ADDRESS = re.compile(r"(?:(tcp|tls)://)?([^\s/:@]+|\[[0-9a-fA-F:]+\]):(\d{1,5})/?")
_SIGNS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value as one layer gives it."""

    key: str
    value: object
    # "pyproject.toml line 12", "PROCTOR_TIMEOUT", "--timeout"
    origin: str
    # Relative paths start here.
    base: Path
    environ: Mapping[str, str]

    @property
    def what(self) -> str:
        return f"{self.key} ({self.origin})"

    def bad(self, reason: str, *, remedy: str) -> BadSetting:
        return BadSetting(
            f"{self.what} {without_passwords(repr(self.value))} {reason}", remedy=remedy
        )


Reader = Callable[[Given], object]


def read_switch(given: Given) -> bool:
    if isinstance(given.value, bool):
        return given.value
    word = str(given.value).strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise given.bad("is neither true nor false", remedy="write true or false")


def read_count(given: Given, *, least: int = 0) -> int:
    value = given.value
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,9}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise given.bad("is no whole number", remedy=f"write a number from {least} up")
    if value < least:
        raise given.bad(f"is less than {least}", remedy=f"write a number from {least} up")
    return value


def read_slots(given: Given) -> int:
    if given.value == "auto":
        return core_count()
    try:
        slots = read_count(given, least=1)
    except BadSetting as error:
        raise BadSetting(error.message, remedy='write a number from 1 up, or "auto"') from error
    if slots > MOST_SLOTS:
        raise given.bad("is more than a machine has", remedy=f"write {MOST_SLOTS} at most")
    return slots


def read_limit(given: Given) -> float:
    """Read a time limit that must be there: nothing waits without one."""
    seconds = parse_duration(given.value, what=given.what)
    if not seconds:
        raise given.bad("is no limit", remedy='write a duration such as "10m"; none waits forever')
    return seconds


def read_optional_limit(given: Given) -> float | None:
    if isinstance(given.value, str) and given.value.strip().lower() in _NONE:
        return None
    return read_limit(given)


def read_size(given: Given) -> int:
    return parse_size(given.value, what=given.what)


def read_math_threads(given: Given) -> str:
    if given.value in {"auto", "all"}:
        return str(given.value)
    try:
        return str(read_count(given, least=1))
    except BadSetting as error:
        raise BadSetting(
            error.message, remedy='write a number from 1 up, "auto" or "all"'
        ) from error


def read_memory_limit(given: Given) -> int:
    """Read a slot's memory; 0 is "auto"."""
    if given.value in ("auto", 0, "0"):
        return 0
    size = parse_size(given.value, what=given.what)
    if size < LEAST_MEMORY:
        raise given.bad(
            "is less than 16MiB, too little for any interpreter",
            remedy='write a size with its unit such as "4GiB", or "auto"',
        )
    return size


def read_name(given: Given) -> str:
    if not isinstance(given.value, str):
        raise given.bad("is no text", remedy='write a name such as "nightly"')
    name = given.value.strip()
    if _SIGNS.search(name) or len(name) > LONGEST_NAME:
        raise given.bad(
            f"is no name of one line and at most {LONGEST_NAME} characters", remedy="shorten it"
        )
    return name


def read_command(given: Given) -> str:
    if not isinstance(given.value, str) or "\x00" in given.value:
        raise given.bad("is no command", remedy='write one for the shell, such as "make deps"')
    return given.value.strip()


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8; file names that are bytes of another kind cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_path(given: Given) -> Path:
    """Read a path; a relative one starts where the setting was written."""
    value = given.value
    if not isinstance(value, str | os.PathLike) or not str(cast("object", value)).strip():
        raise given.bad("is no path", remedy="write one, or leave it out")
    text = os.fspath(cast("str | os.PathLike[str]", value))
    if "\x00" in text:
        raise given.bad("is no path", remedy="leave the zero character out")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise given.bad("has no home directory behind its ~", remedy="write it out") from error
    # Not `resolve`: a virtual environment's interpreter is a link and must stay one.
    return Path(os.path.abspath(given.base / path))  # noqa: PTH100


def read_state(given: Given) -> Path | str:
    """Read the state directory, or the block that says where it is: that one as it was written."""
    text = given.value.strip() if isinstance(given.value, str) else ""
    if not text.startswith(STATE_BLOCK):
        return read_path(given)
    if text == STATE_BLOCK:
        raise given.bad("names no block", remedy="write it like block:team")
    return text


def read_python(given: Given) -> str:
    """Read an interpreter: a path to it, a virtual environment, or a command on the PATH.

    Whether it is there is not checked: on a fleet elsewhere it is the workers that have it.
    """
    path = read_path(given)
    if path.is_dir():
        return str(environment_python(path))
    command = python_command(given)
    if command:
        return shutil.which(command, path=given.environ.get("PATH")) or command
    return str(path)


def python_command(given: Given) -> str:
    """Return the command that an interpreter is named by; empty where a path names it."""
    text = os.fspath(cast("str | os.PathLike[str]", given.value))
    return "" if os.sep in text or read_path(given).exists() else text


def environment_python(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / "bin" / "python"


def read_fleet(given: Given) -> str:
    """Read a scheduler's address, or the block that says which workers to start; empty is none."""
    text = given.value.strip() if isinstance(given.value, str) else None
    if text is not None and text.lower() in _NONE:
        return ""
    if text is not None and text.startswith(FLEET_BLOCK) and text != FLEET_BLOCK:
        return text
    address = scheduler_address(text or "", usual="tcp")
    if not address:
        raise given.bad(
            "is no scheduler's address",
            remedy="write it like tls://host:8786 or block:NAME, or none",
        )
    return address


def scheduler_address(text: str, *, usual: str) -> str:
    """The address of a scheduler, of the usual kind if it says none; empty if the text is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 2**16:
        return ""
    return f"{found[1] or usual}://{found[2]}:{found[3]}"


def read_prefect(given: Given) -> str:
    """Read "auto", "off" or the address of a Prefect server's API."""
    if isinstance(given.value, bool):
        return "auto" if given.value else "off"
    text = given.value.strip() if isinstance(given.value, str) else ""
    if text.lower() in ("auto", "off"):
        return text.lower()
    try:
        url = urlsplit(text)
        there = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        there = False
    if not there:
        raise given.bad(
            "is no Prefect server", remedy='write "auto", "off" or http://host:4200/api'
        )
    return text


def without_credentials(url: str) -> str:
    """Return the address without the name and password it may carry, for records and screens."""
    parts = urlsplit(url)
    if not parts.username and not parts.password:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def read_patterns(given: Given) -> tuple[str, ...]:
    """Read a list of patterns; as one text, a pattern a line or a JSON list."""
    value = given.value
    if isinstance(value, str):
        value = _json_list(given, value) if _is_json_list(value) else value.splitlines()
    if isinstance(value, list | tuple):
        patterns = list(cast("Iterable[object]", value))
        if all(isinstance(pattern, str) for pattern in patterns):
            return tuple(filter(None, (str(pattern).strip() for pattern in patterns)))
    raise given.bad("is no list of patterns", remedy='write ["tests/slow/*"]')


def read_word(given: Given, *, words: tuple[str, ...]) -> str:
    """Read one of a few words."""
    word = str(given.value).strip().lower()
    if word in words:
        return word
    raise given.bad(f"is none of {', '.join(words)}", remedy=known(word, words))


def read_words(given: Given) -> tuple[str, ...]:
    """Read a list of words; as one text, they stand between spaces."""
    value = given.value
    words: list[object] = (
        [*value.split()]
        if isinstance(value, str)
        else list(cast("Iterable[object]", value))
        if isinstance(value, list | tuple)
        else [None]
    )
    if all(isinstance(word, str) and word.strip() for word in words):
        return tuple(str(word).strip() for word in words)
    raise given.bad(
        "is no list of words", remedy='write ["cpu:slots=2", "gpu:slots=1,gpu=1,simulated"]'
    )


def read_rules(given: Given) -> tuple[PatternRule, ...]:
    """Read the pattern rules for requirements; as one text, a JSON list."""
    value = given.value
    if isinstance(value, str):
        value = _json_list(given, value)
    rules = list(cast("Iterable[object]", value)) if isinstance(value, list | tuple) else [None]
    if not all(isinstance(rule, Mapping) for rule in rules):
        raise given.bad(
            "is no list of rules", remedy='write [[tool.proctor.requirements]] with match = "..."'
        )
    return tuple(
        rule_from(cast("Mapping[str, object]", rule), where=f"{given.what} rule {number}")
        for number, rule in enumerate(rules, start=1)
    )


def _is_json_list(text: str) -> bool:
    # A lone pattern may begin with a bracket as well, but hardly with a quoted one.
    return text.lstrip().startswith(("[]", '["', '[ "'))


def _json_list(given: Given, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise given.bad(f"is no JSON list ({error})", remedy="mend its syntax") from error
