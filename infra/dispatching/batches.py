"""Slots, batches and the commands of the dispatcher: the words it shares with its shells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ..records import Case


class Slot(NamedTuple):
    """Room for one running batch on a worker."""

    worker: str
    number: int


class Move(NamedTuple):
    """Cases taken from one worker to another, and why."""

    cases: tuple[int, ...]
    batch: str
    worker: str
    why: str


class Files(NamedTuple):
    """Files beside those of a batch's own cases, all of them in their order."""

    # To be loaded before anything else.
    ahead: tuple[str, ...] = ()
    # To be loaded when a case fails: it may lean on what they import.
    beside: tuple[str, ...] = ()


NO_FILES = Files()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Cases sent to a slot together."""

    id: str
    slot: Slot
    cases: tuple[Case, ...]
    # After so long the rest comes back to the queue; none for a case that must be waited for.
    budget_seconds: float | None
    # Groups that have nothing left anywhere: their fixtures can be torn down.
    finishes: tuple[str, ...]
    why: str
    # That its session loads, or may have to, beside those of its cases.
    files: Files = NO_FILES
    # A second execution of a straggler: whichever ends first counts.
    hedge: bool = False
    # Those of its cases that other batches were sent with before.
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the batch after its current case."""

    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Kill what the batch is running: its result no longer matters."""

    batch: Batch


Command = Send | Stop | Cancel


class LoadAll(StrEnum):
    """When each session loads all files before its first case."""

    # Where that costs next to nothing.
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a campaign allows."""

    retries: int = 0
    infra_retries: int = 3
    # Stop after so many failed cases; 0 means never.
    maxfail: int = 0
    hedge: bool = True
    # Where a slot would idle; else each file is one slot's, and runs in its order.
    split_files: bool = True
    load_all: LoadAll = LoadAll.AUTO
