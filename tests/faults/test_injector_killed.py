"""An injector killed with -9 in the middle of any fault: everything is as before in its time."""

from __future__ import annotations

import os
import resource
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dying_injectors import LASTING, inject_and_die, traces
from faulty_fleets import PATIENCE, FaultyFleet, faulty_fleet, is_stopped
from waiting import wait_until

from proctor.infra.faults.catalogue import kinds
from proctor.infra.faults.lease import FaultFiles, FaultLease, held, past

# Of faults that are looked at first, for as long as it takes.
LOOKED_AT_SECONDS = 120.0
# Stand for the kernel's network, which few test machines have netem in: a rule is a file.
TOOLS = {
    "ip": """\
        #!/bin/sh
        [ "$2" = list ] && echo gale && exit
        shift 3
        exec "$@"
        """,
    "tc": """\
        #!/bin/sh
        case $2 in
            replace) echo "$*" > "$(dirname "$0")/rule" ;;
            del) rm "$(dirname "$0")/rule" ;;
        esac
        """,
    "unshare": """\
        #!/bin/sh
        """,
}
# These need more than a fleet, or act at once; each has a test of its own.
OTHERS = {"kill", "restart", "fill-disk", "netem"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyFleet]:
    with faulty_fleet(tmp_path_factory.mktemp("killed") / "state", "--cpu", "1") as fleet:
        yield fleet


def let_expire(files: FaultFiles) -> FaultLease:
    """The time of the one fault that acts is over now, however long the machine took so far."""
    (lease,) = held(files)
    assert time.time() < lease.until, "it was looked at for too long"
    path = files.lease(lease.id)
    text = path.read_text()
    # In place: there may be no room for another file.
    over = text.replace(f'"until": {lease.until!r}', f'"until": {lease.begins!r}')
    assert over != text
    with path.open("r+") as file:
        file.write(over.ljust(len(text)))
    return lease


def await_settled(files: FaultFiles) -> None:
    wait_until(lambda: not held(files), timeout=PATIENCE, what="the lease to be settled")


def test_no_kind_is_forgotten() -> None:
    """Whoever adds a kind adds it here."""
    assert set(kinds()) == set(LASTING) | OTHERS


@pytest.mark.parametrize("kind", LASTING)
def test_what_a_killed_injector_did_is_undone(fleet: FaultyFleet, kind: str) -> None:
    """It acts when its injector dies, and nothing of it is left when its lease is over."""
    fleet.await_workers(1)
    target, parameters = LASTING[kind]
    worker = fleet.ref("worker:cpu-1")
    limit = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    files = fleet.faults

    inject_and_die(fleet.state, kind, target, parameters, seconds=LOOKED_AT_SECONDS)

    (lease,) = held(files)
    assert lease.kind == kind
    assert traces(fleet, lease.id, worker, limit), "it never acted"
    assert let_expire(files) == lease
    await_settled(files)
    undone, how = past(files)[-1]
    assert (undone.id, how) == (lease.id, "expired")
    assert traces(fleet, lease.id, worker, limit) == []
    assert not is_stopped(worker)
    fleet.await_word("cpu-1")


def test_a_killed_supervisor_comes_back_though_its_killer_is_dead_too(fleet: FaultyFleet) -> None:
    """The one part that nobody else would start again."""
    before = fleet.ref("supervisor")
    inject_and_die(fleet.state, "kill", "supervisor", {})
    wait_until(lambda: not before.alive, timeout=PATIENCE, what="the supervisor to end")
    fleet.await_workers(1)
    assert fleet.ref("supervisor") != before
    await_settled(fleet.faults)


def test_a_killed_reaper_is_replaced(fleet: FaultyFleet) -> None:
    """Injector and reaper die in the middle of a fault: the supervisor sees that it ends."""
    fleet.await_workers(1)
    worker = fleet.ref("worker:cpu-1")
    inject_and_die(fleet.state, "freeze", "worker:cpu-1", {})
    command = ["-m", "proctor.infra.faults.reaper", "--state", str(fleet.state)]
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:] == command:
            process.kill()
    await_settled(fleet.faults)
    assert not is_stopped(worker)


def test_what_acts_at_once_leaves_no_lease_for_long(fleet: FaultyFleet) -> None:
    """Kill and restart of what others start again."""
    for kind in ("kill", "restart"):
        fleet.await_workers(1)
        before = fleet.ref("worker:cpu-1")
        inject_and_die(fleet.state, kind, "worker:cpu-1", {})
        wait_until(lambda: not before.alive, timeout=PATIENCE, what="the worker to end")  # noqa: B023
        await_settled(fleet.faults)
    fleet.await_workers(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="netem is refused without root")
def test_a_rule_of_the_kernels_network_is_taken_back(tmp_path: Path) -> None:
    """What the injector had `tc` do, the reaper has it undo."""
    for name, text in TOOLS.items():
        tool = tmp_path / name
        tool.write_text(textwrap.dedent(text))
        tool.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    (tmp_path / "state").mkdir()
    given = {"delay": "50ms"}
    inject_and_die(
        tmp_path / "state", "netem", "netns:gale", given, seconds=LOOKED_AT_SECONDS, PATH=path
    )
    rule = tmp_path / "rule"
    assert "netem delay 50ms" in rule.read_text()
    files = FaultFiles(state=tmp_path / "state")
    let_expire(files)
    await_settled(files)
    assert not rule.exists()
    lease, how = past(files)[-1]
    assert (lease.kind, how) == ("netem", "expired")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_was_filled_has_room_again(tmp_path: Path) -> None:
    """A disk of its own, full to the last byte until the lease is over."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing, not even for root")
    try:
        (disk / "fleet").mkdir()
        inject_and_die(disk, "fill-disk", "state", {}, seconds=LOOKED_AT_SECONDS)
        assert os.statvfs(disk).f_bavail == 0
        let_expire(FaultFiles(state=disk))
        await_settled(FaultFiles(state=disk))
        assert os.statvfs(disk).f_bavail > 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
