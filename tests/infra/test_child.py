"""A child process that is heard over pipes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor.infra.runners.child import PIPE_BYTES, Child

# Takes one command, and says how long it was; the bell rings for it.
READER = """
import json, os, sys
wire = json.loads(sys.argv[1])
with open(wire["commands"], "rb", buffering=0) as commands:
    line = b""
    while not line.endswith(b"\\n"):
        line += commands.read(1 << 16)
os.write(wire["records"], b'{"read": %d}\\n' % len(line))
os.write(wire["bell"], b"!")
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    started = Child(
        command=[sys.executable, "-c", READER, "{wire}"], directory=tmp_path, environment={}
    )
    yield started
    started.close()


def test_a_command_larger_than_its_pipe_is_written_while_its_answer_is_waited_for(
    child: Child,
) -> None:
    """Nobody need look in between: each look of a batch would bring 64 KiB, 20 ms after the last."""
    child.send({"cmd": "run", "cases": "x" * (3 * PIPE_BYTES)})
    end = time.monotonic() + 60
    records: list[dict[str, int]] = []
    while not records and time.monotonic() < end:
        child.wait(end - time.monotonic())
        records = child.received()
    assert [each["read"] > 3 * PIPE_BYTES for each in records] == [True]
    assert not child.unsent
