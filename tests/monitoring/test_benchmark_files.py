"""Measurements of other tools come into the store with unit, direction and environment."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest

from proctor.monitoring.benchmark_files import NoMeasurements, read_measurements
from proctor.monitoring.benchmark_import import take_in
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
from proctor.monitoring.trends.analyzer import analyze


def benchmark(median: float, number: int = 0, **extra) -> dict:
    at = datetime.fromtimestamp(1.7e9 + number * 3600, UTC)
    return {
        "machine_info": {
            "python_version": "3.12.1", "machine": "x86_64", "system": "Linux", "release": "6",
            "cpu": {"brand_raw": "A CPU"},
        },
        "commit_info": {"id": f"{number:040x}", "branch": "main"},
        "benchmarks": [
            {"fullname": "b/test_x.py::test_x", "stats": {"median": median}, "extra_info": extra}
        ],
        "datetime": at.isoformat(),
        "version": "5.1.0",
    }  # fmt: skip


def test_pytest_benchmark_is_read(tmp_path):
    """Its median in seconds, what tests added, the commit and the machine."""
    file = tmp_path / "b.json"
    rate = {"value": 12.5, "unit": "MB/s", "better": "higher"}
    file.write_text(json.dumps(benchmark(0.25, 3, rate=rate, note="text")))
    (run,) = read_measurements(file)
    assert run.commit == f"{3:040x}"
    assert run.environment["processor"] == "A CPU"
    assert [(each.metric, each.value, each.unit, each.better) for each in run.values] == [
        ("benchmark seconds", 0.25, "s", "lower"),
        ("rate", 12.5, "MB/s", "higher"),
    ]


def test_asv_results_are_read_with_their_parameters(tmp_path):
    """One value for each combination; those that failed are null and left out."""
    results = {
        "commit_hash": "abc", "date": 1_700_000_000_000, "python": "3.12",
        "params": {"machine": "m", "cpu": "A"},
        "result_columns": ["result", "params"],
        "results": {
            "bench.time_sort": [[0.5, None], [["10", "20"]]],
            "bench.peakmem_load": [[1048576]],
            "bench.track_size": 7,
        },
    }  # fmt: skip
    folder = tmp_path / "results" / "m"
    folder.mkdir(parents=True)
    (folder / "abc-env.json").write_text(json.dumps(results))
    (folder / "machine.json").write_text("{}")
    (run,) = read_measurements(tmp_path / "results")
    assert [(each.case, each.value, each.unit) for each in run.values] == [
        ("bench.time_sort(10)", 0.5, "s"),
        ("bench.peakmem_load", 1048576.0, "bytes"),
        ("bench.track_size", 7.0, ""),
    ]
    assert run.at == 1_700_000_000


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"benchmarks": 3, "machine_info": {}}'])
def test_a_file_of_something_else_is_told(tmp_path, text):
    """One sentence, and what to give instead."""
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(NoMeasurements, match="holds no measurements"):
        read_measurements(file)


@pytest.mark.parametrize("date", [-5000, 1e18, float("1e308")])
def test_a_run_of_no_possible_date_is_told(tmp_path, date):
    """The store would leave its lines out, after the import was called a success."""
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"commit_hash": "a", "date": date, "results": {"m.time_x": 1.0}}))
    with pytest.raises(NoMeasurements, match="its date"):
        read_measurements(file)


def test_imported_runs_are_analysed_and_come_once(tmp_path):
    """Thirty files; the benchmark gets a fifth slower at the twentieth commit."""
    chance = random.Random(1)
    for number in range(30):
        file = tmp_path / f"{number}.json"
        level = 0.6 if number >= 20 else 0.5
        file.write_text(json.dumps(benchmark(level * chance.lognormvariate(0, 0.02), number)))
        for is_new in (True, False):
            (run,) = read_measurements(file)
            assert take_in(tmp_path, run, project="p").is_new is is_new
    store = Store(tmp_path)
    assert not ingest(store).problems
    (found,) = analyze(store).findings
    assert found.commit == f"{20:040x}"
    assert found.is_regression
