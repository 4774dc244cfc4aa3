"""Suites whose cases lean on those before them in their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_campaigns import PATIENCE_SECONDS, type_in, write_project

from proctor.infra.ledgers.ledger import list_campaigns, read_campaign

# A case without the one before it fails; each is long enough for a file to be worth splitting.
LEANING = """\
    import time
    import pytest

    BEFORE = []

    @pytest.mark.parametrize("n", range(20))
    def test_step(n):
        time.sleep(0.1)
        assert BEFORE == list(range(n))
        BEFORE.append(n)
    """


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
@pytest.mark.parametrize("whole", [True, False])
def test_cases_find_what_those_before_them_left(tmp_path: Path, whole: bool) -> None:
    """Where files stay whole, on one slot each; and not where another slot takes a part of one."""
    files = {"test_long.py": LEANING, "test_short.py": "def test_alone(): ..."}
    project = write_project(tmp_path / "orchard", files)
    state = tmp_path / "state"
    settings = {"PROCTOR_SPLIT_FILES": "false"} if whole else {}
    done = type_in(
        *("run", "--state", str(state), "--prefect", "off", "-n", "2"), cwd=project, **settings
    )
    (summary,) = list_campaigns(state)
    record = read_campaign(summary.directory)
    slots = {
        (attempt.worker, attempt.slot)
        for case, attempts in record.attempts.items()
        for attempt in attempts
        if "test_long.py" in str(case)
    }
    assert len(slots) == 1 or not whole
    # On a busy machine the other slot may be ready too late to take anything.
    assert done.returncode == (len(slots) > 1), done.stdout + done.stderr
