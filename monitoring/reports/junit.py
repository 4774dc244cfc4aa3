"""JUnit XML as CI systems read it: pytest's own shape (xunit2), with re-runs as Surefire has them.

A case is one `testcase`. What a process death, a time-out, memory or the infrastructure did is an
`error` whose `type` names it. Attempts other than the deciding one stay as `flakyFailure` /
`flakyError` under a case that passed in the end, and as `rerunFailure` / `rerunError` under one
that did not. Texts are read and written case by case, so the size of a campaign does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from ...infra.records import Attempt, Case, CaseKind, Judgement, Outcome, Verdict
from .digest import Digest, ReadOutput
from .sections import cause, other_output, standard_error

_ERRORS = frozenset(
    {
        Judgement.ERROR,
        Judgement.CRASHED,
        Judgement.TIMED_OUT,
        Judgement.OUT_OF_MEMORY,
        Judgement.INFRA_LOST,
    }
)
_SKIPS = frozenset(
    {Judgement.SKIPPED, Judgement.XFAILED, Judgement.MUTED, Judgement.NOT_RUN},
)
_SKIP_TYPES = {
    Judgement.SKIPPED: "pytest.skip",
    Judgement.XFAILED: "pytest.xfail",
    Judgement.MUTED: "proctor.muted",
    Judgement.NOT_RUN: "proctor.not-run",
}
# What XML 1.0 cannot hold, not even escaped; lone surrogates are among it.
_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, digest: Digest, read_output: ReadOutput) -> None:
    """Write the whole file; the caller sees to it that nobody reads it half-written."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for part in document(digest, read_output):
            file.write(part)


def document(digest: Digest, read_output: ReadOutput) -> Iterator[str]:
    """The document in pieces, one a case."""
    suite = _suite_attributes(digest)
    yield '<?xml version="1.0" encoding="utf-8"?>\n'
    yield _opening("testsuites", {"name": "proctor", **_totals(suite)})
    yield _opening("testsuite", suite)
    yield _line(_properties(_campaign_properties(digest)))
    for case in digest.cases:
        yield _plain_pass(case, digest) or _line(testcase(case, digest, read_output))
    if _failed_otherwise(digest):
        yield _line(_whole(digest))
    yield "</testsuite>\n</testsuites>\n"


def _plain_pass(case: Case, digest: Digest) -> str:
    """The line of a case of which there is nothing to say but that it passed; "" for any other.

    These are most of a large suite: without an element for each, it is written three times as fast.
    """
    attempts = digest.attempts.get(case.id, ())
    if len(attempts) != 1 or attempts[0].outcome is not Outcome.PASSED or attempts[0].properties:
        return ""
    if case.kind is not CaseKind.PYTEST:
        return ""
    classname, name = address(case.id)
    return (
        f"<testcase classname={quoteattr(_legal(classname))} name={quoteattr(_legal(name))}"
        f" file={quoteattr(_legal(case.group))}"
        f' time="{digest.verdicts[case.id].wall_seconds:.3f}" />\n'
    )


def testcase(case: Case, digest: Digest, read_output: ReadOutput) -> ET.Element:
    """The element of one case."""
    verdict = digest.verdicts[case.id]
    attempts = digest.attempts.get(case.id, ())
    decisive = next((a for a in attempts if a.id == verdict.decided_by), None)
    told = {**_place(case, digest), "time": f"{verdict.wall_seconds:.3f}"}
    element = ET.Element("testcase", told)
    if decisive is not None and decisive.properties:
        element.append(_properties(decisive.properties))
    sections = () if decisive is None else _read(decisive, read_output)
    result = _result(verdict, sections)
    if result is not None:
        element.append(result)
    for attempt in attempts:
        if attempt is not decisive and _tells_something(attempt):
            element.append(_rerun(attempt, verdict, read_output))
    _add_output(element, sections)
    return element


def _place(case: Case, digest: Digest) -> dict[str, str]:
    if case.kind is not CaseKind.PYTEST:
        # A task is of no class and no file; readers that need a class show it under this one.
        return {"classname": _suite_name(digest), "name": _legal(case.id)}
    classname, name = address(case.id)
    return {
        "classname": _legal(classname),
        "name": _legal(name),
        # Not in pytest's xunit2, but GitLab and Buildkite link failures by it.
        "file": _legal(case.group),
    }


def _suite_name(digest: Digest) -> str:
    return _legal(digest.name or "pytest")


def address(case_id: str) -> tuple[str, str]:
    """Class name and name, as pytest's own report has them."""
    path, bracket, parameters = case_id.partition("[")
    names = path.split("::")
    names[0] = re.sub(r"\.py$", "", names[0].replace("/", "."))
    names[-1] += bracket + parameters
    return ".".join(names[:-1]), names[-1]


def _failed_otherwise(digest: Digest) -> bool:
    """Whether it failed as a whole and no case says so: who judges by this file must see it."""
    said = digest.counts.keys() & {Judgement.FAILED, *_ERRORS}
    return bool(digest.reason) and not said


def _whole(digest: Digest) -> ET.Element:
    element = ET.Element("testcase", classname="proctor", name="campaign", time="0.000")
    reason = _legal(digest.reason)
    ET.SubElement(element, "error", type="proctor.campaign", message=reason).text = reason
    return element


def _suite_attributes(digest: Digest) -> dict[str, str]:
    counts = digest.counts
    whole = int(_failed_otherwise(digest))
    moment = datetime.fromtimestamp(digest.started, UTC).astimezone()
    return {
        "name": _suite_name(digest),
        "errors": str(sum(counts.get(kind, 0) for kind in _ERRORS) + whole),
        "failures": str(counts.get(Judgement.FAILED, 0)),
        "skipped": str(sum(counts.get(kind, 0) for kind in _SKIPS)),
        "tests": str(len(digest.cases) + whole),
        "time": f"{digest.makespan:.3f}",
        "timestamp": moment.isoformat(),
        "hostname": _legal(digest.host),
    }


def _totals(suite: dict[str, str]) -> dict[str, str]:
    return {key: suite[key] for key in ("tests", "errors", "failures", "skipped", "time")}


def _campaign_properties(digest: Digest) -> list[tuple[str, str | float]]:
    return [
        ("proctor.campaign", digest.campaign),
        ("proctor.state", digest.state),
        ("proctor.slots", digest.slots),
        ("proctor.lower_bound", round(digest.lower_bound, 3)),
    ]


def _properties(pairs: Sequence[tuple[str, str | float]]) -> ET.Element:
    properties = ET.Element("properties")
    for name, value in pairs:
        ET.SubElement(properties, "property", name=_legal(name), value=_legal(str(value)))
    return properties


def _result(verdict: Verdict, sections: Sequence[tuple[str, str]]) -> ET.Element | None:
    judgement = verdict.judgement
    text = _legal(cause(sections))
    if judgement in _SKIPS:
        message = verdict.message or judgement.value
        if judgement is Judgement.MUTED:
            message = f"muted: {message}"
        result = ET.Element("skipped", type=_SKIP_TYPES[judgement], message=_legal(message))
    elif judgement is Judgement.FAILED:
        result = ET.Element("failure", message=_legal(verdict.message or "failed"))
    elif judgement in _ERRORS:
        message = _legal(verdict.message or judgement.value)
        result = ET.Element("error", type=f"proctor.{judgement.value}", message=message)
    else:
        return None
    result.text = text or _legal(verdict.message)
    return result


def _rerun(attempt: Attempt, verdict: Verdict, read_output: ReadOutput) -> ET.Element:
    kind = "Failure" if attempt.outcome is Outcome.FAILED else "Error"
    prefix = "flaky" if verdict.judgement is Judgement.FLAKY else "rerun"
    sections = _read(attempt, read_output)
    element = ET.Element(
        prefix + kind,
        message=_legal(attempt.message or attempt.outcome.value),
        type=f"proctor.{attempt.outcome.value}",
        time=f"{attempt.usage.wall_seconds:.3f}",
        timestamp=datetime.fromtimestamp(attempt.started, UTC).astimezone().isoformat(),
    )
    trace = ET.SubElement(element, "stackTrace")
    trace.text = _legal(cause(sections)) or _legal(attempt.message)
    _add_output(element, sections)
    return element


def _tells_something(attempt: Attempt) -> bool:
    return attempt.outcome.is_failure or attempt.outcome is Outcome.INFRA_LOST


def _read(attempt: Attempt, read_output: ReadOutput) -> Sequence[tuple[str, str]]:
    # Output of what passed is left out, as pytest does by default: it is most of the bytes.
    return read_output(attempt) if _tells_something(attempt) else ()


def _add_output(element: ET.Element, sections: Sequence[tuple[str, str]]) -> None:
    out = _legal(other_output(sections))
    err = _legal(standard_error(sections))
    if out:
        ET.SubElement(element, "system-out").text = out
    if err:
        ET.SubElement(element, "system-err").text = err


def _legal(text: str) -> str:
    return _ILLEGAL.sub(_named, text)


def _named(match: re.Match[str]) -> str:
    # pytest's way of showing a character that XML cannot hold.
    code = ord(match.group())
    return f"#x{code:02X}" if code <= 0xFF else f"#x{code:04X}"


def _opening(tag: str, attributes: dict[str, str]) -> str:
    # Closed by hand: the suite's children are written one by one.
    return ET.tostring(ET.Element(tag, attributes), encoding="unicode").removesuffix(" />") + ">\n"


def _line(element: ET.Element) -> str:
    return ET.tostring(element, encoding="unicode") + "\n"
