"""Every deployment Proctor registers: which flow, in which pool, by which module path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .. import __version__

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.blocks.core import Block
    from prefect.client.orchestration import PrefectClient

# Control flows run where the state directory is: processes of that machine.
CONTROL_POOL = "proctor-control"


class Change(StrEnum):
    """What registering did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deployment. prefect.yaml says the same for `prefect deploy`."""

    name: str
    # package.module:function, so that it runs from any directory.
    entrypoint: str
    description: str
    tags: tuple[str, ...] = ("proctor",)
    pool: str = CONTROL_POOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that registering looked at."""

    kind: str
    name: str
    change: Change


CATALOG: tuple[Entry, ...] = (
    Entry(
        name="submit-tests",
        entrypoint="proctor.flows.submit:submit_tests",
        description="Run a test suite, or a list of tasks, over the fleet.",
    ),
    Entry(
        name="inject-faults",
        entrypoint="proctor.flows.inject:inject_faults",
        description="Break a fleet that is there to be broken, and judge what becomes of its runs.",
    ),
    Entry(
        name="scale-fleet",
        entrypoint="proctor.flows.scale:scale_fleet",
        description="Bring the fleet to the size that its work needs, and say why it has it.",
    ),
    Entry(
        name="sync-history",
        entrypoint="proctor.flows.history:sync_history",
        description="Bring Prefect's run history into the store, beside the campaigns.",
    ),
    Entry(
        name="analyze-trends",
        entrypoint="proctor.flows.trends:analyze_trends",
        description="Find what got slower, faster, flaky or odd, and since which commit.",
    ),
)


def load_flow(entry: Entry) -> Flow[..., Any]:
    """Import the entry's flow."""
    module, _, name = entry.entrypoint.partition(":")
    return getattr(import_module(module), name)


async def register(client: PrefectClient, entries: Sequence[Entry] = CATALOG) -> list[Step]:
    """Create or update the pools and deployments; doing it again changes nothing."""
    steps = [
        Step(kind="work pool", name=pool, change=await _pool(client, pool))
        for pool in dict.fromkeys(entry.pool for entry in entries)
    ]
    # Prefect's page can make and edit what it knows the form of.
    from ..blocks.collection import BLOCKS

    for block in BLOCKS:
        change = await _block_type(client, block)
        steps.append(Step(kind="block type", name=block.get_block_type_slug(), change=change))
    for entry in entries:
        change = await _deployment(client, entry)
        name = f"{load_flow(entry).name}/{entry.name}"
        steps.append(Step(kind="deployment", name=name, change=change))
    return steps


async def _pool(client: PrefectClient, name: str) -> Change:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        pool = WorkPoolCreate(
            name=name,
            type=ProcessWorker.type,
            description="Proctor's control flows: processes where the state directory is.",
            base_job_template=ProcessWorker.get_default_base_job_template(),
        )
        try:
            await client.create_work_pool(pool)
        except ObjectAlreadyExists:
            # Somebody registers at the same time.
            return Change.UNCHANGED
        return Change.CREATED
    return Change.UNCHANGED


async def _block_type(client: PrefectClient, block: type[Block]) -> Change:
    before = await _form(client, block)
    await block.aregister_type_and_schema(client=client)
    if before is None:
        return Change.CREATED
    return Change.UNCHANGED if before == await _form(client, block) else Change.UPDATED


async def _form(client: PrefectClient, block: type[Block]) -> tuple[str, bool] | None:
    """What stands on the server of a block type: its words, and whether this form is known."""
    from prefect.exceptions import ObjectNotFound

    try:
        there = await client.read_block_type_by_slug(block.get_block_type_slug())
    except ObjectNotFound:
        return None
    words = there.model_dump_json(include={"description", "code_example", "logo_url"})
    try:
        await client.read_block_schema_by_checksum(
            # Prefect has no public name for it.
            block._calculate_schema_checksum(),  # pyright: ignore[reportPrivateUsage]
            version=block.get_block_schema_version(),
        )
    except ObjectNotFound:
        return words, False
    return words, True


async def _deployment(client: PrefectClient, entry: Entry) -> Change:
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.types.entrypoint import EntrypointType

    flow = load_flow(entry)
    before = await _seen(client, f"{flow.name}/{entry.name}")
    deployment = await flow.ato_deployment(
        name=entry.name,
        description=entry.description,
        tags=list(entry.tags),
        work_pool_name=entry.pool,
        entrypoint_type=EntrypointType.MODULE_PATH,
        # Prefect would take that of whatever checkout somebody happens to stand in.
        version=__version__,
    )
    if before is None:
        await deployment.aapply()
        return Change.CREATED
    # To apply it again would wipe what people filled in: schedules, parameters, limits, queue.
    there = await client.read_deployment_by_name(f"{flow.name}/{entry.name}")
    ours: dict[str, Any] = {
        "description": entry.description,
        "entrypoint": deployment.entrypoint,
        "parameter_openapi_schema": flow.parameters.model_dump(exclude_unset=True),
        "pull_steps": None,
        "tags": sorted({*there.tags, *entry.tags}),
        "version": deployment.version,
    }
    if there.work_pool_name != entry.pool:
        ours["work_pool_name"] = entry.pool
    await client.update_deployment(there.id, DeploymentUpdate(**ours))
    after = await _seen(client, f"{flow.name}/{entry.name}")
    return Change.UNCHANGED if before == after else Change.UPDATED


async def _seen(client: PrefectClient, name: str) -> str | None:
    """What stands on the server of a deployment, without what changes by itself."""
    from prefect.exceptions import ObjectNotFound

    try:
        deployment = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None
    # Nothing is pulled: the server says that now as none, now as an empty list.
    kept = deployment.model_dump(
        mode="json",
        include={
            "description",
            "entrypoint",
            "parameter_openapi_schema",
            "tags",
            "version",
            "work_pool_name",
        },
    )
    return json.dumps(kept, sort_keys=True)
