"""How spans of time, sizes, counts and judgements are written for people."""

from __future__ import annotations

from collections.abc import Mapping

from ...infra.records import Judgement

# Worst first: the order in which a person wants to read them.
ORDER: tuple[Judgement, ...] = (
    Judgement.CRASHED,
    Judgement.OUT_OF_MEMORY,
    Judgement.TIMED_OUT,
    Judgement.ERROR,
    Judgement.FAILED,
    Judgement.INFRA_LOST,
    Judgement.NOT_RUN,
    Judgement.FLAKY,
    Judgement.MUTED,
    Judgement.XPASSED,
    Judgement.XFAILED,
    Judgement.SKIPPED,
    Judgement.PASSED,
)

STYLES: Mapping[str, str] = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold red",
    "crashed": "bold magenta",
    "timed-out": "bold magenta",
    "out-of-memory": "bold magenta",
    "infra-lost": "bold yellow",
    "not-run": "yellow",
    "cancelled": "yellow",
    "flaky": "yellow",
    "muted": "blue",
    "xpassed": "yellow",
    "xfailed": "dim",
    "skipped": "dim",
}

_PLURALS = {"error": "errors"}
_LAST_SECONDS_FORMAT = 120.0


def span(seconds: float) -> str:
    """A length of time: "4 ms", "0.31 s", "12.4 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < _LAST_SECONDS_FORMAT:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def roughly(seconds: float) -> str:
    """A length of time that is a guess: "40 s", "3 min"."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def size(count: float) -> str:
    """A number of bytes: "512 B", "3.4 MB", "1.2 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def number(count: int) -> str:
    """A count with its thousands apart: "1,234"."""
    return f"{count:,}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 attempt", "2 attempts"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count:,} cases"


def judged(judgement: str, count: int) -> str:
    """A count with its word: "3 failed", "2 errors", "1 out of memory"."""
    word = _PLURALS.get(judgement, judgement) if count != 1 else judgement
    return f"{count:,} {word.replace('-', ' ')}"


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by judgement, worst first: "1 crashed, 2 errors, 120 passed"."""
    return ", ".join(judged(k, counts[k]) for k in ORDER if counts.get(k)) or "no cases"


def one_line(text: str, limit: int = 160) -> str:
    """The first line that says something, cut to a length; it moves no cursor."""
    line = printable(next((line.strip() for line in text.splitlines() if line.strip()), ""))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(text: str) -> str:
    """The text with line ends, control characters and lone surrogates shown as escapes."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
