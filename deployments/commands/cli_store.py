"""The verbs about the store: sql, store ingest | rebuild | status | export | prune | sync."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .command_line import add_look, seconds

Act = Callable[[argparse.Namespace], int]


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    sql = _add(
        verbs,
        "sql",
        "ask the store in SQL; it is only read",
        more="What campaigns wrote until now, running ones too, is taken in first. Where that\n"
        "takes more than a second, or another program has the store, a line on stderr says\n"
        "how much lacks. Where there is no store yet it is made, and may take up to --timeout.",
        example='proctor sql "SHOW ALL TABLES"\n'
        'proctor sql "SELECT * FROM success_rates" --csv\n'
        'proctor sql "SELECT case_id, avg(seconds) FROM results GROUP BY 1" --timeout 60',
    )
    sql.add_argument("statement", metavar="SQL", help="a statement, or - to read it from stdin")
    sql.add_argument("--csv", action="store_true", help="print comma-separated values")
    _timeout(sql, 30.0, "give up after so many seconds (30)")

    store = verbs.add_parser(
        "store",
        help="the memory of all campaigns: ingest, rebuild, status, export, prune, sync",
        description="The store remembers every campaign in one DuckDB file of the state directory."
        "\nIt is made from the campaigns' journals and from Prefect's run history.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = store.add_subparsers(title="verbs", metavar="VERB", required=True)

    ingest = _add(
        inner,
        "ingest",
        "take in what is new in the journals",
        act="ingest",
        more="Campaigns do so themselves some seconds after their end; the first time, or after a\n"
        "long while, it reads all that there is.",
        example="proctor store ingest --json",
    )
    _wait(ingest)
    rebuild = _add(
        inner,
        "rebuild",
        "make the store anew from the journals",
        act="rebuild",
        example="proctor store rebuild",
    )
    rebuild.add_argument(
        "--from-scratch",
        action="store_true",
        help="keep nothing that the journals do not tell (dropped attempts, Prefect's history)",
    )
    _wait(rebuild)
    status = _add(
        inner,
        "status",
        "what the store holds, and what could not be read",
        act="status",
        example="proctor store status",
    )
    _wait(status)

    export = _add(
        inner,
        "export",
        "give it away as Parquet files, or one campaign as a DuckDB file",
        act="export",
        example="proctor store export history/\n"
        "proctor store export monday.duckdb --campaign 20260101",
    )
    export.add_argument("target", type=Path, metavar="PATH", help="where to; nothing may be there")
    export.add_argument("--campaign", metavar="ID", help="only this one, as one DuckDB file")
    _wait(export)

    prune = _add(
        inner,
        "prune",
        "drop old attempts; a row a case and day remains of them",
        act="prune",
        example="proctor store prune --keep 90d --dry-run",
    )
    prune.add_argument("--keep", required=True, metavar="TIME", help='how long, such as "90d"')
    prune.add_argument("--dry-run", action="store_true", help="only say what would be dropped")
    _wait(prune)

    sync = _add(
        inner,
        "sync",
        "bring in Prefect's run history",
        act="sync",
        example="proctor store sync\nproctor store sync --prefect http://127.0.0.1:4200/api",
    )
    sync.add_argument("--prefect", metavar="URL", help="the server's API, or auto")
    _timeout(sync, 300.0, "give up after so many seconds (300)")


def _add(
    verbs: Any, name: str, summary: str, *, act: str = "", more: str = "", example: str = ""
) -> Any:
    return add_look(verbs, name, _act(act or name), summary, more=more, example=example)


def _act(name: str) -> Act:
    # DuckDB takes 0.15 s to import: other verbs must not wait for it.
    def act(arguments: argparse.Namespace) -> int:
        from ..acts import store_acts

        return store_acts.ACTS[name](arguments)

    return act


def _wait(parser: argparse.ArgumentParser) -> None:
    _timeout(parser, 10.0, "wait so many seconds for another program that has it open (10)")


def _timeout(parser: argparse.ArgumentParser, default: float, text: str) -> None:
    parser.add_argument("--timeout", type=seconds, default=default, metavar="S", help=text)
