"""JUnit XML: pytest's shape, Surefire's re-runs, and no character that XML cannot hold."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from digests import Texts, attempt, digest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.records import CaseKind
from proctor.monitoring.reports.junit import address, document, write_junit

SUITE = """
import pytest, unittest

def test_passes(): pass
def test_fails(): assert 1 == 2, "one is not two"
def test_skips(): pytest.skip("no such machine")
@pytest.mark.xfail(reason="known")
def test_xfails(): assert False
@pytest.fixture
def broken(): raise RuntimeError("no database")
def test_errors(broken): pass
def test_tells(record_property): record_property("answer", 42)
@pytest.mark.parametrize("word", ["a/b", "x::y", "[z]", "back\\x08space", "é ü"])
def test_words(word): pass
class TestGroup:
    def test_inside(self): pass
    class TestDeeper:
        def test_within(self): pass
class TestOld(unittest.TestCase):
    def test_unit(self): self.fail("so it is")
"""
OUTCOMES = {
    "test_fails": "failed",
    "test_skips": "skipped",
    "test_xfails": "xfailed",
    "test_errors": "error",
    "test_unit": "failed",
}


@pytest.fixture
def pytests_own(tmp_path: Path) -> tuple[list[str], ET.Element]:
    """Ids of a small suite, and what pytest itself reports of it."""
    folder = tmp_path / "sub folder"
    folder.mkdir()
    (folder / "test_all.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    listed = subprocess.run(
        [*command, "--collect-only", "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    subprocess.run([*command, "--junitxml=own.xml"], cwd=tmp_path, capture_output=True, timeout=180)
    ids = [line for line in listed.stdout.splitlines() if "::" in line]
    return ids, ET.parse(tmp_path / "own.xml").getroot()


def test_shape_is_that_of_pytest(pytests_own: tuple[list[str], ET.Element], tmp_path: Path) -> None:
    """Names, classes, counts and kinds of children equal those of pytest's own report."""
    ids, own = pytests_own
    attempts = [
        attempt(
            each,
            OUTCOMES.get(each.rpartition("::")[2], "passed"),
            message="why",
            properties=(("answer", 42),) if "test_tells" in each else (),
        )
        for each in ids
    ]
    path = tmp_path / "ours.xml"

    write_junit(path, digest(attempts), Texts())

    ours = ET.parse(path).getroot()
    assert len(ids) == 14
    assert _cases(ours) == _cases(own)
    for name in ("tests", "failures", "errors", "skipped"):
        assert ours[0].get(name) == own[0].get(name), name
    assert set(own[0].attrib) <= set(ours[0].attrib)


def _cases(root: ET.Element) -> list[tuple[str | None, str | None, list[tuple[str, str | None]]]]:
    # An error's type is ours to choose; a skip's is pytest's.
    return [
        (
            case.get("classname"),
            case.get("name"),
            [(child.tag, child.get("type") if child.tag == "skipped" else None) for child in case],
        )
        for case in root.iter("testcase")
    ]


def test_a_task_stands_under_the_name_of_its_list() -> None:
    """It has no class and no file; an empty class is no place in Jenkins' tree."""
    told = digest([attempt("train", "passed"), attempt("a/b.py::c", "failed")])
    tasks = tuple(replace(case, kind=CaseKind.COMMAND) for case in told.cases)
    root = _parsed(replace(told, cases=tasks))
    found = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert found == [("sample", "train"), ("sample", "a/b.py::c")]
    assert all(case.get("file") is None for case in root.iter("testcase"))


def test_deaths_are_errors_with_a_type() -> None:
    """A crash, a time-out, memory and lost infrastructure are errors that name their kind."""
    kinds = ["crashed", "timed-out", "out-of-memory", "infra-lost"]
    attempts = [attempt(f"test_a.py::test_{kind}", kind, message=f"so {kind}") for kind in kinds]
    root = _parsed(digest(attempts))

    errors = [case.find("error") for case in root.iter("testcase")]

    assert [error.get("type") for error in errors if error is not None] == [
        f"proctor.{kind}" for kind in kinds
    ]
    assert root[0].get("errors") == "4"


def test_flaky_case_keeps_its_failures() -> None:
    """A case that passed after failures is a success that carries them, text and all."""
    texts = Texts()
    first = texts.add(
        attempt("test_a.py::test_x", "failed", message="no"),
        ("traceback", "E no"),
        ("stdout", "printed"),
    )
    second = attempt("test_a.py::test_x", "crashed", message="killed by SIGSEGV")
    root = _parsed(digest([first, second, attempt("test_a.py::test_x")]), texts)

    case = next(root.iter("testcase"))

    assert [child.tag for child in case] == ["flakyFailure", "flakyError"]
    assert case[0].findtext("stackTrace") == "E no"
    assert case[0].findtext("system-out") == "printed"
    assert case[1].get("type") == "proctor.crashed"
    assert (root[0].get("failures"), root[0].get("errors")) == ("0", "0")


def test_failed_case_keeps_its_reruns() -> None:
    """A case that failed again has one failure, and a rerunFailure for the attempt before."""
    name = "test_a.py::test_x"
    root = _parsed(digest([attempt(name, "failed", message="1"), attempt(name, "failed")]))

    case = next(root.iter("testcase"))

    assert [child.tag for child in case] == ["failure", "rerunFailure"]
    assert root[0].get("failures") == "1"


def test_errors_of_fixtures_and_stacks_are_texts() -> None:
    """What stands in any traceback, or in the stacks of a time-out, is the text of the error."""
    texts = Texts()
    one = texts.add(
        attempt("a.py::x", "error"),
        ("traceback (setup)", "E no database"),
        ("traceback (teardown)", "E no end"),
        ("log (setup)", "connecting"),
        ("stderr", "oh"),
    )
    two = texts.add(attempt("a.py::y", "timed-out"), ("stacks", "File a.py, line 3"))
    root = _parsed(digest([one, two]), texts)

    errors = [case.findtext("error") or "" for case in root.iter("testcase")]

    assert "E no database" in errors[0]
    assert "E no end" in errors[0]
    assert errors[1] == "File a.py, line 3"
    case = next(root.iter("testcase"))
    assert (case.findtext("system-out"), case.findtext("system-err")) == ("connecting", "oh")


def test_a_campaign_that_failed_as_a_whole_is_red() -> None:
    """Where no case is to blame, the campaign itself is: cases that did not run are only skipped."""
    root = _parsed(
        digest([], not_run=["test_a.py::test_y"], state="failed", reason="no worker came")
    )

    errors = [case.find("error") for case in root.iter("testcase")]

    assert [each.get("message") for each in errors if each is not None] == ["no worker came"]
    assert (root[0].get("errors"), root[0].get("tests")) == ("1", "2")


def test_muted_and_unrun_cases_are_skipped() -> None:
    """A quarantined failure and a case that never ran do not turn a job red."""
    one = attempt("test_a.py::test_x", "failed", message="no")
    root = _parsed(
        digest(
            [one],
            muted={"test_a.py::test_x"},
            not_run=["test_a.py::test_y"],
        )
    )

    skips = [(case.find("skipped"), case.find("failure")) for case in root.iter("testcase")]

    types = [skip.get("type") for skip, failure in skips if skip is not None and failure is None]
    assert types == ["proctor.muted", "proctor.not-run"]
    assert root[0].get("skipped") == "2"


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_is_well_formed(text: str) -> None:
    """Whatever a test prints or is called, the document can be parsed."""
    texts = Texts()
    one = attempt(f"test_a.py::test[{text}]", "failed", message=text, properties=((text, text),))
    one = texts.add(one, ("traceback", text), ("stdout", text), ("stderr", text))

    root = _parsed(digest([one], name=text), texts)

    assert next(root.iter("testcase")).find("failure") is not None


def test_big_campaigns_are_streamed(tmp_path: Path) -> None:
    """Writing 20,000 cases takes no memory that grows with their texts."""
    texts = Texts()
    one = texts.add(attempt("test_a.py::test_x", "failed"), ("stdout", "x" * 2_000))
    attempts = [attempt(f"test_a.py::test_{n}", "failed", output=one.output) for n in range(20_000)]
    facts = digest(attempts)
    path = tmp_path / "big.xml"
    tracemalloc.start()

    write_junit(path, facts, texts)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 40_000_000
    # Of 40 MB. Other threads, such as Prefect's, are counted too.
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("tests/a.py::test_x", ("tests.a", "test_x")),
        ("tests/a.py::TestA::test_x[p::q/r.py]", ("tests.a.TestA", "test_x[p::q/r.py]")),
        ("README.rst::README.rst", ("README.rst", "README.rst")),
        ("build the docs", ("", "build the docs")),
    ],
)
def test_addresses(case: str, expected: tuple[str, str]) -> None:
    """A case's id is cut into class and name as pytest cuts it."""
    assert address(case) == expected


def _parsed(facts: object, texts: Texts | None = None) -> ET.Element:
    return ET.fromstring("".join(document(facts, texts or Texts())))  # type: ignore[arg-type]
