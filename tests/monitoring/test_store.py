"""The file that remembers: who may open it, what version it has, and what stands in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Self

import duckdb
import pytest
from campaign_journals import JournalWriter
from ledger_parts import attempt, case, open_ledger
from store_dump import dump

from proctor.infra.errors import StateUnwritable
from proctor.monitoring import ingest_lines, store_schema, store_waiting
from proctor.monitoring import store as store_module
from proctor.monitoring.ingest import ingest
from proctor.monitoring.named_sql import load_sql, read_sql
from proctor.monitoring.queries import run_sql
from proctor.monitoring.rebuild import rebuild
from proctor.monitoring.store import NoStore, Store, StoreBusy, StoreDamaged, StoreTooNew, Waiting
from proctor.monitoring.store_schema import MIGRATIONS, VERSION

_HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("held", flush=True)
sys.stdin.readline()
"""


def _raising(problem: Exception) -> Callable[..., None]:
    def act(*_: object, **__: object) -> None:
        raise problem

    return act


class Holder:
    """Another program that has the file open."""

    def __init__(self, store: Store, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(store.path), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        if self.process.returncode is None:
            self.process.communicate(b"\n", timeout=30)


class Watch:
    """A clock that only sleeping moves; what happens at the first sleep can be chosen."""

    def __init__(self, at_first=lambda: None) -> None:
        self.now = 0.0
        self._at_first = at_first

    def sleep(self, seconds: float) -> None:
        if self.now == 0:
            self._at_first()
        self.now += seconds

    def waiting(self, patience: float = 5.0) -> Waiting:
        return Waiting(patience=patience, monotonic=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "state")
    with made.writing():
        pass
    return made


def test_there_is_no_store_before_the_first_ingest(tmp_path):
    """Reading does not make one; it says what does."""
    with pytest.raises(NoStore, match="proctor store ingest"), Store(tmp_path).reading():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_made_whole_or_not_at_all(store):
    """Nothing but the file is left behind, with every version noted."""
    assert [path.name for path in store.state.iterdir()] == ["proctor.duckdb"]
    with store.reading() as connection:
        assert connection.execute("SELECT version FROM migrations").fetchall() == [
            (number + 1,) for number in range(len(MIGRATIONS))
        ]


def test_every_table_and_view_says_what_it_is(store):
    """People find their way by the comments."""
    with store.reading() as connection:
        silent = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL AND NOT internal "
            "UNION ALL SELECT view_name FROM duckdb_views() WHERE comment IS NULL AND NOT internal"
        ).fetchall()
        indexes = connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchall()
    assert silent == []
    assert indexes == [(0,)]


def test_every_view_can_be_asked(store):
    """Also when there is nothing in it."""
    with store.reading() as connection:
        views = connection.execute(
            "SELECT view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        for (view,) in views:
            assert connection.execute(f"SELECT * FROM {view}").fetchall() == []
    assert len(views) > 10


@pytest.mark.parametrize("how", ["writing", "reading"])
def test_a_held_store_is_refused_after_a_while_and_the_holder_named(store, how):
    """The message tells which process has it."""
    with Holder(store, how) as holder:
        busy = Store(store.state, waiting=Watch().waiting())
        named = pytest.raises(StoreBusy, match=f"process {holder.process.pid}")
        with named as caught, busy.writing():
            pass
        assert caught.value.pid == holder.process.pid


def test_a_store_that_is_given_back_in_time_is_opened(store):
    """Waiting ends as soon as the other one closes it."""
    with Holder(store, "writing") as holder:
        watch = Watch(at_first=holder.end)
        with Store(store.state, waiting=watch.waiting()).reading() as connection:
            assert connection.execute("SELECT count(*) FROM campaigns").fetchall() == [(0,)]
    assert watch.now > 0


def test_the_background_ingest_is_waited_for_longer(store, monkeypatch):
    """It gives way by itself, and is slow because it is polite; but there is an end to it."""
    watch = Watch()
    command = "/opt/ci/environments/proctor/bin/python -m proctor.flows.remembering.remember"
    monkeypatch.setattr(store_waiting, "_command", lambda pid: command)
    with Holder(store, "writing"):
        busy = Store(store.state, waiting=watch.waiting(patience=5.0))
        with pytest.raises(StoreBusy, match="remember"), busy.reading():
            pass
    assert 50 < watch.now < 60


def test_an_older_store_is_brought_up_to_date(store, monkeypatch):
    """By whoever opens it first, also for reading; what stood in it stays."""
    JournalWriter(store.state / "campaigns" / "c1", began=1e9).finish()
    ingest(store)
    later = "ALTER TABLE campaigns ADD COLUMN mood VARCHAR; UPDATE campaigns SET mood = 'calm';"
    monkeypatch.setattr(store_schema, "MIGRATIONS", (*MIGRATIONS, "later.sql"))
    monkeypatch.setattr(
        store_schema, "read_sql", lambda file: later if file == "later.sql" else read_sql(file)
    )
    for module in (store_schema, store_module):
        monkeypatch.setattr(module, "VERSION", VERSION + 1)
    with store.reading() as connection:
        assert connection.execute("SELECT campaign, mood FROM campaigns").fetchall() == [
            ("c1", "calm")
        ]
        assert connection.execute("SELECT max(version) FROM migrations").fetchall() == [
            (VERSION + 1,)
        ]


def test_what_an_older_store_calls_failed_and_was_refused(tmp_path, monkeypatch):
    """No case ran, for a reason that is not the suite's: it is renamed, and no rate counts it."""
    store = Store(tmp_path)
    JournalWriter(store.state / "campaigns" / "c1", began=1e9).finish()
    with open_ledger(store.state / "campaigns" / "c2", clock=lambda: 1e9 + 50, ttl=1e12) as ledger:
        ledger.write("close", state="refused", exit_code=4, counts={"not-run": 3})
    with monkeypatch.context() as older:
        older.setattr(store_schema, "MIGRATIONS", MIGRATIONS[:2])
        for module in (store_schema, store_module):
            older.setattr(module, "VERSION", 2)
        ingest(store)
        with store.writing() as connection:
            for table in ("campaigns", "closes"):
                connection.execute(
                    f"UPDATE {table} SET state = 'failed' WHERE state = 'refused'"
                ).fetchall()
    with store.reading() as connection:
        states = connection.execute("SELECT campaign, state FROM campaigns ORDER BY ALL").fetchall()
        closes = connection.execute("SELECT DISTINCT state FROM closes ORDER BY ALL").fetchall()
        rates = connection.execute("SELECT campaigns, green_campaigns FROM success_rates")
        assert rates.fetchall() == [(1, 0)]
    assert states == [("c1", "completed"), ("c2", "refused")]
    assert closes == [("completed",), ("refused",)]


def test_what_an_older_store_calls_an_attempt_and_was_none(tmp_path, monkeypatch):
    """No worker could run the case: that becomes an event of it, as if it were ingested now."""
    store = Store(tmp_path)
    with open_ledger(store.state / "campaigns" / "c1", clock=lambda: 1e9, ttl=1e12) as ledger:
        for number in range(2):
            ledger.case(case(number))
        ledger.attempt(attempt(0))
        ledger.attempt(attempt(1, "cancelled", of=1, batch="unmet", message="needs gpu=1"))
        ledger.write("close", state="completed", exit_code=6, counts={"passed": 1, "not-run": 1})
    with monkeypatch.context() as older:
        older.setattr(store_schema, "MIGRATIONS", MIGRATIONS[:4])
        for module in (store_schema, store_module):
            older.setattr(module, "VERSION", 4)
        older.setattr(ingest_lines, "is_no_execution", lambda line: False)
        ingest(store)
        with store.reading() as connection:
            assert connection.execute("SELECT attempts FROM campaigns").fetchall() == [(2,)]
    before = dump(store)
    with store.reading() as connection:
        assert connection.execute("SELECT attempts, not_run FROM campaigns").fetchall() == [(1, 1)]
        assert connection.execute("SELECT count(*) FROM history").fetchall() == [(1,)]
    rebuild(store)
    assert before == dump(store)


def test_campaigns_that_failed_as_a_whole_have_no_success_rate(tmp_path):
    """What had passed before the suite turned out to be broken is no success."""
    store = Store(tmp_path)
    with open_ledger(store.state / "campaigns" / "c1", clock=lambda: 1e9, ttl=1e12) as ledger:
        ledger.case(case(0))
        ledger.attempt(attempt(0, of=0))
        ledger.write("close", state="failed", exit_code=2, counts={"passed": 1})
    ingest(store)
    rates = "SELECT campaigns, green_campaigns, failed_campaigns, success_rate FROM success_rates"
    with store.reading() as connection:
        assert connection.execute(rates).fetchall() == [(1, 0, 1, None)]


def test_what_killed_processes_left_behind_is_swept_away(store):
    """A rebuild that was killed leaves its unfinished file; that of one at work stays."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    for name in (
        f"rebuild-{gone}",
        f"rebuild-{gone}.wal",
        f"new-{gone}",
        f"rebuild-{os.getppid()}",
    ):
        (store.state / f"proctor.duckdb.{name}").write_bytes(b"half")
    rebuild(store)
    assert sorted(path.name for path in store.state.iterdir()) == [
        "proctor.duckdb", f"proctor.duckdb.rebuild-{os.getppid()}",
    ]  # fmt: skip


def test_two_readers_do_not_disturb_each_other(store):
    """Only writing shuts others out."""
    with Holder(store, "reading"), store.reading() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_newer_store_is_refused(store):
    """A later Proctor wrote it: nothing is touched, and the versions are named."""
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, NULL, '9.9')")
    for use in (store.reading, store.writing):
        with pytest.raises(StoreTooNew, match=rf"schema 99.*up to {VERSION}"), use():
            pass
    with pytest.raises(StoreTooNew):
        rebuild(store)


def test_a_file_that_is_no_store_is_named(tmp_path):
    """And a rebuild keeps it beside, in case it was somebody's."""
    store = Store(tmp_path)
    store.path.write_bytes(b"these are not the bytes you are looking for" * 500)
    with pytest.raises(StoreDamaged, match="proctor store rebuild"), store.reading():
        pass
    rebuild(store)
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM attempts").fetchall() == [(0,)]
    assert [path for path in tmp_path.iterdir() if ".damaged-" in path.name]


def test_a_file_that_was_damaged_is_named_and_made_anew(store):
    """Where it cannot be opened, and where that shows only as it is read; the old one is kept."""
    JournalWriter(store.state / "campaigns" / "c1", began=1e9).finish()
    ingest(store)
    sound = dump(store)
    with store.writing() as connection:
        connection.execute(
            "INSERT INTO prefect_flow_runs (flow_run_id, name) "
            "SELECT gen_random_uuid()::VARCHAR, 'a-name-to-find-' || i FROM range(5000) t(i)"
        ).fetchall()
    whole = store.path.read_bytes()
    for place in (16384, whole.index(b"a-name-to-find-")):
        store.path.write_bytes(whole[:place] + b"not what stood here" + whole[place + 19 :])
        with (
            pytest.raises(StoreDamaged, match="overwritten or lost; `proctor store rebuild`"),
            store.reading() as connection,
        ):
            connection.execute("SELECT max(name) FROM prefect_flow_runs").fetchall()
        with pytest.raises(StoreDamaged):
            run_sql(store, "SELECT max(name) FROM prefect_flow_runs")
        done = rebuild(store)
        assert done.kept_aside is not None
        done.kept_aside.unlink()
        assert dump(store) == sound


def test_an_empty_database_becomes_a_store(tmp_path):
    """Somebody opened the path with DuckDB's own shell."""
    store = Store(tmp_path)
    duckdb.connect(str(store.path)).close()
    with store.writing() as connection:
        assert connection.execute("SELECT count(*) FROM campaigns").fetchall() == [(0,)]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """The state directory is a file."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StateUnwritable, match="state"), Store(tmp_path / "state").writing():
        pass


def test_a_read_only_disk_is_no_damage(store, monkeypatch):
    """Nobody is told to make the store anew, and a rebuild puts nothing aside."""
    told = f'IO Error: Cannot open file "{store.path}": Read-only file system'
    monkeypatch.setattr(store_module, "_connect", _raising(duckdb.IOException(told)))
    with pytest.raises(StateUnwritable, match="the disk is read-only"), store.writing():
        pass


def test_ctrl_c_while_duckdb_works_is_no_defect(store):
    """DuckDB tells of it as of an error of its own."""
    with pytest.raises(KeyboardInterrupt), store.reading():
        raise RuntimeError("Query interrupted")


def test_a_failed_transaction_leaves_nothing(store, monkeypatch):
    """An ingest that breaks in the middle is as if it had not been."""
    JournalWriter(store.state / "campaigns" / "c1", began=1e9).finish()
    from proctor.monitoring import ingest_write

    def broken(*_: object) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(ingest_write.Writer, "_refresh", broken)
        with pytest.raises(RuntimeError, match="in the middle"):
            ingest(store)
    with store.reading() as connection:
        for table in ("attempts", "cases", "journals", "projects", "workers"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]
    assert ingest(store).attempts == 6


def test_statements_have_names_of_their_own():
    """Each SQL file with sections can be loaded, and no section is empty."""
    for file in ("store.sql", "ingest.sql", "queries.sql", "rebuild.sql", "retention.sql",
                 "export.sql", "run_history.sql"):  # fmt: skip
        statements = load_sql(file)
        assert statements
        assert all(statements.values())
        assert len(statements) == read_sql(file).count("-- name:")
