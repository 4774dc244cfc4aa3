"""Worker classes: named kinds of workers, with what they offer, cost and how many there may be.

They come from `worker_templates.json` or a TOML file, from `[tool.proctor.classes]`, from text
such as "gpu:slots=1,gpu=1,simulated", or are the three that everybody has: cpu, highmem and gpu.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import BadSetting
from .quantities import format_duration, format_size, parse_duration, parse_size
from .records import WorkerFacts
from .runners.memory_room import memory_there
from .suggestions import known

# A name goes into names of workers, of files and of Dask's resources.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")

# Who starts its workers: this machine, or a Prefect work pool.
PROVIDERS = ("local", "work-pool")

# How long a worker may have nothing to do. On simulated days (three kinds, three seeds, boots of a
# minute, a horizon of five) 120 s took 20 to 30 % fewer worker-seconds than 300 s, for 0 to 6 %
# more p95 wait; 60 s saved 6 to 14 % more, for up to 12 % more p95 wait than 300 s.
IDLE_SECONDS = 120.0

# What a text calls shorter than a file does; either name is understood in both.
LONG_NAMES: Mapping[str, str] = {
    "cpu": "cores",
    "gpu": "gpus",
    "simulated": "simulated_gpu",
    "boot": "boot_time",
    "cost": "cost_per_hour",
    "idle": "idle_ttl",
}
_SHORT_NAMES = {long: short for short, long in LONG_NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerClass:
    """A named kind of worker; an amount of 0 that is said to be shared is resolved by `shared`."""

    name: str
    # 0: the machine's cores are shared among the workers of such classes.
    slots: int
    # 0: a core for each slot.
    cpu: float = 0.0
    # 0: the machine's memory.
    memory_bytes: int = 0
    gpu: float = 0.0
    tags: frozenset[str] = frozenset()
    simulated_gpu: bool = False
    # What runs it where workers are containers, or another way to start one.
    image: str = ""
    command: tuple[str, ...] = ()
    # "local" or "work-pool"; empty leaves it to whoever starts the fleet.
    provider: str = ""
    # Prefect's type of its work pool: process, docker, kubernetes, ...
    pool: str = ""
    # What the pool's own template is filled with, over what Proctor fills in.
    job_variables: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    # What the scaling policy counts with.
    boot_seconds: float = 0.0
    cost_per_hour: float = 0.0
    minimum: int = 0
    maximum: int | None = None
    idle_seconds: float = IDLE_SECONDS

    def facts(self, number: int) -> WorkerFacts:
        """The worker of this class with that number, before it runs."""
        return WorkerFacts(
            name=f"{self.name}-{number}",
            incarnation="",
            worker_class=self.name,
            slots=self.slots,
            cpu=self.cpu or float(self.slots),
            memory_bytes=self.memory_bytes or memory_there(),
            gpu=self.gpu,
            # A class is also a tag: `tags=["highmem"]` asks for that kind of worker.
            tags=self.tags | {self.name},
            simulated_gpu=self.simulated_gpu,
        )


def common_classes(*, gpus: int) -> dict[str, WorkerClass]:
    """The classes everybody has; on a machine without a GPU, that of `gpu` is simulated."""
    classes = (
        WorkerClass(name="cpu", slots=0),
        WorkerClass(name="highmem", slots=1),
        WorkerClass(name="gpu", slots=1, gpu=1, simulated_gpu=not gpus),
    )
    return {each.name: each for each in classes}


def choose_class(classes: Mapping[str, WorkerClass], name: str) -> WorkerClass:
    """The class of that name."""
    try:
        return classes[name]
    except KeyError:
        raise BadSetting(
            f"there is no worker class {name!r}", remedy=known(name, classes)
        ) from None


def check_count(wanted: WorkerClass, count: int) -> None:
    """Refuse a number of workers that the class does not allow."""
    if count < 0:
        raise BadSetting(f"{wanted.name}={count} is no number of workers", remedy="write 0 or more")
    if wanted.maximum is not None and count > wanted.maximum:
        raise BadSetting(
            f"class {wanted.name} has at most {wanted.maximum} workers, {count} were asked for",
            remedy="ask for fewer, or raise its max",
        )
    if count < wanted.minimum:
        raise BadSetting(
            f"class {wanted.name} has at least {wanted.minimum} workers, {count} were asked for",
            remedy="ask for more, or lower its min",
        )


def shared(
    classes: Mapping[str, WorkerClass], counts: Mapping[str, int], *, cores: int
) -> dict[str, WorkerClass]:
    """Give classes that state no slots their share of the machine's cores."""
    sharing = sum(count for name, count in counts.items() if classes[name].slots == 0)
    share = max(1, cores // max(1, sharing))
    return {
        name: replace(each, slots=share) if each.slots == 0 else each
        for name, each in classes.items()
    }


def parse_class(text: str, *, cores: int) -> WorkerClass:
    """Read "gpu:slots=1,gpu=1,memory=16GB,simulated" as a worker class."""
    name, _, rest = text.partition(":")
    what = f"worker class {text!r}"
    if not NAME.fullmatch(name):
        raise BadSetting(
            f"{what} has no usable name", remedy="write it like highmem:slots=2,memory=16GB"
        )
    values: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        written, _, value = part.partition("=")
        key = _SHORT_NAMES.get(written, written)
        if key not in _PARTS:
            raise BadSetting(
                f"{what} has an unknown part {written!r}",
                remedy=f"known: {', '.join(_PARTS)}; tags are a+b",
            )
        _check_once(key, values, what=what)
        values[key] = value
    try:
        read = WorkerClass(
            name=name,
            slots=int(values.get("slots", cores)),
            cpu=float(values.get("cpu", 0)),
            memory_bytes=parse_size(values["memory"], what=f"{what}: memory")
            if "memory" in values
            else 0,
            gpu=float(values.get("gpu", 0)),
            tags=frozenset(filter(None, values.get("tags", "").split("+"))),
            simulated_gpu="simulated" in values,
            image=values.get("image", ""),
            provider=values.get("provider", ""),
            pool=values.get("pool", ""),
            boot_seconds=parse_duration(values.get("boot", "0"), what=f"{what}: boot"),
            cost_per_hour=float(values.get("cost", 0)),
            minimum=int(values.get("min", 0)),
            maximum=int(values["max"]) if "max" in values else None,
            idle_seconds=parse_duration(values.get("idle", IDLE_SECONDS), what=f"{what}: idle"),
        )
    except ValueError as error:
        raise BadSetting(
            f"{what} cannot be read ({error})", remedy="write it like highmem:slots=2,memory=16GB"
        ) from error
    check_class(read, what=what)
    return read


def class_text(each: WorkerClass) -> str:
    """Write a class as `parse_class` reads it; what only a file can say is left out."""
    usual = WorkerClass(name=each.name, slots=0)
    parts = {
        "slots": f"{each.slots}" if each.slots else "",
        "cpu": f"{each.cpu:g}" if each.cpu not in {0, each.slots} else "",
        "gpu": f"{each.gpu:g}" if each.gpu else "",
        "memory": format_size(each.memory_bytes) if each.memory_bytes else "",
        # A class is a tag itself.
        "tags": "+".join(sorted(each.tags - {each.name})),
        "image": each.image,
        "provider": each.provider,
        "pool": each.pool,
        "boot": format_duration(each.boot_seconds) if each.boot_seconds else "",
        "cost": f"{each.cost_per_hour:g}" if each.cost_per_hour else "",
        "min": f"{each.minimum}" if each.minimum else "",
        "max": "" if each.maximum is None else f"{each.maximum}",
        "idle": ""
        if each.idle_seconds == usual.idle_seconds
        else format_duration(each.idle_seconds),
    }
    words = [f"{key}={value}" for key, value in parts.items() if value]
    words += ["simulated"] if each.simulated_gpu else []
    return f"{each.name}:{','.join(words)}" if words else each.name


_PARTS = (
    *("slots", "cpu", "memory", "gpu", "tags", "simulated"),
    *("image", "provider", "pool"),
    *("boot", "cost", "min", "max", "idle"),
)


def class_of(name: str, given: Mapping[str, object], *, what: str) -> WorkerClass:
    """A class from the fields of a template that its schema has accepted."""
    fields: dict[str, object] = {}
    for written, value in given.items():
        key = LONG_NAMES.get(written, written)
        _check_once(key, fields, what=what)
        fields[key] = value
    command = fields.get("command", ())
    read = WorkerClass(
        name=name,
        slots=int(_number(fields.get("slots", 0 if name == "cpu" else 1))),
        cpu=_number(fields.get("cores", 0)),
        memory_bytes=parse_size(fields.get("memory", 0), what=f"{what}: memory"),
        gpu=_number(fields.get("gpus", 0)),
        tags=frozenset(_texts(fields.get("tags", ()))),
        simulated_gpu=bool(fields.get("simulated_gpu", False)),
        image=str(fields.get("image", "")),
        provider=str(fields.get("provider", "")),
        pool=str(fields.get("pool", "")),
        job_variables=_table(fields.get("job_variables", {})),
        command=(command,) if isinstance(command, str) else tuple(_texts(command)),
        boot_seconds=parse_duration(fields.get("boot_time", 0), what=f"{what}: boot_time"),
        cost_per_hour=_number(fields.get("cost_per_hour", 0)),
        minimum=int(_number(fields.get("min", 0))),
        maximum=None if "max" not in fields else int(_number(fields["max"])),
        idle_seconds=parse_duration(fields.get("idle_ttl", IDLE_SECONDS), what=f"{what}: idle_ttl"),
    )
    check_class(read, what=what)
    return read


def _check_once(key: str, said: Mapping[str, object], *, what: str) -> None:
    """Refuse two values of one field, also under its two names."""
    if key in said:
        other = LONG_NAMES.get(key) or _SHORT_NAMES.get(key)
        names = f"{key} twice" + (f" ({other} is the same)" if other else "")
        raise BadSetting(f"{what} says {names}", remedy="leave one of them out")


def check_class(read: WorkerClass, *, what: str) -> None:
    """Refuse what no worker can be."""
    for key, amount in (("slots", read.slots), ("cpu", read.cpu), ("gpu", read.gpu)):
        # Not a number is neither less nor more than anything.
        if not 0 <= amount < float("inf"):
            raise BadSetting(f"{what}: {key}={amount:g} is no capacity", remedy="write 0 or more")
    for key, amount in (
        ("cost", read.cost_per_hour),
        ("boot", read.boot_seconds),
        ("idle", read.idle_seconds),
        ("min", read.minimum),
    ):
        if not 0 <= amount < float("inf"):
            raise BadSetting(f"{what}: {key}={amount:g} cannot be", remedy="write 0 or more")
    if read.maximum is not None and read.minimum > read.maximum:
        raise BadSetting(
            f"{what}: its min ({read.minimum}) is over its max ({read.maximum})",
            remedy="lower min or raise max",
        )
    if read.provider not in {"", *PROVIDERS}:
        raise BadSetting(
            f"{what}: {read.provider!r} provides no workers", remedy=known(read.provider, PROVIDERS)
        )
    if read.simulated_gpu and not read.gpu:
        raise BadSetting(
            f"{what}: its GPU is simulated, and it has none", remedy="say how many, as in gpu=1"
        )


def _table(value: object) -> dict[str, Any]:
    assert isinstance(value, dict), "the schema has seen to it"
    return {str(name): given for name, given in value.items()}


def _number(value: object) -> float:
    assert isinstance(value, int | float), "the schema has seen to it"
    return float(value)


def _texts(values: object) -> tuple[str, ...]:
    assert isinstance(values, list | tuple), "the schema has seen to it"
    return tuple(str(value) for value in values)
