"""The facts that cross every boundary: cases, attempts, verdicts and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How one attempt ended."""

    PASSED = "passed"
    FAILED = "failed"
    # Setup or teardown failed: pytest calls that an error, not a failure.
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    # The process that ran the case died of a signal or left by itself.
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    # A worker, scheduler or network failed; the case is not to blame.
    INFRA_LOST = "infra-lost"
    # Stopped on purpose: the campaign ended, or another attempt was faster.
    CANCELLED = "cancelled"

    @property
    def is_good(self) -> bool:
        return self in GOOD

    @property
    def is_failure(self) -> bool:
        """Whether the case itself is to blame."""
        return self in FAILURES

    @property
    def is_result(self) -> bool:
        """Whether the attempt says anything about the case."""
        return self in GOOD or self in FAILURES


GOOD = frozenset({Outcome.PASSED, Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED})
FAILURES = frozenset(
    {Outcome.FAILED, Outcome.ERROR, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY}
)


class CaseKind(StrEnum):
    """What running a case means."""

    PYTEST = "pytest"
    COMMAND = "command"
    CALLABLE = "callable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a case needs of the worker it runs on."""

    cpu: float = 1.0
    memory_bytes: int = 0
    gpu: float = 0.0
    # Names a worker must carry, such as "highmem" or a licence.
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """The body of a case that is a command or a Python callable."""

    command: tuple[str, ...] = ()
    # "package.module:function"
    callable: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    working_directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to run."""

    id: str
    # Cases of a group share warm state: for pytest the file they stand in.
    group: str
    # The place in collection order; order within a group is kept.
    index: int
    kind: CaseKind = CaseKind.PYTEST
    needs: Requirements = Requirements()
    timeout_seconds: float | None = None
    # Names of its pytest markers, or the tags of a task.
    tags: tuple[str, ...] = ()
    task: TaskSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one attempt used, measured in and around its process."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    gpu_utilisation: float | None = None
    gpu_memory_bytes: int | None = None
    # Seconds of each pytest phase; the shared part is fixtures wider than the function.
    setup_seconds: float = 0.0
    call_seconds: float = 0.0
    teardown_seconds: float = 0.0
    shared_setup_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRef:
    """Where the text of an attempt stands in its campaign's output file."""

    epoch: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a case on a worker."""

    case: str
    # Identifies the execution: the same attempt arriving twice counts once.
    id: str
    outcome: Outcome
    started: float
    finished: float
    usage: Usage = Usage()
    worker: str = ""
    # Tells this life of the worker from an earlier one under the same name.
    incarnation: str = ""
    slot: int = 0
    batch: str = ""
    epoch: int = 0
    # One line: why it did not pass, or what was noticed.
    message: str = ""
    output: OutputRef | None = None
    # record_property values, in order.
    properties: tuple[tuple[str, str | float], ...] = ()
    # Things a person should know that are no failure, such as "left its directory changed".
    notes: tuple[str, ...] = ()


class Judgement(StrEnum):
    """The one final result of a case."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    # Passed after it had failed.
    FLAKY = "flaky"
    # Failed, but quarantined: reported, not counted against the campaign.
    MUTED = "muted"
    # Infrastructure failed it more often than its budget allows.
    INFRA_LOST = "infra-lost"
    # The campaign ended before it had a result.
    NOT_RUN = "not-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The final result of a case, derived from its attempts."""

    case: str
    judgement: Judgement
    attempts: int
    # The attempt that decided, if any did.
    decided_by: str = ""
    message: str = ""
    wall_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """What a worker said of itself when it joined."""

    name: str
    incarnation: str
    worker_class: str
    slots: int
    cpu: float
    memory_bytes: int
    gpu: float = 0.0
    tags: frozenset[str] = frozenset()
    # Its machine's name, for people; and what tells that machine from all others.
    host: str = ""
    machine: str = ""
    # A GPU that exists only as a tag, on a machine that has none.
    simulated_gpu: bool = False
    # Numbers of the GPUs that are this worker's alone.
    devices: tuple[str, ...] = ()
    # What was measured where it runs, whatever its class says; 0 where nobody measured.
    machine_cores: int = 0
    machine_memory_bytes: int = 0
    gpu_model: str = ""
    gpu_memory_bytes: int = 0

    @property
    def place(self) -> str:
        """Whose memory it has; empty where nobody looked.

        Two machines may have one name; containers of one machine have a name and a limit each.
        """
        return f"{self.machine}/{self.host}" if self.machine else ""
