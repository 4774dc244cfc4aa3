"""Bar 5: 1,000 cases with 20 fatal poisons; each must cost exactly itself.

    python tests/bench/poison.py [--seed N]

Beside the fatal ones stand a few that are only rude (100 MB of output, another directory): they
pass, as with plain pytest, and must not touch their neighbours either.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from contestants import Ours, Proctor, Suite

from proctor.infra.judge import check_invariants

CASES = 1_000
IN_FILE = 20
TIMEOUT_SECONDS = 4
MEMORY_LIMIT = "400MB"
DEADLINE_SECONDS = 300

# Kind: how many, the judgement it must get, its body.
POISONS: dict[str, tuple[int, str, str]] = {
    "segfault": (3, "crashed", "ctypes.string_at(0)"),
    "abort": (1, "crashed", "os.abort()"),
    "exit_zero": (2, "crashed", "os._exit(0)"),
    "exit_code": (2, "crashed", "os._exit(7)"),
    "killed": (1, "crashed", "os.kill(os.getpid(), signal.SIGKILL)"),
    "memory": (
        3,
        "out-of-memory",
        "hoard = []\n    while len(hoard) < 4000:\n        hoard.append(bytearray(b'x' * 1000000))",
    ),
    "fork_and_hang": (
        3,
        "timed-out",
        "child = os.fork()\n    if child == 0:\n        time.sleep(3600)\n    os.waitpid(child, 0)",
    ),
    "deadlock": (
        3,
        "timed-out",
        "lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()",
    ),
    "holds_the_lock": (
        # A C loop that never gives the interpreter lock back.
        2,
        "timed-out",
        "re.match(r'(a+)+$', 'a' * 60 + 'b')",
    ),
    "loud": (2, "passed", "for _ in range(100):\n        print('x' * 1000000)"),
    "wanders": (2, "passed", "os.chdir('/')"),
}
FATAL = sum(count for count, judgement, _ in POISONS.values() if judgement != "passed")
HEAD = "import ctypes, os, re, signal, threading, time\n\nHERE = os.getcwd()\n"


def make(directory: Path, seed: int) -> dict[str, str]:
    """Write the suite; returns the judgement each case must get."""
    random_ = random.Random(seed)
    kinds = [kind for kind, (count, _, _) in POISONS.items() for _ in range(count)]
    places = dict(zip(random_.sample(range(CASES), len(kinds)), kinds, strict=True))
    expected: dict[str, str] = {}
    directory.mkdir(parents=True)
    (directory / "pytest.ini").write_text("[pytest]\n")
    for first in range(0, CASES, IN_FILE):
        name = f"test_file_{first:04}.py"
        parts = [HEAD]
        for number in range(first, first + IN_FILE):
            kind = places.get(number)
            if kind is None:
                case, judgement = f"test_{number:04}_innocent", "passed"
                body = "assert os.getcwd() == HERE"
            else:
                case = f"test_{number:04}_{kind}"
                _, judgement, body = POISONS[kind]
            parts.append(f"def {case}():\n    {body}\n")
            expected[f"{name}::{case}"] = judgement
        (directory / name).write_text("\n\n".join(parts))
    return expected


def problems(expected: dict[str, str], ours: Ours) -> list[str]:
    """Everything that is not as it must be."""
    found = [f"{case} has no verdict" for case in expected.keys() - ours.outcomes.keys()]
    found += [f"{case} is nobody's case" for case in ours.outcomes.keys() - expected.keys()]
    found += [
        f"{case} is {ours.outcomes[case]}, not {judgement}"
        for case, judgement in expected.items()
        if case in ours.outcomes and ours.outcomes[case] != judgement
    ]
    found += [
        f"{case} was blamed with {attempt.outcome} in attempt {attempt.id}"
        for case, judgement in expected.items()
        if judgement == "passed"
        for attempt in ours.record.attempts.get(case, ())
        if attempt.outcome != "passed"
    ]
    found += check_invariants(ours.record)
    if ours.measurement.exit_code != 1:
        tail = ours.measurement.output[-2000:]
        found.append(f"the exit code is {ours.measurement.exit_code}, not 1:\n{tail}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-n", dest="slots", type=int, default=2)
    parser.add_argument("--isolate", action="store_true")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-poison-") as place:
        root = Path(place)
        expected = make(root / "suite", told.seed)
        options = ["--timeout", str(TIMEOUT_SECONDS), "--memory-limit", MEMORY_LIMIT]
        options += ["--isolate"] if told.isolate else []
        proctor = Proctor(slots=told.slots, state=root / "state", options=options)
        ours = proctor.run(Suite(directory=root / "suite"), deadline_seconds=DEADLINE_SECONDS)
        found = problems(expected, ours)
    executions = sum(len(attempts) for attempts in ours.record.attempts.values())
    print(
        f"{len(expected)} cases, {FATAL} fatal poisons: {ours.measurement.wall_seconds:.1f} s,"
        f" {executions} executions, exit code {ours.measurement.exit_code}"
    )
    for problem in found:
        print(f"  {problem}")
    print("holds" if not found else f"{len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
