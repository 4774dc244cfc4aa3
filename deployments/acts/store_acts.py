"""The verbs about the store: what they do."""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ...infra.errors import UsageProblem
from ...infra.quantities import parse_duration
from ...infra.setting_readers import is_unicode
from ...infra.settings import load_settings
from ...infra.state_flag import state_flag
from ...monitoring.export import export_campaign, export_parquet
from ...monitoring.freshness import freshen, lag_of
from ...monitoring.ingest import Ingested, ingest
from ...monitoring.queries import Answer, ask_on, run_sql
from ...monitoring.rebuild import rebuild
from ...monitoring.reports.terminal import Terminal
from ...monitoring.reports.wording import counted, printable
from ...monitoring.retention import prune
from ...monitoring.store import Store, Waiting
from .chosen_campaign import chosen

# More rows than a person reads.
_SHOWN = 1000
_ANY_WIDTH = 100_000


def answer_sql(arguments: argparse.Namespace) -> int:
    if arguments.csv and arguments.json:
        raise UsageProblem("--csv and --json exclude each other", remedy="give one of them")
    statement = sys.stdin.read() if arguments.statement == "-" else arguments.statement
    if not is_unicode(statement):
        raise UsageProblem(
            "the statement is no text in UTF-8", remedy="write what is odd in it as chr(...)"
        )
    store = _store(arguments)
    behind = freshen(
        store.state, flags=state_flag(arguments.state), first_seconds=arguments.timeout
    )
    answer = run_sql(store, statement, deadline=arguments.timeout)
    if behind and (lag := lag_of(store.state, behind).text):
        print(f"proctor: {printable(lag)}", file=sys.stderr, flush=True)
    if arguments.json:
        return _document([_plain_row(row) for row in answer.mappings()])
    if arguments.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows(["" if cell is None else cell for cell in row] for row in answer.rows)
        return 0
    return _table(answer)


def ingest_journals(arguments: argparse.Namespace) -> int:
    done = ingest(_store(arguments))
    if arguments.json:
        return _document(asdict(done))
    return _say_ingested(done)


def rebuild_store(arguments: argparse.Namespace) -> int:
    done = rebuild(_store(arguments), from_scratch=arguments.from_scratch)
    if arguments.json:
        aside = str(done.kept_aside) if done.kept_aside else None
        return _document({**asdict(done), "kept_aside": aside})
    _say_ingested(done.ingested)
    if done.kept_aside:
        print(
            f"the old store could not be read and is kept as {done.kept_aside}: what journals do"
            " not tell (dropped attempts, Prefect's history) is not in the new one"
        )
    if done.carried_over:
        print(
            f"{done.carried_over} campaigns were carried over: the journals no longer tell of them"
        )
    return 0


def print_status(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    with store.reading() as connection:
        (standing,) = ask_on(connection, "standing").mappings()
        problems = ask_on(connection, "problems", limit=100).column("text")
    size = store.path.stat().st_size
    if arguments.json:
        told = {"path": str(store.path), "bytes": size, **_plain_row(standing)}
        return _document({**told, "problem_texts": problems})
    lines = [
        f"{store.path} ({size / 1e6:,.1f} MB, schema {standing['schema_version']})",
        (
            f"{counted(standing['campaigns'], 'campaign')} "
            f"({standing['pruned']:,} without their attempts), "
            f"{counted(standing['cases'], 'case')}, {counted(standing['attempts'], 'attempt')}, "
            f"{counted(standing['flow_runs'], 'Prefect flow run')}"
        ),
        f"the newest line is of {standing['newest']} UTC" if standing["newest"] else "empty",
    ]
    if standing["clock_jumps"]:
        lines.append(
            f"{standing['clock_jumps']:,} attempts ended before they began: a clock jumped back; "
            "their measured seconds stand (see the view clock_jumps)"
        )
    if standing["problems"]:
        lines.append(f"{counted(standing['problems'], 'line')} could not be taken in:")
        lines += [f"  {printable(text)}" for text in problems]
    return _lines(lines)


def export_store(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    if not is_unicode(str(arguments.target)):
        raise UsageProblem(
            f"DuckDB cannot write to {str(arguments.target)!r}: it is no text in UTF-8",
            remedy="name another place",
        )
    if arguments.campaign is None:
        made = export_parquet(store, arguments.target)
    else:
        name = _campaign_name(store, arguments.campaign)
        made = [export_campaign(store, name, arguments.target)]
    if arguments.json:
        return _document({"files": [str(path) for path in made]})
    return _lines(f"{path} ({path.stat().st_size / 1e6:,.1f} MB)" for path in made)


def prune_store(arguments: argparse.Namespace) -> int:
    keep = parse_duration(arguments.keep, what="--keep")
    pruned = prune(_store(arguments), keep_seconds=keep, pretend=arguments.dry_run)
    if arguments.json:
        return _document({"campaigns": pruned.campaigns, "dropped": not arguments.dry_run})
    did = "would be" if arguments.dry_run else "were"
    return _lines([f"the attempts of {counted(len(pruned.campaigns), 'campaign')} {did} dropped"])


def sync_prefect(arguments: argparse.Namespace) -> int:
    import asyncio

    # Prefect takes a second to import.
    from ...flows.history import bring_in
    from ...flows.server.prefect_server import usable_url

    settings = load_settings(Path.cwd(), os.environ, _flags(arguments))
    url = usable_url(settings.prefect, settings.state)
    done = asyncio.run(bring_in(Path(settings.state), url=url, deadline=arguments.timeout))
    if arguments.json:
        return _document(asdict(done))
    # Not "new": the newest minute is looked at again each time, for what comes late.
    news = (
        f"{counted(done.flow_runs, 'flow run')}, {counted(done.task_runs, 'task run')}, "
        f"{counted(done.states, 'state')}"
    )
    return _lines([f"{news} read from Prefect ({done.seconds:.1f} s)"])


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "sql": answer_sql,
    "ingest": ingest_journals,
    "rebuild": rebuild_store,
    "status": print_status,
    "export": export_store,
    "prune": prune_store,
    "sync": sync_prefect,
}


def _store(arguments: argparse.Namespace) -> Store:
    settings = load_settings(Path.cwd(), os.environ, _flags(arguments))
    return Store(Path(settings.state), waiting=Waiting(patience=arguments.timeout))


def _flags(arguments: argparse.Namespace) -> dict[str, object]:
    given = {"state": arguments.state, "prefect": getattr(arguments, "prefect", None)}
    return {key: value for key, value in given.items() if value is not None}


def _campaign_name(store: Store, wanted: str) -> str:
    """By the directories, as everywhere; the store may know one whose directory is gone."""
    with store.reading() as connection:
        names = ask_on(connection, "campaigns", limit=10**9).column("campaign")
    return wanted if wanted in names else chosen(store.state, wanted).name


def _say_ingested(done: Ingested) -> int:
    lines = [
        (
            f"{counted(done.attempts, 'attempt')} of {counted(len(done.campaigns), 'campaign')} "
            f"taken in ({counted(done.lines, 'line')}, {done.seconds:.1f} s)"
        )
    ]
    lines += [
        f"campaign {name} was read again: what it had said before is not all that counts now"
        for name in done.taken_back
    ]
    lines += [printable(problem) for problem in done.problems]
    return _lines(lines)


def _table(answer: Answer) -> int:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in answer.columns:
        table.add_column(printable(name), overflow="fold")
    for row in answer.rows[:_SHOWN]:
        table.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    terminal = Terminal()
    if not terminal.is_terminal:
        # Another program reads it: no line may be broken.
        terminal.width = _ANY_WIDTH
    terminal.print(table)
    if len(answer.rows) > _SHOWN:
        terminal.print(f"… and {len(answer.rows) - _SHOWN:,} more rows (--csv prints all)")
    return 0


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """As JSON has it; what is no finite number is null."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def _document(document: Any) -> int:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def _lines(lines: Iterable[str]) -> int:
    terminal = Terminal()
    for line in lines:
        terminal.print(line, soft_wrap=True)
    return 0
