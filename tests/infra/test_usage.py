"""Use of memory and GPUs is seen from outside, cheaply and over whole trees."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from waiting import wait_until

from proctor.infra.runners import usage
from proctor.infra.runners.usage import (
    FakeGpu,
    GpuSample,
    NoGpu,
    NvmlProbe,
    Samples,
    find_gpu,
    in_words,
    proportional_bytes,
    resident_bytes,
    tree_of,
)


class NvmlError(Exception):
    """As pynvml has it."""


class FakeNvml:
    """Two devices; process 10 computes on both, 11 draws on the first."""

    NVMLError = NvmlError

    def __init__(self, *, accounting: bool = True) -> None:
        self.accounting = accounting
        self.closed = False

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=10, usedGpuMemory=100 * (device + 1))]

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        if device == 1:
            raise NvmlError("not supported")
        return [SimpleNamespace(pid=11, usedGpuMemory=None)]

    def nvmlDeviceGetProcessUtilization(self, device: int, since: int) -> list[SimpleNamespace]:
        if not self.accounting or since >= 5:
            raise NvmlError("not found")
        return [SimpleNamespace(pid=10, smUtil=30, timeStamp=5)]

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=80)

    def nvmlShutdown(self) -> None:
        self.closed = True


def test_gpu_use_is_that_of_the_asked_processes() -> None:
    """Memory and utilisation are summed over devices, for the processes of one case."""
    nvml = FakeNvml()
    probe = NvmlProbe(nvml)
    assert probe.sample([10]) == GpuSample(utilisation=60.0, memory_bytes=300)
    assert probe.sample([12]) is None
    probe.close()
    assert nvml.closed


def test_gpu_use_without_accounting_is_that_of_the_device() -> None:
    """Where the driver tells no utilisation per process, the device's stands in."""
    probe = NvmlProbe(FakeNvml(accounting=False))
    assert probe.sample([11]) == GpuSample(utilisation=80.0, memory_bytes=0)


def test_a_machine_without_gpu_has_a_probe_that_sees_none() -> None:
    """Nobody has to ask whether there is a GPU."""
    probe = find_gpu()
    if isinstance(probe, NoGpu):
        assert probe.sample([os.getpid()]) is None
    probe.close()


def test_samples_are_taken_when_due_and_reset_between_cases() -> None:
    """Short cases are not looked at; a new case starts from nothing."""
    began = time.monotonic()
    samples = Samples(FakeGpu([GpuSample(utilisation=10.0, memory_bytes=5)]))
    me = [psutil.Process()]
    assert samples.due > began
    samples.due = time.monotonic() + 3600
    assert samples.take(lambda: me) is None
    samples.due = time.monotonic()
    used = samples.take(lambda: me)
    assert used is not None
    assert used > 1_000_000
    done: dict[str, object] = {"peak": 1}
    samples.add_to(done)
    assert done == {"peak": used, "gpu": 10.0, "gpu_memory": 5}
    samples.restart()
    fresh: dict[str, object] = {"peak": 3}
    samples.add_to(fresh)
    assert fresh == {"peak": 3}


def test_shared_pages_count_once_in_the_closer_look() -> None:
    """Forked processes that share a block do not each account for it."""
    program = (
        "import os, sys, time\n"
        "block = bytearray(100_000_000)\n"
        "for _ in range(3):\n"
        "    if not os.fork(): time.sleep(60); os._exit(0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        tree = tree_of(process.pid)
        assert len(tree) == 4
        assert resident_bytes(tree) > 400_000_000
        assert proportional_bytes(tree) < 200_000_000
    finally:
        for one in tree_of(process.pid):
            one.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert tree_of(process.pid) == []
    wait_until(lambda: resident_bytes(tree) == 0, what="the end of the processes")


@pytest.mark.parametrize(
    ("size", "words"), [(1_500_000, "2 MB"), (999_999_999, "1000 MB"), (2_500_000_000, "2.50 GB")]
)
def test_sizes_in_words(size: int, words: str) -> None:
    """Sizes in messages are short."""
    assert in_words(size) == words


def test_oom_kills_are_counted_by_the_kernel() -> None:
    """The counter never falls."""
    first = usage.oom_kills()
    assert usage.oom_kills() >= first >= 0
