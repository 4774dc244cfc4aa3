"""Plays a schedule of faults on a live fleet, with a suite of its own where nobody brings one."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from ..infra.faults.experiment import INVARIANTS, STRICT
from ..infra.faults.schedule import FaultSchedule, Stage
from ..infra.faults.shrink import Seen
from ..infra.faults.targets import FaultRefused, Targets
from ..infra.faults.verdict import Validity
from ..infra.ledgers.append_file import unwritable
from ..infra.ledgers.campaigns import stages_directory
from .experiment import Performed, experiment_run, perform

# A local server's history has nothing to say of cases that sleep.
ARGUMENTS = ("--prefect", "off")


def play(
    schedule: FaultSchedule,
    *,
    state: Path,
    suite: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Performed:
    """Play it on the fleet that is up there; refuses one that nobody gave to be broken."""
    targets = Targets(state)
    targets.check_marked()
    if not schedule.faults:
        raise FaultRefused(f"{schedule.title} holds no fault", remedy="there is nothing to play")
    made_up = suite is None and not schedule.has_load
    experiment = schedule.experiment(
        _made_suite(state, schedule.stage) if made_up else suite,
        arguments=ARGUMENTS,
        # As many as there are: the schedule may come from a fleet of another size.
        workers=max(1, len(targets.workers())),
        # Our own cases pass when nothing is done to them.
        invariants=STRICT if made_up else INVARIANTS,
    )
    experiment_run(experiment, state=state).check()
    return perform(experiment, state=state, say=say)


def seen_in(performed: Performed) -> Seen:
    """What is wrong with a run that was played, or why nobody can tell."""
    journal = performed.journal
    if journal.status == "interrupted":
        raise KeyboardInterrupt
    if journal.status == "aborted":
        return Seen(problems=(f"it was not over in {journal.experiment.deadline:g} s",))
    reasons = tuple(reason for finding in journal.findings for reason in finding.reasons)
    if journal.validity is Validity.INVALID:
        return Seen(problems=(*reasons, *journal.obstacles))
    if journal.validity is Validity.UNKNOWN:
        return Seen(unknown=(*journal.obstacles, *reasons, f"it is {journal.status}"))
    return Seen()


def _made_suite(state: Path, stage: Stage) -> Path:
    """Cases that sleep, and pass if nothing is done to them."""
    text = textwrap.dedent(
        f"""\
        import time

        import pytest


        @pytest.mark.parametrize("n", range({stage.cases_in_file}))
        def test_case(n):
            time.sleep({stage.case_seconds})
        """
    )
    name = f"{stage.files}-files-{stage.cases_in_file}-cases-{stage.case_seconds:g}-s"
    directory = stages_directory(state) / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for number in range(stage.files):
            (directory / f"test_{number}.py").write_text(text, encoding="utf-8")
    except OSError as problem:
        raise unwritable(directory, problem) from problem
    return directory
