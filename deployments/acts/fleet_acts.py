"""The verbs that change the resident fleet: up, scale, down; what they do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ...flows.server.prefect_server import ResidentServer, answering_url
from ...infra.cores import core_count
from ...infra.errors import BadSetting, UsageProblem
from ...infra.fleet.certificates import WARN_DAYS, certificates_in, days_left
from ...infra.fleet.class_choice import known_classes, read_count, workers_asked
from ...infra.fleet.files import FleetRecord
from ...infra.fleet.providers import Phase
from ...infra.fleet.reach import Reach, is_loopback, listening_host
from ...infra.ledgers.campaigns import list_campaigns
from ...infra.quantities import parse_duration
from ...infra.runners.memory_room import memory_there
from ...infra.setting_readers import FLEET_BLOCK, without_credentials
from ...infra.settings import DEFAULT, RunSettings
from ...infra.state_flag import state_flag, with_state
from ..standing.fleet_checks import crowded_lines
from ..standing.services import UpRequest, down, scale, up
from .class_flags import settings_of

if TYPE_CHECKING:
    from ...blocks.fleet import ConfiguredFleet
    from ...infra.worker_classes import WorkerClass

# The classes that everybody has, each with a flag of its own.
COMMON = ("cpu", "highmem", "gpu")


def up_act(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    say, flags = _teller(arguments), state_flag(arguments.state)
    cores = settings.slots
    named = _named(arguments, settings)
    classes, counts = _asked(arguments, settings)
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
            reach=_reach(arguments, settings, say),
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
        say=say,
    )
    record = upped.record
    _say_if_crowded(record, say)
    there = _there(record)
    # Workers that only start are there; what was refused has been said.
    refused = any(each.phase is Phase.REFUSED for each in record.instances)
    lacking = there != dict(record.counts) and (refused or record.launch_problems)
    code = 6 if lacking else 0
    page = _page(record, settings)
    if arguments.open_browser and page:
        import webbrowser

        webbrowser.open(page)
    if arguments.json:
        document = {
            "started": upped.started,
            "address": record.address,
            "prefect": page,
            "workers": there,
            "problems": list(record.launch_problems),
            "changed": {name: list(change) for name, change in upped.changed.items()},
        }
        print(json.dumps(document))
        return code
    print(with_state(_upped_text(started=upped.started, changed=upped.changed), flags))
    print(f"  scheduler  {record.address}")
    if record.certs:
        print(f"  join       proctor join {record.address} --certs DIR   on other machines")
        print(f"  certs      {record.certs}   (DIR there is a copy: what they have to show)")
    print(f"  prefect    {page or ('off' if record.prefect == 'off' else 'starting')}")
    words = [
        f"{name}={there[name]}" + ("" if there[name] == count else f" of {count}")
        for name, count in record.counts.items()
    ]
    print(f"  workers    {', '.join(words)}")
    for note in _simulated_notes(record, record.counts):
        print(f"  note       {note}")
    return code


def _simulated_notes(record: FleetRecord, counts: Mapping[str, int]) -> list[str]:
    """What has to be known of the GPUs of these workers."""
    return [
        f"the GPUs of class {name} are simulated: names, no devices"
        for name, count in counts.items()
        if count and record.classes[name].simulated_gpu
    ]


def _there(record: FleetRecord) -> dict[str, int]:
    """How many of each class run or start, of those there should be."""
    here = Counter(each.worker_class for each in record.instances if each.phase.is_there)
    return {name: min(count, here[name]) for name, count in record.counts.items()}


def _say_if_crowded(record: FleetRecord, say: Callable[[str], None]) -> None:
    for line in crowded_lines(
        record.classes,
        record.counts,
        cores=core_count(),
        memory_bytes=memory_there(),
        auto=record.auto,
    ):
        say(line)


def _reach(
    arguments: argparse.Namespace, settings: RunSettings, say: Callable[[str], None]
) -> Reach | None:
    """Who is to reach the fleet; on loopback nobody else, and nothing has to be shown."""
    if arguments.listen is None:
        return None
    host = listening_host(arguments.listen)
    # Certificates that are named are wanted, such as behind a tunnel.
    if is_loopback(host) and settings.origin("certs") == DEFAULT:
        say(f"--listen {arguments.listen} is {host}, which only this machine reaches")
        return Reach(host=host)
    if arguments.chaos_target:
        raise UsageProblem(
            "faults are injected into fleets on loopback only",
            remedy="leave out --listen, or --chaos-target",
        )
    certificates = certificates_in(settings.certificates, now=time.time())
    left = days_left(certificates, now=time.time())
    if left < WARN_DAYS:
        say(f"the fleet's certificate ends in {left:.0f} days; `proctor certs --renew`")
    return Reach(host=host, certs=str(certificates.directory))


def _page(record: FleetRecord, settings: RunSettings) -> str:
    """The page of its Prefect server; empty while there is none."""
    if record.prefect != "resident":
        return "" if record.prefect == "off" else without_credentials(record.prefect)
    # The supervisor looks only now and then whether it has come back.
    status = ResidentServer(settings.state).status()
    return status.record.ui_url if status.record and status.answering else ""


def _upped_text(*, started: bool, changed: Mapping[str, tuple[int, int]]) -> str:
    if started:
        return "the fleet is up; `proctor run` uses it from now on"
    if not changed:
        return "the fleet is up already"
    changes = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    return f"the fleet was up; changed {changes}"


def scale_act(arguments: argparse.Namespace) -> int:
    counts: dict[str, int] = {}
    for text in arguments.counts:
        name, _, number = text.partition("=")
        counts[name] = read_count(text, number)
    tuned = _tuned(arguments)
    if not counts and arguments.auto is None and not any(tuned.values()):
        raise UsageProblem("nothing says how many", remedy="write cpu=2, --auto or --manual")
    say = _teller(arguments)
    upped = scale(
        settings_of(arguments).state,
        counts,
        auto=arguments.auto,
        **tuned,
        deadline_seconds=parse_duration(arguments.deadline, what="--deadline"),
        say=say,
    )
    _say_if_crowded(upped.record, say)
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
    for note in _simulated_notes(upped.record, counts):
        print(f"note: {note}")
    return 0


def down_act(arguments: argparse.Namespace) -> int:
    state, say = settings_of(arguments).state, _teller(arguments)
    running = [each.id for each in list_campaigns(state) if each.state == "running"]
    for campaign in running:
        say(
            f"campaign {campaign} is running; it ends by itself, as does what tells Prefect of it;"
            f" `proctor resume {campaign}` continues it"
        )
    downed = down(
        state,
        now=arguments.now,
        deadline_seconds=parse_duration(arguments.deadline, what="--deadline"),
        running=running,
        say=say,
    )
    for campaign in downed.untold:
        say(f"Prefect was not told all of {campaign}; `proctor mirror {campaign}` does that")
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
    fleet = downed.was_up or downed.killed
    if fleet and downed.prefect_stopped:
        print("the fleet and the resident Prefect server are down")
    elif fleet:
        print("the fleet is down")
    elif downed.prefect_stopped:
        print("no fleet was up; the resident Prefect server is stopped")
    else:
        print("nothing was up")
    return 0


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "up": up_act,
    "scale": scale_act,
    "down": down_act,
}


def _tuned(arguments: argparse.Namespace) -> dict[str, float | None]:
    given = {"horizon": arguments.horizon, "idle": arguments.idle}
    return {
        f"{key}_seconds": None if text is None else parse_duration(text, what=f"--{key}")
        for key, text in given.items()
    }


def _named(arguments: argparse.Namespace, settings: RunSettings) -> ConfiguredFleet | None:
    """The fleet of a block, if one is named; it says everything, so nothing else may."""
    if arguments.fleet is None:
        return None
    if not arguments.fleet.startswith(FLEET_BLOCK) or arguments.fleet == FLEET_BLOCK:
        raise BadSetting(
            f"--fleet {arguments.fleet} names no block", remedy="write it like block:nightly"
        )
    numbers = [f"--{name}" for name in COMMON if getattr(arguments, name) is not None]
    if arguments.classes or numbers or arguments.templates:
        also = [*numbers, *(["--class"] if arguments.classes else [])] or ["--templates"]
        raise UsageProblem(
            f"--fleet and {also[0]} both say which workers there are",
            remedy="give one of them; `proctor scale` changes the numbers afterwards",
        )
    # Prefect takes a second to import.
    from ...flows.campaigns.fleet_block import configured_fleet

    return configured_fleet(arguments.fleet, state=settings.state, prefect=settings.prefect)


def _asked(
    arguments: argparse.Namespace, settings: RunSettings
) -> tuple[dict[str, WorkerClass], dict[str, int]]:
    """All classes there are, and how many of each were asked for."""
    classes = known_classes(settings, arguments.templates)
    counts: dict[str, int] = {}
    asked = workers_asked(
        arguments.classes, lambda: classes, cores=settings.slots, origin="--class"
    )
    for each, number in asked:
        classes[each.name] = each
        counts[each.name] = counts.get(each.name, 0) + number
    for name in COMMON:
        number = getattr(arguments, name)
        if number is not None:
            if name in counts:
                raise UsageProblem(
                    f"--{name} and --class {name} both say how many", remedy="give one of them"
                )
            counts[name] = number
    return classes, counts


def _prefect(settings: RunSettings) -> str:
    """Which server the fleet tells; one of its own is started later, and kept."""
    if settings.prefect == "off":
        return "off"
    return answering_url(settings.prefect, purpose="; --prefect off does without") or "resident"


def _teller(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Says things on standard error: standard output belongs to the answer."""
    flags = state_flag(arguments.state)

    def say(text: str) -> None:
        print(with_state(text, flags), file=sys.stderr, flush=True)

    return say
