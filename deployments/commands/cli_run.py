"""`proctor run` and `proctor resume`: the verbs most people type most."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...flows.campaigns.request import RunRequest
from ...infra.errors import LedgerProblem, ProctorError, UnknownCampaign
from ...infra.quick_start import loading
from ...infra.state_flag import state_flag
from .command_line import add_verb

if TYPE_CHECKING:
    from ...flows.campaigns.preparation import Prepared
    from ...monitoring.reports.terminal import Terminal

_RUN_EXAMPLES = """\
examples:
  proctor run                          the suite that pytest would run here
  proctor run tests/unit -k parser -x  as with pytest
  proctor run -n 8 --retries 2         eight slots, failures run again up to twice
  proctor run --plan                   say what would run where, and run nothing
  proctor run --tasks tasks.toml       commands and Python callables instead of tests
  proctor run tests -- -p no:randomly  what follows -- goes to pytest; -x, --maxfail, --lf,
                                       --ff, --junitxml and -n mean there what they mean here

Tasks start where `proctor run` does (--directory), or in their cwd; a command passes with exit
code 0, a callable if it returns. --plan refuses a list whose callables are not there.

Settings also come from [tool.proctor] in pyproject.toml and from PROCTOR_*:
`proctor config show --origin` says where each value is from.
"""


def register(verbs: Any) -> None:
    """Add the verbs of this group."""
    run = verbs.add_parser(
        "run",
        help="run a pytest suite or a task list",
        description="Run a pytest suite or a task list over the fleet.",
        epilog=_RUN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("paths", nargs="*", metavar="PATH", help="files, directories or node ids")
    selection = run.add_argument_group("what runs")
    selection.add_argument("-k", dest="keyword", default="", metavar="EXPR", help="as in pytest")
    selection.add_argument("-m", dest="marks", default="", metavar="EXPR", help="as in pytest")
    selection.add_argument("--lf", action="store_true", help="only what failed last time")
    selection.add_argument("--ff", action="store_true", help="what failed last time goes first")
    selection.add_argument("--tasks", metavar="FILE", help="a task list (JSON, TOML or YAML)")
    selection.add_argument("--resume", metavar="ID", help="continue an interrupted campaign")
    selection.add_argument("--plan", action="store_true", help="show the plan, run nothing")
    selection.add_argument("--directory", default=".", metavar="DIR", help="start there")
    rules = run.add_argument_group("how it runs")
    rules.add_argument(
        "-x", dest="maxfail", action="store_const", const=1, help="stop at a failure"
    )
    rules.add_argument("--maxfail", type=int, metavar="N", help="stop after N failed cases")
    rules.add_argument("-n", dest="slots", metavar="SLOTS", help="slots of a local fleet, or auto")
    rules.add_argument("--timeout", metavar="S", help="of each case: 90, 10m; default 10m")
    rules.add_argument("--deadline", metavar="S", help="of the whole campaign")
    rules.add_argument("--retries", metavar="N", help="run failures again up to N times")
    rules.add_argument(
        "--isolate", action="store_true", default=None, help="a process for each case"
    )
    rules.add_argument("--fail-on-flaky", action="store_true", default=None, help="exit 7 on flaky")
    rules.add_argument("--mute", action="append", metavar="PATTERN", help="run, report, never fail")
    rules.add_argument("--memory-limit", metavar="SIZE", help="of each slot, such as 4GiB")
    rules.add_argument("--python", metavar="EXE", help="the interpreter that holds pytest")
    rules.add_argument("--name", default="", help="what to call the campaign")
    where = run.add_argument_group("where it runs")
    where.add_argument("--fleet", metavar="ADDRESS", help="a scheduler that is up, or block:NAME")
    _own_fleet(where, "a worker of a fleet of its own, which has these and no others")
    where.add_argument(
        "--certs", metavar="DIR", help="what a fleet on other machines wants to see (tls://...)"
    )
    where.add_argument(
        "--ship", metavar="WHEN", help="bring the project to workers: auto, always or never"
    )
    where.add_argument("--prefect", metavar="auto|off|URL", help="where the run history is kept")
    where.add_argument("--state", metavar="DIR", help="where records are kept, or block:NAME")
    output = run.add_argument_group("what it says")
    output.add_argument("--junitxml", metavar="FILE", help="also write JUnit XML there")
    output.add_argument(
        "--json",
        action="store_true",
        help="one JSON document on stdout; `proctor show --json` has the verdict of every case",
    )
    run.set_defaults(act=_run, pytest_args=())

    resume = add_verb(
        verbs,
        "resume",
        _resume,
        "continue an interrupted campaign",
        "Runs what has no result yet, with the settings it was started with, on the fleet that\n"
        "is there now. Nothing that has a result runs again.",
        "proctor resume\nproctor resume 20260101-0930\n"
        "proctor resume last --fleet-class cpu=2 --fleet-class gpu:slots=1,gpu=1",
    )
    resume.add_argument(
        "resume",
        nargs="?",
        default="last",
        metavar="ID",
        help="a campaign: its id, the beginning of it, or `last` (default: last)",
    )
    resume.add_argument(
        "--run-on", action="store_true", help="also run on what was asked to end before it died"
    )
    # The fleet's own word to itself.
    resume.add_argument("--by-itself", action="store_true", help=argparse.SUPPRESS)
    resume.add_argument(
        "--deadline",
        metavar="S",
        help="of the whole campaign, its earlier lives included; or `none`",
    )
    resume.add_argument("--fleet", metavar="ADDRESS", help="another fleet: a scheduler that is up")
    _own_fleet(resume, "another fleet, of its own, which has these workers and no others")
    resume.add_argument("--certs", metavar="DIR", help="what that fleet wants to see (tls://...)")


def _own_fleet(parser: Any, what: str) -> None:
    parser.add_argument(
        "--fleet-class",
        "--class",
        action="append",
        metavar="CLASS",
        default=[],
        help=f"{what}: cpu=2, highmem, or written out, gpu:slots=1,gpu=1,simulated",
    )


def _run(arguments: argparse.Namespace) -> int:
    request = _request(arguments)
    if arguments.plan:
        from ...flows.campaigns.preparation import prepare
        from ...flows.campaigns.rehearsal import rehearse
        from ..texts.plan_text import print_plan

        prepared = prepare(request)
        for text in prepared.remarks:
            print(text, file=sys.stderr)
        return print_plan(rehearse(prepared), as_json=arguments.json)
    return _conduct(request, arguments)


def _resume(arguments: argparse.Namespace) -> int:
    request = RunRequest(
        resume=arguments.resume,
        run_on=arguments.run_on,
        fleet_classes=tuple(arguments.fleet_class),
        by_itself=arguments.by_itself,
        flags=_flags(arguments),
    )
    return _conduct(request, arguments)


def _conduct(request: RunRequest, arguments: argparse.Namespace) -> int:
    with loading("rich"):
        from ...flows.campaigns.early import start_early
        from ...flows.campaigns.preparation import prepare

    prepared = prepare(request)
    # The engine and the reports load only when something runs, and while sessions start.
    early = start_early(prepared)
    with loading("rich"):
        from ...flows.campaigns.conduct import conduct
        from ...flows.campaigns.job_of import rules_of
        from ...flows.mirroring.mirror_process import spawn_mirror
        from ...flows.remembering.remember import spawn_remember
        from ...monitoring.reports.live import LiveView, tallies_of
        from ...monitoring.reports.terminal import Terminal

    # Standard output belongs to the document; people look on at standard error.
    console = Terminal(sys.stderr if arguments.json else None)
    state = state_flag(arguments.state)
    _end_on_termination()
    with _readers_may_leave():
        _say_where_history_is(prepared, console, flags=state)
    record, rules = prepared.record, rules_of(prepared)
    past = tallies_of(record.cases.values(), record.attempts, rules) if record else {}
    view = LiveView(console, rules=rules, past=past)
    try:
        with view:
            mirror = partial(spawn_mirror, prefect=prepared.settings.prefect)
            conducted = conduct(prepared, view, opened=mirror, early=early)
    except ProctorError as problem:
        if arguments.json and prepared.directory.is_dir():
            _print_failed(prepared, problem)
        raise
    # Loaded meanwhile, for the reports.
    from ...monitoring.reports.documents import campaign_document
    from ...monitoring.reports.summary import print_summary

    digest = conducted.digest
    assert digest is not None, "who conducts a campaign has judged it"
    if prepared.settings.history:
        # Whatever it does is done with the next campaign's, if it cannot be started now.
        with suppress(OSError):
            spawn_remember(prepared.state)
    with _readers_may_leave():
        if arguments.json:
            print(json.dumps(campaign_document(digest)), flush=True)
        else:
            print_summary(console, digest, conducted.reports, flags=state, told=view.told)
        _say_if_nobody_listens(prepared, console, flags=state)
    return conducted.exit_code


@contextmanager
def _readers_may_leave() -> Generator[None]:
    """As `grep -q` does at its first match: tests run all the same, and the shell hears how.

    So it does where stdout is a file on a disk that is full.
    """
    try:
        yield
    except OSError as problem:
        from ...monitoring.reports.terminal import lost_output

        said = lost_output(problem)
        if said is None:
            raise
        if said:
            print(f"proctor: {said}", file=sys.stderr)


def _print_failed(prepared: Prepared, problem: ProctorError) -> None:
    """The document of a campaign that failed as a whole, as far as its ledger tells of it."""
    from ...infra.ledgers.record import read_campaign
    from ...monitoring.reports.digest import digest_of
    from ...monitoring.reports.documents import campaign_document

    with suppress(LedgerProblem, UnknownCampaign):
        record = read_campaign(prepared.directory)
        print(json.dumps({**campaign_document(digest_of(record)), "error": str(problem)}))


def _say_if_nobody_listens(prepared: Prepared, console: Terminal, *, flags: str) -> None:
    """A server that was named and is not there must not be noticed weeks later."""
    named = prepared.settings.prefect
    url = named if named not in {"auto", "off"} else os.environ.get("PREFECT_API_URL", "")
    if named == "off" or not url:
        return
    from ...flows.server.prefect_server import is_answering
    from ...infra.setting_readers import without_credentials

    if not is_answering(url.rstrip("/"), timeout=1.0):
        console.print(
            f"No Prefect server answers at {without_credentials(url)}: it is told for ten minutes"
            f" still, and `proctor mirror {prepared.directory.name}{flags}` tells it later.",
            style="yellow",
            soft_wrap=True,
        )


def _say_where_history_is(prepared: Prepared, console: Terminal, *, flags: str) -> None:
    """Once per state directory: a server of ours is a process people did not ask for."""
    asked = prepared.settings.prefect != "auto" or "PREFECT_API_URL" in os.environ
    told = prepared.state / "prefect.told"
    # Prefect's own profile may name a server too; looking there takes a second.
    if not asked and not (prepared.state / "prefect").exists() and not told.exists():
        console.print(
            "Campaigns are kept in Prefect's run history. Where no server is configured, one\n"
            "starts in the background now and stays; --prefect off does without, and\n"
            f"`proctor server stop{flags}` ends it.",
            style="dim",
            soft_wrap=True,
        )
        # A campaign that is refused starts no server, and the next one is not to say it again.
        with suppress(OSError):
            prepared.state.mkdir(parents=True, exist_ok=True)
            told.touch()


def _request(arguments: argparse.Namespace) -> RunRequest:
    return RunRequest(
        paths=tuple(arguments.paths),
        keyword=arguments.keyword,
        marks=arguments.marks,
        tasks=arguments.tasks,
        directory=arguments.directory,
        pytest_args=arguments.pytest_args,
        flags=_flags(arguments),
        last_failed=arguments.lf,
        failed_first=arguments.ff,
        junitxml=None if arguments.junitxml is None else str(Path(arguments.junitxml).absolute()),
        name=arguments.name,
        resume=arguments.resume,
        fleet_classes=tuple(arguments.fleet_class),
    )


# Flags that are settings; what was not given is left to environment and files.
_SETTINGS = (
    "maxfail", "slots", "timeout", "deadline", "retries", "isolate", "fail_on_flaky", "mute",
    "memory_limit", "python", "fleet", "certs", "ship", "prefect", "state",
)  # fmt: skip


def _flags(arguments: argparse.Namespace) -> dict[str, object]:
    given = vars(arguments)
    return {name: given[name] for name in _SETTINGS if given.get(name) is not None}


def _end_on_termination() -> None:
    """A polite kill ends the campaign as Ctrl-C does: in order, and resumable."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
