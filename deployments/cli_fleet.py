"""The verbs of the resident fleet: up, down, status, workers, scale."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..infra.errors import BadSetting, UsageProblem
from ..infra.settings import RunSettings, load_settings

if TYPE_CHECKING:
    from ..blocks.fleet import ConfiguredFleet
    from ..infra.worker_classes import WorkerClass
    from ..monitoring.worker_scores import Score

_UP_SECONDS = 120.0
# The classes that everybody has.
_COMMON = ("cpu", "highmem", "gpu")


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    up = _verb(
        verbs,
        "up",
        _up,
        "start a fleet that stays: scheduler, workers, Prefect server",
        "Starts what is not up and changes the numbers of workers that are; returns once all\n"
        "of it answers. Campaigns then run on it. Without numbers: one worker of class cpu\n"
        "with a slot for each core.",
        "proctor up\nproctor up --cpu 2 --highmem 1 --gpu 1\n"
        "proctor up --class big:slots=2,memory=16GB --class big\n"
        "proctor up --templates worker_templates.json --class builder=3\n"
        "proctor up --fleet block:nightly\n"
        "proctor up --auto --class big:slots=2,max=6,idle=1m\n"
        "proctor up --provider work-pool --cpu 2\n"
        "proctor up --class box:slots=2,image=proctor-worker,provider=work-pool",
    )
    for name in _COMMON:
        up.add_argument(f"--{name}", type=int, metavar="N", help=f"so many of class {name}")
    up.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="CLASS",
        help="one worker more of a class: NAME, NAME=N, or NAME:slots=2,memory=16GB,...",
    )
    up.add_argument("--templates", type=Path, metavar="FILE", help="worker classes (JSON or TOML)")
    up.add_argument(
        "--fleet", metavar="block:NAME", help="the workers that a block of Prefect says"
    )
    up.add_argument(
        "--provider",
        choices=("local", "work-pool"),
        default="",
        help="where workers come from whose class does not say: this machine, or Prefect's pools",
    )
    up.add_argument("--port", type=int, default=0, metavar="N", help="the scheduler's port")
    up.add_argument("--prefect", metavar="auto|off|URL", help="where the run history is kept")
    up.add_argument(
        "--drain", metavar="S", help="how long a drain may take (60; with --auto an hour)"
    )
    up.add_argument(
        "--auto", action="store_true", help="let the work of campaigns decide how many there are"
    )
    _tuning(up)
    up.add_argument(
        "--chaos-target", action="store_true", help="faults may be injected into this fleet"
    )
    up.add_argument(
        "--open-browser", action="store_true", help="show the Prefect server's page when it is up"
    )
    _deadline(up, _UP_SECONDS)

    down = _verb(
        verbs,
        "down",
        _down,
        "end the fleet and leave nothing behind",
        "Lets workers finish what they run, then ends everything. Campaigns that still run\n"
        "wait a minute for workers and can be resumed.",
        "proctor down\nproctor down --now",
    )
    down.add_argument("--now", action="store_true", help="wait for nothing that runs")
    _deadline(down, 60.0)

    status = _verb(
        verbs,
        "status",
        _status,
        "services, workers and campaigns; or where one campaign stands",
        "Without a campaign: everything of this state directory in one screen.",
        "proctor status\nproctor status last",
    )
    status.add_argument(
        "campaign", nargs="?", metavar="ID", help="a campaign: its id, its beginning, or `last`"
    )
    _verb(
        verbs,
        "workers",
        _workers,
        "the workers of the fleet, and what each offers",
        "What workers said of themselves when they joined, and how they are.",
        "proctor workers\nproctor workers --json",
    )

    scale = _verb(
        verbs,
        "scale",
        _scale,
        "have more or fewer workers of a class",
        "Workers that are too many finish what they run; idle ones go first. With --auto the\n"
        "fleet grows with the work that campaigns have left and shrinks when it idles.",
        "proctor scale cpu=4\nproctor scale cpu=1 gpu=0\n"
        "proctor scale --auto --horizon 1m\nproctor scale --manual cpu=2",
    )
    scale.add_argument("counts", nargs="*", metavar="CLASS=N", help="how many there should be")
    who = scale.add_mutually_exclusive_group()
    who.add_argument(
        "--auto", action="store_const", const=True, help="let the work of campaigns decide"
    )
    who.add_argument(
        "--manual", dest="auto", action="store_const", const=False, help="decide yourself again"
    )
    _tuning(scale)
    _deadline(scale, _UP_SECONDS)


def _verb(
    verbs: Any,
    name: str,
    act: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    example: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=description,
        epilog="examples:\n" + textwrap.indent(example, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", metavar="DIR", help="the state directory")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(act=act)
    return parser


def _tuning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--horizon", metavar="S", help="with --auto: within how long the work should be done"
    )
    parser.add_argument(
        "--idle", metavar="S", help="with --auto: how long an idle worker stays (its class's time)"
    )


def _deadline(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument(
        "--deadline", metavar="S", default=f"{seconds:g}", help=f"wait so long ({seconds:g} s)"
    )


def _up(arguments: argparse.Namespace) -> int:
    # Every verb of the command imports this module: what only these verbs need, they load.
    from dataclasses import replace

    from ..infra.quantities import parse_duration
    from .services import UpRequest, up

    settings = _settings(arguments)
    cores = settings.slots
    named = _named(arguments, settings)
    classes, counts = _asked(arguments, settings, cores)
    if named is not None:
        # A fleet that sizes itself has no other classes than its own.
        others = {name: replace(each, maximum=0) for name, each in classes.items()}
        classes = {**(others if named.auto else classes), **named.classes}
        counts = dict(named.counts)
    auto = arguments.auto or (named is not None and named.auto)
    upped = up(
        UpRequest(
            state=settings.state,
            classes=classes,
            counts=counts,
            cores=cores,
            prefect=partial(_prefect, settings),
            port=arguments.port,
            # A worker that leaves by itself, whenever it likes, must be able to finish anything.
            drain_seconds=parse_duration(
                arguments.drain or ("1h" if auto else "60"), what="--drain"
            ),
            deadline_seconds=parse_duration(arguments.deadline, what="--deadline"),
            auto=auto or None,
            rules=named.rules if named is not None else None,
            **_tuned(arguments),
            chaos_target=arguments.chaos_target,
            provider=arguments.provider or (named.provider if named is not None else ""),
        ),
        say=_say,
    )
    record = upped.record
    page = record.prefect_url or ("" if record.prefect in {"off", "resident"} else record.prefect)
    if arguments.open_browser and page:
        import webbrowser

        webbrowser.open(page)
    if arguments.json:
        document = {
            "started": upped.started,
            "address": record.address,
            "prefect": page,
            "workers": dict(record.counts),
            "changed": {name: list(change) for name, change in upped.changed.items()},
        }
        print(json.dumps(document))
        return 0
    print(_upped_text(started=upped.started, changed=upped.changed))
    print(f"  scheduler  {record.address}")
    print(f"  prefect    {page or 'off'}")
    print(f"  workers    {', '.join(f'{name}={count}' for name, count in record.counts.items())}")
    for name, count in record.counts.items():
        if count and record.classes[name].simulated_gpu:
            print(f"  note       the GPUs of class {name} are simulated: names, no devices")
    return 0


def _upped_text(*, started: bool, changed: Mapping[str, tuple[int, int]]) -> str:
    if started:
        return "the fleet is up; `proctor run` uses it from now on"
    if not changed:
        return "the fleet is up already"
    changes = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    return f"the fleet was up; changed {changes}"


def _down(arguments: argparse.Namespace) -> int:
    from ..infra.campaigns import list_campaigns
    from ..infra.quantities import parse_duration
    from .services import down

    state = _settings(arguments).state
    running = [each.id for each in list_campaigns(state) if each.state == "running"]
    for campaign in running:
        _say(f"campaign {campaign} is running; `proctor resume {campaign}` continues it")
    downed = down(
        state,
        now=arguments.now,
        deadline_seconds=parse_duration(arguments.deadline, what="--deadline"),
        running=running,
    )
    for campaign in downed.untold:
        _say(f"Prefect was not told all of {campaign}; `proctor mirror {campaign}` does that")
    if arguments.json:
        document = {
            "was_up": downed.was_up,
            "prefect_stopped": downed.prefect_stopped,
            "killed": downed.killed,
            "running_campaigns": running,
            "untold": list(downed.untold),
        }
        print(json.dumps(document))
        return 0
    if downed.was_up or downed.killed:
        print("the fleet is down")
    elif downed.prefect_stopped:
        print("no fleet was up; the resident Prefect server is stopped")
    else:
        print("nothing was up")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    if arguments.campaign:
        from . import inspect_acts

        return inspect_acts.ACTS["status"](arguments)
    return _show(arguments, only_workers=False)


def _workers(arguments: argparse.Namespace) -> int:
    return _show(arguments, only_workers=True)


def _show(arguments: argparse.Namespace, *, only_workers: bool) -> int:
    from ..monitoring.terminal import Terminal
    from .fleet_standing import look
    from .fleet_text import print_standing, print_workers, standing_document

    standing = look(_settings(arguments).state)
    if arguments.json:
        document: Any = standing_document(standing)
        if only_workers:
            scores = _scores(standing.state) if standing.workers else {}
            document = [
                {**each, "speed": scores[each["name"]].plain() if each["name"] in scores else None}
                for each in document["workers"]
            ]
        print(json.dumps(document))
        return 0
    if not only_workers:
        print_standing(Terminal(), standing)
    elif standing.workers:
        print_workers(Terminal(), standing.workers, _scores(standing.state))
    else:
        print("no fleet is up; `proctor up` starts one")
    return 0


def _scores(state: Path) -> Mapping[str, Score]:
    """How fast the workers are, as far as the store knows; it may be in use just now."""
    # DuckDB and SciPy: half a second that only who asks for workers pays.
    from ..infra.errors import ProctorError
    from ..monitoring.worker_scores import read_scores

    try:
        return read_scores(state)
    except ProctorError as problem:
        _say(f"without speeds: {problem}")
        return {}


def _scale(arguments: argparse.Namespace) -> int:
    from ..infra.quantities import parse_duration
    from .services import scale

    counts: dict[str, int] = {}
    for text in arguments.counts:
        name, _, number = text.partition("=")
        counts[name] = _count(text, number)
    tuned = _tuned(arguments)
    if not counts and arguments.auto is None and not any(tuned.values()):
        raise UsageProblem("nothing says how many", remedy="write cpu=2, --auto or --manual")
    upped = scale(
        _settings(arguments).state,
        counts,
        auto=arguments.auto,
        **tuned,
        deadline_seconds=parse_duration(arguments.deadline, what="--deadline"),
        say=_say,
    )
    if arguments.json:
        changed = {name: list(change) for name, change in upped.changed.items()}
        auto = upped.record.auto
        document = {"workers": dict(upped.record.counts), "changed": changed, "auto": auto}
        print(json.dumps(document))
        return 0
    for name, (old, new) in upped.changed.items():
        print(f"{name}: {old} -> {new}")
    if upped.record.auto:
        print("the work of campaigns decides how many there are")
    elif not upped.changed:
        print("nothing to change")
    return 0


def _tuned(arguments: argparse.Namespace) -> dict[str, float | None]:
    from ..infra.quantities import parse_duration

    given = {"horizon": arguments.horizon, "idle": arguments.idle}
    return {
        f"{key}_seconds": None if text is None else parse_duration(text, what=f"--{key}")
        for key, text in given.items()
    }


# What was asked for ----------------------------------------------------------------------------


def _named(arguments: argparse.Namespace, settings: RunSettings) -> ConfiguredFleet | None:
    """The fleet of a block, if one is named; it says everything, so nothing else may."""
    if arguments.fleet is None:
        return None
    from ..infra.setting_readers import FLEET_BLOCK

    if not arguments.fleet.startswith(FLEET_BLOCK) or arguments.fleet == FLEET_BLOCK:
        raise BadSetting(
            f"--fleet {arguments.fleet} names no block", remedy="write it like block:nightly"
        )
    numbers = [f"--{name}" for name in _COMMON if getattr(arguments, name) is not None]
    if arguments.classes or numbers or arguments.templates:
        also = [*numbers, *(["--class"] if arguments.classes else [])] or ["--templates"]
        raise UsageProblem(
            f"--fleet and {also[0]} both say which workers there are",
            remedy="give one of them; `proctor scale` changes the numbers afterwards",
        )
    # Prefect takes a second to import.
    from ..flows.fleet_block import configured_fleet

    return configured_fleet(arguments.fleet, state=settings.state, prefect=settings.prefect)


def _asked(
    arguments: argparse.Namespace, settings: RunSettings, cores: int
) -> tuple[dict[str, WorkerClass], dict[str, int]]:
    """All classes there are, and how many of each were asked for."""
    from ..infra.capabilities import measure
    from ..infra.worker_classes import choose_class, common_classes, parse_class
    from ..infra.worker_templates import read_classes, read_templates

    classes = common_classes(gpus=len(measure(os.environ).gpus))
    if settings.project_file is not None and settings.classes:
        classes |= read_classes(settings.classes, source=f"{settings.project_file.name}: classes")
    if arguments.templates:
        classes |= read_templates(arguments.templates)
    counts: dict[str, int] = {}
    for text in arguments.classes:
        if ":" in text:
            given = parse_class(text, cores=cores)
            classes[given.name] = given
            name, number = given.name, 1
        else:
            name, equals, told = text.partition("=")
            number = _count(text, told) if equals else 1
        choose_class(classes, name)
        counts[name] = counts.get(name, 0) + number
    for name in _COMMON:
        number = getattr(arguments, name)
        if number is not None:
            if name in counts:
                raise UsageProblem(
                    f"--{name} and --class {name} both say how many", remedy="give one of them"
                )
            counts[name] = number
    return classes, counts


def _count(text: str, number: str) -> int:
    try:
        return int(number)
    except ValueError as error:
        raise BadSetting(f"{text!r} says no number of workers", remedy="write cpu=2") from error


def _prefect(settings: RunSettings) -> str:
    from ..flows.prefect_server import PrefectUnavailable, chosen_url, is_answering

    if settings.prefect == "off":
        return "off"
    url = chosen_url(settings.prefect, os.environ)
    if url is None:
        return "resident"
    if not is_answering(url, timeout=10):
        raise PrefectUnavailable(
            f"no Prefect server answers at {url}",
            remedy="start it, unset PREFECT_API_URL to use one of our own, or give --prefect off",
        )
    return url


def _settings(arguments: argparse.Namespace) -> RunSettings:
    given = {"state": arguments.state, "prefect": getattr(arguments, "prefect", None)}
    flags = {key: value for key, value in given.items() if value is not None}
    return load_settings(Path.cwd(), os.environ, flags)


def _say(text: str) -> None:
    """On standard error: standard output belongs to the answer."""
    print(text, file=sys.stderr, flush=True)
