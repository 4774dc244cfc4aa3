"""Runs an experiment on a live fleet: steady state, method, steady state, rollbacks, verdict.

Everything that can be refused is refused before anything is touched. Whatever happens then, the
faults are undone at the end; if this process dies, the reaper does that.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..errors import ProctorError
from .commits import Commits
from .experiment import (
    CommandStep,
    Experiment,
    FaultStep,
    PauseStep,
    ProbeStep,
    Step,
    Trigger,
)
from .inject import Injector
from .journal import Done, ExperimentJournal
from .lease import FaultFiles, end_of
from .load import END_SECONDS, RunningLoad
from .probes import check_tolerance, probe
from .record import FaultRecorder
from .targets import FaultRefused, Part, Targets
from .verdict import examine

LOOK_SECONDS = 0.05
# A step has its turn after the one before it; one that comes so much later than asked says so.
LATE_SECONDS = 1.0
# What an experiment made of a load's text is kept.
LOG = "load.log"


class DeadlinePassed(ProctorError):
    """An experiment was not over in its time."""


class ExperimentRun:
    """One run of one experiment."""

    def __init__(
        self,
        experiment: Experiment,
        *,
        state: Path,
        targets: Targets,
        prefect: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._experiment = experiment
        self._state = state
        self._targets = targets
        self._prefect = prefect
        self._say = say
        self._files = FaultFiles(state=state)
        self._chance = random.Random(experiment.seed)
        self._recorder = FaultRecorder(self._files)
        self._injector = Injector(self._files, recorder=self._recorder, experiment=experiment.title)
        self._commits = Commits(state)
        self._load: RunningLoad | None = None
        self._began = 0.0
        self._ends = 0.0

    def check(self) -> None:
        """Refuse what cannot be; touches nothing."""
        self._targets.check_marked()
        unseeded = random.Random(0)
        steps = (
            *self._experiment.steady_state,
            *self._experiment.method,
            *self._experiment.rollbacks,
        )
        for step in steps:
            match step:
                case ProbeStep():
                    check_tolerance(step)
                case FaultStep():
                    self._check_fault(step, unseeded)
                case _:
                    pass
        load = self._experiment.load
        if load is not None and not Path(load.directory).is_dir():
            raise FaultRefused(
                f"the load's directory {load.directory} is not there", remedy="mend its path"
            )

    def _check_fault(self, step: FaultStep, chance: random.Random) -> None:
        selector, loaded = step.selector, self._experiment.load is not None
        is_for_busy = loaded and selector.which == "busy"
        # Campaigns come with the load, and runners with campaigns.
        if loaded and selector.part in {Part.CAMPAIGN, Part.RUNNER}:
            return
        if is_for_busy and not self._targets.workers():
            return
        if selector.part is Part.WORKER and (is_for_busy or selector.which in {"", "any"}):
            # Whichever it will be: it has to be possible for each.
            selector = replace(selector, which="all")
        target = self._targets.find(selector, chance)
        self._injector.check(step.kind, target, step.parameters)

    def run(self) -> ExperimentJournal:
        """Do all of it; raises only what `check` refuses."""
        self.check()
        journal = ExperimentJournal(experiment=self._experiment, began=time.time())
        self._began = time.monotonic()
        self._ends = self._began + self._experiment.deadline
        try:
            journal.before = self._steady()
            if all(each.tolerated for each in journal.before):
                self._do_method(journal)
                self._injector.undo_all("over")
                journal.after = self._steady()
            else:
                journal.status = "failed"
        except KeyboardInterrupt:
            journal.status = "interrupted"
        except DeadlinePassed as problem:
            self._say(str(problem))
            journal.status = "aborted"
        finally:
            self._end(journal)
        return journal

    def _end(self, journal: ExperimentJournal) -> None:
        # More than the method's: rollbacks are done even when the time is over.
        self._ends = time.monotonic() + END_SECONDS
        with suppress(DeadlinePassed):
            journal.rollbacks = [self._do(step) for step in self._experiment.rollbacks]
        self._injector.undo_all("rolled back")
        if self._load is not None:
            # Before it is ended: a code that we gave it says nothing.
            journal.load_problem = self._load.problem()
            self._load.end()
        self._write_ends(journal)
        self._commits.look()
        journal.campaigns = sorted(self._commits.campaigns)
        journal.findings = examine(
            self._experiment.invariants, state=self._state, campaigns=journal.campaigns
        )
        journal.ended = time.time()
        self._recorder.close()

    def _write_ends(self, journal: ExperimentJournal) -> None:
        """What was meant to last until then may have ended otherwise."""
        for fault in journal.faults:
            end = end_of(self._files, str(fault["id"]))
            if end is not None:
                fault["until"], fault["ended"] = end.at, end.how

    # The method -----------------------------------------------------------------------------

    def _do_method(self, journal: ExperimentJournal) -> None:
        if self._experiment.load is not None:
            self._say(f"load: proctor run {' '.join(self._experiment.load.arguments)}")
            self._load = RunningLoad(
                self._experiment.load,
                state=self._state,
                commits=self._commits,
                log=self._files.directory / LOG,
            )
        for step in self._experiment.method:
            done = self._do(step)
            journal.run.append(done)
            if isinstance(step, FaultStep) and isinstance(done.output, dict):
                journal.faults.append(cast("dict[str, Any]", done.output))
        # What lasts may end in its own time: the load meets its end too.
        self._wait(lambda: not self._injector.active)
        if self._load is not None:
            self._wait(self._is_load_over)

    def _is_load_over(self) -> bool:
        return self._load is not None and self._load.is_over()

    def _do(self, step: Step) -> Done:
        began = time.time()
        done = Done(step=step, began=began, ended=began, status="succeeded")
        try:
            match step:
                case PauseStep(seconds=seconds):
                    self._pause(seconds)
                case FaultStep():
                    done.note = self._await(step.trigger)
                    if done.note:
                        self._say(f"{step.name}: {done.note}")
                    done.output = self._inject(step)
                case ProbeStep():
                    answer = probe(step, self._targets, prefect=self._prefect, say=self._say)
                    done.output, done.tolerated = answer.value, answer.met
                    done.problem = answer.problem
                    done.status = "succeeded" if answer.met else "failed"
                case CommandStep():
                    done.output = self._command(step)
        except DeadlinePassed:
            raise
        except (ProctorError, OSError, subprocess.SubprocessError) as problem:
            done.status, done.problem = "failed", str(problem)
            self._say(f"{getattr(step, 'name', 'pause')}: {problem}")
        done.ended = time.time()
        return done

    def _inject(self, step: FaultStep) -> dict[str, object]:
        target = None
        while target is None:
            try:
                target = self._targets.find(step.selector, self._chance)
            except FaultRefused:
                # It was there, or will be: something else may be restarting it now.
                if self._is_load_over():
                    raise
                self._pause(LOOK_SECONDS)
        # Whoever took it down and up again since gave away no right to break it.
        self._targets.check_mark()
        lease = self._injector.inject(
            step.kind, target, seconds=step.seconds, parameters=step.parameters
        )
        self._say(f"{step.kind} {target.name} after {self._commits.look()} commits")
        return {
            "id": lease.id,
            "fault": lease.kind,
            "target": lease.target,
            "begins": lease.begins,
            "until": lease.until,
            "commits": self._commits.count,
        }

    def _command(self, step: CommandStep) -> dict[str, object]:
        done = subprocess.run(
            step.command, capture_output=True, text=True, timeout=step.timeout, check=False
        )
        return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def _steady(self) -> list[Done]:
        return [self._do(step) for step in self._experiment.steady_state]

    # Waiting --------------------------------------------------------------------------------

    def _await(self, trigger: Trigger) -> str:
        """Wait for it; says so when its time was over before its turn."""
        note = ""
        if trigger.at is not None:
            at = self._began + trigger.at
            self._wait(lambda: time.monotonic() >= at)
            note = lateness(trigger.at, came=time.monotonic() - self._began)
        if trigger.after is not None:
            after = trigger.after
            self._wait(lambda: self._commits.look() >= after or self._is_load_over())
        return note

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() >= until)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        """Meanwhile faults end when their time is over."""
        while not is_so():
            if time.monotonic() > self._ends:
                raise DeadlinePassed(
                    f"experiment {self._experiment.title!r} was not over in "
                    f"{self._experiment.deadline:g} s",
                    remedy="give it a later deadline",
                )
            self._look_at_faults()
            time.sleep(LOOK_SECONDS)
        self._look_at_faults()

    def _look_at_faults(self) -> None:
        self._injector.undo_due()
        for lease in self._injector.undone_elsewhere():
            end = end_of(self._files, lease.id)
            # The reaper may be the first to see that its time is over; a full disk takes no end.
            if (time.time() if end is None else end.at) < lease.until:
                after = "" if end is None else f" after {end.at - lease.begins:.1f} s ({end.how})"
                self._say(f"{lease.kind} {lease.target} was undone by somebody else{after}")


def lateness(asked: float, *, came: float) -> str:
    """What is told of a step that came later than it was asked for."""
    if came - asked <= LATE_SECONDS:
        return ""
    return f"asked for {asked:g} s, came at {came:.1f} s (each step waits for the one before it)"
