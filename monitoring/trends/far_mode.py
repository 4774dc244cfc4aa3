"""Series with a second mode so far away that one spread cannot describe both.

A disk that is throttled in every third run, a cache that is cold in every fifth: beside what lies
between the modes a shift of the usual one is nothing, and the far runs' ranks, which it does not
touch, hide it. So such a shift is looked for among the usual runs alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .ranks import Floats, Ints
from .segments import row_middles, row_spreads

# Farther from the middle than so many spreads is another mode, if so large a share is there: no
# noise of one mode puts as many runs there.
_FAR = 8.0
_SHARE = 0.15
# Runs that stay there longer than this on average are on another level.
_STAY = 6
_FEWEST = 24


def usual_runs(rows: Floats) -> dict[int, Ints]:
    """The places of the runs in the usual mode, for each row that has a far one."""
    n = rows.shape[1]
    if n < _FEWEST:
        return {}
    far = _far(rows)
    counts = np.count_nonzero(far, axis=1)
    some = np.flatnonzero(counts >= _SHARE * n)
    stays = far[some, 0] + np.count_nonzero(far[some, 1:] & ~far[some, :-1], axis=1)
    return {row: np.flatnonzero(~far[row]) for row in some[counts[some] < _STAY * stays].tolist()}


def _far(rows: Floats) -> NDArray[np.bool_]:
    cells = rows.copy()
    middle = row_middles(cells)
    with np.errstate(over="ignore"):
        np.subtract(rows, middle[:, None], out=cells)
        np.abs(cells, out=cells)
        return cells > (_FAR * row_spreads(cells))[:, None]
