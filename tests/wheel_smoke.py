"""Smoke test of the wheel: `python wheel_smoke.py`, in an empty environment that has only it.

Run in another directory, beside a copy of tests/sample called `sample`. Needs nothing but the
standard library and what the wheel brought.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata, resources
from pathlib import Path

import psutil  # the wheel requires it

# Every resource that the code opens by name.
RESOURCES = {
    "proctor": ("py.typed",),
    "proctor.infra.session": ("__main__.py",),
    "proctor.infra.faults": ("experiment.schema.json",),
    "proctor.infra.fleet": ("worker_templates.schema.json",),
    "proctor.infra.runners": ("call_task.py",),
    "proctor.infra.tasks": ("tasklist.schema.json",),
    "proctor.monitoring": ("queries.sql", "schema_0001.sql"),
    "proctor.monitoring.reports": ("html_report.j2", "html_report.css.j2", "html_report.js.j2"),
    "proctor.monitoring.trends": ("report.j2",),
}
# Started as programs: importing them is not how they are used.
PROGRAMS = {"proctor.__main__"}
FLEET = ("cpu:slots=2", "highmem:slots=1", "gpu:slots=1,gpu=1,simulated")
COUNTS = {"passed": 45, "flaky": 1, "skipped": 1, "xfailed": 1}
# A fresh machine compiles a hundred packages on first use.
PATIENCE_SECONDS = 240


def main() -> None:
    proctor = Path(sysconfig.get_path("scripts")) / "proctor"
    said = _run(str(proctor), "--version")
    assert said == f"proctor {metadata.version('proctor')}\n", said
    package = importlib.import_module("proctor")
    assert package.__file__ is not None
    assert Path(package.__file__).is_relative_to(sysconfig.get_path("purelib")), package.__file__
    assert importlib.util.find_spec("proctor.tests") is None, "the wheel holds the tests"
    names = [each.name for each in pkgutil.walk_packages(package.__path__, "proctor.")]
    assert len(names) > 80, names
    for name in names:
        if name not in PROGRAMS:
            importlib.import_module(name)
    for folder, files in RESOURCES.items():
        for file in files:
            assert resources.files(folder).joinpath(file).is_file(), f"{folder} lacks {file}"
    _campaign(proctor)
    print(f"the wheel works: {len(names)} modules, {sum(COUNTS.values())} cases")


def _campaign(proctor: Path) -> None:
    with tempfile.TemporaryDirectory() as state:
        told = json.loads(
            _run(
                *(str(proctor), "run", "--state", state, "--directory", "sample"),
                *("--prefect", "off", "--json"),
                *(f"--fleet-class={each}" for each in FLEET),
            )
        )
        assert told["exit_code"] == 0, told
        assert told["counts"] == COUNTS, told["counts"]
        reports = {path.name for path in Path(state).glob("campaigns/*/report/*")}
        assert reports == {"report.html", "summary.md", "junit.xml"}, reports
        _await_memory(Path(state))


def _await_memory(state: Path) -> None:
    """The campaign is taken into the store behind the user's back: that writes here until it is."""
    remembering = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(state) in (process.info["cmdline"] or [])
    ]
    _, left = psutil.wait_procs(remembering, timeout=PATIENCE_SECONDS)
    assert not left, f"still writing to {state} after {PATIENCE_SECONDS} s: {left}"
    assert (state / "proctor.duckdb").is_file(), sorted(state.iterdir())


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr}"
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
