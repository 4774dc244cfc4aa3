"""What one decision costs on a large fleet of fast and slow workers, where long cases wait.

Every fast worker is busy, every slow one idle, and each waiting case had better wait for a fast
one: the dispatcher has to weigh all of them against all.
"""

from __future__ import annotations

import argparse
import time

from proctor.infra.dispatching.batches import Rules, Send
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.predictions import Predictions
from proctor.infra.records import Case, WorkerFacts

SECONDS = 20.0


def uneven(fast: int, slow: int, waiting: int) -> Dispatcher:
    """A dispatcher whose fast workers run a case each, and whose slow ones have just joined."""
    cases = [Case(id=f"t{n}.py::test", group=f"t{n}.py", index=n) for n in range(fast + waiting)]
    it = Dispatcher(
        rules=Rules(),
        durations=Durations(
            cases={case.id: CaseHistory(seconds=SECONDS) for case in cases},
            predicted=Predictions(speeds={"fast/cpu": 1.0, "slow/cpu": 0.25}),
        ),
    )
    for host, number in (("fast", fast), ("slow", slow)):
        for n in range(number):
            it.worker_joined(
                WorkerFacts(
                    name=f"{host}-{n}",
                    incarnation="1",
                    worker_class="cpu",
                    slots=1,
                    cpu=1.0,
                    memory_bytes=1,
                    host=host,
                )
            )
        if host == "fast":
            it.add_cases(cases[:fast], 0.0)
            for command in it.decide(0.0):
                assert isinstance(command, Send)
                it.started(command.batch.id, command.batch.cases[0], 0.0)
    it.add_cases(cases[fast:], 0.1)
    return it


def main() -> int:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[50, 100, 200])
    for size in parser.parse_args().sizes:
        it = uneven(size, size, size // 2)
        began = time.perf_counter()
        sent = len(it.decide(0.1))
        took = time.perf_counter() - began
        print(
            f"{size} fast, {size} slow workers, {size // 2} cases wait: {took:.3f} s, {sent} sent"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
