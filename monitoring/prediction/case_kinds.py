"""What bounds a case, and what it needs without having said so: rules over what it used.

Rules, no model: each can be said in a sentence, and a wrong one shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...infra.predictions import LearnedNeed
from ...infra.runners.usage import in_words
from .levels import Flags, Floats
from .source import Used

# Above this part of a core a case computes; below it waits for disks, networks or clocks.
COMPUTES = 0.5
# From this part of an ordinary slot's memory on, memory is what decides where a case can run.
MEMORY_BOUND = 0.5
# From this part on the next run may not fit.
NEAR = 0.8
# What a case is given over the most it ever used.
ROOM = 1.25
# A case that was stopped for its memory would have used nobody knows how much more.
AFTER_STARVING = 4.0
# A touch of a GPU in this part of the runs that could have is its way of working.
USUALLY = 0.5


def kinds_of(used: Used) -> dict[str, str]:
    """cpu, memory, io or gpu, for every case that ran."""
    number = len(used.suite.case_ids)
    ran = np.bincount(used.case, minlength=number) > 0
    seconds = np.bincount(used.case, weights=used.seconds, minlength=number)
    busy = np.bincount(used.case, weights=used.cpu_seconds, minlength=number)
    kinds = np.where(busy >= COMPUTES * seconds, "cpu", "io").astype("<U6")
    heavy = _most(used, used.peak_bytes) >= MEMORY_BOUND * _ordinary_share(used)
    kinds[heavy | _starved(used)] = "memory"
    kinds[_touches_gpu(used)] = "gpu"
    return {used.suite.case_ids[row]: str(kinds[row]) for row in np.flatnonzero(ran).tolist()}


def needs_of(used: Used) -> Mapping[str, LearnedNeed]:
    """Cases that an ordinary slot cannot hold, or that need a GPU; what each should ask for."""
    share = _ordinary_share(used)
    peak = _most(used, np.where(used.starved, 0.0, used.peak_bytes))
    # What it was stopped at: where nobody measured it, what its slot had.
    stopped = _most(
        used, np.where(used.starved, np.maximum(used.peak_bytes, used.share_bytes), 0.0)
    )
    starved = stopped > 0
    # A run that was let through afterwards has measured it.
    guessed = starved & (peak <= NEAR * stopped)
    wanted = np.where(guessed, AFTER_STARVING * stopped, ROOM * peak)
    large = starved | (np.isfinite(share) & (peak >= NEAR * share))
    gpu = _needs_gpu(used)
    found: dict[str, LearnedNeed] = {}
    for row in np.flatnonzero(large | gpu).tolist():
        memory = _rounded(float(wanted[row])) if large[row] else 0
        if guessed[row]:
            why = f"it was stopped when it used {in_words(int(stopped[row]))}"
        elif large[row]:
            why = f"it used {in_words(int(peak[row]))}"
        else:
            why = "it used a GPU, and never passed without one"
        found[used.suite.case_ids[row]] = LearnedNeed(
            memory_bytes=memory, gpu=float(gpu[row]), why=why
        )
    return found


def _ordinary_share(used: Used) -> float:
    """The memory of the smallest slot that the project ran on; infinite where nobody said."""
    known = used.share_bytes[used.share_bytes > 0]
    return float(known.min()) if len(known) else float("inf")


def _most(used: Used, values: Floats) -> Floats:
    found = np.zeros(len(used.suite.case_ids))
    np.maximum.at(found, used.case, values)
    return found


def _starved(used: Used) -> Flags:
    return np.bincount(used.case[used.starved], minlength=len(used.suite.case_ids)) > 0


def _touches_gpu(used: Used) -> Flags:
    number = len(used.suite.case_ids)
    touched = np.bincount(used.case[used.gpu_bytes > 0], minlength=number)
    could = np.bincount(used.case[used.has_gpu], minlength=number)
    return (touched > 0) & (touched >= USUALLY * could)


def _needs_gpu(used: Used) -> Flags:
    """It uses one whenever it can; a pass without one shows that it can do without."""
    number = len(used.suite.case_ids)
    without = np.bincount(used.case[used.passed & ~used.has_gpu], minlength=number)
    return _touches_gpu(used) & (without == 0)


def _rounded(size: float) -> int:
    """Up to 1 or 1.5 times a power of two: cases that need alike are queued together."""
    power = 2.0 ** np.floor(np.log2(size))
    return int(next(each * power for each in (1.0, 1.5, 2.0) if each * power >= size))
