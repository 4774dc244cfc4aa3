"""What the machine under a worker has: cores, memory, GPUs; and which of them are a slot's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from ..cores import core_count
from ..errors import BadSetting
from ..records import WorkerFacts
from .memory_room import memory_there

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU of this machine."""

    # As NVML and PCI count them.
    number: int
    uuid: str
    model: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What was measured, as opposed to what a class says."""

    cores: int
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()


def measure(environ: Mapping[str, str], *, gpus: Iterable[Gpu] | None = None) -> Capabilities:
    """Look at this machine; GPUs that the environment hides are not ours to use."""
    found = find_gpus() if gpus is None else tuple(gpus)
    return Capabilities(
        cores=core_count(),
        memory_bytes=memory_there(),
        gpus=_visible(found, environ.get(VISIBLE)),
    )


def find_gpus() -> tuple[Gpu, ...]:
    """Ask NVML, where there is one."""
    try:
        # Optional, and slow to fail on machines without a driver: only when asked.
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_answering(pynvml))
    except pynvml.NVMLError:
        return ()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def with_measured(facts: WorkerFacts, measured: Capabilities) -> WorkerFacts:
    """Facts of a worker together with what its machine really has."""
    mine = [gpu for gpu in measured.gpus if str(gpu.number) in facts.devices]
    return replace(
        facts,
        machine_cores=measured.cores,
        machine_memory_bytes=measured.memory_bytes,
        gpu_model=mine[0].model if mine else "",
        gpu_memory_bytes=mine[0].memory_bytes if mine else 0,
    )


def assign_devices(facts: WorkerFacts, gpus: Sequence[Gpu], taken: Iterable[str]) -> WorkerFacts:
    """Give a worker GPUs of its own that no other worker has; a simulated GPU needs none."""
    if not facts.gpu or facts.simulated_gpu:
        return facts
    used = set(taken)
    free = [str(gpu.number) for gpu in gpus if str(gpu.number) not in used]
    needed = ceil(facts.gpu)
    if len(free) < needed:
        there = f"{len(gpus)} GPU{'' if len(gpus) == 1 else 's'}" if gpus else "no GPU"
        rest = f", {len(free)} of them free" if gpus else ""
        raise BadSetting(
            f"worker {facts.name} needs gpu={facts.gpu:g}, this machine has {there}{rest}",
            remedy="ask for fewer, or add `simulated` (simulated_gpu = true) to its class",
        )
    return replace(facts, devices=tuple(free[:needed]))


def missing_devices(facts: WorkerFacts, measured: Capabilities) -> list[str]:
    """Devices of a worker that are not there: a GPU can fall off its bus."""
    there = {str(gpu.number) for gpu in measured.gpus}
    return [device for device in facts.devices if device not in there]


def slot_environment(facts: WorkerFacts, slot: int) -> dict[str, str]:
    """What a slot's runner must see: its own devices, where the worker has any."""
    if not facts.devices:
        return {}
    # Fewer devices than slots are taken in turn; more are shared out, the rest going round.
    mine = facts.devices[slot % len(facts.devices) :: facts.slots]
    # Without the order CUDA counts the fastest device first, NVML by bus.
    return {VISIBLE: ",".join(mine), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def gpu_text(facts: WorkerFacts) -> str:
    """GPUs for people; simulated ones always say so."""
    if not facts.gpu:
        return "-"
    if facts.simulated_gpu:
        return f"{facts.gpu:g} simulated"
    return f"{facts.gpu:g} {facts.gpu_model}".rstrip()


def _answering(nvml: Any) -> Iterator[Gpu]:
    """Those that answer: one that fell off its bus must not take the others along."""
    for number in range(nvml.nvmlDeviceGetCount()):
        with contextlib.suppress(nvml.NVMLError):
            yield _gpu(nvml, number)


def _gpu(nvml: Any, number: int) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(number)
    return Gpu(
        number=number,
        uuid=_text(nvml.nvmlDeviceGetUUID(device)),
        model=_text(nvml.nvmlDeviceGetName(device)),
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(device).total),
    )


def _text(value: object) -> str:
    # Older bindings answer with bytes.
    return value.decode() if isinstance(value, bytes) else str(value)


def _visible(gpus: Sequence[Gpu], allowed: str | None) -> tuple[Gpu, ...]:
    if allowed is None:
        return tuple(gpus)
    seen: set[Gpu] = set()
    for name in (each.strip() for each in allowed.split(",")):
        found = {
            gpu for gpu in gpus if name and (name == str(gpu.number) or gpu.uuid.startswith(name))
        }
        if not found:
            # CUDA goes no further than to the first name that is none.
            break
        seen |= found
    return tuple(gpu for gpu in gpus if gpu in seen)
