"""Fixtures of every scope are set up and torn down once, in order, however batches are cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runner_suites import Told, collect, run_batch, run_suite, spec_of, write_suite

from proctor.infra.runners.runner import SessionRunner

SCOPES = {
    "conftest.py": """
        import pathlib, sys
        import pytest
        LOG = pathlib.Path(__file__).with_name("log.txt")
        def log(text):
            with LOG.open("a") as file: file.write(text + "\\n")

        def logged(scope):
            def fixture(request):
                node = request.node
                name = getattr(node, "nodeid", "") or scope
                log(f"+{scope} {name}")
                yield
                log(f"-{scope} {name}")
            return pytest.fixture(scope=scope, autouse=True, name=f"auto_{scope}")(fixture)

        auto_session = logged("session")
        auto_package = logged("package")
        auto_module = logged("module")
        auto_class = logged("class")
        auto_function = logged("function")
    """,
    "pkg/__init__.py": "",
    "pkg/test_a.py": """
        class TestOne:
            def test_1(self): pass
            def test_2(self): pass
        class TestTwo:
            def test_3(self): pass
    """,
    "pkg/test_b.py": "def test_4(): pass\ndef test_5(): pass",
    "test_c.py": "def test_6(): pass",
}


def log_of(folder: Path) -> list[str]:
    path = folder / "log.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def story_is_sound(lines: list[str]) -> bool:
    """Each setup has one teardown and they nest."""
    stack: list[str] = []
    for line in lines:
        if line.startswith("+"):
            stack.append(line[1:])
        elif not stack or stack.pop() != line[1:]:
            return False
    return not stack


@pytest.fixture
def scopes(tmp_path: Path) -> Path:
    return write_suite(tmp_path, SCOPES)


def wide(lines: list[str]) -> list[str]:
    return [line for line in lines if "function" not in line]


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("collected", [False, True], ids=["by file", "all at once"])
def test_batches_of_any_size_set_up_what_one_run_would(
    scopes: Path, size: int, collected: bool
) -> None:
    """Cut into batches, in order, the suite tells the same story as in one piece."""
    lister = SessionRunner(spec_of(scopes))
    cases = collect(lister)
    lister.close()
    assert log_of(scopes) == []

    whole = SessionRunner(spec_of(scopes))
    run_batch(whole, cases, Told())
    whole.close()
    expected = log_of(scopes)
    assert story_is_sound(expected)
    assert len(wide(expected)) == len(set(wide(expected)))

    runner = SessionRunner(spec_of(scopes))
    told = Told()
    try:
        if collected:
            collect(runner)
        for start in range(0, len(cases), size):
            run_batch(runner, cases[start : start + size], told)
    finally:
        runner.close()
    assert {message["outcome"] for message in told.all("done")} == {"passed"}
    assert log_of(scopes) == expected


def test_cases_in_any_order_keep_the_story_sound(scopes: Path) -> None:
    """Jumping between files and classes tears down and sets up again, and always nests."""
    lister = SessionRunner(spec_of(scopes))
    cases = collect(lister)
    lister.close()
    runner = SessionRunner(spec_of(scopes))
    told = Told()
    jumble = [cases[place] for place in (5, 0, 3, 1, 4, 2)]
    try:
        for start in range(0, 6, 2):
            run_batch(runner, jumble[start : start + 2], told)
        # The same ones again, in the same session: a retry, or a hedge.
        run_batch(runner, jumble, told)
        run_batch(runner, [cases[0], cases[0]], told)
    finally:
        runner.close()
    assert [message["outcome"] for message in told.all("done")] == ["passed"] * 14
    lines = log_of(scopes)
    assert story_is_sound(lines)
    assert sum(line.startswith("+session") for line in lines) == 1


def test_a_finished_file_is_torn_down_with_its_last_case(scopes: Path) -> None:
    """Fixtures of a file that has no more cases do not wait for the next batch."""
    runner = SessionRunner(spec_of(scopes))
    told = Told()
    cases = [("pkg/test_b.py::test_4", "pkg/test_b.py"), ("pkg/test_b.py::test_5", "pkg/test_b.py")]
    try:
        run_batch(runner, cases[:1], told)
        assert not any(line.startswith("-module") for line in log_of(scopes))
        run_batch(runner, cases[1:], told, finishes=("pkg/test_b.py",))
        lines = log_of(scopes)
        assert "-module pkg/test_b.py" in lines
        assert not any(line.startswith(("-package", "-session")) for line in lines)
    finally:
        runner.close()
    assert any(line.startswith("-session") for line in log_of(scopes))


def test_a_teardown_that_fails_late_is_told_of_the_last_case(tmp_path: Path) -> None:
    """A wide fixture's teardown that fails after its last case was reported is told as late."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import pytest
                @pytest.fixture(scope="module")
                def server():
                    yield
                    print("stopping")
                    raise RuntimeError("module is stuck")
                def test_one(server): pass
            """,
            "test_b.py": """
                import pytest
                @pytest.fixture(scope="session")
                def database():
                    yield
                    raise RuntimeError("session is stuck")
                def test_two(database): pass
            """,
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    run_batch(runner, [("test_a.py::test_one", "test_a.py")], told)
    run_batch(runner, [("test_b.py::test_two", "test_b.py")], told)
    runner.close(emit=told.messages.append)
    assert told.outcomes == {"test_one": "passed", "test_two": "passed"}
    first, second = told.all("late")
    assert (first["id"], first["outcome"]) == ("test_a.py::test_one", "error")
    assert "module is stuck" in first["message"]
    assert "RuntimeError" in first["text"][0][1]
    assert second["id"] == "test_b.py::test_two"
    assert "session is stuck" in second["message"]


@pytest.mark.parametrize(
    ("line", "reason"), [("os._exit(4)", "os._exit(4)"), ("time.sleep(3600)", "longer than 1 s")]
)
def test_a_last_teardown_that_kills_or_hangs_is_told(
    tmp_path: Path, line: str, reason: str
) -> None:
    """Closing a runner never hangs, and says whose teardown did."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": f"""
                import os, time, pytest
                @pytest.fixture(scope="session")
                def wide():
                    yield
                    {line}
                def test_one(wide): pass
            """
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    run_batch(runner, [("test_a.py::test_one", "test_a.py")], told)
    if "sleep" in line:
        # Only for the teardown: all before it may take its time.
        runner.spec = replace(runner.spec, hang_timeout_seconds=1.0)
    runner.close(1.0, told.messages.append)
    [late] = told.all("late")
    assert late["id"] == "test_a.py::test_one"
    assert reason in late["message"]


def test_a_last_teardown_may_take_its_time(tmp_path: Path) -> None:
    """Stopping a container takes ten seconds: the grace is for what tests left behind."""
    folder = write_suite(
        tmp_path,
        {
            "conftest.py": """
                import pathlib
                def pytest_sessionfinish(): pathlib.Path("finished").touch()
            """,
            "test_a.py": """
                import time, pytest
                @pytest.fixture(scope="session")
                def wide():
                    yield
                    time.sleep(0.5)
                def test_one(wide): pass
            """,
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    run_batch(runner, [("test_a.py::test_one", "test_a.py")], told)
    runner.close(0.01, told.messages.append)
    assert told.all("late") == []
    assert (folder / "finished").exists()


def test_a_teardown_between_batches_that_kills_blames_no_case(tmp_path: Path) -> None:
    """It is told of the case before; the batch it happened in goes back unharmed."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import os, pytest
                @pytest.fixture(scope="module")
                def wide():
                    yield
                    os.abort()
                def test_one(wide): pass
            """,
            "test_b.py": "def test_two(): pass",
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        run_batch(runner, [("test_a.py::test_one", "test_a.py")], told)
        end = run_batch(runner, [("test_b.py::test_two", "test_b.py")], told)
        assert (end.left, end.culprit, end.runner_died) == (("test_b.py::test_two",), None, True)
        run_batch(runner, [("test_b.py::test_two", "test_b.py")], told)
    finally:
        runner.close()
    assert told.outcomes == {"test_one": "passed", "test_two": "passed"}
    [late] = told.all("late")
    assert late["id"] == "test_a.py::test_one"
    assert "SIGABRT" in late["message"]


def test_conftests_of_every_folder_apply_when_files_are_collected_one_by_one(
    tmp_path: Path,
) -> None:
    """Fixtures of nested conftest.py files, overriding each other, are found for each file."""
    folder = write_suite(
        tmp_path,
        {
            "conftest.py": "import pytest\n@pytest.fixture\ndef place(): return ['root']\n",
            "tests/conftest.py": (
                "import pytest\n@pytest.fixture\ndef place(place): return [*place, 'tests']\n"
            ),
            "tests/test_one/conftest.py": (
                "import pytest\n@pytest.fixture\ndef place(place): return [*place, 'one']\n"
            ),
            "tests/test_two/conftest.py": (
                "import pytest\n@pytest.fixture(autouse=True)\n"
                "def place(place): return [*place, 'two']\n"
            ),
            "tests/test_one/test_a.py": (
                "def test_a(place): assert place == ['root', 'tests', 'one']"
            ),
            "tests/test_one/test_b.py": """
                import pytest
                @pytest.fixture
                def place(place): return [*place, 'b']
                def test_b(place): assert place == ['root', 'tests', 'one', 'b']
            """,
            "tests/test_two/test_c.py": (
                "def test_c(place): assert place == ['root', 'tests', 'two']"
            ),
            "tests/test_two/deep/test_d.py": (
                "def test_d(place): assert place == ['root', 'tests', 'two']"
            ),
            "tests/test_e.py": "def test_e(place): assert place == ['root', 'tests']",
        },
    )
    lister = SessionRunner(spec_of(folder, "tests"))
    cases = collect(lister)
    lister.close()
    runner = SessionRunner(spec_of(folder, "tests"))
    told = Told()
    try:
        for case in [*cases, *reversed(cases)]:
            run_batch(runner, [case], told)
    finally:
        runner.close()
    assert len(cases) == 5
    assert [message["outcome"] for message in told.all("done")] == ["passed"] * 10, [
        message["message"] for message in told.all("done")
    ]


def test_files_collected_one_by_one_hold_what_the_whole_holds(tmp_path: Path) -> None:
    """Asking for a file by name finds neither more nor other cases than finding it on the way."""
    folder = write_suite(
        tmp_path,
        {
            "src/module.py": '"""\n>>> 1\n1\n"""\ndef test_no(): pass',
            "src/test_yes.py": '"""\n>>> 1\n1\n"""\ndef test_yes(): pass',
            "src/notes.txt": ">>> 1\n1\n",
            "src/test_notes.txt": ">>> 1\n1\n",
        },
    )
    told = run_suite(folder, "--doctest-modules", "src")
    collections = {message["file"]: message["ids"] for message in told.all("collected")}
    whole = collections.pop(None)
    assert sorted(whole) == sorted(case for ids in collections.values() for case in ids)
    assert {message["outcome"] for message in told.all("done")} == {"passed"}


def test_a_directory_changed_for_a_module_stays_changed(tmp_path: Path) -> None:
    """A wide fixture that changes the working directory does so on purpose."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import os, pytest
                @pytest.fixture(scope="module", autouse=True)
                def elsewhere(tmp_path_factory):
                    before = os.getcwd()
                    os.chdir(tmp_path_factory.mktemp("elsewhere"))
                    yield
                    os.chdir(before)
                def test_one(): assert "elsewhere" in os.getcwd()
                def test_two(monkeypatch, tmp_path):
                    monkeypatch.chdir(tmp_path)
                def test_three(): assert "elsewhere" in os.getcwd()
                def test_four(): os.chdir("/")
                def test_five(): assert "elsewhere" in os.getcwd()
            """,
            "test_b.py": "import os\ndef test_home(): assert os.path.exists('pytest.ini')",
        },
    )
    told = run_suite(folder)
    assert {message["outcome"] for message in told.all("done")} == {"passed"}
    assert [name for name, done in told.done.items() if done["notes"]] == ["test_four"]


def test_a_failing_class_setup_fails_its_cases_in_every_batch(tmp_path: Path) -> None:
    """A shared setup that fails is an error of each case that needs it, also across batches."""
    folder = write_suite(
        tmp_path,
        {
            "test_a.py": """
                import pytest
                @pytest.fixture(scope="module")
                def broken(): raise RuntimeError("never")
                def test_one(broken): pass
                def test_two(broken): pass
                def test_three(): pass
            """
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        for name in ("one", "two", "three"):
            run_batch(runner, [(f"test_a.py::test_{name}", "test_a.py")], told)
    finally:
        runner.close()
    assert told.outcomes == {"test_one": "error", "test_two": "error", "test_three": "passed"}


@pytest.mark.parametrize("together", [True, False])
def test_nothing_is_imported_while_fixtures_of_another_file_stand(
    tmp_path: Path, together: bool
) -> None:
    """What a module's fixture patches is not what the next file gets to import."""
    folder = write_suite(
        tmp_path,
        {
            "product.py": "def answer(): return 42",
            "test_a.py": """
                import product, pytest
                @pytest.fixture(scope="module", autouse=True)
                def patched():
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr(product, "answer", lambda: 0)
                        yield
                def test_one(): assert product.answer() == 0
                def test_two(): assert product.answer() == 0
            """,
            "test_b.py": """
                from product import answer
                def test_three(): assert answer() == 42
            """,
        },
    )
    cases = [("test_a.py::test_one", "test_a.py"), ("test_a.py::test_two", "test_a.py")]
    last = [("test_b.py::test_three", "test_b.py")]
    runner = SessionRunner(spec_of(folder))
    told = Told()
    try:
        for batch in [cases + last] if together else [cases, last]:
            run_batch(runner, batch, told)
    finally:
        runner.close()
    assert set(told.outcomes.values()) == {"passed"}


def test_modules_beside_other_test_files_are_found(tmp_path: Path) -> None:
    """Plain pytest has loaded those files, and has their folders on the path."""
    folder = write_suite(
        tmp_path,
        {
            "tests/helpers.py": "",
            "tests/late_helpers.py": "",
            "tests/test_main.py": "import helpers\ndef test_main(): pass",
            "tests/unit/test_unit.py": """
                import helpers, pytest
                def test_at_run_time(): import late_helpers
                def test_nowhere():
                    with pytest.raises(ModuleNotFoundError): import nowhere_helpers
            """,
        },
    )
    runner = SessionRunner(spec_of(folder))
    told = Told()
    file = "tests/unit/test_unit.py"
    try:
        run_batch(
            runner,
            [(f"{file}::{name}", file) for name in ("test_at_run_time", "test_nowhere")],
            told,
        )
    finally:
        runner.close()
    assert told.outcomes == {"test_at_run_time": "passed", "test_nowhere": "passed"}
