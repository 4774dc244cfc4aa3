"""From what a person asked to what the engine needs: settings, a campaign id, a directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import tomllib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ...infra.errors import NoSuchInterpreter, UsageProblem
from ...infra.fleet.class_choice import known_classes
from ...infra.fleet.machine_room import memory_line
from ...infra.judge import judge_record, miscounted
from ...infra.ledgers.campaigns import CANCEL_FILE, LAST, find_campaign
from ...infra.ledgers.lines import BY_ITSELF
from ...infra.ledgers.record import CampaignRecord, read_campaign, seconds_worked
from ...infra.origin import Origin
from ...infra.pytest_options import addopts_of, take_over, without_effect
from ...infra.quantities import format_duration
from ...infra.runners.memory_room import memory_there
from ...infra.setting_readers import FLEET_BLOCK, without_credentials
from ...infra.settings import RunSettings, load_settings
from ...infra.state_flag import remedies_find
from ..server.state_block import offer_blocks
from .fleet_choice import FleetChoice, choose_fleet
from .request import RunRequest
from .request_checks import check_request

if TYPE_CHECKING:
    from ...infra.tasks.tasklist import TaskList


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A campaign that can be conducted."""

    campaign_id: str
    directory: Path
    request: RunRequest
    settings: RunSettings
    fleet: FleetChoice
    # The user's interpreter, and where pytest starts.
    python: str
    root: Path
    # What earlier campaigns of the project taught; its name.
    project: Path
    project_name: str
    # What pytest adds to its command line there.
    addopts: tuple[str, ...] = ()
    # What a task file asks for; read before anything starts, for it may be broken.
    tasks: TaskList | None = None
    # What an interrupted campaign left, when this continues one.
    record: CampaignRecord | None = None
    # Where it was first asked for.
    origin: Origin = field(default_factory=Origin.here)
    # How it was resumed, "by itself" or "by hand", and what to say of that.
    resumed: str = ""
    remarks: tuple[str, ...] = ()
    # The --state of this life of it: what is typed next needs the same.
    typed_state: object = None

    @property
    def state(self) -> Path:
        return Path(self.settings.state)

    @property
    def scratch(self) -> Path:
        return self.state / "scratch"

    def deadline_at(self, now: float) -> float | None:
        """What earlier lives of the campaign used of its time is gone; pauses are not."""
        if self.settings.deadline is None:
            return None
        return now + self.settings.deadline - (seconds_worked(self.record) if self.record else 0.0)

    def import_cache(self) -> str:
        """Where compiled modules of the project are kept; made here, for who needs it is near."""
        if not self.settings.import_cache:
            return ""
        place = self.project / "compiled"
        with contextlib.suppress(OSError):
            # A state directory that cannot be written is told where the ledger is opened.
            place.mkdir(parents=True, exist_ok=True)
        return str(place)


def prepare(request: RunRequest) -> Prepared:
    """Check what can be checked before anything starts; nothing is written."""
    # A flow's environment may name its state by a block, as the command line's may.
    offer_blocks()
    if request.resume is not None:
        with remedies_find(request.flags.get("state")):
            return _prepare_to_resume(request)
    root = Path(request.directory).resolve()
    if not root.is_dir():
        raise UsageProblem(
            f"there is no directory {request.directory}",
            remedy="give --directory one that is there",
        )
    request = _with_options_taken_over(request)
    check_request(request, root)
    settings = load_settings(root, os.environ, request.flags)
    campaign_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}"
    directory = Path(settings.state) / "campaigns" / campaign_id
    project_name = project_name_of(root)
    python = _interpreter(settings.python, root)
    fleet = _fleet(request, settings)
    addopts = _addopts(request, root)
    return Prepared(
        campaign_id=campaign_id,
        directory=directory,
        request=request,
        settings=settings,
        fleet=fleet,
        python=python,
        root=root,
        project=project_directory(Path(settings.state), project_name),
        project_name=project_name,
        addopts=addopts,
        tasks=_tasks(request, root, python),
        remarks=(*settings.notes, *_in_vain(request, addopts), *_crowded(fleet)),
        typed_state=request.flags.get("state"),
    )


def _with_options_taken_over(request: RunRequest) -> RunRequest:
    """What was typed for pytest and is ours to do becomes ours, from whichever door it came."""
    taken = take_over(request.pytest_args)
    ours = dict(taken.ours)
    settings = {name: ours.pop(name) for name in ("maxfail", "slots") if name in ours}
    fields: dict[str, Any] = ours
    return replace(request, pytest_args=taken.kept, flags={**request.flags, **settings}, **fields)


def _addopts(request: RunRequest, root: Path) -> tuple[str, ...]:
    return () if request.tasks else addopts_of(root, os.environ)


def _in_vain(request: RunRequest, addopts: tuple[str, ...]) -> tuple[str, ...]:
    """What pytest was given, by hand or in its configuration, that does nothing here."""
    if request.tasks:
        return ()
    said = without_effect(request.pytest_args, addopts)
    return (said,) if said else ()


def _prepare_to_resume(request: RunRequest) -> Prepared:
    """The interrupted campaign's own request, on the fleet that is there now."""
    place = Path(request.directory).resolve()
    here = load_settings(place, os.environ, request.flags)
    directory = find_campaign(Path(here.state), request.resume or LAST, here=place)
    record = read_campaign(directory)
    if record.close is not None and record.close.state == "completed" and not _lost(record):
        raise UsageProblem(
            f"campaign {directory.name} is completed: nothing is left to resume",
            remedy=f"`proctor show {directory.name}` shows its results",
        )
    if record.state == "running":
        raise UsageProblem(
            f"campaign {directory.name} is running: nothing is there to resume",
            remedy=f"`proctor watch {directory.name}` follows it,"
            f" `proctor cancel {directory.name}` ends it",
        )
    remarks = _remarks(record, request)
    told: dict[str, Any] = dict(record.header.settings)
    original = _asked(record)
    if "deadline" in request.flags:
        # Whoever resumes it next, or the fleet by itself, goes by it too.
        flags = {**original.flags, "deadline": request.flags["deadline"]}
        original = replace(original, flags=flags)
    if record.stopped and not request.by_itself:
        # What failed before would only stop it again; unasked, that is what it is to do.
        original = replace(original, flags={**original.flags, "maxfail": 0})
    if request.fleet_classes:
        # Another fleet than it had, named or not.
        flags = {name: value for name, value in original.flags.items() if name != "fleet"}
        original = replace(original, flags=flags, fleet_classes=request.fleet_classes)
    root = Path(record.header.root)
    if not root.is_dir():
        raise UsageProblem(
            f"campaign {directory.name} ran in {root}, and there is no such directory any more",
            remedy="bring it back, or run it anew elsewhere",
        )
    flags = {**original.flags, **request.flags}
    if flags.get("prefect") == without_credentials(here.prefect):
        # The ledger keeps no password: who resumes it may have told us.
        flags["prefect"] = here.prefect
    settings = load_settings(root, os.environ, flags)
    _check_time_left(record, settings)
    if record.close is not None or request.run_on:
        (directory / CANCEL_FILE).unlink(missing_ok=True)
    return Prepared(
        campaign_id=directory.name,
        directory=directory,
        request=original,
        settings=settings,
        fleet=_fleet(original, settings),
        python=told["python"],
        root=root,
        project=project_directory(Path(settings.state), record.header.project),
        project_name=record.header.project,
        addopts=_addopts(original, root),
        # What a damaged line told of may be a task.
        tasks=_tasks(original, root, told["python"]) if record.problems else None,
        record=record,
        origin=Origin.from_json(told.get("origin")),
        resumed=BY_ITSELF if request.by_itself else "by hand",
        remarks=(*settings.notes, *remarks),
        typed_state=request.flags.get("state"),
    )


def _check_time_left(record: CampaignRecord, settings: RunSettings) -> None:
    """One that has not ended yet ends as cancelled; one that has would only do so again."""
    if settings.deadline is None or record.close is None:
        return
    worked = round(seconds_worked(record), 1)
    if worked >= settings.deadline:
        raise UsageProblem(
            f"campaign {record.campaign} has used up its deadline of "
            f"{format_duration(settings.deadline)}: it has run for {format_duration(worked)}",
            remedy="`--deadline` gives it a later one, counted from its beginning, or none",
        )


def _asked(record: CampaignRecord) -> RunRequest:
    try:
        return RunRequest.from_json(record.header.settings["request"])
    except (KeyError, TypeError) as problem:
        raise UsageProblem(
            f"campaign {record.campaign} was begun by another version of Proctor, and what was "
            "asked of it cannot be read",
            remedy="resume it with that version, or run it anew",
        ) from problem


def _lost(record: CampaignRecord) -> bool:
    """Whether a completed campaign lacks results that it can have: lost, or never to be had."""
    assert record.close is not None, "who asks knows that it is closed"
    if record.left_out:
        # Today's fleet may have what the last one had not.
        return True
    if record.stopped:
        return True
    fewer = sum(record.close.counts.values()) > len(record.cases)
    request = _asked(record)
    if fewer and request.tasks and request.last_failed:
        # Cases that are lost are found again, but not which of a list had failed before.
        return False
    verdicts = judge_record(record)
    return any(miscounted(record, verdicts))


def _remarks(record: CampaignRecord, request: RunRequest) -> tuple[str, ...]:
    """What whoever looks on should know of a campaign that goes on."""
    said: list[str] = []
    if request.by_itself:
        said.append(f"its process (pid {record.header.pid}) was lost: it was resumed by itself")
    if record.close is None and (record.directory / CANCEL_FILE).exists():
        said.append(
            "it was asked to end before its process was lost: "
            + (
                "it runs on, as asked now"
                if request.run_on
                else "it ends as cancelled with what it has; "
                f"`proctor resume --run-on {record.campaign}` runs on what is left"
            )
        )
    return tuple(said)


def _fleet(request: RunRequest, settings: RunSettings) -> FleetChoice:
    # What was asked for by hand comes before a fleet that a file or the environment names.
    by_hand = not request.fleet_classes or settings.origin("fleet") == "--fleet"
    named = settings.fleet if by_hand else ""
    if named.startswith(FLEET_BLOCK):
        # Prefect takes a second to import, and hardly any fleet is kept there.
        from .fleet_block import own_fleet

        return own_fleet(
            named,
            state=Path(settings.state),
            prefect=settings.prefect,
            cores=settings.slots,
        )
    return choose_fleet(
        state=Path(settings.state),
        named=named,
        slots=settings.slots,
        classes=request.fleet_classes,
        usual=settings.fleet_classes,
        usual_origin=settings.origin("fleet_classes"),
        known=partial(known_classes, settings),
        certs=settings.certificates,
    )


def _crowded(fleet: FleetChoice) -> tuple[str, ...]:
    """What workers of its own share."""
    own = () if fleet.address else fleet.workers
    return tuple(filter(None, (memory_line(own, there=memory_there()),)))


def _tasks(request: RunRequest, root: Path, python: str) -> TaskList | None:
    if not request.tasks:
        return None
    # Schema validation is slow to import, and only task lists need it.
    from ...infra.tasks.tasklist import read_tasks

    return read_tasks(root / request.tasks, python=python)


def _interpreter(python: str, root: Path) -> str:
    """The interpreter as a path that works from anywhere."""
    what = f"there is no interpreter {python}"
    # Not resolved: a virtual environment's python is a link, and what it links to is another.
    if os.sep in python:
        path = Path(os.path.abspath(root / python))  # noqa: PTH100 - resolve() follows links
        if os.access(path, os.X_OK) and path.is_file():
            return str(path)
        if path.exists():
            what = f"{python} is no interpreter: it cannot be executed"
    elif found := shutil.which(python):
        return found
    raise NoSuchInterpreter(
        what,
        remedy="name the one that has your suite's packages with --python or `python` in "
        "[tool.proctor]",
    )


def project_name_of(root: Path) -> str:
    """By the nearest pyproject.toml: checkouts in other places share their history."""
    for directory in (root, *root.parents):
        file = directory / "pyproject.toml"
        if file.is_file():
            try:
                name = tomllib.loads(file.read_text()).get("project", {}).get("name")
            except tomllib.TOMLDecodeError:
                name = None
            return name or directory.name or "root"
    return root.name or "root"


def project_directory(state: Path, name: str) -> Path:
    """What campaigns of a project taught."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60]
    # Two names that look alike as directories stay apart.
    digest = hashlib.blake2b(name.encode(), digest_size=3).hexdigest()
    return state / "projects" / f"{plain}-{digest}"
