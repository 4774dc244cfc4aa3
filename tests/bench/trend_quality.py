"""The measured tables of trend analysis: `python tests/bench/trend_quality.py --part changes`.

Every run draws fresh histories; `--seed` repeats one. `--peers PYTHON` names an interpreter with
apache-otava and ruptures, which then stand in the same tables: Otava wants an older NumPy than
we do, so it has an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from change_scores import Score, score
from histories import NOISES, Floats, History, Rng, change_history, far_modes, shifted
from quality_tables import console, print_table
from real_noise import VM_NOISE, injected, shuffled, unchanged, windows

from proctor.monitoring.trends.changes import find_changes
from proctor.monitoring.trends.online import Watch

PEERS = Path(__file__).with_name("peer_detectors.py")
PEER_METHODS = ("otava", "otava p=1e-5", "ruptures rbf")


def ours(values: Floats) -> list[int]:
    return [c.index for c in find_changes(values)]


def peer_answers(
    python: str, method: str, series: Sequence[Floats]
) -> list[tuple[list[int], float]]:
    """What a peer says of each series, in a process of its own interpreter."""
    jobs = "".join(json.dumps({"method": method, "values": v.tolist()}) + "\n" for v in series)
    done = subprocess.run(
        [python, str(PEERS)], input=jobs, stdout=subprocess.PIPE, text=True, check=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [(t["found"], t["seconds"]) for t in told]


def our_answers(series: Sequence[Floats]) -> list[tuple[list[int], float]]:
    out = list[tuple[list[int], float]]()
    for values in series:
        started = time.process_time()
        found = ours(values)
        out.append((found, time.process_time() - started))
    return out


def scores(histories: Sequence[History], answers: Sequence[tuple[list[int], float]]) -> Score:
    each = (
        score(found, h.changes, len(h.values), seconds)
        for h, (found, seconds) in zip(histories, answers, strict=True)
    )
    return sum(each, Score())


def change_parts(rng: Rng, size: int) -> dict[str, list[History]]:
    """Histories with and without shifts, generated and real."""
    lengths = (100, 200, 400)
    parts = {
        "generated": [
            change_history(kind, lengths[i % 3], rng) for kind in NOISES for i in range(size)
        ],
        "generated, no change": [
            change_history(kind, lengths[i % 3], rng, count=0)
            for kind in NOISES
            for i in range(size)
        ],
    }
    if VM_NOISE.is_file():
        raw = windows(rng, 10 * size)
        mixed = [(name, shuffled(values, rng)) for name, values in raw]
        parts["real shuffled + shifts"] = injected(mixed, rng)
        parts["real shuffled, no change"] = [unchanged(*noise) for noise in mixed]
        parts["real as it came + shifts"] = injected(raw, rng)
        # Machines' own shifts are in there: not all that is found here is false.
        parts["real as it came"] = [unchanged(*noise) for noise in raw]
    noises = [far_modes(lengths[i % 3], rng) for i in range(3 * size)]
    parts["far modes"] = [
        shifted(each, rng, kind="far modes", count=max(1, int(rng.poisson(len(each) / 140))))
        for each in noises
    ]
    parts["far modes, no change"] = [History(kind="far modes", values=each) for each in noises]
    return parts


def changes(rng: Rng, options: argparse.Namespace) -> None:
    parts = change_parts(rng, options.size)
    peers = PEER_METHODS if options.peers else ()
    rows = list[Sequence[object]]()
    for part, histories in parts.items():
        series = [h.values for h in histories]
        for method in ("ours", *peers):
            answers = (
                our_answers(series)
                if method == "ours"
                else peer_answers(options.peers, method, series)
            )
            s = scores(histories, answers)
            rows.append((part, method, *_cells(s)))
            if method == "ours":
                _by_kind(part, histories, answers)
    header = (
        "part",
        "method",
        "F1",
        "precision",
        "recall",
        "exact",
        "within 1",
        "false/1,000",
        "s",
    )
    print_table("Change points, margin 5", header, rows)


def _cells(s: Score) -> tuple[object, ...]:
    if not s.true:
        return ("", "", "", "", "", s.false_per_thousand, round(s.seconds, 2))
    found = max(s.matched, 1)
    return (
        *(s.f1, s.precision, s.recall, s.exact / found, s.near / found),
        *(s.false_per_thousand, round(s.seconds, 2)),
    )


def _by_kind(
    part: str, histories: Sequence[History], answers: Sequence[tuple[list[int], float]]
) -> None:
    rows = list[Sequence[object]]()
    for kind in dict.fromkeys(h.kind for h in histories):
        here = [i for i, h in enumerate(histories) if h.kind == kind]
        rows.append(
            (kind, *_cells(scores([histories[i] for i in here], [answers[i] for i in here])))
        )
    header = ("kind", "F1", "precision", "recall", "exact", "within 1", "false/1,000", "s")
    print_table(f"Ours, {part}", header, rows)


def online(rng: Rng, options: argparse.Namespace) -> None:
    """The newest shift of 3 sigma: reported within four points, and how often for nothing."""
    rows = list[Sequence[object]]()
    for kind, noise in NOISES.items():
        found = asked = alarms = points = 0
        for _ in range(2 * options.size):
            calm = noise(300, rng)
            watch = Watch()
            alarms += sum(watch.append(float(v)) is not None for v in calm)
            points += len(calm)
            at = int(rng.integers(40, 200))
            moved = noise(at + 4, rng)
            moved[at:] += 3.0 * rng.choice([-1, 1])
            watch = Watch(moved[:at])
            told = [watch.append(float(v)) for v in moved[at:]]
            found += any(told)
            asked += 1
        rows.append((kind, found / asked, 1000 * alarms / points))
    rows.append(("all", *np.mean([r[1:] for r in rows], axis=0).tolist()))
    print_table(
        "Newest shift of 3 sigma", ("kind", "within 4 points", "false alarms/1,000 points"), rows
    )


Part = Callable[[Rng, argparse.Namespace], None]


def parts() -> Mapping[str, Part]:
    from alert_quality import alerts
    from more_trend_quality import PARTS

    return {"changes": changes, "online": online, **PARTS, "alerts": alerts}


def main() -> int:
    known = parts()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=tuple(known), action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run")
    parser.add_argument("--size", type=int, default=20, help="histories of each kind")
    parser.add_argument("--peers", default="", help="an interpreter with apache-otava and ruptures")
    options = parser.parse_args()
    seed = np.random.SeedSequence().entropy % 2**32 if options.seed is None else options.seed
    for name in options.part or known:
        console.print(f"[bold]{name}[/bold], --seed {seed} --size {options.size}")
        known[name](np.random.default_rng(seed), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
