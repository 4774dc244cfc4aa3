"""What tests of several modules here stand on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A ledger, a scripted cluster and a campaign between them."""
    bench = Bench(tmp_path)
    # Not for ever, if nobody ends it.
    bench.job_fields["deadline_at"] = time.monotonic() + 60
    yield bench
    bench.ledger.abandon()
