"""Worker classes from templates and texts: what is read, and what is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from proctor.infra.errors import BadSetting
from proctor.infra.fleet.files import Wanted, read_wanted, write_wanted
from proctor.infra.fleet.worker_templates import (
    JSON_EXAMPLE,
    TOML_EXAMPLE,
    read_classes,
    read_templates,
    schema,
)
from proctor.infra.worker_classes import (
    LONG_NAMES,
    WorkerClass,
    check_count,
    choose_class,
    class_text,
    common_classes,
    parse_class,
    shared,
)

FULL = {
    "slots": 2,
    "cores": 4,
    "memory": "64GB",
    "gpus": 1,
    "simulated_gpu": True,
    "tags": ["licence"],
    "image": "example/worker:1",
    "command": ["nice", "python", "-m"],
    "boot_time": "90s",
    "cost_per_hour": 2.5,
    "min": 1,
    "max": 3,
    "idle_ttl": "5m",
}


def test_the_published_schema_is_one() -> None:
    """Editors and others read it too."""
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_template_says_all_there_is_to_say(tmp_path: Path, suffix: str) -> None:
    """Every field arrives, from either format."""
    path = tmp_path / f"worker_templates{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps({"classes": {"big": FULL}}))
    else:
        lines = [f"{key} = {json.dumps(value)}" for key, value in FULL.items()]
        path.write_text("\n".join(["[classes.big]", *lines]))

    assert read_templates(path)["big"] == WorkerClass(
        name="big",
        slots=2,
        cpu=4,
        memory_bytes=64 * 10**9,
        gpu=1,
        simulated_gpu=True,
        tags=frozenset({"licence"}),
        image="example/worker:1",
        command=("nice", "python", "-m"),
        boot_seconds=90,
        cost_per_hour=2.5,
        minimum=1,
        maximum=3,
        idle_seconds=300,
    )


def test_a_class_survives_the_file_it_is_kept_in(tmp_path: Path) -> None:
    """The supervisor reads what the command wrote."""
    classes = read_classes({"big": FULL}, source="here")
    wanted = Wanted(classes=classes, counts={"big": 2}, port=8786)

    write_wanted(tmp_path / "wanted.json", wanted)

    assert read_wanted(tmp_path / "wanted.json") == wanted


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"slots": -1}, "big.slots -1 is less than 0"),
        ({"memory": -5}, "is wrong|less than"),
        ({"memory": "-5GB"}, "class big: memory '-5GB' is no size: it is negative"),
        ({"memory": "lots"}, "memory 'lots' is no size"),
        ({"gpus": -1}, "big.gpus -1 is less than 0"),
        ({"min": 3, "max": 1}, r"class big: its min \(3\) is over its max \(1\)"),
        ({"sluts": 1}, "no field 'sluts'.*did you mean slots"),
        ({"boot_time": "soon"}, "boot_time 'soon' is no duration"),
        ({"slots": "two"}, "big.slots 'two' is not of the type integer"),
        ({"simulated_gpu": True}, "its GPU is simulated, and it has none"),
    ],
)
def test_bad_fields_are_one_clear_line(fields: dict[str, object], words: str) -> None:
    """The line says which class and field of which file, and what to do."""
    with pytest.raises(BadSetting, match=words) as raised:
        read_classes({"big": fields}, source="templates.json")

    assert "\n" not in str(raised.value)
    assert "templates.json" in str(raised.value)
    assert raised.value.remedy


def test_a_size_in_a_class_that_is_written_out_is_told_with_the_class() -> None:
    """Of several classes on one line it is that one."""
    with pytest.raises(
        BadSetting, match="worker class 'big:memory=-5GB': memory '-5GB' is no size"
    ):
        parse_class("big:memory=-5GB", cores=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "not of the type object"),
        ("{}", "no table 'classes'"),
        ('{"big": {"slots": 2}}', "no table 'classes'"),
        ('{"classes": {"a b": {}}}', "is no name for a class"),
        ("{", "is not valid JSON"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """Whatever stands in them."""
    path = tmp_path / "templates.json"
    path.write_text(text)

    with pytest.raises(BadSetting, match=words):
        read_templates(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("classes.json", '{"big": {"slots": 2}}'), ("classes.toml", "[big]\nslots = 2\n")],
)
def test_a_file_without_its_outer_table_is_shown_one(tmp_path: Path, name: str, text: str) -> None:
    """In its own format, and not by what a schema says of itself."""
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(BadSetting) as raised:
        read_templates(path)

    assert raised.value.remedy in {f"write {JSON_EXAMPLE}", f"write {TOML_EXAMPLE}"}
    assert ("[classes.big]" in raised.value.remedy) == name.endswith(".toml")
    shown = {".json": JSON_EXAMPLE, ".toml": TOML_EXAMPLE.replace(" and below it ", "\n")}
    path.write_text(shown[path.suffix])
    assert read_templates(path)["big"].slots == 2


# One value for each field that has two names, as a file and as a text say it.
TWICE_NAMED: dict[str, tuple[object, str]] = {
    "cpu": (2.5, "2.5"),
    "gpu": (1, "1"),
    "simulated": (True, ""),
    "boot": ("90s", "90s"),
    "cost": (0.4, "0.4"),
    "idle": ("2m", "2m"),
}


def test_both_names_of_a_field_are_understood_in_files_and_texts() -> None:
    """What was learnt in one place is right in the other."""
    assert set(TWICE_NAMED) == set(LONG_NAMES)
    short = {key: value for key, (value, _) in TWICE_NAMED.items()}
    long = {LONG_NAMES[key]: value for key, value in short.items()}

    def text(names: Mapping[str, str]) -> str:
        parts = [f"{names[key]}={word}".rstrip("=") for key, (_, word) in TWICE_NAMED.items()]
        return f"big:slots=1,{','.join(parts)}"

    read = [
        read_classes({"big": {"slots": 1, **short}}, source="here")["big"],
        read_classes({"big": {"slots": 1, **long}}, source="here")["big"],
        parse_class(text({key: key for key in LONG_NAMES}), cores=1),
        parse_class(text(LONG_NAMES), cores=1),
    ]

    assert read == [read[0]] * 4
    assert (read[0].boot_seconds, read[0].cost_per_hour, read[0].idle_seconds) == (90, 0.4, 120)
    assert (read[0].cpu, read[0].gpu, read[0].simulated_gpu) == (2.5, 1, True)


@pytest.mark.parametrize(("short", "long"), LONG_NAMES.items())
def test_a_field_is_said_once(short: str, long: str) -> None:
    """Under one of its names: nobody knows which of two values was meant."""
    value, word = TWICE_NAMED[short]
    with pytest.raises(BadSetting, match=rf"says {long} twice \({short} is the same\)"):
        read_classes({"big": {short: value, long: value}}, source="here")
    with pytest.raises(BadSetting, match=rf"says {short} twice \({long} is the same\)"):
        parse_class(f"big:{short}={word},{long}={word}", cores=1)


def test_the_published_schema_has_both_names_alike() -> None:
    """An editor that goes by it takes what Proctor takes."""
    fields = schema()["$defs"]["class"]["properties"]
    for short, long in LONG_NAMES.items():
        rules = [{k: v for k, v in fields[n].items() if k != "description"} for n in (short, long)]
        assert rules[0] == rules[1]


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """Named, with the reason."""
    with pytest.raises(BadSetting, match=r"nothing\.json cannot be read"):
        read_templates(tmp_path / "nothing.json")


def test_a_text_says_a_class() -> None:
    """As `--class` and `--fleet-class` take it."""
    assert parse_class("gpu:slots=1,gpu=1,memory=16GB,tags=a+b,simulated", cores=8) == WorkerClass(
        name="gpu",
        slots=1,
        gpu=1,
        memory_bytes=16 * 10**9,
        tags=frozenset({"a", "b"}),
        simulated_gpu=True,
    )
    assert parse_class("cpu", cores=8).slots == 8


@pytest.mark.parametrize(
    "text",
    [
        "gpu:slots=1,gpu=2,memory=16GB,tags=a+b,simulated",
        "big:slots=2,cpu=0.5,image=i:1,provider=work-pool,pool=docker",
        "cpu:slots=1,max=0",
        "cpu:slots=8,boot=1m30s,cost=0.25,min=1,max=3,idle=3m",
    ],
)
def test_a_class_is_written_as_it_is_read(text: str) -> None:
    """So that what is shown can be typed."""
    assert class_text(parse_class(text, cores=1)) == text
    assert class_text(common_classes(gpus=0)["cpu"]) == "cpu"


@pytest.mark.parametrize(
    "text",
    [
        *("cpu:slots=-1", "cpu:kernels=2", "cpu:slots=two", "cpu:gpu=nan", ":slots=1", "a b"),
        *("cpu:cost=-1", "cpu:cost=nan", "cpu:cost=inf", "cpu:min=-3"),
    ],
)
def test_a_bad_text_is_one_clear_line(text: str) -> None:
    """Negative, unknown, no number, no name."""
    with pytest.raises(BadSetting, match="worker class"):
        parse_class(text, cores=2)


def test_counts_are_held_to_the_class() -> None:
    """Unknown classes, too few, too many, fewer than none."""
    big = WorkerClass(name="big", slots=1, minimum=1, maximum=2)
    for count, words in ((3, "at most 2"), (0, "at least 1"), (-1, "no number of workers")):
        with pytest.raises(BadSetting, match=words):
            check_count(big, count)
    check_count(big, 2)
    with pytest.raises(BadSetting, match=r"no worker class 'hihgmem'.*did you mean highmem"):
        choose_class(common_classes(gpus=0), "hihgmem")


def test_workers_without_a_number_of_slots_share_the_cores() -> None:
    """Two of them on eight cores get four each, and at least one each on any machine."""
    classes = common_classes(gpus=0)

    assert shared(classes, {"cpu": 2, "highmem": 1}, cores=8)["cpu"].slots == 4
    assert shared(classes, {"cpu": 5}, cores=2)["cpu"].slots == 1


def test_a_gpu_is_simulated_only_where_there_is_none() -> None:
    """And then it says so in the facts of its workers."""
    assert common_classes(gpus=0)["gpu"].facts(1).simulated_gpu
    assert not common_classes(gpus=1)["gpu"].facts(1).simulated_gpu
