"""How much memory a worker is to leave free on its machine, where somebody says so."""

from __future__ import annotations

from collections.abc import Mapping

from .quantities import parse_size

# Overrides what workers find out themselves, for machines that somebody knows better. No setting
# of a campaign: each worker reads it where it runs.
VARIABLE = "PROCTOR_MEMORY_RESERVE"


def read_reserve(environ: Mapping[str, str]) -> int | None:
    """The bytes, None where nothing is said; refuses what is no size."""
    told = environ.get(VARIABLE, "").strip()
    return parse_size(told, what=VARIABLE) if told else None
