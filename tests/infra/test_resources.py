"""What workers offer: who fits, who nearly does, and what Dask is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.errors import Unsatisfiable
from proctor.infra.fleet.class_choice import workers_asked
from proctor.infra.records import Case, Requirements, WorkerFacts
from proctor.infra.resources import (
    ORDERS_A_SLOT,
    by_needs,
    check_satisfiable,
    dask_resources,
    describe,
    fits,
    nearest_miss,
    servable,
)
from proctor.infra.wanted_workers import Mend, class_for
from proctor.infra.worker_classes import parse_class

GB = 10**9


def worker(name="cpu-1", *, slots=2, cpu=2.0, memory=8 * GB, gpu=0.0, tags=("cpu",)):
    return WorkerFacts(
        name=name,
        incarnation="i",
        worker_class="cpu",
        slots=slots,
        cpu=cpu,
        memory_bytes=memory,
        gpu=gpu,
        tags=frozenset(tags),
    )


TAGS = st.frozensets(st.sampled_from(["cpu", "gpu", "highmem", "licence"]), max_size=3)
needs_strategy = st.builds(
    Requirements,
    cpu=st.integers(0, 4).map(float),
    memory_bytes=st.integers(0, 4).map(lambda n: n * GB),
    gpu=st.integers(0, 2).map(float),
    tags=TAGS,
)
workers_strategy = st.lists(
    st.builds(
        worker,
        cpu=st.integers(1, 4).map(float),
        memory=st.integers(0, 4).map(lambda n: n * GB),
        gpu=st.integers(0, 2).map(float),
        tags=TAGS,
    ),
    min_size=1,
    max_size=4,
)


def test_a_case_fits_where_everything_it_needs_is_there():
    """Exactly enough is enough; tags must all be carried."""
    needs = Requirements(cpu=2.0, memory_bytes=8 * GB, tags=frozenset({"cpu"}))
    assert fits(needs, worker())
    assert not fits(needs, worker(memory=8 * GB - 1))
    assert not fits(needs, worker(cpu=1.0))
    assert not fits(needs, worker(tags=()))
    assert not fits(Requirements(gpu=1.0), worker())


def test_the_largest_worker_is_named_when_none_has_enough():
    """The sentence of the design."""
    fleet = [worker(), worker("gpu-1", gpu=1.0)]
    assert nearest_miss(Requirements(gpu=2.0), fleet) == (
        "needs gpu=2, the largest worker has gpu=1"
    )


def test_several_lacks_are_named_together():
    """One look is enough to mend all of them."""
    assert nearest_miss(Requirements(cpu=8.0, gpu=1.0), [worker()]) == (
        "needs cpu=8 and gpu=1, the largest worker has cpu=2 and gpu=0"
    )


def test_memory_that_is_short_by_little_does_not_read_as_enough():
    """A machine's 15.99 GiB are not rounded up to the 16 that were asked for."""
    fleet = [worker(memory=16 * 2**30 - 4096)]
    assert nearest_miss(Requirements(memory_bytes=16 * 2**30), fleet) == (
        "needs memory=16GiB, the largest worker has memory=15.99GiB"
    )


def test_a_missing_tag_is_named_with_those_there_are():
    """And with the one that was probably meant."""
    fleet = [worker(), worker("big-1", tags=("highmem",))]
    assert nearest_miss(Requirements(tags=frozenset({"high-mem"})), fleet) == (
        "needs the tag high-mem, which no worker has"
        " (there are: cpu, highmem; did you mean highmem?)"
    )


def test_needs_that_only_different_workers_meet_name_the_nearest_one():
    """Each part is somewhere, but not all of it on one worker."""
    fleet = [worker("big-1", memory=64 * GB), worker("gpu-1", gpu=1.0)]
    text = nearest_miss(Requirements(gpu=1.0, memory_bytes=32 * GB), fleet)
    assert text == (
        "needs cpu=1, gpu=1 and memory=32GB of one worker; the nearest, big-1, has gpu=0"
    )


@given(needs_strategy, workers_strategy)
def test_a_miss_is_told_exactly_when_no_worker_fits(needs, fleet):
    """Never a complaint about a case that can run, never silence about one that cannot."""
    text = nearest_miss(needs, fleet)
    assert bool(text) == (not any(fits(needs, each) for each in fleet))
    assert "\n" not in text


@given(needs_strategy, workers_strategy)
def test_more_of_everything_never_fits_less(needs, fleet):
    """A worker with more of each resource takes every case a smaller one takes."""
    for each in fleet:
        larger = worker(
            cpu=each.cpu + 1,
            memory=each.memory_bytes + GB,
            gpu=each.gpu + 1,
            tags=each.tags | {"extra"},
        )
        assert fits(needs, larger) or not fits(needs, each)


def case(name="x", **needs):
    return Case(id=f"t.py::{name}", group="t.py", index=0, needs=Requirements(**needs))


def refusal(cases, fleet) -> Unsatisfiable:
    with pytest.raises(Unsatisfiable) as caught:
        check_satisfiable(by_needs(cases), fleet)
    return caught.value


def test_a_case_nobody_can_run_is_refused_by_name():
    """At once, with the nearest miss and a mend, instead of waiting forever."""
    told = refusal([case(gpu=2.0)], [worker(gpu=1.0)])
    assert told.message == "t.py::x needs gpu=2, the largest worker has gpu=1"
    check_satisfiable(by_needs([case(gpu=2.0)]), [worker(), worker(gpu=2.0)])


def test_all_that_nobody_meets_is_refused_in_one_line():
    """Whoever mends one need is not told of the next one after another run."""
    cases = [case(name, gpu=1.0) for name in "abc"]
    cases += [case("d", memory_bytes=64 * GB), case("e"), case("f", tags=frozenset({"lab"}))]
    told = refusal(cases, [worker()])
    assert told.message == (
        "3 cases need gpu=1, the largest worker has gpu=0;"
        " t.py::d needs memory=64GB, the largest worker has memory=8GB;"
        " 1 other need is not met either"
    )
    many = [case(str(number), cpu=number) for number in range(10, 20)]
    assert refusal(many, [worker()]).message.endswith("; 8 other needs are not met either")


def test_the_line_is_as_short_as_the_mend_for_that_fleet():
    """Who has a fleet of one's own is not told of one that is up, nor the other way round."""
    cases = {each.needs: [each] for each in (case("a" * 40, gpu=1.0),)}

    def told(mend: Mend) -> str:
        with pytest.raises(Unsatisfiable) as caught:
            check_satisfiable(cases, [worker()], mend=mend, flags=" --state here")
        return str(caught.value)

    own, kept, named = map(told, (Mend.OWN, Mend.KEPT, Mend.NAMED))
    assert "`proctor run --fleet-class cpu:" in own
    assert "proctor up" not in own
    assert kept.endswith("`proctor up --class gpu:slots=1,gpu=1 --state here` adds such workers")
    assert "`" not in named
    assert max(map(len, (own, kept, named))) < 260


def test_what_one_worker_could_run_is_told_from_the_rest():
    """Only what leaves nothing to run is refused; without workers nothing is known."""
    plain, needy = case("plain"), case("needy", gpu=1.0)
    miss = "needs gpu=1, the largest worker has gpu=0"
    assert servable([plain, needy], [worker()]) == ([plain], {needy.id: miss})
    assert servable([plain, needy], [worker(), worker(gpu=1.0)]) == ([plain, needy], {})
    assert servable([needy], []) == ([needy], {})
    assert servable([], [worker()]) == ([], {})
    with pytest.raises(Unsatisfiable, match="needy needs gpu=1"):
        servable([needy], [worker()])


@given(st.lists(needs_strategy, min_size=1, max_size=4), workers_strategy)
def test_the_fleet_that_a_refusal_proposes_can_run_everything(needs, fleet):
    """The flags can be typed as they stand, and have the workers that were there as well."""
    fleet = [replace(each, name=f"cpu-{n}") for n, each in enumerate(fleet[:1] * 2, start=1)]
    cases = [Case(id="t", group="t", index=0, needs=each) for each in needs]
    try:
        check_satisfiable(by_needs(cases), fleet)
    except Unsatisfiable as refused:
        words = refused.remedy.partition("`proctor run ")[2].partition("`")[0].split()
        asked = list(workers_asked(words[1::2], dict, cores=8, origin="--class"))
        proposed = [each.facts(n) for each, count in asked for n in range(count)]
        assert set(words[::2]) == {"--fleet-class"}
        assert all(any(fits(each, one) for one in proposed) for each in needs)
        mine = [each for each in proposed if each.worker_class == "cpu"]
        assert [
            (each.slots, each.cpu, each.memory_bytes, each.gpu, each.tags) for each in mine
        ] == [
            (
                each.slots,
                each.cpu,
                each.memory_bytes or mine[0].memory_bytes,
                each.gpu,
                each.tags | {"cpu"},
            )
            for each in fleet
        ]


def test_a_class_of_that_name_that_is_there_stays_what_it_is():
    """A name must not mean two kinds of workers."""
    there = replace(worker("gpu-1", gpu=1.0, tags=("gpu",)), worker_class="gpu")
    assert "--fleet-class gpu2:slots=1,gpu=2`" in refusal([case(gpu=2.0)], [there]).remedy


def test_a_gpu_is_not_proposed_to_be_simulated():
    """Who needs a GPU is not told to pretend."""
    assert "simulated" not in refusal([case(gpu=1.0)], [worker()]).remedy


@given(needs_strategy)
def test_the_class_that_is_proposed_would_do(needs):
    """It can be typed as it stands, and a worker of it fits."""
    assert fits(needs, parse_class(class_for(needs), cores=1).facts(1))


def test_without_any_worker_nothing_is_refused():
    """Workers that are all away for a moment say nothing about what the fleet can do."""
    check_satisfiable(by_needs([case(gpu=2.0)]), [])
    assert nearest_miss(Requirements(gpu=2.0), []).endswith("there is no worker")


def test_dask_is_told_quantities_labels_and_the_worker_itself():
    """Labels have a unit for each slot, the own name one for each order: nothing is serialised."""
    facts = worker("gpu-1", slots=2, gpu=1.0, memory=64 * GB, tags=("gpu", "a100"))
    assert dask_resources(facts) == {
        "cpu": 2.0,
        "memory": 64e9,
        "gpu": 1.0,
        "a100": 2.0,
        "worker:gpu-1": 2.0 * ORDERS_A_SLOT,
    }


def test_a_class_called_gpu_without_a_gpu_offers_none():
    """A tag must not pass for the quantity of the same name."""
    assert dask_resources(worker(tags=("gpu",)))["gpu"] == 0.0


@pytest.mark.parametrize(
    ("needs", "text"),
    [
        (Requirements(), "cpu=1"),
        (Requirements(cpu=0.0), "nothing"),
        (
            Requirements(gpu=0.5, memory_bytes=GB, tags=frozenset({"b", "a"})),
            "cpu=1, gpu=0.5, memory=1GB and tags=a+b",
        ),
    ],
)
def test_requirements_are_described_in_a_few_words(needs, text):
    """Only what is asked for is said."""
    assert describe(needs) == text
