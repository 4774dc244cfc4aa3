"""The verbs about Prefect: deploy, mirror, server."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...infra.discreet_log import log_discreetly
from ...infra.errors import UsageProblem
from ...infra.setting_readers import without_credentials
from ...infra.settings import load_settings
from .command_line import add_verb, seconds

if TYPE_CHECKING:
    from ...flows.server.prefect_server import ResidentServer, ServerRecord
    from ..catalog import Step

_MARKS = {"created": "[green]created[/]", "updated": "[yellow]updated[/]"}


def register(verbs: Any) -> None:
    """Add the verbs to the command's parser."""
    deploy = add_verb(
        verbs,
        "deploy",
        act=_deploy,
        summary="register Proctor's deployments with Prefect",
        description="Creates the work pool and the deployments, or brings them up to date.\n"
        "Doing it again changes nothing. Without a configured Prefect server the resident\n"
        "one is used.",
        example="proctor deploy\nproctor deploy --prefect http://127.0.0.1:4200/api --json",
    )
    _add_prefect(deploy)
    tell = add_verb(
        verbs,
        "mirror",
        act=_mirror,
        summary="tell Prefect about a campaign, again or for the first time",
        description="Brings Prefect's history up to date with a campaign's journal; what it knows\n"
        "already is not told twice. Follows a campaign that still runs, and says what it waits\n"
        "for.",
        example="proctor mirror last\nproctor mirror 20260101-0930 --patience 30",
    )
    tell.add_argument(
        "campaign",
        nargs="?",
        default="last",
        metavar="ID",
        help="a campaign: its id, the beginning of it, or `last` (default: last)",
    )
    tell.add_argument(
        "--patience",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds for all of it, from the campaign's end (60)",
    )
    _add_prefect(tell)
    server = add_verb(
        verbs,
        "server",
        act=_server,
        summary="start, stop or look at the resident Prefect server",
        description="One server per state directory, on this machine only. `proctor run` starts\n"
        "it in the background where no other is configured.",
        example="proctor server start\nproctor server status --json\nproctor server stop",
    )
    server.add_argument(
        "act_on_server", choices=("start", "stop", "status"), metavar="start|stop|status"
    )


def _add_prefect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefect", metavar="URL", help="the server's API, or auto")


def _deploy(arguments: argparse.Namespace) -> int:
    # Every verb of the command imports this module: what only these verbs need, they load.
    import asyncio

    from rich.console import Console

    from ...flows.server.prefect_server import usable_url

    state, setting = _settings(arguments)
    url = usable_url(setting, state)
    steps = asyncio.run(_register(url))
    if arguments.json:
        print(
            json.dumps({"api": without_credentials(url), "steps": [asdict(step) for step in steps]})
        )
        return 0
    console = Console(highlight=False)
    for step in steps:
        change = step.change.value
        console.print(f"{_MARKS.get(change, change)} {step.kind} [bold]{step.name}[/]")
    console.print(f"\nStart a worker for them where the state directory {state} is:")
    pool = next(step.name for step in steps if step.kind == "work pool")
    where = f"PROCTOR_STATE={shlex.quote(str(state))} PREFECT_API_URL={without_credentials(url)}"
    console.print(f"  {where} prefect worker start --pool {pool}", soft_wrap=True)
    return 0


async def _register(url: str) -> list[Step]:
    from prefect.client.orchestration import get_client

    from ...flows.server.connection import speaking_to
    from .. import catalog

    with speaking_to(url):
        async with get_client() as client:
            return await catalog.register(client)


def _mirror(arguments: argparse.Namespace) -> int:
    from ...flows.mirroring.mirror import mirror
    from ...flows.mirroring.onlooker import Onlooker

    state, setting = _settings(arguments)
    if setting == "off":
        # Who tells a server starts one.
        raise UsageProblem(
            "Prefect is switched off (prefect = off)", remedy="give --prefect auto or an address"
        )
    directory = _campaign_directory(state, arguments.campaign)
    log_discreetly("%(message)s")
    patience = f"{arguments.patience:g} s"
    _say(f"telling Prefect of campaign {directory.name}, for {patience} at most once it is over")
    onlooker = Onlooker(_say)
    told = mirror(directory, setting=setting, patience=arguments.patience, onlooker=onlooker)
    if arguments.json:
        print(json.dumps({"campaign": directory.name, "told": told}))
    elif not told:
        print(f"Prefect could not be told all of campaign {directory.name}: {onlooker.why_not}")
        print("What it was told stays told; run this again later, or with a longer --patience")
    elif onlooker.saw_it_written:
        print(f"Prefect knows all of campaign {directory.name}")
    else:
        print(f"Prefect took in all of campaign {directory.name}, and is still writing it down")
    return 0 if told else 6


def _server(arguments: argparse.Namespace) -> int:
    from ...flows.server.prefect_server import ResidentServer

    state, setting = _settings(arguments)
    resident = ResidentServer(state)
    match arguments.act_on_server:
        case "start":
            return _say_started(resident.ensure(), as_json=arguments.json)
        case "stop":
            return _stop(state, as_json=arguments.json)
        case _:
            return _say_status(resident, setting, as_json=arguments.json)


def _stop(state: Path, *, as_json: bool) -> int:
    from ...infra.ledgers.campaigns import list_campaigns
    from ..standing.services import stop_prefect

    running = [each.id for each in list_campaigns(state) if each.state == "running"]
    stopped, untold = stop_prefect(state, now=False, running=running, say=_say)
    for campaign in untold:
        _say(f"Prefect was not told all of {campaign}; `proctor mirror {campaign}` does that")
    text = "stopped" if stopped else "no resident Prefect server runs"
    print(json.dumps({"stopped": stopped, "untold": untold}) if as_json else text)
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say_started(record: ServerRecord, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"api": record.api_url, "ui": record.ui_url, "pid": record.pid}))
        return 0
    print(f"Prefect answers at {record.ui_url}")
    print(f"To use it with Prefect's own command: export PREFECT_API_URL={record.api_url}")
    return 0


def _say_status(resident: ResidentServer, setting: str, *, as_json: bool) -> int:
    from ...flows.server.prefect_server import chosen_url, is_answering

    chosen = None if setting == "off" else chosen_url(setting, os.environ)
    status = resident.status()
    record = status.record
    facts: dict[str, Any] = {
        "configured": without_credentials(chosen) if chosen else None,
        "configured_answers": is_answering(chosen) if chosen else None,
        "resident": None
        if record is None
        else {
            "api": record.api_url,
            "ui": record.ui_url,
            "pid": record.pid,
            "alive": status.alive,
            "answering": status.answering,
        },
    }
    if as_json:
        print(json.dumps(facts))
        return 0
    if chosen:
        answers = "answers" if facts["configured_answers"] else "does not answer"
        print(f"configured server {facts['configured']} {answers}")
    if record is None or not status.alive:
        print("no resident Prefect server runs; `proctor server start` starts one")
    else:
        answers = "answers" if status.answering else "does not answer (yet)"
        print(f"resident server {record.ui_url} {answers} (process {record.pid})")
    return 0


def _settings(arguments: argparse.Namespace) -> tuple[Path, str]:
    """The state directory, and the setting that says where Prefect is."""
    given = {"state": arguments.state, "prefect": getattr(arguments, "prefect", None)}
    flags = {key: value for key, value in given.items() if value is not None}
    settings = load_settings(Path.cwd(), os.environ, flags)
    return settings.state, settings.prefect


def _campaign_directory(state: Path, name: str) -> Path:
    from ..acts.chosen_campaign import chosen

    return chosen(state, name)
