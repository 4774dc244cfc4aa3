"""Rebuilding, letting go of old attempts, and giving the store away."""

from __future__ import annotations

import shutil

import duckdb
import pytest
from campaign_journals import JournalWriter
from store_dump import dump

from proctor.infra.errors import UnknownCampaign
from proctor.monitoring.export import ExportExists, export_campaign, export_parquet
from proctor.monitoring.ingest import ingest
from proctor.monitoring.named_sql import load_sql
from proctor.monitoring.rebuild import rebuild
from proctor.monitoring.retention import prune
from proctor.monitoring.store import NoStore, Store

DAY = 86400.0


@pytest.fixture
def store(tmp_path):
    """Three campaigns, on days 0, 0 and 10."""
    made = Store(tmp_path / "state")
    for name, began in (("c1", 0.0), ("c2", 3600.0), ("c3", 10 * DAY)):
        directory = made.state / "campaigns" / name
        JournalWriter(directory, began=1_700_000_000.0 + began, total=6, bad=3).finish()
    ingest(made)
    return made


def now(days: float) -> float:
    return 1_700_000_000.0 + days * DAY


def rows(store: Store, query: str):
    with store.reading() as connection:
        return connection.execute(query).fetchall()


def test_old_attempts_become_one_row_a_case_and_day(store):
    """Sums stay what they were; the campaigns keep their figures."""
    before = rows(store, "SELECT campaign, attempts, passed, failed FROM campaigns ORDER BY 1")
    days = "SELECT sum(attempts), sum(passed), sum(failed), sum(seconds) FROM all_case_days"
    whole = rows(store, days)
    pruned = prune(store, keep_seconds=5 * DAY, clock=lambda: now(11))
    assert pruned.campaigns == ("c1", "c2")
    assert rows(store, "SELECT count(*), sum(attempts) FROM case_days") == [(6, 12)]
    assert rows(store, "SELECT DISTINCT campaign FROM results") == [("c3",)]
    assert rows(store, "SELECT DISTINCT campaign FROM case_results") == [("c3",)]
    assert rows(store, days) == whole
    assert (
        rows(store, "SELECT campaign, attempts, passed, failed FROM campaigns ORDER BY 1") == before
    )


def test_pruning_in_two_steps_is_pruning_at_once(store, tmp_path):
    """Days that were rolled up already take later campaigns in."""
    shutil.copytree(store.state, tmp_path / "other")
    other = Store(tmp_path / "other")
    prune(store, keep_seconds=0, clock=lambda: now(11))
    prune(other, keep_seconds=0, clock=lambda: now(0.02))
    assert rows(other, "SELECT count(DISTINCT campaign) FROM results") == [(2,)]
    prune(other, keep_seconds=0, clock=lambda: now(11))
    assert dump(store)["case_days"] == dump(other)["case_days"]


def test_what_was_dropped_is_not_taken_in_again(store):
    """Neither by an ingest nor by a rebuild, though the journals are still there."""
    prune(store, keep_seconds=5 * DAY, clock=lambda: now(11))
    before = dump(store)
    ingest(store)
    assert dump(store) == before
    assert rebuild(store).carried_over == 2
    assert dump(store) == before


def test_from_scratch_everything_comes_back(store):
    """The journals still tell it all."""
    before = dump(store)
    prune(store, keep_seconds=0, clock=lambda: now(11))
    rebuild(store, from_scratch=True)
    assert dump(store) == before


def test_a_campaign_whose_journal_is_gone_survives_a_rebuild(store):
    """Somebody removed old directories to make room."""
    before = dump(store)
    shutil.rmtree(store.state / "campaigns" / "c1")
    rebuild(store)
    assert dump(store) == before
    JournalWriter(store.state / "campaigns" / "c4", began=now(12)).finish()
    ingest(store)
    assert rows(store, "SELECT count(DISTINCT campaign_no), count(*) FROM campaigns") == [(4, 4)]


def test_a_rehearsal_drops_nothing(store):
    """It only says what would go."""
    before = dump(store)
    assert len(prune(store, keep_seconds=0, clock=lambda: now(11), pretend=True).campaigns) == 3
    assert dump(store) == before


def test_a_running_campaign_is_never_pruned(store):
    """However long ago it began."""
    writer = JournalWriter(store.state / "campaigns" / "c0", began=now(-90))
    next(iter(writer.steps()))
    ingest(store, clock=lambda: now(-90))
    assert "c0" not in prune(store, keep_seconds=0, clock=lambda: now(11)).campaigns
    writer.ledger.close()


def test_all_of_it_as_parquet(store, tmp_path):
    """One file a section, with names instead of numbers; nothing is overwritten."""
    target = tmp_path / "out"
    files = export_parquet(store, target)
    assert {path.stem for path in files} == set(load_sql("export.sql"))
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT campaign, count(*) FROM '{target}/attempts.parquet' GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert found == [("c1", 6), ("c2", 6), ("c3", 6)]
    with pytest.raises(ExportExists, match="out"):
        export_parquet(store, target)


def test_one_campaign_as_a_store_of_its_own(store, tmp_path):
    """It can be opened like any other, and holds nothing of the rest."""
    (tmp_path / "elsewhere").mkdir()
    other = Store(tmp_path / "elsewhere")
    export_campaign(store, "c2", other.path)
    assert rows(other, "SELECT campaign, count(*) FROM results GROUP BY 1") == [("c2", 6)]
    assert rows(
        other, "SELECT campaign, judgement, count(*) FROM case_results GROUP BY ALL ORDER BY 3"
    ) == [("c2", "failed", 2), ("c2", "passed", 4)]
    with pytest.raises(ExportExists):
        export_campaign(store, "c2", other.path)


def test_a_failed_export_leaves_nothing(store, tmp_path):
    """An unknown campaign, and no store at all."""
    with pytest.raises(UnknownCampaign):
        export_campaign(store, "c9", tmp_path / "out" / "c9.duckdb")
    with pytest.raises(NoStore):
        export_parquet(Store(tmp_path / "nowhere"), tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
