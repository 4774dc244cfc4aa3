"""The `proctor` command: one module a group of verbs, and the only place that makes exit codes.

0  everything passed               5  no tests were collected
1  some cases failed               6  the infrastructure failed, not the tests
2  interrupted, or collection      7  only flaky failures (with --fail-on-flaky)
   failed                          8  an invariant of the record is violated
3  a defect of Proctor itself      9  the deadline passed, or no
4  what was typed cannot be used     fleet can do what `plan` was asked
                                  10  a performance regression is confirmed
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from ..infra.errors import (
    BrokenConftest,
    CollectionProblem,
    DeadlinePassed,
    FleetUnavailable,
    InfrastructureProblem,
    LedgerProblem,
    ProctorError,
    UsageProblem,
)
from ..infra.quick_start import end_quickly
from ..infra.secrets import without_passwords
from ..infra.session.roomy_stack import with_room
from ..infra.state_flag import remedies_find
from .commands.command_line import Parser
from .entry import interrupted

_EPILOG = """examples:
  proctor run tests/unit -k parser -x   the flags you know
  proctor run --plan                    what would run where, and nothing is run
  proctor show last                     the summary again
  proctor run --help                    each verb has its own, with examples

exit codes:
"""

Act = Callable[[argparse.Namespace], int]

# The first that fits: of a fault that is refused for want of a fleet it is the fleet.
_CODES: tuple[tuple[type[ProctorError], int], ...] = (
    (FleetUnavailable, 6),
    (DeadlinePassed, 9),
    (UsageProblem, 4),
    (BrokenConftest, 4),
    (CollectionProblem, 2),
    (InfrastructureProblem, 6),
    (LedgerProblem, 8),
)


def parser() -> Parser:
    """All verbs; each group registers its own."""
    from .commands import (
        cli_chaos,
        cli_check,
        cli_config,
        cli_fleet,
        cli_inspect,
        cli_join,
        cli_plan,
        cli_prefect,
        cli_run,
        cli_simulate,
        cli_store,
        cli_trends,
    )

    top = Parser(
        prog="proctor",
        description="Run test suites over a fleet of mixed workers, and lose no result.",
        epilog=_EPILOG + (__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"proctor {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    groups = (
        cli_run,
        cli_inspect,
        cli_trends,
        cli_fleet,
        cli_join,
        cli_store,
        cli_simulate,
        cli_plan,
        cli_chaos,
        cli_check,
        cli_config,
        cli_prefect,
    )
    for group in groups:
        group.register(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    try:
        return _main(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:
        return interrupted()
    except Exception:  # noqa: BLE001 - Python's own exit code is that of failed cases.
        import traceback

        traceback.print_exc()
        print(
            "proctor: this is a defect of Proctor's; please report the lines above", file=sys.stderr
        )
        return 3


def _main(argv: list[str]) -> int:
    # With all that settings need; a Ctrl-C meanwhile is to be caught as well.
    from ..flows.server.state_block import offer_blocks

    end_quickly()
    ours, for_pytest = _at_dashes(argv)
    top = parser()
    arguments, unknown = top.parse_known_args(ours)
    if unknown:
        top.refuse_unknown(ours, unknown)
    if for_pytest:
        if "pytest_args" not in arguments:
            top.error("only `proctor run` takes arguments for pytest after --")
        arguments.pytest_args = for_pytest
    act: Act = arguments.act
    offer_blocks()
    try:
        with remedies_find(getattr(arguments, "state", None)):
            return with_room(lambda: act(arguments))
    except ProctorError as problem:
        _say(str(problem))
        return exit_code_of(problem)
    except OSError as problem:
        from ..infra.ledgers.append_file import unwritable
        from ..monitoring.reports.terminal import lost_output

        lost = lost_output(problem)
        if lost == "":
            return 0
        if lost:
            _say(lost)
            return 6
        if _is_nowhere():
            _say("the directory you are in was removed; go to another")
            return 4
        if problem.filename is None:
            raise
        if problem.errno in {errno.EROFS, errno.ENOSPC, errno.EDQUOT}:
            _say(str(unwritable(problem.filename, problem)))
            return 6
        # A file or directory that somebody named, or took away or locked up meanwhile.
        why = f"{problem.filename} cannot be used: {problem.strerror}"
        _say(f"{why}; see that it is there and that you may use it")
        return 6


def _say(problem: str) -> None:
    """What was typed, or a file's name, may hold anything: it moves no cursor and tells nothing."""
    from ..monitoring.reports.wording import printable

    lines = without_passwords(problem).split("\n")
    print("proctor:", "\n".join(map(printable, lines)), file=sys.stderr)


def _is_nowhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is the same and a Path
    except FileNotFoundError:
        return True
    return False


def _at_dashes(argv: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """What stands before `--` is ours, the rest is pytest's."""
    if "--" not in argv:
        return argv, ()
    at = argv.index("--")
    return argv[:at], tuple(argv[at + 1 :])


def exit_code_of(problem: ProctorError) -> int:
    """The documented exit code of a problem."""
    return next((code for kind, code in _CODES if isinstance(problem, kind)), 3)


if __name__ == "__main__":
    sys.exit(main())
