"""Gives the store away: everything as Parquet files, or one campaign as a DuckDB file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

from ..infra.errors import StateUnwritable, UnknownCampaign, UsageProblem
from . import ingest_columns as columns
from .frames import frame_of, registered
from .named_sql import load_sql
from .store import Store, cannot_write
from .store_schema import transaction


class ExportExists(UsageProblem):
    """Something stands where the export should."""


def export_parquet(store: Store, directory: Path) -> list[Path]:
    """One Parquet file for each section of export.sql, all of them or none."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise _taken(directory)
    beside = directory.with_name(f"{directory.name}.new-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        with store.reading() as connection:
            for name, statement in load_sql("export.sql").items():
                connection.query(statement).to_parquet(
                    str(beside / f"{name}.parquet"), compression="zstd"
                )
        if directory.exists():
            directory.rmdir()
        beside.replace(directory)
    except (OSError, duckdb.IOException) as problem:
        raise _unwritten(directory, problem) from problem
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sorted(directory.iterdir())


def export_campaign(store: Store, campaign: str, file: Path) -> Path:
    """All that the store knows of one campaign, as a store of its own."""
    if file.exists():
        raise _taken(file)
    statements = load_sql("rebuild.sql")
    beside = file.with_name(f"{file.name}.new-{os.getpid()}")
    try:
        with store.beside(beside) as connection:
            kept = [
                (number,)
                for number, name, _ in connection.execute(statements["old-campaigns"]).fetchall()
                if name == campaign
            ]
            if not kept:
                raise UnknownCampaign(
                    f"the store has no campaign {campaign!r}",
                    remedy="`proctor store ingest` takes in what is new",
                )
            frame, _ = frame_of(kept, columns.NUMBERS)
            with registered(connection, kept=frame), transaction(connection):
                for name in ("carry-campaigns", "carry-flow-runs", "carry-names"):
                    connection.execute(statements[name]).fetchall()
        os.link(beside, file)
    except FileExistsError as problem:
        raise _taken(file) from problem
    except (OSError, duckdb.IOException) as problem:
        raise _unwritten(file, problem) from problem
    finally:
        beside.unlink(missing_ok=True)
    return file


def _unwritten(path: Path, problem: OSError | duckdb.Error) -> StateUnwritable:
    # Not for want of a state directory.
    remedy = "make room there, or name another place"
    return StateUnwritable(cannot_write(path, problem).message, remedy=remedy)


def _taken(path: Path) -> ExportExists:
    return ExportExists(
        f"{path} exists already, and an export overwrites nothing",
        remedy="name another place, or remove it first",
    )
