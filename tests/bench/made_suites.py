"""Suites that are made here, so that measuring needs no network: their shape is all that counts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

# Cases burn CPU time, not wall time: on a busy machine they take longer, as real ones do.
_BURN = """\
import time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(200))
"""
PARAMETERS_IN_FILE = 500


def trivial(directory: Path, cases: int) -> Path:
    """Cases that do nothing, 500 a file."""
    _begin(directory)
    for number in range(0, cases, PARAMETERS_IN_FILE):
        count = min(PARAMETERS_IN_FILE, cases - number)
        _write(
            directory / f"test_trivial_{number:06}.py",
            f"import pytest\n\n@pytest.mark.parametrize('n', range({count}))\n"
            "def test_nothing(n):\n    pass\n",
        )
    return directory


def short(directory: Path, *, files: int = 60, in_file: int = 50, seconds: float = 0.01) -> Path:
    """Many files of many short cases: what most unit suites are."""
    _begin(directory)
    for number in range(files):
        _write_cases(directory / f"test_short_{number:03}.py", [seconds] * in_file)
    return directory


def skewed(directory: Path, *, seed: int = 7, total: float = 40.0) -> Path:
    """A few long cases among many short ones, the longest late in the order: xdist's weak side."""
    _begin(directory)
    random_ = random.Random(seed)
    # Pareto tails are what durations of real suites have.
    drawn = sorted(min(random_.paretovariate(1.1), 60.0) for _ in range(300))
    scale = total / sum(drawn)
    for number in range(30):
        # Neighbours in length stand together, the longest in the last file.
        _write_cases(
            directory / f"test_skewed_{number:03}.py",
            [scale * value for value in drawn[number * 10 : number * 10 + 10]],
        )
    return directory


def warm(directory: Path, *, files: int = 16, in_file: int = 40) -> Path:
    """Expensive module fixtures: taking a file apart pays for the fixture twice."""
    _begin(directory)
    for number in range(files):
        _write_cases(
            directory / f"test_warm_{number:03}.py",
            [0.02] * in_file,
            before="@pytest.fixture(scope='module', autouse=True)\ndef service():\n"
            f"    burn({0.5 + 0.1 * (number % 8)})\n",
        )
    return directory


def _write_cases(path: Path, seconds: Sequence[float], before: str = "") -> None:
    lines = ["import pytest", "from burning import burn", "", before]
    lines += [
        f"def test_{number:03}():\n    burn({value:.6f})\n" for number, value in enumerate(seconds)
    ]
    _write(path, "\n".join(lines))


def _begin(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "pytest.ini", "[pytest]\npythonpath = .\n")
    _write(directory / "burning.py", _BURN)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
