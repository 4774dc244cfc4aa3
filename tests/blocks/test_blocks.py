"""Blocks: what people fill in becomes exactly what the fleet goes by."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from proctor.blocks.collection import BLOCKS
from proctor.blocks.fleet import FleetBlock, FleetMember
from proctor.blocks.policy import ScalingPolicyBlock
from proctor.blocks.store import StoreBlock
from proctor.blocks.worker_class import WorkerClassBlock
from proctor.infra.errors import BadSetting
from proctor.infra.fleet.files import Wanted, read_wanted, write_wanted
from proctor.infra.scaling.policy import ScalingRules
from proctor.infra.worker_classes import WorkerClass, common_classes

AMOUNTS = st.floats(0, 1e6, allow_nan=False)
TEXTS = st.text(max_size=12)


@st.composite
def worker_classes(draw):
    gpu = draw(st.sampled_from([0.0, 1.0, 2.5]))
    minimum = draw(st.integers(0, 5))
    return WorkerClass(
        name=draw(st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,39}", fullmatch=True)),
        slots=draw(st.integers(0, 4096)),
        cpu=draw(AMOUNTS),
        memory_bytes=draw(st.integers(0, 2**60)),
        gpu=gpu,
        tags=draw(st.frozensets(TEXTS, max_size=3)),
        simulated_gpu=bool(gpu) and draw(st.booleans()),
        image=draw(TEXTS),
        command=tuple(draw(st.lists(TEXTS, max_size=3))),
        provider=draw(st.sampled_from(["", "local", "work-pool"])),
        pool=draw(TEXTS),
        job_variables=draw(st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=2)),
        boot_seconds=draw(AMOUNTS),
        cost_per_hour=draw(AMOUNTS),
        minimum=minimum,
        maximum=draw(st.none() | st.integers(minimum, 100)),
        idle_seconds=draw(AMOUNTS),
    )


# No timing decides: the first use of pydantic is slow on a loaded machine.
@settings(deadline=None)
@given(worker_classes())
def test_a_worker_class_comes_back_as_it_went_into_its_block(worker_class):
    """Nothing is rounded, sorted away or forgotten, memory to the byte."""
    block = WorkerClassBlock.of(worker_class)
    again = WorkerClassBlock.model_validate_json(block.model_dump_json())
    assert again.worker_class() == worker_class


@settings(deadline=None)
@given(
    st.builds(
        ScalingRules,
        horizon_seconds=st.none() | st.floats(1, 1e5),
        headroom=st.floats(0, 10),
        stabilisation_seconds=AMOUNTS,
        cooldown_seconds=AMOUNTS,
        idle_seconds=st.none() | AMOUNTS,
        ahead=st.booleans(),
    )
)
def test_scaling_rules_come_back_as_they_went_into_their_block(rules):
    """Also those of nobody who filled anything in are the usual ones."""
    block = ScalingPolicyBlock.of(rules)
    assert ScalingPolicyBlock.model_validate_json(block.model_dump_json()).rules() == rules
    assert ScalingPolicyBlock().rules() == ScalingRules()


def test_a_fleet_keeps_the_rules_it_was_given(tmp_path):
    """The supervisor reads them from a file, and an older file has none."""
    rules = ScalingRules(headroom=0.5, ahead=False)
    for given_rules in (rules, None):
        write_wanted(tmp_path / "wanted.json", Wanted(rules=given_rules))
        assert read_wanted(tmp_path / "wanted.json") == Wanted(rules=given_rules)


def test_a_state_directory_must_be_one_from_anywhere():
    """A flow runs in whatever directory its worker likes."""
    assert StoreBlock.of(Path("/srv/proctor")).path == Path("/srv/proctor")
    with pytest.raises(ValidationError, match="no absolute directory"):
        StoreBlock(state="here")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"class_name": "two words"}, "match pattern"),
        ({"class_name": "a", "memory": "much"}, "memory 'much' is no size"),
        ({"class_name": "a", "minimum": 3, "maximum": 2}, r"its min \(3\) is over its max \(2\)"),
        ({"class_name": "a", "simulated_gpu": True}, "its GPU is simulated, and it has none"),
        ({"class_name": "a", "slots": -1}, "greater than or equal to 0"),
    ],
)
def test_a_worker_class_that_cannot_be_is_refused(fields, reason):
    """The form's own check and the file's say the same."""
    with pytest.raises(ValidationError, match=reason):
        WorkerClassBlock(**fields)


def test_a_fleet_is_its_classes_within_its_own_bounds():
    """A fleet narrows what its classes allow, and says how many there are."""
    big = WorkerClass(name="Big", slots=2, maximum=9)
    block = FleetBlock(
        members=[
            FleetMember(worker_class="big-one", workers=2, maximum=4),
            FleetMember(worker_class="cpu"),
        ],
        provider="local",
    )
    fleet = block.configured({**common_classes(gpus=0), "big-one": big})
    assert dict(fleet.counts) == {"Big": 2, "cpu": 1}
    assert fleet.classes["Big"] == WorkerClass(name="Big", slots=2, maximum=4)
    assert (fleet.provider, fleet.auto, fleet.rules) == ("local", False, None)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([FleetMember(worker_class="cqu")], "there is no worker class 'cqu'.*did you mean cpu"),
        ([FleetMember(worker_class="cpu")] * 2, "names class cpu twice"),
        ([FleetMember(worker_class="cpu", workers=3, maximum=2)], "at most 2 workers"),
        ([FleetMember(worker_class="cpu", minimum=3, maximum=2)], "over its max"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(members, reason):
    """Before anything is started."""
    with pytest.raises(BadSetting, match=reason):
        FleetBlock(members=members).configured(common_classes(gpus=0))


def test_every_field_of_every_form_explains_itself():
    """The form on Prefect's page is all that some people ever see of Proctor."""
    kinds = [*BLOCKS, FleetMember]
    silent = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert silent == []
    assert all(kind.get_description() for kind in BLOCKS)


def test_prefect_finds_the_blocks_by_the_entry_point():
    """The module that pyproject.toml names is there and holds them all."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    named = project["project"]["entry-points"]["prefect.collections"]
    assert import_module(named["proctor"]).BLOCKS == BLOCKS
