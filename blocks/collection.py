"""All blocks of Proctor: what Prefect finds by the entry point, and `proctor deploy` registers."""

from __future__ import annotations

from prefect.blocks.core import Block

from .fleet import FleetBlock
from .policy import ScalingPolicyBlock
from .store import StoreBlock
from .worker_class import WorkerClassBlock

BLOCKS: tuple[type[Block], ...] = (WorkerClassBlock, ScalingPolicyBlock, FleetBlock, StoreBlock)

__all__ = ["BLOCKS", "FleetBlock", "ScalingPolicyBlock", "StoreBlock", "WorkerClassBlock"]
