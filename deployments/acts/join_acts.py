"""The verbs of a fleet on several machines: certs and join; what they do."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from types import FrameType

from ...flows.campaigns.fleet_choice import own_workers
from ...infra.errors import BadSetting
from ...infra.fleet.certificates import (
    PLACE,
    Certificates,
    certificates_in,
    days_left,
    make_certificates,
)
from ...infra.fleet.class_choice import known_classes
from ...infra.fleet.machine_room import memory_line
from ...infra.fleet.reach import own_address, refuse_in_the_clear
from ...infra.fleet.roster import JOINED
from ...infra.listener import await_listener, refuse_if_tls
from ...infra.quantities import parse_duration
from ...infra.records import WorkerFacts
from ...infra.runners.memory_room import memory_there
from ...infra.runners.slot_keeper import OWN_PYTHON
from ...infra.setting_readers import scheduler_address
from ...infra.settings import RunSettings
from ..standing.joined_workers import JoinedWorkers
from .class_flags import settings_of

LOOK_SECONDS = 0.2
# As long as the authority holds.
MOST_DAYS = 3650


def certs_act(arguments: argparse.Namespace) -> int:
    directory = settings_of(arguments).certificates
    if not 1 <= arguments.days <= MOST_DAYS:
        raise BadSetting(
            f"--days {arguments.days} is no time", remedy=f"write one from 1 to {MOST_DAYS}"
        )
    there = Certificates(directory)
    made = arguments.renew or not there.exist
    if made:
        make_certificates(directory, days=arguments.days, renewing=arguments.renew)
    else:
        certificates_in(directory, now=time.time())
    left = days_left(there, now=time.time())
    if arguments.json:
        copied = [str(path) for path in there.to_copy]
        document = {"directory": str(directory), "made": made, "days_left": left, "copy": copied}
        print(json.dumps(document))
        return 0
    until = time.strftime("%Y-%m-%d", time.localtime(time.time() + left * 86_400))
    print(
        f"{'made certificates' if made else 'there are certificates'} in {directory}, until {until}"
    )
    names = " ".join(path.name for path in there.to_copy)
    print(f"  copy  {names}   to each machine of the fleet")
    print(f"  keep  {there.authority_key.name}   here: whoever has it can make more")
    print("next: proctor up --listen HOST   and there   proctor join tls://HOST:PORT --certs DIR")
    return 0


def join_act(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    address = _address(arguments.address)
    # Refused here, in a line, and not by each worker in its log.
    certificates = (
        certificates_in(settings.certificates, now=time.time())
        if address.startswith("tls://")
        else None
    )
    drain = parse_duration(arguments.drain, what="--drain")
    patience = parse_duration(arguments.patience, what="--patience")
    facts = _facts(arguments, settings)
    shared = memory_line(facts, there=memory_there())
    if shared:
        _say(shared)
    python = _interpreter(arguments.python) if arguments.python else ""
    await_listener(address)
    refuse_if_tls(address)
    # Dask takes 0.4 s to import.
    from ...infra.fleet.one_version import check_joinable

    check_joinable(address, certificates)
    environment = dict(os.environ)
    if certificates is not None:
        environment[PLACE] = str(certificates.directory)
    if python:
        environment[OWN_PYTHON] = python
    workers = JoinedWorkers(
        facts,
        address=address,
        directory=settings.state / "joined",
        environment=environment,
        host=arguments.host or own_address(address),
        drain_seconds=drain,
        patience_seconds=patience,
        say=_say,
    )
    _say(f"{', '.join(each.name for each in facts)} join {address}; Ctrl-C lets them finish")
    asked = threading.Semaphore(0)

    def hear(_number: int, _frame: FrameType | None) -> None:
        asked.release()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)
    try:
        while workers.tick(time.monotonic()):
            if asked.acquire(timeout=LOOK_SECONDS):
                workers.leave()
    finally:
        workers.close()
    return 0


def _address(text: str) -> str:
    address = scheduler_address(text, usual="tls")
    if not address:
        raise BadSetting(
            f"{text!r} is no scheduler's address", remedy="write it like tls://farm.example:8786"
        )
    refuse_in_the_clear(address)
    return address


def _interpreter(text: str) -> str:
    """One that is here: every campaign would end for one that is not."""
    found = shutil.which(text)
    if found is None:
        raise BadSetting(
            f"--python {text} is no interpreter of this machine",
            remedy="name the one that has the suites' packages here",
        )
    # Not resolved: that of a virtual environment is a link.
    return os.path.abspath(found)  # noqa: PTH100


def _facts(arguments: argparse.Namespace, settings: RunSettings) -> list[WorkerFacts]:
    """The workers, called by this machine: the fleet has others of their class."""
    own = own_workers(
        arguments.classes or ["cpu"],
        partial(known_classes, settings, arguments.templates),
        settings.slots,
        origin="--class",
    )
    machine = arguments.name or socket.gethostname().partition(".")[0]
    return [replace(each, name=f"{each.name}{JOINED}{machine}") for each in own]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
