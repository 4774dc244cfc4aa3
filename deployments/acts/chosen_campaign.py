"""Which campaign somebody means: an id, the beginning of one, or `last`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ...infra.ledgers.campaigns import LAST, find_campaign, summarise


def standing() -> Path:
    """Where the command was typed."""
    return Path.cwd()


def chosen(state: Path, wanted: str) -> Path:
    """Its directory; where the last one is another project's, that is said."""
    here = standing()
    found = find_campaign(state, wanted, here=here)
    if wanted == LAST:
        summary = summarise(found, now=time.time())
        if summary is not None and summary.root and not summary.is_of(here):
            print(
                f"nothing has run in {here} yet: this is {found.name} of {summary.root}",
                file=sys.stderr,
            )
    return found
