"""Where a campaign was started: what whoever resumes it in another shell has to know.

Tests run on workers, with the workers' environment; of the shell in which the campaign was asked
for only its directory and what steers Proctor and Prefect matter. Secrets stay out of the ledger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .secrets import is_secret

_PREFIXES = ("PROCTOR_", "PREFECT_")
# These mark processes of ours; whoever bears one is ended with what it names.
_MARKS = frozenset({"PROCTOR_RESIDENT", "PROCTOR_RUNNER", "PROCTOR_FAULT"})
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The directory and the settings of the shell that asked for a campaign."""

    # Empty where nobody wrote it down.
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def here(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Those of this process."""
        try:
            directory = os.getcwd()  # noqa: PTH109 - Path.cwd() is the same and a Path
        except FileNotFoundError:
            directory = ""
        return cls(
            directory=directory,
            environment={
                name: value for name, value in environ.items() if _may_be_kept(name, value)
            },
        )

    @classmethod
    def from_json(cls, told: Mapping[str, Any] | None) -> Self:
        """As a ledger keeps it; campaigns of earlier versions kept none."""
        return cls(**told) if told else cls()

    def over(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Another process's environment, with this one's settings in place of its own."""
        kept = {name: value for name, value in environ.items() if name not in _MARKS}
        if not self.directory:
            return kept
        return {
            **{name: value for name, value in kept.items() if not _may_be_kept(name, value)},
            **self.environment,
        }


def _may_be_kept(name: str, value: str) -> bool:
    return (
        name.startswith(_PREFIXES)
        and name not in _MARKS
        and not is_secret(name)
        and not _PASSWORD_IN_ADDRESS.search(value)
    )
