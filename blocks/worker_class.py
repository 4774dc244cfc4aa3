"""A worker class as people fill it in on Prefect's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

from prefect.blocks.core import Block
from pydantic import Field, field_validator, model_validator

from ..infra.errors import ProctorError
from ..infra.quantities import format_size, parse_size
from ..infra.worker_classes import IDLE_SECONDS, NAME, WorkerClass, check_class

Provider = Literal["", "local", "work-pool"]


class WorkerClassBlock(Block):
    """A named kind of worker: what it offers, what it costs and how many there may be.

    A fleet block names it; `proctor up --fleet block:NAME` starts its workers.
    """

    _block_type_name: ClassVar[str | None] = "Proctor Worker Class"
    _block_type_slug: ClassVar[str | None] = "proctor-worker-class"

    class_name: str = Field(
        title="Class",
        pattern=f"^{NAME.pattern}$",
        description="What the class is called, such as highmem: cases ask for it by this tag, and "
        "its workers are highmem-1, highmem-2 and so on.",
    )
    slots: int = Field(
        default=1,
        ge=0,
        le=4096,
        description="How many cases run on one worker at a time; 0 shares the machine's cores "
        "among the workers of such classes.",
    )
    cores: float = Field(
        default=0.0, ge=0, description="CPU cores of one worker; 0 is a core for each slot."
    )
    memory: str = Field(
        default="",
        description='Memory of one worker for all its slots, such as "64GB" or "16GiB"; '
        "empty is the machine's.",
    )
    gpus: float = Field(default=0.0, ge=0, description="GPUs of one worker for all its slots.")
    simulated_gpu: bool = Field(
        default=False,
        title="GPUs are simulated",
        description="Its GPUs are names only, to try things out on a machine that has none.",
    )
    tags: list[str] = Field(
        default_factory=list,
        description="What cases may ask for by name, such as a licence; the class's own name "
        "always is one.",
    )
    image: str = Field(
        default="", description="The container image that runs it, where workers are containers."
    )
    command: list[str] = Field(
        default_factory=list,
        description="Another way to start it: a program and its arguments, before the worker's.",
    )
    provider: Provider = Field(
        default="",
        description="Who starts its workers: local (processes of the machine that keeps the "
        "fleet) or work-pool (Prefect); empty leaves it to the fleet.",
    )
    pool: str = Field(
        default="",
        title="Type of its work pool",
        description="process, docker, kubernetes, ecs, ...; empty is docker with an image and "
        "process without.",
    )
    job_variables: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of the work pool's base job template, such as volumes, namespace "
        "or env.",
    )
    boot_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long one takes to start; scaling counts with it until it has measured "
        "some.",
    )
    cost_per_hour: float = Field(
        default=0.0, ge=0, description="What one costs in an hour, in your own currency."
    )
    minimum: int = Field(default=0, ge=0, description="Never fewer workers than these.")
    maximum: int | None = Field(
        default=None,
        ge=0,
        description="Never more workers than these. Without it a fleet that sizes itself has at "
        "most as many as the cores of the machine that keeps it would serve.",
    )
    idle_seconds: float = Field(
        default=IDLE_SECONDS,
        ge=0,
        description="How long a worker may have nothing to do before scaling lets it go.",
    )

    @field_validator("memory")
    @classmethod
    def _memory_is_a_size(cls, value: str) -> str:
        if value:
            _refused(lambda: parse_size(value, what="memory"))
        return value

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        _refused(lambda: check_class(self.worker_class(), what=f"class {self.class_name}"))
        return self

    def worker_class(self) -> WorkerClass:
        """What the fleet goes by."""
        return WorkerClass(
            name=self.class_name,
            slots=self.slots,
            cpu=self.cores,
            memory_bytes=parse_size(self.memory) if self.memory else 0,
            gpu=self.gpus,
            tags=frozenset(self.tags),
            simulated_gpu=self.simulated_gpu,
            image=self.image,
            command=tuple(self.command),
            provider=self.provider,
            pool=self.pool,
            job_variables=dict(self.job_variables),
            boot_seconds=self.boot_seconds,
            cost_per_hour=self.cost_per_hour,
            minimum=self.minimum,
            maximum=self.maximum,
            idle_seconds=self.idle_seconds,
        )

    @classmethod
    def of(cls, given: WorkerClass) -> Self:
        """The block that says the same."""
        fields: Mapping[str, Any] = {
            "class_name": given.name,
            "slots": given.slots,
            "cores": given.cpu,
            "memory": format_size(given.memory_bytes) if given.memory_bytes else "",
            "gpus": given.gpu,
            "tags": sorted(given.tags),
            "simulated_gpu": given.simulated_gpu,
            "image": given.image,
            "command": list(given.command),
            "provider": given.provider,
            "pool": given.pool,
            "job_variables": dict(given.job_variables),
            "boot_seconds": given.boot_seconds,
            "cost_per_hour": given.cost_per_hour,
            "minimum": given.minimum,
            "maximum": given.maximum,
            "idle_seconds": given.idle_seconds,
        }
        return cls(**fields)


def _refused(check: Callable[[], object]) -> None:
    """Forms and pydantic know of wrong values by ValueError only."""
    try:
        check()
    except ProctorError as problem:
        raise ValueError(str(problem)) from problem
