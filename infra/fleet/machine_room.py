"""Whether workers are promised more than this machine has."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import BadSetting
from ..quantities import format_size
from ..records import WorkerFacts
from ..resources import memory_text
from ..worker_classes import WorkerClass
from .mixed_provider import LOCAL


def is_here(worker_class: WorkerClass) -> bool:
    """Whether its workers are processes of this machine; a command may start them anywhere."""
    return worker_class.provider in {"", LOCAL} and not worker_class.command


def check_memory(worker: WorkerFacts, *, there: int) -> None:
    """Refuse a promise that this machine cannot keep, whoever else is on it."""
    if worker.memory_bytes > there:
        raise BadSetting(
            f"worker {worker.name} is to have memory={format_size(worker.memory_bytes)}, and this"
            f" machine has {memory_text(there)}",
            remedy="give its class less, or `proctor join` a machine that has as much",
        )


def memory_line(workers: Iterable[WorkerFacts], *, there: int) -> str:
    """What somebody should know whose workers on this machine share its memory; else empty.

    Those whose class says nothing take what is left, and need not be told.
    """
    promised = sum(each.memory_bytes for each in workers if each.memory_bytes != there)
    if promised <= there:
        return ""
    return (
        f"workers are promised memory={memory_text(promised)} together, and this machine has"
        f" {memory_text(there)}: cases that ask for memory wait for each other"
    )
