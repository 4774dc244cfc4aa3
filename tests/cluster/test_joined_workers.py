"""Workers that another machine gives to a fleet: `proctor certs`, `up --listen`, `join`."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_campaigns import attempts_of, begin, document, run, type_in, write_project
from waiting import wait_until

from proctor import __version__
from proctor.deployments.cli import main
from proctor.deployments.standing.fleet_standing import look
from proctor.deployments.standing.services import down
from proctor.infra.fleet import one_version

PATIENCE = 90.0
WORKER = "gpu-1@box"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A fleet of one cpu worker, which wants to see certificates though it is on loopback."""
    state = tmp_path / "state"
    made = document(type_in("certs", "--state", str(state), "--json", cwd=tmp_path))
    assert made["made"]
    done = type_in(
        *("up", "--prefect", "off", "--state", str(state), "--cpu", "1"),
        *("--listen", "127.0.0.1", "--certs", made["directory"]),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    yield state
    down(state, now=True, deadline_seconds=10)


def address(state: Path) -> str:
    record = look(state).record
    assert record is not None
    assert record.address.startswith("tls://")
    return record.address


@pytest.fixture
def joined(state: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker from elsewhere: all that it shares with the fleet are the certificates."""
    elsewhere = str(tmp_path / "elsewhere")
    process = begin(
        [
            *("join", address(state), "--state", elsewhere, "--certs", str(state / "certs")),
            *("--class", "gpu:slots=1,gpu=1,simulated", "--name", "box"),
        ],
        cwd=tmp_path,
        log=tmp_path / "join.log",
        # It may see the same files, but nobody can know that of another machine.
        PROCTOR_MACHINE="box",
    )
    wait_until(lambda: WORKER in standing(state), timeout=PATIENCE, what="the worker's arrival")
    yield process
    process.kill()
    process.wait(10)


def standing(state: Path) -> dict[str, str]:
    """The incarnation of each worker that is there."""
    return {
        each.instance.name: each.seen.facts.incarnation for each in look(state).workers if each.seen
    }


def test_a_case_runs_on_the_worker_that_has_what_it_needs(state, joined, tmp_path):
    """Nobody in the fleet had a GPU before it came, and nobody has one after it has left."""
    project = write_project(
        tmp_path / "orchard",
        {
            "test_trees.py": """
                import pytest

                @pytest.mark.resources(gpu=1)
                def test_on_a_gpu(): ...

                def test_anywhere(): ...
            """
        },
    )
    conducted = run(project, state)
    assert conducted.record is not None
    (attempt,) = conducted.record.attempts["test_trees.py::test_on_a_gpu"]
    assert (str(attempt.outcome), attempt.worker) == ("passed", WORKER)

    joined.send_signal(signal.SIGTERM)
    assert joined.wait(PATIENCE) == 0
    wait_until(
        lambda: sorted(standing(state)) == ["cpu-1"], timeout=PATIENCE, what="the worker's leave"
    )
    left = type_in("run", "--prefect", "off", "--state", str(state), cwd=project)
    assert left.returncode == 6
    assert "gpu=1" in left.stdout
    assert "1 not run" in left.stdout or "1 not-run" in left.stdout


@pytest.mark.usefixtures("joined")
def test_it_comes_back_when_the_scheduler_does(state):
    """The scheduler's death ends its worker, and nobody has to start that again."""
    former = standing(state)[WORKER]
    record = look(state).record
    assert record is not None
    assert record.scheduler is not None
    process = record.scheduler.process
    assert process is not None
    process.kill()
    wait_until(
        lambda: standing(state).get(WORKER, former) != former,
        timeout=PATIENCE,
        what="another life of the worker",
    )


def test_who_has_no_certificate_is_told_so(state, tmp_path):
    """Before a worker is started, and before a campaign is."""
    other = str(tmp_path / "other")
    for line in (["join", address(state)], ["run", "--fleet", address(state)]):
        done = type_in(*line, "--state", other, cwd=tmp_path)
        assert done.returncode == 4
        assert "holds no ca.pem, fleet.pem, fleet-key.pem" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "other" / "joined").exists()
    clear = address(state).replace("tls://", "tcp://")
    for line in (["join", clear], ["run", "--fleet", clear]):
        done = type_in(*line, "--state", other, cwd=tmp_path, PROCTOR_PREFECT="off")
        assert done.returncode == 4, done.stderr
        assert f"the fleet at {clear} speaks TLS; write tls://" in done.stderr


def test_the_project_is_brought_to_another_machine(state, joined, tmp_path):
    """With what its setup command made there, once; and what is told names the project's own path."""
    project = write_project(
        tmp_path / "orchard",
        {
            "pyproject.toml": """
                [project]
                name = "orchard"
                [tool.proctor]
                setup = "echo made >> made.txt"
            """,
            "tests/test_trees.py": """
                from pathlib import Path
                import pytest

                pytestmark = pytest.mark.resources(gpu=1)
                ROOT = Path(__file__).parent.parent

                def test_it_is_set_up_once():
                    assert (ROOT / "made.txt").read_text() == "made\\n"

                def test_that_fails():
                    raise AssertionError(ROOT / "made.txt")

                @pytest.mark.parametrize("file", [ROOT / "pyproject.toml"], ids=str)
                def test_whose_id_is_a_path(file):
                    assert file.exists()
            """,
        },
    )
    assert not (project / "made.txt").exists()
    for _ in range(2):
        record = run(project, state).record
        assert record is not None
        (passed,) = record.attempts["tests/test_trees.py::test_it_is_set_up_once"]
        assert (str(passed.outcome), passed.worker) == ("passed", WORKER)
        (failed,) = record.attempts["tests/test_trees.py::test_that_fails"]
        assert failed.message == f"AssertionError: {project / 'made.txt'}"
        named = f"tests/test_trees.py::test_whose_id_is_a_path[{project / 'pyproject.toml'}]"
        assert attempts_of(record, named) == ["passed"]
    assert not (project / "made.txt").exists()


@pytest.mark.usefixtures("joined")
def test_a_setup_that_fails_ends_the_campaign_with_its_last_line(state, tmp_path):
    """Nobody has to look for a log on another machine."""
    project = write_project(
        tmp_path / "orchard",
        {
            "pyproject.toml": """
                [project]
                name = "orchard"
                [tool.proctor]
                setup = "echo no such wheel; exit 3"
            """,
            "test_trees.py": """
                import pytest

                @pytest.mark.resources(gpu=1)
                def test_on_a_gpu(): ...
            """,
        },
    )
    done = type_in("run", "--prefect", "off", "--state", str(state), cwd=project)
    assert done.returncode == 6, done.stdout + done.stderr
    # In the line with which it ends, whatever was noted before.
    (line,) = done.stderr.splitlines()[-1:]
    assert "no worker that fits test_trees.py::test_on_a_gpu has been there for" in line
    assert f"on worker {WORKER}: no such wheel" in line
    assert "mend `setup` in [tool.proctor], then run `proctor resume" in line
    assert "Traceback" not in done.stderr


def test_another_version_is_refused_in_a_line(state, tmp_path, monkeypatch, capsys):
    """Neither workers nor campaigns of it: what they say would be of another version."""
    monkeypatch.setattr(one_version, "__version__", "9.9")
    shown = ("--certs", str(state / "certs"), "--state", str(tmp_path / "other"))
    monkeypatch.chdir(write_project(tmp_path / "orchard", {"test_a.py": "def test_a(): ..."}))
    for line in (["join"], ["run", "--prefect", "off", "--fleet"]):
        assert main([*line, address(state), *shown]) == 4
        told = capsys.readouterr().err
        assert f"is of Proctor {__version__}, and this machine has 9.9" in told
        assert "Traceback" not in told
