"""A state directory that somebody configured on Prefect's page: `--state block:NAME`."""

from __future__ import annotations

from pathlib import Path

from ...infra import settings
from ...infra.errors import UsageProblem
from ...infra.setting_readers import STATE_BLOCK


def offer_blocks() -> None:
    """Have settings understand `state = block:NAME`; nothing is imported until one is read."""
    settings.state_of_block = state_of_block


def state_of_block(named: str, prefect: str) -> Path:
    """The directory that the block says, which has to be here."""
    if prefect == "off":
        raise UsageProblem(
            f"the state {named} is kept by Prefect, and Prefect is switched off",
            remedy="leave out --prefect off, or give the directory itself",
        )
    # Prefect takes a second to import, and hardly any state is kept there.
    from ...blocks.fleet import aread
    from ...blocks.store import StoreBlock
    from .block_reader import read_blocks
    from .prefect_server import answering_url

    url = answering_url(prefect, purpose=f", and {named} is kept there")
    if not url:
        # The resident server's own records lie in the state directory: it cannot say where that is.
        raise UsageProblem(
            f"the state {named} is kept by Prefect, and no server is configured",
            remedy="set PREFECT_API_URL, or give --prefect URL or the directory itself",
        )
    name = named.removeprefix(STATE_BLOCK)
    path = read_blocks(lambda: aread(StoreBlock, name), url=url, named=named).path
    if not path.is_dir():
        # Made here, it would be a second history beside the one that others share.
        raise UsageProblem(
            f"{named} says {path}, and there is no such directory on this machine",
            remedy="mount it or make it, or give another with --state",
        )
    return path
