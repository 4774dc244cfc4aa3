"""The verbs of the resident fleet: how they are typed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..acts.class_flags import declare_classes
from .command_line import add_verb

_UP_SECONDS = 120.0


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    up = add_verb(
        verbs,
        "up",
        _act("up"),
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
    # The classes that everybody has.
    for name in ("cpu", "highmem", "gpu"):
        up.add_argument(f"--{name}", type=int, metavar="N", help=f"so many of class {name}")
    declare_classes(
        up,
        fleet="the workers that a block of Prefect says",
        classes="one worker more of a class: NAME, NAME=N, or NAME:slots=2,memory=16GB,...",
    )
    up.add_argument(
        "--provider",
        choices=("local", "work-pool"),
        default="",
        help="where workers come from whose class does not say: this machine, or Prefect's pools",
    )
    up.add_argument(
        "--port",
        type=int,
        default=0,
        metavar="N",
        help="the scheduler's port (that of last time, or a free one)",
    )
    up.add_argument(
        "--listen",
        metavar="HOST",
        help="let workers of other machines join: this machine's address or name as they see it"
        " (needs `proctor certs` once)",
    )
    up.add_argument(
        "--certs", metavar="DIR", help="the certificates (certs in the state directory)"
    )
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

    down = add_verb(
        verbs,
        "down",
        _act("down"),
        "end the fleet and the Prefect server, and leave nothing behind",
        "Lets workers finish what they run, then ends everything: workers, scheduler and the\n"
        "resident Prefect server, also one that `proctor run` had started (its history is kept,\n"
        "and the next campaign starts it again). Campaigns that still run wait a minute for\n"
        "workers and can be resumed.",
        "proctor down\nproctor down --now",
    )
    down.add_argument("--now", action="store_true", help="wait for nothing that runs")
    _deadline(down, 60.0)

    status = add_verb(
        verbs,
        "status",
        _look("status"),
        "services, workers and campaigns; or where one campaign stands",
        "Without a campaign: everything of this state directory in one screen, and how far the\n"
        "campaigns are that run.",
        "proctor status\nproctor status last\nproctor status --json",
    )
    status.add_argument(
        "campaign", nargs="?", metavar="ID", help="a campaign: its id, its beginning, or `last`"
    )
    add_verb(
        verbs,
        "workers",
        _look("workers"),
        "the workers of the fleet, and what each offers",
        "What workers said of themselves when they joined, and how they are: free slots, what\n"
        "they offer, how fast they are beside each other. --json has all of it, however narrow\n"
        "the screen.",
        "proctor workers\nproctor workers --json",
    )

    scale = add_verb(
        verbs,
        "scale",
        _act("scale"),
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


def _tuning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--horizon",
        metavar="S",
        help="with --auto: within how long every case should have begun (five boots, at least 10s)",
    )
    parser.add_argument(
        "--idle",
        metavar="S",
        help="with --auto: how long an idle worker stays (what its class says, or 2m)",
    )


def _deadline(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument(
        "--deadline", metavar="S", default=f"{seconds:g}", help=f"wait so long ({seconds:g} s)"
    )


def _act(name: str) -> Callable[[argparse.Namespace], int]:
    # Every verb of the command imports this module: what only these verbs need, they load.
    def act(arguments: argparse.Namespace) -> int:
        from ..acts import fleet_acts

        return fleet_acts.ACTS[name](arguments)

    return act


def _look(name: str) -> Callable[[argparse.Namespace], int]:
    def act(arguments: argparse.Namespace) -> int:
        from ..acts import fleet_looks

        return fleet_looks.ACTS[name](arguments)

    return act
