"""What there is to choose from: classes that do nothing more than another for the money."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from proctor.infra.planning import mixes
from proctor.infra.planning.bounds import Load
from proctor.infra.planning.mixes import Market, least_cost, needed
from proctor.infra.records import Requirements
from proctor.infra.worker_classes import WorkerClass

PLAIN = Requirements(cpu=1)
CPU = WorkerClass(name="cpu", slots=1, maximum=64)
BIG = WorkerClass(name="big", slots=1, maximum=64, memory_bytes=2**45)
GPU = WorkerClass(name="gpu", slots=1, gpu=1, simulated_gpu=True, maximum=64)


def left(*classes: WorkerClass, needs: tuple[Requirements, ...] = (PLAIN,), **prices: float):
    """The names of the classes that stay."""
    names = [each.name for each in classes]
    costs = {name: prices.get(name, 1.0) for name in names}
    market = Market(classes=classes, prices=costs, open_ended=frozenset(names))
    return [each.name for each in needed(market, needs).classes]


def test_of_equals_the_first_stays() -> None:
    """Nobody is told to get GPUs for work that needs none."""
    assert left(CPU, BIG, GPU) == ["cpu"]


def test_what_only_one_can_do_keeps_its_class() -> None:
    """Also beside those that are as good for the rest."""
    assert left(CPU, BIG, GPU, needs=(PLAIN, Requirements(gpu=1))) == ["cpu", "gpu"]


def test_what_is_better_or_cheaper_stays() -> None:
    """More slots, a shorter boot or a lower price is a reason."""
    wide = WorkerClass(name="wide", slots=4, maximum=64)
    slow = WorkerClass(name="slow", slots=1, boot_seconds=60, maximum=64)
    assert left(CPU, wide) == ["cpu", "wide"]
    assert left(wide, CPU) == ["wide"]
    assert left(wide, CPU, wide=5.0) == ["wide", "cpu"]
    assert left(CPU, slow) == ["cpu"]
    assert left(CPU, slow, slow=0.1) == ["cpu", "slow"]


def test_a_solver_out_of_time_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have neither a mix nor a bound by then: the certificate is that it costs something."""
    nothing = SimpleNamespace(x=None, fun=None, mip_dual_bound=None)
    monkeypatch.setattr(mixes._Program, "solve", lambda program: nothing)
    market = Market(classes=(CPU,), prices={"cpu": 1.0})
    loads = [Load(needs=PLAIN, seconds=(1.0,), longest_seconds=1.0)]
    assert least_cost(loads, market, within=10.0) == 0.0
    assert mixes.cheapest_mix(loads, market, within=10.0) is None


def test_numbers_that_somebody_gave_are_kept() -> None:
    """Of a class that has a limit more may be needed, and one with a minimum is there anyway."""
    market = Market(classes=(CPU, GPU), prices={"cpu": 1.0, "gpu": 1.0})
    assert needed(market, [PLAIN]) == market
