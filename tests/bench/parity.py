"""Outcome by outcome: plain pytest beside Proctor on the same suites.

    python tests/bench/parity.py --python VENV/bin/python DIR [pytest arguments]

Prints how many cases are equal, and each that is different, missing or extra. Exits with 1 if
there is any, unless the plain run differs from a second plain run in the same case (`--again`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from contestants import Proctor, Suite, run_plain

MOST_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How two sets of outcomes compare."""

    suite: str
    cases: int
    equal: int
    # Case, what plain pytest says, what Proctor says.
    different: tuple[tuple[str, str, str], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    # Differ between two plain runs: no runner can agree with both.
    unsteady: tuple[str, ...]
    plain_exit: int
    our_exit: int

    @property
    def holds(self) -> bool:
        steady = [each for each in self.different if each[0] not in self.unsteady]
        return not (steady or self.missing or self.extra) and self.plain_exit == self.our_exit


def compare(plain: Mapping[str, str], ours: Mapping[str, str], **values: object) -> Parity:
    """Plain pytest's outcomes against ours."""
    both = plain.keys() & ours.keys()
    return Parity(
        cases=len(plain),
        equal=sum(plain[case] == ours[case] for case in both),
        different=tuple(
            (case, plain[case], ours[case]) for case in sorted(both) if plain[case] != ours[case]
        ),
        missing=tuple(sorted(plain.keys() - ours.keys())),
        extra=tuple(sorted(ours.keys() - plain.keys())),
        **values,  # type: ignore[arg-type]
    )


def measure(suite: Suite, proctor: Proctor, *, again: bool, runs: int) -> Iterator[Parity]:
    """Compare a run of plain pytest with some of ours: the first is cold, others have history."""
    plain = run_plain(suite)
    # Ids as the ledger can hold them: lone surrogates are no Unicode.
    expected = {_storable(case): outcome for case, outcome in plain.outcomes.items()}
    unsteady: set[str] = set()
    if again:
        second = {_storable(case): told for case, told in run_plain(suite).outcomes.items()}
        unsteady = {
            case
            for case in expected.keys() | second.keys()
            if expected.get(case) != second.get(case)
        }
    for number in range(runs):
        ours = proctor.run(suite)
        # Plain pytest has no word for a case it did not come to, after an error in collection.
        outcomes = {case: told for case, told in ours.outcomes.items() if told != "not-run"}
        yield compare(
            expected,
            outcomes,
            suite=f"{suite.title}, {'with history' if number else 'cold'}",
            unsteady=tuple(sorted(unsteady)),
            plain_exit=plain.exit_code,
            our_exit=ours.measurement.exit_code,
        )


def show(parity: Parity) -> None:
    print(
        f"{parity.suite}: {parity.cases} cases, {parity.equal} equal, "
        f"{len(parity.different)} different, {len(parity.missing)} missing, "
        f"{len(parity.extra)} extra; exit {parity.plain_exit} and {parity.our_exit}"
    )
    kinds = Counter((before, after) for _, before, after in parity.different)
    for (before, after), count in kinds.most_common():
        print(f"  {count} x {before} -> {after}")
    for case, before, after in parity.different[:MOST_SHOWN]:
        unsteady = " (unsteady in plain pytest)" if case in parity.unsteady else ""
        print(f"  different  {case}: {before} -> {after}{unsteady}")
    for name, cases in (("missing", parity.missing), ("extra", parity.extra)):
        for case in cases[:MOST_SHOWN]:
            print(f"  {name:9}  {case}")


def _storable(case: str) -> str:
    return case.encode("utf-8", "backslashreplace").decode()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--python", default=sys.executable, help="interpreter with the suite")
    parser.add_argument("-n", dest="slots", type=int, default=2)
    parser.add_argument(
        "--again", action="store_true", help="a second plain run, to find unsteady cases"
    )
    parser.add_argument(
        "--runs", type=int, default=2, help="of Proctor: one cold, then with history"
    )
    parser.add_argument("--option", action="append", default=[], help="one more for `proctor run`")
    parser.add_argument("--json", action="store_true")
    told, rest = parser.parse_known_args(argv)
    suite = Suite(directory=told.directory.resolve(), python=told.python, arguments=tuple(rest))
    with TemporaryDirectory(prefix="proctor-parity-", ignore_cleanup_errors=True) as state:
        proctor = Proctor(slots=told.slots, options=told.option, state=Path(state))
        compared: list[Parity] = []
        for parity in measure(suite, proctor, again=told.again, runs=told.runs):
            compared.append(parity)
            if not told.json:
                show(parity)
    if told.json:
        print(json.dumps([asdict(parity) for parity in compared], indent=1))
    return 0 if all(parity.holds for parity in compared) else 1


if __name__ == "__main__":
    sys.exit(main())
