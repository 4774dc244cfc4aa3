"""A pytest plugin that writes each case's outcome and seconds to the file BENCH_RECORD names.

Loaded with `-p bench_recorder` and this folder on PYTHONPATH, in a foreign interpreter: it needs
pytest only, and nothing else lies beside it. It judges by pytest's reports alone and shares no
code with the product, whose outcomes it is there to check.
"""

from __future__ import annotations

import json
import os


class Recorder:
    """Gathers reports and writes them whole at the end."""

    def __init__(self, path):
        self.path = path
        self.outcomes = {}
        self.seconds = {}
        self.skipped_files = {}
        self.repeated = []

    def pytest_runtest_logreport(self, report):
        # Subtests report beside their case, which pytest fails by itself when one of them fails.
        if hasattr(report, "context"):
            return
        case, when = report.nodeid, report.when
        self.seconds[case] = self.seconds.get(case, 0.0) + report.duration
        expected_to_fail = hasattr(report, "wasxfail")
        if when == "setup":
            if case in self.outcomes:
                self.repeated.append(case)
            self.outcomes[case] = "passed"
        if report.failed:
            if when == "call":
                self.outcomes[case] = "failed"
            elif self.outcomes[case] != "failed":
                self.outcomes[case] = "error"
        elif report.skipped:
            self.outcomes[case] = "xfailed" if expected_to_fail else "skipped"
        elif when == "call" and expected_to_fail:
            self.outcomes[case] = "xpassed"

    def pytest_collectreport(self, report):
        if report.skipped:
            self.skipped_files[report.nodeid] = "skipped"

    def pytest_sessionfinish(self, exitstatus):
        told = {
            "outcomes": {**self.skipped_files, **self.outcomes},
            "seconds": self.seconds,
            "repeated": self.repeated,
            "exit_code": int(exitstatus),
        }
        with open(self.path, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(told, file)


def pytest_configure(config):
    path = os.environ.get("BENCH_RECORD")
    # With pytest-xdist only the controller hears of everything.
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(path))
