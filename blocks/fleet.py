"""A fleet as people fill it in on Prefect's page, and how it is read from there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from prefect.blocks.core import Block
from pydantic import BaseModel, Field, ValidationError

from ..infra.errors import BadSetting
from ..infra.scaling.policy import ScalingRules
from ..infra.suggestions import known
from ..infra.worker_classes import WorkerClass, check_class, check_count, choose_class
from .policy import ScalingPolicyBlock
from .worker_class import Provider, WorkerClassBlock

AnyBlock = TypeVar("AnyBlock", bound=Block)


class NoSuchBlock(BadSetting):
    """The server has no block of that type and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredFleet:
    """A fleet as a block says it, with everything that it names."""

    classes: Mapping[str, WorkerClass] = field(default_factory=dict[str, WorkerClass])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    # "local", "work-pool", or empty for what the command says.
    provider: str = ""
    auto: bool = False
    rules: ScalingRules | None = None


class FleetMember(BaseModel):
    """Workers of one class."""

    worker_class: str = Field(
        title="Worker class",
        min_length=1,
        description="The name of a Proctor Worker Class block, or one of the classes that are "
        "there without one: cpu, highmem, gpu.",
    )
    workers: int = Field(
        default=1,
        ge=0,
        description="How many there are; not asked of a fleet that sizes itself.",
    )
    minimum: int | None = Field(
        default=None, ge=0, description="Never fewer than these; empty is what the class says."
    )
    maximum: int | None = Field(
        default=None, ge=0, description="Never more than these; empty is what the class says."
    )

    def bounded(self, given: WorkerClass) -> WorkerClass:
        """The class within this fleet's bounds."""
        bounded = replace(
            given,
            minimum=given.minimum if self.minimum is None else self.minimum,
            maximum=given.maximum if self.maximum is None else self.maximum,
        )
        check_class(bounded, what=f"class {given.name}")
        return bounded


class FleetBlock(Block):
    """Which workers there are: `proctor up --fleet block:NAME` starts them."""

    _block_type_name: ClassVar[str | None] = "Proctor Fleet"
    _block_type_slug: ClassVar[str | None] = "proctor-fleet"

    members: list[FleetMember] = Field(
        min_length=1, title="Workers", description="The classes of the fleet, each once."
    )
    provider: Provider = Field(
        default="",
        description="Who starts workers whose class does not say: local (processes of the "
        "machine that keeps the fleet) or work-pool (Prefect's own workers).",
    )
    auto: bool = Field(
        default=False,
        title="Sizes itself",
        description="The work of campaigns decides how many workers there are, within the bounds.",
    )
    policy: str = Field(
        default="",
        title="Scaling policy",
        description="The name of a Proctor Scaling Policy block, for a fleet that sizes itself; "
        "empty is the usual policy.",
    )

    def configured(
        self, classes: Mapping[str, WorkerClass], rules: ScalingRules | None = None
    ) -> ConfiguredFleet:
        """The fleet, given the classes that it names (by the names it has for them)."""
        chosen: dict[str, WorkerClass] = {}
        counts: dict[str, int] = {}
        for member in self.members:
            bounded = member.bounded(choose_class(classes, member.worker_class))
            if bounded.name in chosen:
                raise BadSetting(
                    f"the fleet names class {bounded.name} twice", remedy="say all of it once"
                )
            chosen[bounded.name] = bounded
            if not self.auto:
                check_count(bounded, member.workers)
                counts[bounded.name] = member.workers
        return ConfiguredFleet(
            classes=chosen, counts=counts, provider=self.provider, auto=self.auto, rules=rules
        )


async def aread_fleet(name: str, *, common: Mapping[str, WorkerClass]) -> ConfiguredFleet:
    """The fleet of that name, from the server that Prefect's settings name.

    `common` are the classes that need no block; a block of the same name comes before them.
    """
    fleet = await aread(FleetBlock, name)
    there = await _saved(WorkerClassBlock)
    classes = dict(common)
    for member in fleet.members:
        if member.worker_class in there:
            block = _valid(WorkerClassBlock, member.worker_class, there)
            classes[member.worker_class] = block.worker_class()
        elif member.worker_class not in common:
            raise _missing(WorkerClassBlock, member.worker_class, [*there, *common])
    rules = (await aread(ScalingPolicyBlock, fleet.policy)).rules() if fleet.policy else None
    return fleet.configured(classes, rules)


async def aread(kind: type[AnyBlock], name: str) -> AnyBlock:
    """One block; what is wrong is said in a line."""
    return _valid(kind, name, await _saved(kind))


def _valid(kind: type[AnyBlock], name: str, there: Mapping[str, Any]) -> AnyBlock:
    if name not in there:
        raise _missing(kind, name, there)
    try:
        return kind.model_validate(there[name])
    except ValidationError as problem:
        first = problem.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise BadSetting(
            f"block {kind.get_block_type_slug()}/{name} cannot be used: "
            f"{field_name + ': ' if field_name else ''}{reason}",
            remedy="mend it on Prefect's page",
        ) from problem


async def _saved(kind: type[Block]) -> dict[str, Any]:
    """By name, what was filled in.

    Not by `Block.load`: that queues events, which a command that ends at once has to wait for.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    async with get_client() as client:
        try:
            documents = await client.read_block_documents_by_type(kind.get_block_type_slug())
        except ObjectNotFound:
            # Nobody has registered Proctor's blocks here.
            return {}
    return {each.name: each.data for each in documents if each.name}


def _missing(kind: type[Block], name: str, there: Collection[str]) -> NoSuchBlock:
    what = kind.get_block_type_name()
    return NoSuchBlock(
        f"there is no {what} block {name!r}",
        remedy=known(name, sorted(there))
        if there
        else f"`proctor deploy` registers its form; then fill in a {what} on Prefect's page",
    )
