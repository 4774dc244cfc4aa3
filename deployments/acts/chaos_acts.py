"""What `proctor chaos run`, `list` and `undo` do; `chaos_schedules` has the others."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ... import __version__
from ...flows.experiment import Performed, experiment_run, perform
from ...infra.errors import StateUnwritable
from ...infra.faults.catalogue import kinds
from ...infra.faults.experiment import read_experiment, schema
from ...infra.faults.lease import FaultFiles, FaultLease, held, past, settle
from ...infra.faults.record import FaultRecorder
from ...infra.faults.targets import FaultRefused
from ...infra.faults.undo import UndoProblem
from ...infra.settings import load_settings
from .chaos_schedules import CODES

# Of those that were undone, the latest.
MOST_SHOWN = 20


def _run(arguments: argparse.Namespace) -> int:
    state = _state(arguments)
    experiment = read_experiment(arguments.experiment)
    if arguments.check:
        experiment_run(experiment, state=state).check()
        print(json.dumps({"ready": True}) if arguments.json else "it could be run now")
        return 0
    performed = perform(experiment, state=state, seed=arguments.seed, say=_say)
    return tell_performed(performed, as_json=arguments.json)


def tell_performed(performed: Performed, *, as_json: bool) -> int:
    """Print what a live run showed; its exit code."""
    journal = performed.journal
    if as_json:
        print(json.dumps(journal.document(__version__), default=str))
    else:
        _print(performed)
    return 9 if journal.status == "aborted" else CODES[journal.validity]


def _print(performed: Performed) -> None:
    journal = performed.journal
    print(f"{journal.experiment.title}: {journal.validity} ({journal.status})")
    for obstacle in journal.obstacles:
        print(f"  {obstacle}")
    told: set[tuple[str, ...]] = set()
    for finding in journal.findings:
        if finding.reasons in told:
            continue
        # What is to be said of several is said once; those that hold are read one by one.
        same = [each.invariant for each in journal.findings if each.reasons == finding.reasons]
        names = same if finding.reasons else [finding.invariant]
        print(f"  {', '.join(names):20} {finding.validity}")
        for reason in finding.reasons[:10]:
            print(f"    {reason}")
        if finding.reasons:
            told.add(finding.reasons)
    print(f"  journal      {performed.journal_path}")
    print(f"  timeline     {performed.timeline_path}")


def _list(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        print(json.dumps(schema(), indent=2))
        return 0
    if arguments.kinds:
        return _list_kinds(as_json=arguments.json)
    files = FaultFiles(state=_state(arguments))
    active, former = held(files), past(files)
    if arguments.json:
        document = {
            "active": [_document(lease) for lease in active],
            "undone": [{**_document(lease), "how": how} for lease, how in former],
        }
        print(json.dumps(document))
        return 0
    now = time.time()
    for lease in active:
        left = lease.until - now
        when = f"{left:.0f} s left" if left > 0 else f"{-left:.0f} s over its time"
        print(f"{lease.id}  {lease.kind} on {lease.target}  acts, {when}")
    for lease, how in former[-MOST_SHOWN:]:
        print(f"{lease.id}  {lease.kind} on {lease.target}  {how}")
    if not active and not former:
        print("no fault was ever injected here")
    return 0


def _document(lease: FaultLease) -> dict[str, object]:
    return {
        "id": lease.id,
        "fault": lease.kind,
        "target": lease.target,
        "experiment": lease.experiment,
        "begins": lease.begins,
        "until": lease.until,
        "undo": list(lease.undo),
    }


def _list_kinds(*, as_json: bool) -> int:
    there = kinds()
    if as_json:
        document = [
            {
                "fault": kind.name,
                "summary": kind.summary,
                "targets": sorted(kind.parts),
                "takes": {name: each.summary for name, each in kind.parameters.items()},
                "refused": kind.refusal(),
            }
            for kind in there.values()
        ]
        print(json.dumps(document))
        return 0
    for kind in there.values():
        print(f"{kind.name:12} {kind.summary}")
        print(f"{'':12}   on {', '.join(sorted(kind.parts))}")
        for name, each in kind.parameters.items():
            print(f"{'':12}   with {name}: {each.summary} ({each.default})")
        reason = kind.refusal()
        if reason:
            print(f"{'':12}   not here: {reason}")
    print("\nA fault's options go under `with`:")
    print("  {fault: latency, target: worker:any, for: 5s, with: {delay: 300ms}}")
    return 0


def _undo(arguments: argparse.Namespace) -> int:
    files = FaultFiles(state=_state(arguments))
    active = {lease.id: lease for lease in held(files)}
    for name in arguments.faults:
        if name not in active:
            raise FaultRefused(
                f"no fault {name!r} acts now", remedy="`proctor chaos list` names those that do"
            )
    wanted = [active[name] for name in arguments.faults or active]
    recorder = FaultRecorder(files)
    undone: list[str] = []
    problems: list[str] = []
    for lease in wanted:
        try:
            if settle(files, lease, "asked"):
                recorder.tell(lease, "undone", how="asked")
            undone.append(lease.id)
        except (UndoProblem, StateUnwritable) as problem:
            problems.append(str(problem))
    recorder.close()
    if arguments.json:
        print(json.dumps({"undone": undone, "problems": problems}))
    else:
        print(f"{len(undone)} faults undone" if undone or not problems else "nothing was undone")
        for problem in problems:
            print(f"  {problem}", file=sys.stderr)
    return 6 if problems else 0


def _state(arguments: argparse.Namespace) -> Path:
    given = {"state": arguments.state} if arguments.state else {}
    return load_settings(Path.cwd(), os.environ, given).state


def _say(text: str) -> None:
    """On standard error: standard output belongs to the answer."""
    print(text, file=sys.stderr, flush=True)


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "list": _list,
    "undo": _undo,
}
