"""How a campaign's sessions are started, wherever that is."""

from __future__ import annotations

from ...infra.engine.shipment import project_root
from ...infra.machine import this_machine
from ...infra.runners.spec import ProjectFiles, RunnerSpec
from ...infra.settings import DEFAULT, RunSettings
from .preparation import Prepared


def runner_of(prepared: Prepared) -> RunnerSpec:
    """The same for all of them, but for their numbers and their threads."""
    settings = prepared.settings
    return RunnerSpec(
        python=prepared.python,
        arguments=prepared.request.pytest_arguments(),
        directory=str(prepared.root),
        isolate=settings.isolate,
        worker_count=settings.slots,
        run_id=prepared.campaign_id,
        output_limit_bytes=settings.output_limit,
        hang_timeout_seconds=settings.hang_timeout,
        import_cache=prepared.import_cache(),
        files=_files(prepared),
    )


def math_threads_of(settings: RunSettings) -> int | None:
    """How many threads numerical libraries start in a session; None shares the cores out."""
    match settings.math_threads:
        case "auto":
            return None
        case "all":
            return 0
        case number:
            return int(number)


def _files(prepared: Prepared) -> ProjectFiles | None:
    """Workers of a fleet of our own are beside us; others may be anywhere."""
    settings = prepared.settings
    elsewhere = prepared.fleet.address or settings.ship == "always"
    if settings.ship == "never" or not elsewhere:
        return None
    return ProjectFiles(
        root=str(project_root(prepared.root)),
        machine=this_machine(),
        always=settings.ship == "always",
        setup=settings.setup,
        python_is_named=not settings.origin("python").startswith(DEFAULT),
        python_command=settings.python_command,
    )
