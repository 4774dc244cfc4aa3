"""How fast the store takes in and answers, and what kill -9 in the middle of it does.

python tests/bench/store_speed.py                      # a million attempts, 50 kills
python tests/bench/store_speed.py --attempts 100000 --kills 5 --json
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from campaign_files import BEGAN, case_name, write_campaigns
from rich.console import Console
from rich.table import Table

from proctor.monitoring.ingest import ingest
from proctor.monitoring.queries import QUERIES, ask, case_history
from proctor.monitoring.rebuild import rebuild
from proctor.monitoring.store import Store

# Where the helpers of the tests are.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CASES = 5000
_ONE_CASE = ("case-history", "case-days")
# No dashboard: the analysis of trends reads everything with these.
_BULK = frozenset({"duration-series", "outcome-series", "metric-series"})
_INGEST = """
import sys
from pathlib import Path
from proctor.monitoring.ingest import ingest
from proctor.monitoring.store import Store
print("ready", flush=True)
ingest(Store(Path(sys.argv[1])), lines_at_once=2000)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingestion:
    """One ingest of everything, and one of the last campaign."""

    attempts: int
    seconds: float
    cpu_seconds: float
    # The share of the machine that others used meanwhile.
    disturbed: float
    next_campaign_seconds: float
    nothing_new_seconds: float
    file_bytes: int
    peak_bytes: int

    @property
    def rate(self) -> float:
        return self.attempts / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of a question, the opening of the file included."""

    name: str
    p50: float
    p95: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """What came out after many deaths."""

    kills: int
    # Those that found an ingest at work, not yet ready.
    in_the_middle: int
    identical: bool
    attempts: int


def measure_ingest(state: Path, attempts: int) -> Ingestion:
    campaigns = max(1, attempts // CASES)
    written = write_campaigns(state, campaigns=campaigns, cases=CASES)
    store = Store(state)
    busy, began, cpu = _busy(), time.perf_counter(), _used()
    done = ingest(store)
    seconds, used = time.perf_counter() - began, _used() - cpu
    others = max(0.0, _busy() - busy - used) / (seconds * (psutil.cpu_count() or 1))
    assert done.attempts == written, (done.attempts, written)
    write_campaigns(state, campaigns=1, cases=CASES, first=campaigns)
    return Ingestion(
        attempts=written,
        seconds=seconds,
        cpu_seconds=used,
        disturbed=others,
        next_campaign_seconds=ingest(store).seconds,
        nothing_new_seconds=ingest(store).seconds,
        file_bytes=store.path.stat().st_size,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def measure_queries(state: Path, rounds: int) -> list[Timing]:
    store = Store(state)
    timings: list[Timing] = []
    for name in QUERIES:
        if name in _BULK or name == "find-case":
            continue
        taken: list[float] = []
        rows = 0
        for number in range(rounds):
            case = case_name(37 * number % CASES)
            began = time.perf_counter()
            if name in _ONE_CASE:
                answer = case_history(store, case, project="bench", question=name)
            else:
                # Everything there is, on purpose: no dashboard asks for more.
                answer = ask(store, name, project="bench", since=BEGAN, limit=200)
            taken.append(1e3 * (time.perf_counter() - began))
            rows = len(answer.rows)
        ordered = statistics.quantiles(taken, n=20, method="inclusive")
        timings.append(Timing(name=name, p50=statistics.median(taken), p95=ordered[-1], rows=rows))
    return timings


def measure_kills(state: Path, kills: int, seed: int) -> Kills:
    """Each round brings a campaign more, and an ingest that is killed somewhere."""
    from store_dump import dump

    chance = random.Random(seed)
    store = Store(state)
    write_campaigns(state, campaigns=1, cases=CASES)
    whole = _timed(state)
    middle = 0
    for number in range(1, kills + 1):
        write_campaigns(state, campaigns=1, cases=CASES, first=number)
        process = _start(state)
        try:
            process.wait(chance.uniform(0.0, whole))
        except subprocess.TimeoutExpired:
            middle += 1
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ingest(store)
    incremental = dump(store)
    rebuild(store)
    return Kills(
        kills=kills,
        in_the_middle=middle,
        identical=dump(store) == incremental,
        attempts=len(incremental["results"]),
    )


def _timed(state: Path) -> float:
    process = _start(state)
    began = time.perf_counter()
    process.communicate()
    return time.perf_counter() - began


def _start(state: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", _INGEST, str(state)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _busy() -> float:
    times = psutil.cpu_times()
    return times.user + times.system + times.nice + times.irq + times.softirq


def _used() -> float:
    """CPU seconds of this process, and of the one that read ahead for it."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def show(ingestion: Ingestion, timings: Sequence[Timing], kills: Kills | None) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(
        f"ingest: {ingestion.attempts:,} attempts in {ingestion.seconds:.1f} s = "
        f"{ingestion.rate:,.0f}/s ({ingestion.cpu_seconds:.1f} s of CPU; others used "
        f"{ingestion.disturbed:.0%} of the machine), one campaign more "
        f"{ingestion.next_campaign_seconds:.2f} s, nothing new "
        f"{ingestion.nothing_new_seconds:.2f} s, file {ingestion.file_bytes / 1e6:.0f} MB, "
        f"peak {ingestion.peak_bytes / 1e6:.0f} MB"
    )
    table = Table(title=f"questions at {ingestion.attempts:,} attempts, opening included")
    for heading in ("question", "p50 ms", "p95 ms", "rows"):
        table.add_column(heading, justify="left" if heading == "question" else "right")
    for each in timings:
        table.add_row(each.name, f"{each.p50:.0f}", f"{each.p95:.0f}", f"{each.rows:,}")
    console.print(table)
    if kills is not None:
        same = "identical" if kills.identical else "DIFFERENT"
        console.print(
            f"kills: {kills.kills}, {kills.in_the_middle} of them in the middle of an ingest; "
            f"{kills.attempts:,} attempts; incremental and rebuilt: {same}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=25, help="times each question is asked")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-store-") as place:
        ingestion = measure_ingest(Path(place) / "speed", told.attempts)
        timings = measure_queries(Path(place) / "speed", told.rounds)
        kills = measure_kills(Path(place) / "kills", told.kills, told.seed) if told.kills else None
    if told.json:
        print(
            json.dumps(
                {
                    "ingest": asdict(ingestion) | {"rate": ingestion.rate},
                    "questions": [asdict(each) for each in timings],
                    "kills": None if kills is None else asdict(kills),
                },
                indent=1,
            )
        )
    else:
        show(ingestion, timings, kills)
    return 0 if kills is None or kills.identical else 1


if __name__ == "__main__":
    sys.exit(main())
