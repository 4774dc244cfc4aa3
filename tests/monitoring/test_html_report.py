"""The HTML report: whole in itself, safe against what tests print, and alive in a browser."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from digests import Texts, attempt, digest
from hypothesis import given
from hypothesis import strategies as st
from tools import chromium

from proctor.monitoring.reports import html_report
from proctor.monitoring.reports.digest import Digest

NASTY = "</script><script>document.title='taken'</script><!--"


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No address, no import, and a policy that forbids requests."""
    page = html_report.page(digest([attempt("a.py::x")]), Texts())

    assert re.findall(r"(?:src|href)\s*=|https?://|@import|url\(", page) == []
    assert "default-src 'none'" in page


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_survives_embedding(text: str) -> None:
    """What tests print comes back unchanged, and cannot end the element it stands in."""
    texts = Texts()
    one = texts.add(attempt(f"a.py::{text}", "failed"), ("stdout", text + NASTY))

    facts = _facts(digest([one], name=NASTY), texts)

    assert facts["texts"]["0"] == [["stdout", text + NASTY]]
    assert facts["name"] == NASTY


def test_rows_hold_what_the_page_shows() -> None:
    """Ids are cut at their file, times are milliseconds after the start, slots are rows."""
    one = attempt("a.py::x", at=1.5, seconds=0.25, worker="w", slot=3)
    two = attempt("b.py::y", "failed", worker="w", slot=3, message="no")

    facts = _facts(digest([one, two]), Texts())

    assert facts["groups"] == ["a.py", "b.py"]
    assert facts["cases"][0][:3] == [0, "::x", 1]
    assert facts["attempts"][0][2:5] == [1500, 250, 0]
    assert facts["rows"] == ["w/3"]
    assert facts["judgements"][facts["cases"][1][3]] == "failed"


def test_long_texts_are_cut_in_the_middle() -> None:
    """The head and the tail of an output stay, and the page says how much is missing."""
    texts = Texts()
    text = "head" + "x" * 300_000 + "tail"
    one = texts.add(attempt("a.py::x", "failed"), ("stdout", text))

    [[_, shown]] = _facts(digest([one]), texts)["texts"]["0"]

    assert len(shown) < 70_000
    assert (shown[:4], shown[-4:]) == ("head", "tail")
    assert "characters left out" in shown


def test_all_texts_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of long failures do not make a page no browser opens."""
    monkeypatch.setattr(html_report, "ALL_TEXT_LIMIT", 1_000)
    texts = Texts()
    attempts = [
        texts.add(attempt(f"a.py::x{n}", "failed"), ("stdout", "x" * 400)) for n in range(9)
    ]

    facts = _facts(digest(attempts), texts)

    assert sorted(facts["texts"]) == ["0", "1", "2"]
    assert facts["textsLeftOut"] is True


@pytest.fixture
def profile() -> Iterator[Path]:
    """A folder for the browser, whose helpers may still write there when it has ended."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.needs("chromium")
def test_page_works_in_a_browser(tmp_path: Path, profile: Path) -> None:
    """The script runs to its end: rows, details and counts are in the page, nothing is taken."""
    browser = chromium()
    assert browser is not None
    texts = Texts()
    bad = texts.add(
        attempt("a.py::x[<b>]", "failed", message="no & no"), ("traceback", f"> f()\nE   {NASTY}")
    )
    page = tmp_path / "report.html"
    html_report.write_html(page, digest([bad, attempt("a.py::ok")], name=NASTY), texts)
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        f"{page.as_uri()}#case=a.py::x%5B%3Cb%3E%5D",
    ]

    dom = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout

    assert "<title>taken" not in dom
    assert 'class="row" aria-expanded="true"' in dom
    assert "::x[&lt;b&gt;]" in dom
    assert '<span class="bad">E   &lt;/script&gt;' in dom
    assert "1 of 2" in dom


def _facts(facts: Digest, texts: Texts) -> dict[str, Any]:
    page = html_report.page(facts, texts)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])
