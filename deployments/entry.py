"""Where the `proctor` command begins: with nothing to load, so that any Ctrl-C finds us ready.

To one that comes while the modules of an entry point are imported Python answers by a traceback.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Do what was typed; returns the exit code."""
    try:
        from . import cli

        return cli.main()
    except KeyboardInterrupt:
        return interrupted()


def interrupted() -> int:
    """Say that a person ended it; returns pytest's exit code for that."""
    print("proctor: interrupted", file=sys.stderr)
    return 2
