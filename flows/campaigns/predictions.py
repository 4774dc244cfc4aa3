"""Makes predictions anew where campaigns ended since the last ones.

Part of what happens in the background after a campaign: nobody waits for it, and a campaign reads
the file that is there.
"""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...infra import predictions as prediction_files
from .preparation import project_directory

if TYPE_CHECKING:
    from ...monitoring.store import Store

# Somebody may have the store open for a long query; nobody waits for us.
PATIENCE_SECONDS = 300.0


def refresh(state: Path, *, patience: float = PATIENCE_SECONDS) -> list[Path]:
    """Predictions of every project that ran since its last ones; the files that were made.

    None if another process is at it: what comes too late for that one is the next one's.
    """
    # DuckDB and numpy take 0.3 s.
    from ...monitoring.store import Store, Waiting

    store = Store(state, waiting=Waiting(patience=patience))
    if not store.exists:
        return []
    with (state / "predictions.turn").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        return [_predict(store, project, file) for project, file in _stale(store)]


def _stale(store: Store) -> list[tuple[str, Path]]:
    from ...monitoring.prediction.source import newest_campaigns

    with store.reading() as connection:
        newest = newest_campaigns(connection)
    places = {name: project_directory(store.state, name) for name in newest}
    return [
        (name, place)
        for name, place in places.items()
        # A project that never learned anything wants no history, or its directory was removed.
        if place.is_dir() and prediction_files.load(place).campaign != newest[name]
    ]


def _predict(store: Store, project: str, place: Path) -> Path:
    from ...monitoring.prediction.case_kinds import kinds_of, needs_of
    from ...monitoring.prediction.grade import grade
    from ...monitoring.prediction.predictor import foresee
    from ...monitoring.prediction.source import used_by

    with store.reading() as connection:
        used = used_by(connection, project)
    made = replace(
        foresee(used.suite, used.measured()),
        campaign=used.campaigns[-1],
        kinds=kinds_of(used),
        needs=needs_of(used),
        speeds=used.speeds,
        calibration=grade(prediction_files.load(place), used),
    )
    prediction_files.save(made, place)
    return place / prediction_files.FILE
