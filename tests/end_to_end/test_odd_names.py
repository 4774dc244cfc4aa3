"""What is no Unicode travels as plain text: nothing is lost, nothing hangs."""

from __future__ import annotations

import os
from pathlib import Path

from real_campaigns import document, type_in, write_project


def test_surrogates_everywhere(tmp_path: Path) -> None:
    """In a file's name, a property, a message, and bytes on the standard output."""
    project = write_project(
        tmp_path / "p",
        {
            "test_s.py": r"""
            import os

            def test_property(record_property):
                record_property("k\udcff", "v\udcff")
                record_property("wide", 10**30)
                record_property("nan", float("nan"))

            def test_output():
                os.write(1, b"\xff raw\n")

            def test_message():
                raise ValueError("\udcff bad")
            """
        },
    )
    (project / os.fsdecode(b"test_\xff.py")).write_text("def test_odd(): ...\n")
    state = ("--state", str(tmp_path / "state"))
    done = type_in("run", *state, "-n", "1", "--prefect", "off", "--json", cwd=project)
    assert done.returncode == 1, done.stderr
    assert document(done)["counts"] == {"passed": 3, "failed": 1}
