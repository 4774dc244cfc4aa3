"""How many bugs in the engine the invariants find: `python tests/bench/mutations.py [WORDS]`.

Each mutant runs the campaigns of plays.py on a virtual clock, with kills, freezes, deaths of the
campaign's process, a writer that goes on after it was fenced and cases that nobody can run. Found is what at least one invariant calls
invalid; unknown, as for a campaign that hangs or breaks off, is counted apart.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutants import mutants
from mutation_runs import Tried, attempt_mutant, calm_campaigns
from plays import plays

from proctor.infra.faults.verdict import Validity


def main() -> int:
    wanted = sys.argv[1:]
    began = time.monotonic()
    all_plays = plays()
    with tempfile.TemporaryDirectory() as state:
        calm = calm_campaigns(all_plays, Path(state))
        sound = attempt_mutant(None, all_plays, calm)
        print(f"as it is: {sound.verdict}", sound.invalid, sound.unknown, sound.raised, flush=True)
        print("\n| part | bug | verdict | invariants that say invalid |\n| --- | --- | --- | --- |")
        tried: list[Tried] = []
        for mutant in mutants():
            if wanted and not any(word in mutant.name for word in wanted):
                continue
            tried.append(attempt_mutant(mutant, all_plays, calm, enough=1))
            print(_row(tried[-1]), flush=True)
            if wanted:
                print(tried[-1].invalid, tried[-1].unknown, tried[-1].raised, sep="\n")
    real = [each for each in tried if not each.mutant.equivalent]
    found = sum(each.verdict is Validity.INVALID for each in real)
    unknown = sum(each.verdict is Validity.UNKNOWN for each in real)
    print(
        f"\n{len(tried)} bugs, {len(tried) - len(real)} of them equivalent; of {len(real)}: {found}"
        f" found invalid ({found / max(1, len(real)):.1%}), {unknown} unknown (no pass), "
        f"{len(real) - found - unknown} missed; {time.monotonic() - began:.0f} s"
    )
    return 0 if sound.verdict is Validity.VALID and found >= 0.95 * len(real) else 1


def _row(tried: Tried) -> str:
    mutant = tried.mutant
    by = ", ".join(tried.invalid) or "; ".join(tried.unknown.values()) or mutant.equivalent
    if not tried.invalid and tried.raised:
        by += f" (it ends with {next(iter(tried.raised.values()))[:80]})"
    same = " (equivalent)" if mutant.equivalent else ""
    return f"| {mutant.part} | {mutant.name} | {tried.verdict}{same} | {by} |"


if __name__ == "__main__":
    sys.exit(main())
