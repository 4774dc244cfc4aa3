"""What a project's conftest.py does once for all workers, around a campaign."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...infra.engine.campaign import Campaign
from ...infra.engine.controller import Controller, read_conftests, that_ask, that_give
from ...infra.engine.job import Job
from ...infra.errors import ProctorError
from ...infra.runners.spec import Message
from .preparation import Prepared

_ASKS = (
    "{} asks for pytest-xdist's workers: what it does elsewhere is done once here, by a session"
    " that runs no case"
)
_GIVES = (
    "{} hands data to workers by pytest_configure_node, which cannot be had here: a session that"
    " asks for it at its start does all by itself, as plain pytest does"
)


class Once:
    """Nothing at all for a project that asks for nothing."""

    def __init__(self, prepared: Prepared, job: Job, *, note: Callable[[str], None]) -> None:
        self._prepared = prepared
        self._note = note
        self._controller: Controller | None = None
        if prepared.request.tasks:
            return
        root = prepared.root
        texts = read_conftests(root, job.runner.arguments)
        giving, asking = that_give(texts), that_ask(texts)
        if giving:
            note(_GIVES.format(self._named(giving)))
        elif asking:
            note(_ASKS.format(self._named(asking)))
            # A fleet that is elsewhere keeps its own somewhere else.
            prepared.scratch.mkdir(parents=True, exist_ok=True)
            self._controller = Controller(
                job.runner, scratch=prepared.scratch, addopts=prepared.addopts
            )

    def begin(self) -> None:
        """Before any other session starts."""
        if self._controller is None:
            return
        try:
            self._controller.wait()
        except ProctorError as problem:
            # Whoever has a fleet elsewhere need not be able to run the suite where he asks for it.
            if not self._prepared.fleet.address:
                raise
            self._note(f"what the project does once for all workers was not done: {problem}")
            self.end()

    def end(self, campaign: Campaign | None = None) -> None:
        """After every other session has ended; a second time does nothing."""
        controller, self._controller = self._controller, None
        if controller is None:
            return

        def hear(message: Message) -> None:
            if campaign is not None and message["k"] == "finished":
                campaign.finishes.hear(message)

        if campaign is None:
            # With a problem: nobody has judged the cases.
            controller.close(hear, failed=0, ran=0, interrupted=True)
            return
        there = controller.close(
            hear,
            failed=campaign.failed_cases,
            ran=campaign.search.total,
            interrupted=bool(campaign.cancelling.because),
        )
        if not there:
            self._note("the session that did what is done once for all workers has died")

    def _named(self, paths: list[Path]) -> str:
        return ", ".join(os.path.relpath(path, self._prepared.root) for path in paths)
