"""Why pytest ended before it could do its work, by what it said and its exit code."""

from __future__ import annotations

import re

from ..errors import BrokenConftest, CollectionProblem, ProctorError, UsageProblem

# Also what a conftest.py that cannot be imported comes to, which is news of the suite.
PYTEST_USAGE_ERROR = 4
# So every pytest since 7.0 begins to say that one of these cannot be imported.
_CONFTEST = re.compile(r"ImportError while loading conftest '(.+)'")
# Where in a conftest.py, by the frames of a traceback or by what cannot be parsed.
_PLACE = re.compile(
    r"^(?:E +File \")?(.*conftest\.py)(?:\", line |:)(\d+)(?:$|: in )", re.MULTILINE
)
# Pytest's own traceback, the margin of an exception group in it, and its frames.
_INTERNAL = "INTERNALERROR> "
_MARGIN = "  | "
_FRAME = '  File "'


class SessionProblem(CollectionProblem):
    """Pytest ended before it could do its work: bad arguments, a broken conftest.py, a crash."""

    def __init__(
        self, message: str, *, remedy: str, text: str, exit_code: int, conftest: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.text = text
        self.exit_code = exit_code
        # The conftest.py that cannot be imported, if it was that.
        self.conftest = conftest

    @property
    def kind(self) -> type[ProctorError]:
        """What a campaign knows it as: pytest refuses what was typed, or the suite is broken."""
        if self.conftest:
            return BrokenConftest
        return UsageProblem if self.exit_code == PYTEST_USAGE_ERROR else CollectionProblem


def refused(text: str, code: int) -> SessionProblem:
    """What is to be said of a session that ended with so many words, before it was ready."""
    lines = text.splitlines()
    exceptions = [line.removeprefix("E ").strip() for line in lines if line.startswith("E  ")]
    if exceptions and exceptions[0].startswith('File "'):
        # Where and what cannot be parsed comes before the exception.
        exceptions = exceptions[-1:]
    telling = (
        # The most telling first: an exception, a usage error, any error, the last words.
        exceptions,
        [line for line in lines if " error: " in line],
        _what_pytest_died_of(lines),
        [line for line in lines if line.startswith("ERROR")][-1:],
        lines[-1:],
        ["it said nothing"],
    )
    # The remedy follows in the same sentence.
    said = next(found[0] for found in telling if found).strip().removesuffix(".")
    broken = _CONFTEST.search(text)
    conftest = broken.group(1) if broken else ""
    ended = f"pytest ended with exit code {code} before it could collect"
    what = f"{conftest} cannot be imported" if conftest else ended
    places = [place for place in _PLACE.findall(text) if conftest.endswith(place[0].lstrip("./"))]
    where = f" ({places[-1][0]}:{places[-1][1]})" if places else ""
    return SessionProblem(
        f"{what}: {said}{where}",
        remedy="run pytest with the same arguments to see all it says",
        text=text,
        exit_code=code,
        conftest=conftest,
    )


def _what_pytest_died_of(lines: list[str]) -> list[str]:
    """The line that names the exception, which may go on for more lines than that one."""
    internal = [line.removeprefix(_INTERNAL) for line in lines if line.startswith(_INTERNAL)]
    told = [line.removeprefix(_MARGIN) for line in internal]
    frames = [number for number, line in enumerate(told) if line.startswith(_FRAME)]
    after = told[frames[-1] :] if frames else told
    return [line for line in after if line.strip() and not line.startswith(" ")][:1] or told[-1:]
