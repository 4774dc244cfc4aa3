"""What somebody asks for when they ask for a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...infra.setting_readers import without_credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What somebody asked for, from whichever door."""

    paths: tuple[str, ...] = ()
    keyword: str = ""
    marks: str = ""
    tasks: str | None = None
    directory: str = "."
    pytest_args: tuple[str, ...] = ()
    # Settings that were given by hand; they come before environment and files.
    flags: Mapping[str, object] = field(default_factory=dict[str, object])
    last_failed: bool = False
    failed_first: bool = False
    junitxml: str | None = None
    idempotency_key: str | None = None
    name: str = ""
    # The campaign to continue, by its id or the beginning of it.
    resume: str | None = None
    # Run one on that was asked to end before its process died.
    run_on: bool = False
    # Nobody typed it: the fleet resumes what lost its process.
    by_itself: bool = False
    # Workers of a fleet of its own, such as "gpu:slots=1,gpu=1,simulated".
    fleet_classes: tuple[str, ...] = ()

    def pytest_arguments(self) -> tuple[str, ...]:
        """The command line pytest gets."""
        expressions: list[str] = []
        if self.keyword:
            expressions += ["-k", self.keyword]
        if self.marks:
            expressions += ["-m", self.marks]
        return (*expressions, *self.pytest_args, *self.paths)

    def what_runs(self) -> dict[str, Any]:
        """What decides on the cases, by the names of a submission's parameters."""
        return {
            # None and the folder itself are one: pytest looks there.
            "paths": list(self.paths) or ["."],
            "directory": self.directory,
            "keyword": self.keyword,
            "marks": self.marks,
            "select": [self.last_failed, self.failed_first],
            "tasks": self.tasks,
            "pytest_args": list(self.pytest_args),
        }

    def to_json(self) -> dict[str, Any]:
        """For a ledger, which may be read by many: without the password of a Prefect server."""
        values = asdict(self)
        if isinstance(server := values["flags"].get("prefect"), str):
            values["flags"]["prefect"] = without_credentials(server)
        return values

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRequest:
        """The request as a JSON file kept it."""
        values = dict(value)
        for name in ("paths", "pytest_args", "fleet_classes"):
            values[name] = tuple(values[name])
        return cls(**values)
