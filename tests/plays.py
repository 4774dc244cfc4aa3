"""The plays that every mutant of the engine is given, and that the engine itself must pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from virtual_plays import Play, cases, worker

from proctor.infra.dispatching.batches import Rules
from proctor.infra.engine.fakes import KILLS_WORKER
from proctor.infra.records import Case, Requirements

GIB = 1 << 30


def plays() -> list[Play]:
    """A handful of campaigns in which everything goes wrong that may."""
    two = [worker("w1"), worker("w2")]
    plain = cases(40)
    mixed = [
        *cases(24),
        *_needing(24, 6, "wide", cpu=2.0, memory_bytes=4 * GIB),
        *_needing(30, 6, "gpu", gpu=1.0),
        *_needing(36, 4, "tagged", tags=frozenset({"licence"})),
    ]
    fleet = [
        worker("w1"),
        worker("w2", gpu=1.0),
        worker("w3", tags=frozenset({"licence"}), slots=1, cpu=1.0),
        # More cores than slots: it is the slots that count.
        worker("w4", slots=1),
    ]
    return [
        Play(
            name="plain",
            cases=plain,
            workers=two,
            seconds={case.id: 0.05 + 0.15 * (case.index % 5) for case in plain},
            muted=frozenset({plain[30].id}),
            outcomes={
                plain[3].id: ("failed", "passed"),
                plain[8].id: ("failed",),
                plain[12].id: ("skipped",),
                plain[17].id: ("crashed",),
                plain[30].id: ("failed",),
            },
            late=frozenset({plain[20].id}),
            twice=True,
        ),
        Play(
            name="kills",
            cases=plain,
            workers=two,
            seconds={case.id: 0.3 for case in plain},
            known=False,
            kills=[(0.7, "w1"), (0.9, "w2"), (2.6, "w1")],
            outcomes={plain[5].id: ("failed", "passed")},
        ),
        Play(
            name="frozen",
            cases=plain,
            workers=[*two, worker("w3")],
            seconds={case.id: 0.7 for case in plain},
            freezes=[(1.0, "w2", 30.0)],
            rules=Rules(retries=0),
        ),
        Play(
            name="resumed",
            cases=plain,
            workers=two,
            seconds={case.id: 0.4 for case in plain},
            deaths=[1.6, 7.9],
            zombie=True,
            kills=[(7.0, "w2")],
            # Some of them shortly before the campaign's process dies.
            outcomes={
                **{plain[n].id: ("failed", "passed") for n in (1, 2, 3, 12, 13, 23, 32)},
                plain[9].id: ("failed",),
            },
        ),
        Play(
            name="mixed",
            cases=mixed,
            workers=fleet,
            seconds={case.id: 0.2 + 0.1 * (case.index % 4) for case in mixed},
            kills=[(1.1, "w2")],
        ),
        Play(
            # No file is split, and the workers that have begun one go, come back and freeze.
            name="whole",
            cases=mixed,
            workers=fleet,
            seconds={case.id: 0.2 + 0.1 * (case.index % 4) for case in mixed},
            rules=Rules(retries=1, split_files=False),
            kills=[(1.1, "w2"), (1.3, "w1"), (3.0, "w3")],
            freezes=[(0.6, "w4", 30.0)],
            deaths=[2.4],
        ),
        Play(
            name="doomed",
            cases=plain[:12],
            workers=[worker("w1", slots=1, cpu=1.0)],
            seconds={case.id: 1.0 for case in plain[:12]},
            # The same case is running each time.
            kills=[(1.5, "w1"), (3.5, "w1")],
            rules=Rules(infra_retries=0, retries=2),
            outcomes={plain[7].id: ("failed",)},
            lossy=True,
        ),
        Play(
            name="killer",
            cases=plain[:16],
            workers=two,
            outcomes={plain[4].id: (KILLS_WORKER,)},
            rules=Rules(infra_retries=2),
            lossy=True,
        ),
        Play(
            # Nobody is left and nothing runs, and the last case is owed another try.
            name="last",
            cases=plain[:4],
            workers=[worker("w1", slots=1, cpu=1.0)],
            seconds={case.id: 0.3 for case in plain[:4]},
            kills=[(1.1, "w1")],
        ),
        Play(
            name="straggler",
            cases=plain[:16],
            workers=two,
            seconds={case.id: 0.2 for case in plain[:16]},
            rules=Rules(hedge=True),
            freezes=[(0.3, "w2", 8.0)],
        ),
        *_unmet(plain[:12]),
    ]


def _unmet(plain: list[Case]) -> list[Play]:
    """Cases that nobody can run, or only who comes later, or only who is away when all else is done."""
    impossible = _needing(12, 3, "impossible", gpu=2.0)
    licensed = _needing(15, 2, "licensed", tags=frozenset({"licence"}))
    (long,) = _needing(17, 1, "long", gpu=1.0)
    fleet = [worker("w1"), worker("w2", slots=1, cpu=1.0, gpu=1.0)]
    seconds = {case.id: 0.3 for case in (*plain, *licensed)}
    return [
        Play(
            name="unmet",
            cases=[*plain, *impossible],
            workers=fleet,
            seconds=seconds,
            deaths=[0.8],
            again=True,
        ),
        Play(
            name="late",
            cases=[*plain, *impossible, *licensed, long],
            workers=fleet,
            seconds={**seconds, long.id: 4.0},
            # Somebody has read what is not run, and brings a worker that fits.
            joins=[(2.0, worker("w3", slots=1, cpu=1.0, tags=frozenset({"licence"})))],
            # It comes back, and is waited for.
            kills=[(3.5, "w2")],
        ),
    ]


def _needing(first: int, number: int, name: str, **needs: Any) -> list[Case]:
    wanted = Requirements(**needs)
    return [replace(case, needs=wanted) for case in _numbered(first, number, name)]


def _numbered(first: int, number: int, name: str) -> list[Case]:
    return [
        replace(case, id=f"test_{name}.py::test_{n}", group=f"test_{name}.py", index=first + n)
        for n, case in enumerate(cases(number, files=1))
    ]
