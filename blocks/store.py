"""Where Proctor's records are, as people fill it in on Prefect's page."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, field_validator


class StoreBlock(Block):
    """The state directory of a team: its campaigns, its fleet and its memory."""

    _block_type_name: ClassVar[str | None] = "Proctor Store"
    _block_type_slug: ClassVar[str | None] = "proctor-store"

    state: str = Field(
        title="State directory",
        min_length=1,
        description="An absolute directory of the machine on which control flows run, or of a "
        "shared volume. Below it lie the journals of campaigns and proctor.duckdb, which is made "
        "of them.",
    )

    @field_validator("state")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError(f"{value!r} is no absolute directory: flows run from anywhere")
        return value

    @property
    def path(self) -> Path:
        return Path(self.state)

    @classmethod
    def of(cls, state: Path) -> StoreBlock:
        """The block that says the same."""
        return cls(state=str(state))
