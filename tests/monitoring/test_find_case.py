"""Finding a case by what a person types."""

from __future__ import annotations

import pytest
from digests import attempt, digest

from proctor.infra.errors import UsageProblem
from proctor.monitoring.reports.find_case import find_case

IDS = [
    "tests/test_a.py::test_add",
    "tests/test_a.py::test_add_more",
    "tests/test_b.py::TestCart::test_total[a\nb]",
    "tests/test_b.py::TestCart::test_total[c]",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (IDS[0], IDS[0]),
        ("test_add", IDS[0]),
        ("add_more", IDS[1]),
        ("tests/test_b.py::TestCart::test_total[a\\nb]", IDS[2]),
        ("test_total[c]", IDS[3]),
    ],
)
def test_exact_then_end_then_part(text: str, expected: str) -> None:
    """An exact id wins over an end, and an end over a part."""
    assert find_case(digest([attempt(each) for each in IDS]), text).id == expected


def test_several_are_named() -> None:
    """An ambiguous text names what it matches, on one line."""
    with pytest.raises(UsageProblem, match=r"2 cases of campaign .* match 'test_total'") as caught:
        find_case(digest([attempt(each) for each in IDS]), "test_total")

    assert "test_total[c]" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_the_nearest() -> None:
    """A misspelt id gets the ones that resemble it."""
    with pytest.raises(UsageProblem, match=r"has no case 'test_ad_mor'; nearest are: .*add_more"):
        find_case(digest([attempt(each) for each in IDS]), "test_ad_mor")
