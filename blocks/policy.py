"""A scaling policy as people fill it in on Prefect's page."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar, Self

from prefect.blocks.core import Block
from pydantic import Field

from ..infra.scaling.policy import ScalingRules

_DEFAULT = ScalingRules()


class ScalingPolicyBlock(Block):
    """How a fleet that sizes itself follows the work of its campaigns.

    A fleet block names it; every field left alone keeps what Proctor would do anyway.
    """

    _block_type_name: ClassVar[str | None] = "Proctor Scaling Policy"
    _block_type_slug: ClassVar[str | None] = "proctor-scaling-policy"

    horizon_seconds: float | None = Field(
        default=_DEFAULT.horizon_seconds,
        gt=0,
        description="Within how long the work should be done once the workers it takes have "
        "booted: shorter is sooner and dearer. Empty is five times the boot.",
    )
    headroom: float = Field(
        default=_DEFAULT.headroom,
        ge=0,
        le=10,
        description="Capacity on top of what is predicted, as a share of it: 0.1 is a tenth more.",
    )
    stabilisation_seconds: float = Field(
        default=_DEFAULT.stabilisation_seconds,
        ge=0,
        description="Between growing and shrinking there is at least so long: no flapping.",
    )
    cooldown_seconds: float = Field(
        default=_DEFAULT.cooldown_seconds,
        ge=0,
        description="A class that has just changed does not shrink for so long.",
    )
    idle_seconds: float | None = Field(
        default=_DEFAULT.idle_seconds,
        ge=0,
        description="How long an idle worker stays, for all classes; empty leaves it to each.",
    )
    ahead: bool = Field(
        default=_DEFAULT.ahead,
        title="Forecast ahead",
        description="Start workers for work that past days make all but sure, before it is there.",
    )

    def rules(self) -> ScalingRules:
        """What the policy goes by."""
        return ScalingRules(
            horizon_seconds=self.horizon_seconds,
            headroom=self.headroom,
            stabilisation_seconds=self.stabilisation_seconds,
            cooldown_seconds=self.cooldown_seconds,
            idle_seconds=self.idle_seconds,
            ahead=self.ahead,
        )

    @classmethod
    def of(cls, rules: ScalingRules) -> Self:
        """The block that says the same."""
        return cls(**asdict(rules))
