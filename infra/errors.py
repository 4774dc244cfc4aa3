"""Every error Proctor raises on purpose, and what a person can do about it.

    ProctorError
    ├── UsageProblem            what was typed or configured cannot be used (exit 4)
    │   ├── BadSetting          one setting has an unusable value
    │   ├── BadTaskList         a task file is broken
    │   ├── Unsatisfiable       no worker, present or possible, has what a case needs
    │   └── UnknownCase         the campaign has no such case
    ├── CollectionProblem       pytest could not collect (exit 2, as pytest has it)
    │   └── BrokenConftest      a conftest.py cannot be imported (exit 4, as pytest has it)
    ├── InfrastructureProblem   the fleet, a process or the disk failed us (exit 6)
    │   ├── FleetUnavailable    no scheduler or worker answered in time
    │   ├── InterpreterProblem  the user's interpreter or its pytest cannot be used
    │   │   └── NoSuchInterpreter   there is none of that name, or it has no pytest (exit 4)
    │   ├── ProjectUnavailable  a worker elsewhere has not got the project, or cannot ready it
    │   └── StateUnwritable     the state directory cannot be written
    ├── LedgerProblem           the record of a campaign cannot be trusted (exit 8)
    │   ├── LeaseLost           another process took this campaign over
    │   └── LedgerDamaged       a line of a journal cannot be read
    ├── DeadlinePassed          what was asked was not done in the time given (exit 9)
    └── UnknownCampaign         no campaign has that name (exit 4)

Each message is one sentence: what happened, with which value; `remedy` says what to do. Where
several things are wrong at once it heads a list of them: `problems`.
Only the command line turns them into exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence

# So many of several problems are told, each in a line of its own.
PROBLEMS_TOLD = 20


class ProctorError(Exception):
    """Something Proctor can explain."""

    def __init__(self, message: str, *, remedy: str = "", problems: Sequence[str] = ()) -> None:
        if problems:
            told = [f"  {problem}" for problem in problems[:PROBLEMS_TOLD]]
            if (rest := len(problems) - PROBLEMS_TOLD) > 0:
                told.append(f"  and {rest} more")
            message = "\n".join((f"{message}:", *told))
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class UsageProblem(ProctorError):
    """What was typed or configured cannot be used."""


class BadSetting(UsageProblem):
    """One setting has an unusable value."""


class BadTaskList(UsageProblem):
    """A task file is broken."""


class Unsatisfiable(UsageProblem):
    """No worker, present or possible, has what a case needs."""


class UnknownCampaign(UsageProblem):
    """No campaign has that name."""


class UnknownCase(UsageProblem):
    """The campaign has no such case."""


class CollectionProblem(ProctorError):
    """Pytest could not collect the suite."""


class BrokenConftest(CollectionProblem):
    """A conftest.py cannot be imported: the suite is broken, not what was typed."""


class InfrastructureProblem(ProctorError):
    """The fleet, a process or the disk failed us."""


class FleetUnavailable(InfrastructureProblem):
    """No scheduler or worker answered in time."""


class InterpreterProblem(InfrastructureProblem):
    """The user's interpreter, or the pytest in it, cannot be used."""


class NoSuchInterpreter(InterpreterProblem, UsageProblem):
    """What was named is no interpreter, or has no pytest: that is for who named it to mend."""


class ProjectUnavailable(InfrastructureProblem):
    """A worker elsewhere has not got the project's files, or cannot ready them."""


class StateUnwritable(InfrastructureProblem):
    """The state directory cannot be written."""


class DeadlinePassed(ProctorError):
    """What was asked was not done in the time that was given for it."""


class LedgerProblem(ProctorError):
    """The record of a campaign cannot be trusted."""


class LeaseLost(LedgerProblem):
    """Another process took this campaign over."""


class LedgerDamaged(LedgerProblem):
    """A line of a journal cannot be read."""
