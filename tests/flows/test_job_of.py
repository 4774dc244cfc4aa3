"""What the engine is told of a campaign that was prepared."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ledger_parts import Clock, freeze

from proctor.flows.campaigns.job_of import job_of
from proctor.flows.campaigns.preparation import prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.timings import Timings


def test_who_resumes_is_proposed_commands_with_the_state_as_typed_then(tmp_path: Path) -> None:
    """Not as whoever began it had typed it, who may have stood elsewhere."""
    usual = {"state": str(tmp_path / "state"), "prefect": "off", "slots": "2"}
    first = prepare(RunRequest(directory=str(tmp_path), flags=usual))
    told = {"request": asdict(first.request), "python": "python"}
    ledger = Ledger.open(
        first.directory,
        campaign=first.campaign_id,
        root=str(tmp_path),
        settings=told,
        clock=Clock(),
    )
    ledger.commit()
    freeze(ledger)
    typed = f"{tmp_path}/./state"
    again = prepare(
        RunRequest(directory=str(tmp_path), flags={**usual, "state": typed}, resume="last")
    )
    assert job_of(first, Timings(), failed=frozenset()).flags == f" --state {tmp_path / 'state'}"
    assert job_of(again, Timings(), failed=frozenset()).flags == f" --state {typed}"
