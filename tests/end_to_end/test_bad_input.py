"""What cannot be used is said in one clear line with the right exit code; nothing is half-written."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from real_campaigns import type_in, write_project

ONE = {"test_a.py": "def test_a(): ...\n"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "p", ONE)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def refused(
    project: Path, state: Path, *arguments: str, code: int, says: str
) -> subprocess.CompletedProcess[str]:
    """Run the command; it must end with this code and one line that says so."""
    done = type_in("run", "--state", str(state), "--prefect", "off", *arguments, cwd=project)
    told = [line for line in done.stderr.splitlines() if line.startswith("proctor: ")]
    assert done.returncode == code, done.stderr + done.stdout
    assert len(told) == 1, done.stderr
    assert says in told[0]
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nowhere",), 4, "there is no file or directory nowhere"),
        (("--timeout", "soon"), 4, "soon"),
        (("--deadline", "-3"), 4, "-3"),
        (("--retries", "many"), 4, "many"),
        (("--memory-limit", "big"), 4, "big"),
        (("-n", "0"), 4, "0"),
        (("--python", "no-such-python"), 4, "no-such-python"),
        (("--tasks", "absent.json"), 4, "absent.json"),
        (("--tasks", "broken.json"), 4, "broken.json"),
        (("--directory", "absent"), 4, "absent"),
        (("--fleet-class", "gpu:slots=x"), 4, "gpu:slots=x"),
        (("--fleet-class", "gpu:rooms=2"), 4, "rooms"),
        (("--resume", "19990101"), 4, "19990101"),
    ],
)
def test_refused_before_anything_starts(
    project: Path, state: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """One line on stderr, nothing else anywhere, and no state directory."""
    (project / "broken.json").write_text('{"tasks": [{"id": 3,}]}')
    done = refused(project, state, *arguments, code=code, says=says)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not state.exists()


def test_a_setting_in_pyproject_is_refused_with_its_place(project: Path, state: Path) -> None:
    """The file and the value are named."""
    (project / "pyproject.toml").write_text("[tool.proctor]\ntimeout = 'never ever'\n")
    done = refused(project, state, code=4, says="never ever")
    assert "pyproject.toml" in done.stderr


def test_a_read_only_state_directory(project: Path, tmp_path: Path) -> None:
    """Nowhere to keep records: said with the path, exit code 6."""
    # Root may write anywhere but below a file.
    (tmp_path / "file").touch()
    refused(project, tmp_path / "file" / "state", code=6, says=str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("files", "arguments", "code", "says"),
    [
        ({"test_b.py": "def test_b(:\n"}, (), 2, "test_b.py cannot be collected"),
        ({"test_b.py": "import nothing_like_it\n"}, (), 2, "nothing_like_it"),
        ({"conftest.py": "import nothing_like_it\n"}, (), 4, "nothing_like_it"),
        ({"conftest.py": "import sys\nsys.exit(3)\n"}, (), 4, "conftest.py cannot be imported"),
        (
            {
                "test_b.py": "import pytest\n\n@pytest.mark.resources(gpus=1)\ndef test_b(): ...\n",
                "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['resources: needs']\n",
            },
            (),
            4,
            "gpus",
        ),
        (
            {
                # Nothing else: what can run would run.
                "test_a.py": "import pytest\n\n@pytest.mark.resources(gpu=8)\ndef test_b(): ...\n",
                "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['resources: needs']\n",
            },
            (),
            4,
            "needs gpu=8",
        ),
        ({}, ("--", "--no-such-flag"), 4, "--no-such-flag"),
        ({}, ("test_a.py::test_nothing",), 4, "test_a.py::test_nothing (no match in any"),
    ],
)
def test_refused_by_what_the_suite_holds(
    tmp_path: Path,
    state: Path,
    files: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    """The reason in one line, the exit code pytest would give, and a ledger that is closed."""
    project = write_project(tmp_path / "p", {**ONE, **files})
    told = refused(project, state, "-n", "1", *arguments, code=code, says=says)
    listed = type_in("list", "--state", str(state), "--json", cwd=project)
    # That a suite cannot be collected is news of the suite; what was typed is no history.
    broken = code == 2 or "conftest.py" in files
    state_told = "failed" if broken else "refused"
    logs = type_in("logs", "test_b.py", "--state", str(state), cwd=project)
    assert (f"`proctor logs test_b.py --state {state}`" in told.stderr) == (code == 2)
    assert (logs.returncode == 0) == (code == 2)
    assert f'"state": "{state_told}"' in listed.stdout
    assert not list(state.rglob("*.new"))


@pytest.mark.parametrize(
    ("files", "arguments", "says"),
    [
        (
            {"test_b.py": "import sys\nsys.exit(5)\n"},
            (),
            "left by sys.exit while collecting test_b",
        ),
        (
            {"exiting.py": "import sys\nsys.exit(7)\n", "pytest.ini": "[pytest]\npythonpath=.\n"},
            ("--", "-p", "exiting"),
            "exiting.py line 2",
        ),
    ],
)
def test_a_module_that_ends_the_process_is_named(
    tmp_path: Path, state: Path, files: dict[str, str], arguments: tuple[str, ...], says: str
) -> None:
    """Pytest says nothing of who called sys.exit, and its exit code is another."""
    project = write_project(tmp_path / "p", {**ONE, **files})
    told = refused(project, state, "-n", "1", *arguments, code=2, says=says)
    assert "sys.exit" in told.stderr


def test_several_problems_are_kept_as_such(tmp_path: Path, state: Path) -> None:
    """Each in a line where they are met, and the first with how many more in the list."""
    bad = "@pytest.mark.resources(gpus=1)\ndef test_{}(): ...\n"
    project = write_project(
        tmp_path / "p", {"test_a.py": "import pytest\n" + bad.format("b") + bad.format("c")}
    )
    done = type_in("run", "--state", str(state), "--prefect", "off", "-n", "1", cwd=project)
    assert (done.returncode, done.stderr.count("\n  test_a.py::test_")) == (4, 2), done.stderr
    listed = type_in("list", "--state", str(state), "--json", cwd=project)
    (told,) = json.loads(listed.stdout)
    assert (told["problem_count"], len(told["problems"])) == (2, 2)
    assert told["problems"][0].startswith(
        "test_a.py::test_b: resources marker: unknown requirement"
    )


def test_no_tests_is_pytests_code_five(project: Path, state: Path) -> None:
    """Nothing selected is no error of ours."""
    done = type_in(
        "run", "-k", "nothing_like_it", "--state", str(state), "--prefect", "off", cwd=project
    )
    assert done.returncode == 5, done.stderr
    assert f"found in {project} was asked for with `-k nothing_like_it`" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_interpreter_without_pytest(project: Path, state: Path, tmp_path: Path) -> None:
    """Said with the interpreter's path and how to get one that works, exit code 4: it was named."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / "bin" / Path(sys.executable).name
    done = refused(project, state, "-n", "1", "--python", str(python), code=4, says="pytest")
    assert str(python) in done.stderr
