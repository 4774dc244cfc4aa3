"""The verbs of a fleet on several machines: certs and join; how they are typed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .command_line import add_verb


def register(verbs: Any) -> None:
    """Add the verbs to the command line."""
    certs = add_verb(
        verbs,
        "certs",
        _certs,
        "make the certificates of a fleet that other machines can reach",
        "Makes a private authority and a certificate that all machines of a fleet show each\n"
        "other; nobody without it is heard. Copy ca.pem, fleet.pem and fleet-key.pem to each\n"
        "of them. A second call makes nothing anew.",
        "proctor certs\nproctor certs --renew --days 90",
    )
    certs.add_argument("--renew", action="store_true", help="a new certificate, the same authority")
    certs.add_argument("--days", type=int, default=365, metavar="N", help="how long it holds (365)")

    join = add_verb(
        verbs,
        "join",
        _join,
        "give this machine's cores, memory and GPUs to a fleet that is up elsewhere",
        "Starts workers here and keeps them running until it is ended: Ctrl-C or SIGTERM lets\n"
        "them finish what they run, a second one does not. Without --class: one worker of class\n"
        "cpu with a slot for each core. The project's files are brought by each campaign.",
        "proctor join tls://farm.example:8786 --certs ~/fleet-certs\n"
        "proctor join tls://farm.example:8786 --class gpu:slots=1,gpu=1 --class gpu=2\n"
        "proctor join tls://farm.example:8786 --python /opt/suite/bin/python",
        has_json=False,
    )
    join.add_argument("address", metavar="ADDRESS", help="the scheduler, as `proctor up` prints it")
    join.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="CLASS",
        help="a worker of a class: NAME, NAME=N, or NAME:slots=2,memory=16GB,...",
    )
    join.add_argument(
        "--templates", type=Path, metavar="FILE", help="worker classes (JSON or TOML)"
    )
    join.add_argument(
        "--python", metavar="PATH", help="the interpreter that has the suites' packages here"
    )
    join.add_argument(
        "--name", metavar="NAME", help="what its workers are called by (this machine's name)"
    )
    join.add_argument("--host", metavar="ADDRESS", help="its address, as the scheduler sees it")
    join.add_argument("--drain", metavar="S", default="60", help="how long a drain may take (60)")
    join.add_argument(
        "--patience",
        metavar="S",
        default="10m",
        help="leave when the scheduler has not answered for so long (10m)",
    )
    for parser in (certs, join):
        parser.add_argument(
            "--certs", metavar="DIR", help="the certificates (certs in the state directory)"
        )


# Every verb of the command imports this module: what only these verbs need, they load.


def _certs(arguments: argparse.Namespace) -> int:
    from ..acts import join_acts

    return join_acts.certs_act(arguments)


def _join(arguments: argparse.Namespace) -> int:
    from ..acts import join_acts

    return join_acts.join_act(arguments)
