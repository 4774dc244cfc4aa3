"""How a process of ours is told which Prefect server is meant.

All users of a machine can read the arguments of a process; its environment only its own user can.
So a name and a password that an address carries go there.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...infra.setting_readers import without_credentials

_VARIABLE = "PROCTOR_PREFECT"


def to_process(setting: str, environ: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """What stands in the arguments of a process, and the environment it gets."""
    shown = without_credentials(setting)
    return shown, environ if shown == setting else {**environ, _VARIABLE: setting}


def from_process(argument: str, environ: Mapping[str, str]) -> str:
    """The setting, as that process reads it back."""
    whole = environ.get(_VARIABLE, "")
    return whole if whole and without_credentials(whole) == argument else argument
