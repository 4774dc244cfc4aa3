"""What a process tree uses right now: memory, and GPUs where there are any."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """The use of all GPUs by some processes, at one moment."""

    # Percent of one GPU; two busy GPUs make 200.
    utilisation: float
    memory_bytes: int


class GpuProbe(Protocol):
    """Asks what processes use of the GPUs."""

    def sample(self, pids: Iterable[int]) -> GpuSample | None:
        """None when the processes touch no GPU."""
        ...

    def close(self) -> None: ...


class NoGpu:
    """The probe of a machine without a GPU."""

    def sample(self, pids: Iterable[int]) -> GpuSample | None:
        del pids
        return None

    def close(self) -> None:
        pass


class FakeGpu:
    """A probe for tests: says what it was told."""

    def __init__(self, samples: Iterable[GpuSample | None] = ()) -> None:
        self.samples = list(samples)
        self.asked: list[frozenset[int]] = []

    def sample(self, pids: Iterable[int]) -> GpuSample | None:
        self.asked.append(frozenset(pids))
        if not self.samples:
            return None
        # The last one stays, as a steady load would.
        return self.samples.pop(0) if len(self.samples) > 1 else self.samples[0]

    def close(self) -> None:
        pass


class NvmlProbe:
    """NVIDIA's management library, through the optional `pynvml`."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.devices = [
            nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())
        ]
        # Microseconds; each device only reports samples newer than this.
        self.seen = dict.fromkeys(range(len(self.devices)), 0)

    def sample(self, pids: Iterable[int]) -> GpuSample | None:
        wanted = frozenset(pids)
        utilisation = 0.0
        memory = 0
        touched = False
        for number, device in enumerate(self.devices):
            used = self._memory(device, wanted)
            if used is None:
                continue
            touched = True
            memory += used
            utilisation += self._utilisation(number, device, wanted)
        return GpuSample(utilisation=utilisation, memory_bytes=memory) if touched else None

    def _memory(self, device: Any, pids: frozenset[int]) -> int | None:
        used: int | None = None
        for list_processes in (
            self.nvml.nvmlDeviceGetComputeRunningProcesses,
            self.nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            with contextlib.suppress(self.nvml.NVMLError):
                for process in list_processes(device):
                    if process.pid in pids:
                        # None where the driver does not say, as in some containers.
                        used = (used or 0) + int(process.usedGpuMemory or 0)
        return used

    def _utilisation(self, number: int, device: Any, pids: frozenset[int]) -> float:
        try:
            samples = self.nvml.nvmlDeviceGetProcessUtilization(device, self.seen[number])
        except self.nvml.NVMLError:
            # No newer sample, or per-process accounting is unsupported here.
            return self._device_utilisation(device)
        self.seen[number] = max(
            (int(sample.timeStamp) for sample in samples), default=self.seen[number]
        )
        latest = {sample.pid: float(sample.smUtil) for sample in samples if sample.pid in pids}
        return sum(latest.values())

    def _device_utilisation(self, device: Any) -> float:
        try:
            return float(self.nvml.nvmlDeviceGetUtilizationRates(device).gpu)
        except self.nvml.NVMLError:
            return 0.0

    def close(self) -> None:
        with contextlib.suppress(self.nvml.NVMLError):
            self.nvml.nvmlShutdown()


def find_gpu() -> GpuProbe:
    """The probe that fits this machine."""
    try:
        # Optional dependency, and slow to fail on machines without a driver: only when asked.
        import pynvml
    except ImportError:
        return NoGpu()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return NoGpu()
    try:
        return NvmlProbe(pynvml)
    except pynvml.NVMLError:
        return NoGpu()


class Samples:
    """What is seen of one running case from outside, now and then."""

    # Cases shorter than this are over before anybody looks.
    FIRST_SECONDS = 0.1
    # Looking must not cost more than this part of a core.
    SHARE = 0.02

    def __init__(self, gpu: GpuProbe) -> None:
        self.gpu = gpu
        self.restart()

    def restart(self) -> None:
        self.peak_bytes = 0
        self.gpu_bytes: int | None = None
        self.gpu_shares: list[float] = []
        self.due = time.monotonic() + self.FIRST_SECONDS

    def take(self, processes: Callable[[], list[psutil.Process]]) -> int | None:
        """The memory used now, shared pages counted once where it matters; None if not yet due."""
        began = time.monotonic()
        if began < self.due:
            return None
        tree = processes()
        used = resident_bytes(tree)
        if used > self.peak_bytes and len(tree) > 1:
            # Forked processes share pages and each counts them: look closer before believing it.
            used = proportional_bytes(tree)
        self.peak_bytes = max(self.peak_bytes, used)
        sample = self.gpu.sample(process.pid for process in tree)
        if sample is not None:
            self.gpu_bytes = max(self.gpu_bytes or 0, sample.memory_bytes)
            self.gpu_shares.append(sample.utilisation)
        ended = time.monotonic()
        self.due = ended + max(self.FIRST_SECONDS, (ended - began) / self.SHARE)
        return used

    def add_to(self, done: dict[str, Any]) -> None:
        """Complete what the case's process measured of itself."""
        done["peak"] = max(int(done.get("peak", 0)), self.peak_bytes)
        if self.gpu_bytes is not None:
            done["gpu_memory"] = self.gpu_bytes
            done["gpu"] = sum(self.gpu_shares) / len(self.gpu_shares)


def in_words(size: int) -> str:
    """A number of bytes for a message."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def tree_of(pid: int) -> list[psutil.Process]:
    """The process and all its descendants; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Sum of the resident memory; pages shared between them count several times."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_info().rss
    return total


def proportional_bytes(processes: Iterable[psutil.Process]) -> int:
    """Memory with shared pages counted once; slower, for a second look before a kill."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            full = process.memory_full_info()
            total += int(getattr(full, "pss", 0) or full.rss)
    return total


def oom_kills() -> int:
    """How many processes the kernel has ended for memory since it started."""
    try:
        with Path("/proc/vmstat").open() as lines:
            for line in lines:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0
