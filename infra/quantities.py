"""Durations and sizes as people write them: "1h30m", "16GB", 2.5."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from .errors import BadSetting

# Longer waits than this overflow what the standard library's locks can wait (292 years).
LONGEST_SECONDS = 100 * 365 * 86400
# Beyond every file system and every integer column.
LARGEST_BYTES = 2**62

_SECONDS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "min": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
# Written from large to small; "min" is only read.
_WRITTEN = ("d", "h", "m", "s")
_BYTES = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "p": 10**15,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
    "pi": 2**50,
}
_BYTE_NAMES = {
    factor: ("" if not prefix else prefix[0].upper() + prefix[1:]) + "B"
    for prefix, factor in _BYTES.items()
}
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
# ASCII only: other scripts' digits look like a mistake in a configuration file.
_BARE = re.compile(rf"({_NUMBER})(?:e\+?\d{{1,3}})?", re.ASCII | re.IGNORECASE)
_PART = re.compile(rf"\s*({_NUMBER})\s*(ms|min|[dhms])", re.ASCII | re.IGNORECASE)
_SIZE = re.compile(rf"({_NUMBER})\s*([kmgtp]i?)?(b)?", re.ASCII | re.IGNORECASE)

_DURATION_MEND = 'write seconds (90) or a text such as "90s", "10m" or "1h30m"'
_SIZE_MEND = 'write bytes (16000000000) or a text such as "16GB" (decimal) or "16GiB" (binary)'


def parse_duration(value: object, *, what: str = "the duration") -> float:
    """Read a duration in seconds; `what` names it in the error."""
    try:
        seconds = _number(value) if isinstance(value, int | float) else _duration(value)
        _check_limit(seconds, LONGEST_SECONDS, "longer than 100 years")
    except ValueError as error:
        raise BadSetting(
            f"{what} {value!r} is no duration: {error}", remedy=_DURATION_MEND
        ) from error
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Write a duration so that `parse_duration` reads the same number."""
    rest = Decimal(repr(float(seconds)))
    parts: list[str] = []
    for unit in _WRITTEN:
        amount = rest if unit == "s" else rest // _SECONDS[unit]
        rest -= amount * _SECONDS[unit]
        if amount:
            # `normalize` drops zeros after the point; "f" keeps it from writing an exponent.
            parts.append(f"{amount.normalize():f}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: object, *, what: str = "the size") -> int:
    """Read a size in bytes; a fraction of a byte is dropped."""
    try:
        size = _number(value) if isinstance(value, int | float) else _size(value)
        _check_limit(size, LARGEST_BYTES, "larger than 4 EiB")
    except ValueError as error:
        raise BadSetting(f"{what} {value!r} is no size: {error}", remedy=_SIZE_MEND) from error
    return int(size)


def format_size(size: int) -> str:
    """Write a size so that `parse_size` reads the same number: the largest unit that divides it."""
    factor = max(factor for factor in _BYTE_NAMES if size % factor == 0 and factor <= max(size, 1))
    return f"{size // factor}{_BYTE_NAMES[factor]}"


def _number(value: float) -> Decimal:
    if isinstance(value, bool):
        raise ValueError("it is a truth value")  # noqa: TRY004 - one kind of error to answer.
    if not math.isfinite(value):
        raise ValueError("it is not finite")
    if value < 0:
        raise ValueError("it is negative")
    return Decimal(repr(value))


def _check_limit(value: Decimal, limit: int, excess: str) -> None:
    if value > limit:
        raise ValueError(f"it is {excess}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it is neither a number nor a text")  # noqa: TRY004 - as above.
    text = value.strip()
    if not text:
        raise ValueError("it is empty")
    if text.startswith("-"):
        raise ValueError("it is negative")
    return text


def _duration(value: object) -> Decimal:
    text = _text(value)
    if _BARE.fullmatch(text):
        return Decimal(text)
    total, at, previous = Decimal(0), 0, Decimal(LONGEST_SECONDS)
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ValueError(f"{text[at:].strip()!r} is not a number with a unit (d, h, m, s, ms)")
        unit = _SECONDS[part[2].lower()]
        if unit >= previous:
            raise ValueError("its units do not go from large to small, each once")
        total, at, previous = total + Decimal(part[1]) * unit, part.end(), unit
    return total


def _size(value: object) -> Decimal:
    text = _text(value)
    if _BARE.fullmatch(text):
        return Decimal(text)
    size = _SIZE.fullmatch(text)
    if size is None:
        raise ValueError("it is not a number with a unit (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)")
    return Decimal(size[1]) * _BYTES[(size[2] or "").lower()]
