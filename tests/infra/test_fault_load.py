"""The campaign that an experiment runs meanwhile, when it cannot even begin."""

from __future__ import annotations

from pathlib import Path

from waiting import wait_until

from proctor.infra.faults.commits import Commits
from proctor.infra.faults.experiment import Load
from proctor.infra.faults.load import RunningLoad


def test_a_load_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    """What stood in the log before is another load's."""
    state, log = tmp_path / "state", tmp_path / "state" / "faults" / "load.log"
    log.parent.mkdir(parents=True)
    log.write_text("of another experiment\n")
    load = RunningLoad(
        Load(arguments=("nonexist.py",), directory=str(tmp_path)),
        state=state,
        commits=Commits(state),
        log=log,
    )
    wait_until(load.is_over, timeout=120.0, what="the load to end")
    load.end()
    assert load.problem().startswith(
        "the load began no campaign (exit code 4): there is no file or directory nonexist.py"
    )
    assert "another experiment" not in load.problem()


def test_a_load_that_began_is_no_problem(tmp_path: Path) -> None:
    """Whatever became of its campaign, the ledger says."""
    commits = Commits(tmp_path)
    load = RunningLoad(
        Load(arguments=("nonexist.py",), directory=str(tmp_path)),
        state=tmp_path,
        commits=commits,
        log=tmp_path / "load.log",
    )
    load.end()
    commits.campaigns.add("c-1")
    assert load.problem() == ""
