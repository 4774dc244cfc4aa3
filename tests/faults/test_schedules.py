"""A few seeded schedules of faults; `make chaos` runs two hundred."""

from __future__ import annotations

from pathlib import Path

import chaos
import pytest

# In parts: no test takes minutes.
SEEDS = ("1-4", "5-7", "8-10")


def test_the_same_seed_gives_the_same_schedule(tmp_path: Path) -> None:
    """And another one another: what failed can be done again."""
    (tmp_path / "p").mkdir()
    first, again, other = (chaos.schedule(seed, tmp_path / "p").method for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seeds", SEEDS)
def test_schedules_on_real_processes_lose_nothing(
    seeds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 lost, 0 double, 0 hangs, 0 blamed; no more wasted than was in flight."""
    code = chaos.main(["--seeds", seeds])
    assert code == 0, capsys.readouterr().out
