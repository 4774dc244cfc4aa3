"""What cases state: markers over patterns over defaults, and nothing misread in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.errors import BadSetting
from proctor.infra.records import Requirements
from proctor.infra.requirements import (
    NOTHING,
    PatternRule,
    Stated,
    from_mapping,
    from_marks,
    matches,
    merge,
    needs_of,
    rule_from,
)

GB = 10**9
CASE = "tests/gpu/test_render.py::TestShade::test_one[a-1]"

amounts = st.none() | st.floats(min_value=0, max_value=64)
stated = st.builds(
    Stated,
    cpu=amounts,
    memory_bytes=st.none() | st.integers(min_value=0, max_value=2**40),
    gpu=amounts,
    tags=st.frozensets(st.sampled_from(["highmem", "licence", "ssd"])),
    timeout_seconds=st.none() | st.floats(min_value=1, max_value=1e6),
)


def mark(name, *args, **kwargs):
    return {"name": name, "args": list(args), "kwargs": kwargs}


def test_a_mapping_is_read_with_its_units():
    """Sizes, tags and time-outs arrive as bytes, a set and seconds."""
    values = {"gpu": 1, "memory": "16GB", "cpu": 2, "tags": ["highmem"], "timeout": "1m"}
    assert from_mapping(values, where="here") == Stated(
        gpu=1.0,
        memory_bytes=16 * GB,
        cpu=2.0,
        tags=frozenset({"highmem"}),
        timeout_seconds=60.0,
    )


def test_a_single_tag_needs_no_brackets():
    """tags="highmem" is one tag, not seven letters."""
    assert from_mapping({"tags": "highmem"}, where="here").tags == {"highmem"}


def test_an_unknown_requirement_is_refused_with_the_nearest_one():
    """A typing error must not run a GPU test without a GPU."""
    with pytest.raises(BadSetting) as caught:
        from_mapping({"gpus": 1}, where="tests/test_a.py::test_b")
    assert str(caught.value) == (
        "tests/test_a.py::test_b: unknown requirement 'gpus';"
        " known: cpu, memory, gpu, tags, timeout; did you mean gpu?"
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"gpu": "many"}, "here: gpu 'many' is no number"),
        ({"gpu": True}, "here: gpu True is no number"),
        ({"cpu": -1}, "here: cpu -1 is negative"),
        ({"cpu": float("nan")}, "here: cpu nan is not finite"),
        ({"cpu": [1]}, "here: cpu [1] is no number"),
        ({"memory": "much"}, "here: memory 'much' is no size"),
        ({"tags": 5}, "here: tags 5 is no list of names"),
        ({"tags": ["a", 5]}, "is no list of names"),
        ({"tags": [" "]}, "is no list of names"),
        ({"tags": {"a": 1}}, "is no list of names"),
        ({"timeout": "soon"}, "here: timeout 'soon' is no duration"),
        ({"timeout": 0}, "every case needs a limit"),
    ],
)
def test_a_bad_value_is_refused_with_its_place(values, reason):
    """The error says where, which value, and why."""
    with pytest.raises(BadSetting) as caught:
        from_mapping(values, where="here")
    assert reason in str(caught.value)
    assert caught.value.remedy


def test_the_nearest_marker_decides_and_tags_add_up():
    """A function's marker comes before its module's, key by key."""
    marks = [
        mark("resources", gpu=2, tags=["a100"]),
        mark("slow"),
        mark("resources", gpu=1, memory="8GB", tags=["licence"]),
    ]
    assert from_marks(marks, where=CASE) == Stated(
        gpu=2.0, memory_bytes=8 * GB, tags=frozenset({"a100", "licence"})
    )


@pytest.mark.parametrize(
    ("given_mark", "seconds"),
    [
        (mark("timeout", 30), 30.0),
        (mark("timeout", timeout=2.5, method="thread"), 2.5),
        (mark("timeout", "45"), 45.0),
        # Off and "the default": nothing runs without a limit here, so the campaign's counts.
        (mark("timeout", 0), None),
        (mark("timeout", None), None),
        (mark("timeout", method="thread"), None),
        (mark("timeout", 30, func_only=True), None),
        (mark("timeout", 30, "signal", True), None),
    ],
)
def test_the_marker_of_pytest_timeout_is_understood(given_mark, seconds):
    """A suite that says how long a case may take is taken at its word."""
    assert from_marks([given_mark], where=CASE).timeout_seconds == seconds


def test_only_the_nearest_timeout_marker_counts():
    """As in pytest-timeout, also when the nearest one switches it off."""
    marks = [mark("timeout", 0), mark("timeout", 30)]
    assert from_marks(marks, where=CASE).timeout_seconds is None


def test_a_resources_marker_comes_before_a_timeout_marker():
    """Ours is the more specific statement."""
    marks = [mark("timeout", 30), mark("resources", timeout="5s")]
    assert from_marks(marks, where=CASE).timeout_seconds == 5.0


def test_a_positional_resource_is_refused():
    """@resources("gpu") says nothing we could be sure of."""
    with pytest.raises(BadSetting, match=r"positional arguments, here 'gpu'; name them"):
        from_marks([mark("resources", "gpu")], where=CASE)


@given(stated, stated, stated)
def test_merging_is_associative(first, second, third):
    """It does not matter in which steps sources are put together."""
    assert merge(merge(first, second), third) == merge(first, merge(second, third))


@given(stated)
def test_silence_changes_nothing(some):
    """A source that states nothing is neutral on both sides, and twice the same is once."""
    assert merge(some, NOTHING) == merge(NOTHING, some) == merge(some, some) == some


@given(stated, stated)
def test_the_nearer_source_decides_every_key_it_states(near, far):
    """And the farther one only what the nearer one leaves open."""
    merged = merge(near, far)
    for key in ("cpu", "memory_bytes", "gpu", "timeout_seconds"):
        mine = getattr(near, key)
        assert getattr(merged, key) == (getattr(far, key) if mine is None else mine)
    assert merged.tags == near.tags | far.tags


def test_a_stated_zero_is_not_silence():
    """cpu=0 in a marker must not fall through to a pattern's cpu=8."""
    assert merge(Stated(cpu=0.0), Stated(cpu=8.0)).requirements().cpu == 0.0


@pytest.mark.parametrize(
    "pattern",
    [
        "tests/gpu/*",
        "tests/gpu",
        "tests/gpu/",
        "*render*",
        "tests/*/test_render.py",
        "tests/gpu/test_render.py",
        "tests/gpu/test_render.py::TestShade",
        "tests/gpu/test_render.py::TestShade::test_one",
        CASE,
        "*[[]a-1]",
        "*::TestShade",
        "*::test_one",
        "tests/g?u",
    ],
)
def test_a_pattern_reaches_the_case(pattern):
    """By wildcard on id or file, or as one would name it to pytest."""
    assert matches(pattern, CASE)


@pytest.mark.parametrize(
    "pattern",
    [
        "tests/gp",
        "test_render.py",
        "tests/gpu/test_render.py::Test",
        "tests/gpu/test_render.py::TestShade::test_one[a-2]",
        "tests/GPU/*",
        "",
        "/",
    ],
)
def test_a_pattern_does_not_reach_its_neighbours(pattern):
    """A prefix in the middle of a name is no match, nor is another case."""
    assert not matches(pattern, CASE)


def test_markers_come_before_patterns_and_patterns_before_defaults():
    """Key by key; among patterns the last one that matches."""
    rules = (
        PatternRule(match="tests/*", stated=Stated(cpu=2.0, gpu=1.0, memory_bytes=GB)),
        PatternRule(match="tests/gpu", stated=Stated(gpu=2.0)),
        PatternRule(match="docs/*", stated=Stated(gpu=9.0)),
    )
    needs, timeout = needs_of(
        CASE,
        [mark("resources", memory="4GB")],
        rules=rules,
        default=Stated(cpu=7.0, timeout_seconds=9.0),
    )
    assert needs == Requirements(cpu=2.0, gpu=2.0, memory_bytes=4 * GB)
    assert timeout == 9.0


def test_a_plain_case_needs_one_cpu_and_has_no_timeout_of_its_own():
    """Nothing stated anywhere is the vocabulary's default."""
    assert needs_of("tests/test_a.py::test_b", [mark("parametrize")]) == (Requirements(), None)


def test_a_bad_marker_names_its_case():
    """So that the line to mend is found at once."""
    with pytest.raises(BadSetting, match=r"test_one\[a-1\]: resources marker: unknown"):
        needs_of(CASE, [mark("resources", vram="1GB")])


def test_a_rule_without_a_pattern_is_refused():
    """It would otherwise silently match nothing."""
    with pytest.raises(BadSetting, match="requirements 1: it has no pattern"):
        rule_from({"gpu": 1}, where="requirements 1")


def test_a_rule_is_read_with_its_pattern():
    """The pattern stands beside what it states."""
    assert rule_from({"match": "a/*", "gpu": 1}, where="here") == PatternRule(
        match="a/*", stated=Stated(gpu=1.0)
    )
