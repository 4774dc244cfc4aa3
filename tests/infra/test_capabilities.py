"""What a machine has, and which of its GPUs a slot sees."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.errors import BadSetting
from proctor.infra.records import WorkerFacts
from proctor.infra.runners.capabilities import (
    Gpu,
    assign_devices,
    find_gpus,
    gpu_text,
    measure,
    missing_devices,
    slot_environment,
    with_measured,
)

GPUS = tuple(
    Gpu(number=n, uuid=f"GPU-{n}abc", model="NVIDIA H200", memory_bytes=141 * 10**9)
    for n in range(4)
)


def worker(*, gpu: float = 1, slots: int = 1, simulated: bool = False) -> WorkerFacts:
    return WorkerFacts(
        name="gpu-1",
        incarnation="",
        worker_class="gpu",
        slots=slots,
        cpu=1,
        memory_bytes=1,
        gpu=gpu,
        simulated_gpu=simulated,
    )


class _Nvml:
    """The part of `pynvml` that is used, with two devices; one is old and answers in bytes."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, driver: bool = True, lost: int | None = None) -> None:
        self.driver = driver
        self.lost = lost
        self.shut = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError

    def nvmlShutdown(self) -> None:
        self.shut += 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        if number == self.lost:
            raise self.NVMLError
        return number

    def nvmlDeviceGetUUID(self, device: int) -> object:
        return b"GPU-old" if device else "GPU-new"

    def nvmlDeviceGetName(self, device: int) -> object:
        return b"Tesla" if device else "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, device: int) -> object:
        return SimpleNamespace(total=16 if device else 141)


def test_gpus_are_what_nvml_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model and memory of each, and the library is left as it was found."""
    nvml = _Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    assert find_gpus() == (
        Gpu(number=0, uuid="GPU-new", model="NVIDIA H200", memory_bytes=141),
        Gpu(number=1, uuid="GPU-old", model="Tesla", memory_bytes=16),
    )
    assert nvml.shut == 1


@pytest.mark.parametrize("nvml", [None, _Nvml(driver=False)])
def test_a_machine_without_library_or_driver_has_no_gpu(
    monkeypatch: pytest.MonkeyPatch, nvml: object
) -> None:
    """Neither is an error."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    assert find_gpus() == ()


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [(None, [0, 1, 2, 3]), ("", []), ("2", [2]), ("GPU-1,3", [1, 3]), ("-1", []), ("1,-1,2", [1])],
)
def test_hidden_gpus_are_not_ours(visible: str | None, numbers: list[int]) -> None:
    """What CUDA_VISIBLE_DEVICES leaves out belongs to somebody else."""
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    assert [gpu.number for gpu in measure(environ, gpus=GPUS).gpus] == numbers


def test_a_worker_gets_devices_nobody_else_has() -> None:
    """And says their model and memory."""
    facts = assign_devices(worker(gpu=2), GPUS, taken=["0", "2"])
    assert facts.devices == ("1", "3")

    measured = with_measured(facts, measure({}, gpus=GPUS))
    assert (measured.gpu_model, measured.gpu_memory_bytes) == ("NVIDIA H200", 141 * 10**9)
    assert gpu_text(measured) == "2 NVIDIA H200"


def test_a_device_that_fell_off_its_bus_is_missed() -> None:
    """Its worker must not join and fail every case."""
    facts = assign_devices(worker(gpu=2), GPUS, taken=[])

    assert missing_devices(facts, measure({}, gpus=GPUS[1:])) == ["0"]
    assert missing_devices(facts, measure({}, gpus=GPUS)) == []


def test_a_lost_device_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one does not answer: the workers of the second go on."""
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml(lost=0))
    assert [gpu.number for gpu in find_gpus()] == [1]


def test_a_part_of_a_device_is_a_device() -> None:
    """Less than what was asked for would not do."""
    assert len(assign_devices(worker(gpu=2.5), GPUS, ()).devices) == 3
    assert len(assign_devices(worker(gpu=0.5), GPUS, ()).devices) == 1


def test_too_few_devices_are_one_clear_line() -> None:
    """With what there is, and what to do."""
    with pytest.raises(BadSetting, match=r"needs gpu=1, this machine has no GPU; .*simulated"):
        assign_devices(worker(), (), ())
    with pytest.raises(BadSetting, match="this machine has 4 GPUs, 1 of them free"):
        assign_devices(worker(gpu=2), GPUS, ["0", "1", "2"])


def test_a_simulated_gpu_needs_no_device_and_says_so() -> None:
    """It pins nothing, wherever it runs."""
    facts = assign_devices(worker(simulated=True), (), ())

    assert slot_environment(facts, 0) == {}
    assert gpu_text(facts) == "1 simulated"


@given(st.integers(1, 8), st.integers(1, 8))
def test_every_slot_sees_a_device_and_every_device_is_seen(devices: int, slots: int) -> None:
    """With enough devices no two slots share one."""
    names = tuple(map(str, range(devices)))
    facts = WorkerFacts(
        name="g", incarnation="", worker_class="g", slots=slots, cpu=1, memory_bytes=1,
        gpu=devices, devices=names,
    )  # fmt: skip
    seen = [
        slot_environment(facts, slot)["CUDA_VISIBLE_DEVICES"].split(",") for slot in range(slots)
    ]

    assert {name for each in seen for name in each} == set(names)
    assert all(seen)
    if devices >= slots:
        assert sum(map(len, seen)) == devices
