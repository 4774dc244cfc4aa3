"""The fixture `proctor`: a test says what it measured, with unit and direction."""

from __future__ import annotations

from pathlib import Path

from runner_suites import run_suite, write_suite

from proctor.monitoring.ingest_lines import metric_of


def test_a_test_records_values_with_unit_and_direction(tmp_path: Path) -> None:
    """They travel as properties, and the store reads them back."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import pytest
                def test_a(proctor, record_property):
                    proctor.record("rate", 12.5, unit="MB/s", better="higher")
                    proctor.record("depth", 3)
                    record_property("plain", 7)
                    proctor.record("lost", float("nan"), unit="s")
                    record_property("endless", float("-inf"))
                def test_b(proctor):
                    with pytest.raises(ValueError):
                        proctor.record("rate", 1, better="bigger")
                    with pytest.raises(ValueError):
                        proctor.record("", 1)
            """
        },
    )
    told = run_suite(folder)
    assert {name: message["outcome"] for name, message in told.done.items()} == {
        "test_a": "passed",
        "test_b": "passed",
    }
    recorded = [metric_of(*each) for each in told.done["test_a"]["props"]]
    assert recorded == [
        ("rate", 12.5, "", "MB/s", "higher"),
        ("depth", 3.0, "", "", "lower"),
        ("plain", 7.0, "", "", ""),
        ("lost", None, "nan", "s", "lower"),
        ("endless", None, "-inf", "", ""),
    ]


def test_a_fixture_of_the_suite_comes_before_ours(tmp_path: Path) -> None:
    """Whoever has one of that name keeps it."""
    folder = write_suite(
        tmp_path,
        {
            "conftest.py": """
                import pytest
                @pytest.fixture
                def proctor():
                    return "theirs"
            """,
            "test_a.py": """
                def test_a(proctor):
                    assert proctor == "theirs"
            """,
        },
    )
    assert run_suite(folder).done["test_a"]["outcome"] == "passed"
