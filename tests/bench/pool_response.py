"""How long a worker takes to come from a work pool: asked for, until the scheduler knows it.

    python tests/bench/pool_response.py process
    python tests/bench/pool_response.py docker --times 3

The first worker of a pool pays for the Prefect worker's start too; it is shown apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from docker_images import worker_image
from pool_places import pool_place, scheduler_in
from waiting import wait_until

from proctor.infra.providers import Phase
from proctor.infra.worker_classes import WorkerClass

# In seconds, from demand to the first case: a worker that has joined runs one within 0.5 s.
BARS = {"process": 15.0, "docker": 25.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pool", choices=tuple(BARS))
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    taken: list[float] = []
    with tempfile.TemporaryDirectory(prefix="pool-response-") as folder:
        here = Path(folder)
        image = worker_image(here) if asked.pool == "docker" else ""
        each = WorkerClass(name=f"bench-{asked.pool}", slots=1, pool=asked.pool, image=image)
        with scheduler_in(here) as scheduler, pool_place(scheduler, here, fleet="bench") as place:
            for number in range(1, asked.times + 2):
                facts = each.facts(number)

                def phase(name: str = facts.name) -> Phase:
                    return next(x.phase for x in place.provider.observe() if x.name == name)

                began = time.monotonic()
                place.provider.launch(facts, each)
                wait_until(lambda: phase() is Phase.RUNNING, timeout=180, what=facts.name)
                taken.append(time.monotonic() - began)
                place.provider.stop(facts.name)
                wait_until(lambda: phase() is Phase.ENDED, timeout=60, what="its end")
    first, *later = taken
    print(f"{asked.pool}: first {first:.1f} s; later {', '.join(f'{t:.1f}' for t in later)} s")
    median = statistics.median(later)
    print(f"median {median:.1f} s, bar {BARS[asked.pool]:g} s")
    return 0 if median <= BARS[asked.pool] else 1


if __name__ == "__main__":
    raise SystemExit(main())
