"""Settings: three layers, each value with its origin, nothing unknown or unusable let through."""

from __future__ import annotations

import json
import os
import re
import string
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import proctor
from proctor.infra.errors import BadSetting
from proctor.infra.requirements import PatternRule, Stated
from proctor.infra.settings import RunSettings, load_settings

ABOUT = {"classes", "project_file", "origins", "notes", "python_command"}
KEYS = [each.name for each in fields(RunSettings) if each.name not in ABOUT]


@pytest.fixture
def project(tmp_path):
    """A directory, and a way to write its pyproject.toml."""

    def write(text):
        (tmp_path / "pyproject.toml").write_text(text)
        return tmp_path

    return write


def test_defaults_need_neither_file_nor_environment(tmp_path):
    """A first campaign runs without any configuration."""
    settings = load_settings(tmp_path, {"HOME": str(tmp_path)}, {})
    assert settings.timeout == 600.0
    assert settings.hang_timeout == 300.0
    assert settings.deadline is None
    assert (settings.retries, settings.infra_retries, settings.maxfail) == (0, 3, 0)
    assert (settings.isolate, settings.hedge, settings.history) == (False, True, True)
    assert settings.output_limit == 256 * 1024
    assert settings.slots >= 1
    assert settings.prefect == "auto"
    assert settings.python == sys.executable
    assert settings.state.parts[-3:] == (".local", "state", "proctor")
    assert {settings.origin(key) for key in KEYS} == {"default"}


def test_each_layer_overrides_the_one_below_and_says_so(project):
    """Flags over environment over pyproject.toml."""
    directory = project(
        '[project]\nname = "x"\n\n[tool.proctor]\ntimeout = "30s"\nretries = 1\nmaxfail = 7\n'
    )
    settings = load_settings(
        directory,
        {"PROCTOR_RETRIES": "2", "PROCTOR_MAXFAIL": "8"},
        {"maxfail": 9, "slots": "3", "hedge": False, "deadline": None},
    )
    found = {
        key: (getattr(settings, key), settings.origin(key))
        for key in ("timeout", "retries", "maxfail", "slots", "hedge", "deadline", "isolate")
    }
    assert found == {
        "timeout": (30.0, "pyproject.toml line 5"),
        "retries": (2, "PROCTOR_RETRIES"),
        "maxfail": (9, "--maxfail"),
        "slots": (3, "-n"),
        "hedge": (False, "--no-hedge"),
        "deadline": (None, "default"),
        "isolate": (False, "default"),
    }


def test_the_nearest_file_that_speaks_of_us_is_read(project):
    """From below, past a package's own pyproject.toml that says nothing."""
    root = project("[tool.proctor]\nretries = 4\n")
    package = root / "packages" / "one" / "tests"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text('[project]\nname = "one"\n')
    settings = load_settings(package, {}, {})
    assert settings.retries == 4
    assert settings.origin("retries") == os.path.join("..", "..", "..", "pyproject.toml line 2")
    assert settings.project_file == root / "pyproject.toml"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tool.proctor]\n# timeout = 5\n\ntimeout = 5", "pyproject.toml line 4"),
        ('[tool.other]\ntimeout = 9\n[tool.proctor]\n"timeout"=5', "pyproject.toml line 4"),
        ("[ tool . proctor ] # ours\n  timeout = 5", "pyproject.toml line 2"),
        # Written unusually: the file is still right, only the line is not known.
        ("[tool]\nproctor.timeout = 5", "pyproject.toml"),
        ("tool = {proctor = {timeout = 5}}", "pyproject.toml"),
    ],
)
def test_the_line_of_a_setting_is_found(project, text, line):
    """Whatever stands around it; another table's key of that name is not mistaken for it."""
    settings = load_settings(project(text), {}, {})
    assert (settings.timeout, settings.origin("timeout")) == (5.0, line)


def test_rules_for_requirements_are_read_in_order(project):
    """Each with its pattern, from tables or from one line of JSON."""
    directory = project(
        "[tool.proctor]\nretries = 1\n"
        '[[tool.proctor.requirements]]\nmatch = "tests/gpu/*"\ngpu = 1\n'
        '[[tool.proctor.requirements]]\nmatch = "tests/big/*"\nmemory = "16GB"\n'
    )
    settings = load_settings(directory, {}, {})
    assert settings.requirements == (
        PatternRule(match="tests/gpu/*", stated=Stated(gpu=1.0)),
        PatternRule(match="tests/big/*", stated=Stated(memory_bytes=16 * 10**9)),
    )
    assert settings.origin("requirements") == "pyproject.toml lines 3, 6"
    other = load_settings(
        directory, {"PROCTOR_REQUIREMENTS": '[{"match": "a", "tags": ["b"]}]'}, {}
    )
    assert other.requirements == (PatternRule(match="a", stated=Stated(tags=frozenset({"b"}))),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tool.proctor]\ntimout = 5",
            "pyproject.toml line 2: [tool.proctor] has no setting 'timout'; known: state, ",
        ),
        ("[tool.proctor]\nhang-timeout = 5", "did you mean hang_timeout?"),
        ("[tool.proctor]\ntimeout = 'soon'", "timeout (pyproject.toml line 2) 'soon' is no dura"),
        ("[tool.proctor]\ntimeout = 0", "timeout (pyproject.toml line 2) 0 is no limit"),
        ("[tool.proctor]\ntimeout = 'none'", "'none' is no duration"),
        ("[tool.proctor\ntimeout = 5", "pyproject.toml is not valid TOML: "),
        ("[tool]\nproctor = 5", "tool.proctor is 5, not a table"),
        (
            "[[tool.proctor.requirements]]\ngpu = 1",
            "requirements (pyproject.toml line 1) rule 1: it has no pattern",
        ),
        (
            "[[tool.proctor.requirements]]\nmatch = 'a'\ngpus = 1",
            "requirements (pyproject.toml line 1) rule 1 (a): unknown requirement 'gpus'",
        ),
        ("[tool.proctor.requirements]\nmatch = 'a'", "is no list of rules"),
        ("[tool.proctor]\nrequirements = ['a']", "is no list of rules"),
    ],
)
def test_a_broken_project_file_is_refused_with_its_line(project, text, message):
    """One sentence: the place, the value, the reason, the mend."""
    with pytest.raises(BadSetting) as caught:
        load_settings(project(text), {}, {})
    assert message in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("slots", 0, "slots (-n) 0 is less than 1"),
        ("slots", 99999999, "slots (-n) 99999999 is more than a machine has; write 4096 at most"),
        ("slots", "many", 'is no whole number; write a number from 1 up, or "auto"'),
        ("retries", -1, "retries (--retries) -1 is less than 0"),
        ("retries", 1.5, "is no whole number"),
        ("retries", True, "is no whole number"),
        ("isolate", "perhaps", "is neither true nor false"),
        ("isolate", 3, "is neither true nor false"),
        ("output_limit", "big", "output_limit (--output-limit) 'big' is no size"),
        ("memory_limit", 4, "too little for any interpreter"),
        ("memory_limit", "lots", "is no size"),
        ("mute", 5, "is no list of patterns"),
        ("mute", ["a", 5], "is no list of patterns"),
        ("mute", '["a"', "is no JSON list"),
        ("fleet", "somewhere", "is no scheduler's address; write it like tls://host:8786"),
        ("fleet", "http://host:8786", "is no scheduler's address"),
        ("fleet", "host:99999", "is no scheduler's address"),
        ("fleet", 8786, "is no scheduler's address"),
        ("fleet_classes", 2, 'is no list of words; write ["cpu:slots=2"'),
        ("fleet_classes", ["cpu", 2], "is no list of words"),
        ("prefect", "on", "is no Prefect server"),
        ("prefect", "http://[::1", "is no Prefect server"),
        ("prefect", "ftp://host", "is no Prefect server"),
        ("name", "a\nb", "is no name of one line"),
        ("name", "x" * 201, "at most 200 characters"),
        ("name", 5, "is no text"),
        ("state", "", "is no path"),
        ("state", "a\0b", "is no path"),
        ("state", 5, "is no path"),
        ("state", "~no-such-user-here/x", "no home directory behind its ~"),
        ("deadline", "-1h", "is negative"),
        ("nothing", 1, "there is no setting 'nothing'"),
    ],
)
def test_an_unusable_value_is_refused(tmp_path, key, value, reason):
    """The error names the flag, the value and the reason."""
    with pytest.raises(BadSetting) as caught:
        load_settings(tmp_path, {}, {key: value})
    assert reason in str(caught.value)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_broken_value_is_refused_even_when_it_is_overridden(project):
    """Otherwise it would wait for the day the flag is left out."""
    with pytest.raises(BadSetting, match="retries"):
        load_settings(project("[tool.proctor]\nretries = 'x'"), {}, {"retries": 1})


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("slots", "4", 4),
        ("timeout", "1h30m", 5400.0),
        ("deadline", "none", None),
        ("deadline", "2h", 7200.0),
        ("isolate", "1", True),
        ("isolate", "yes", True),
        ("hedge", "off", False),
        ("output_limit", "1MiB", 2**20),
        ("memory_limit", "auto", 0),
        ("memory_limit", "4GiB", 4 * 2**30),
        ("mute", "tests/a.py::t[x, y]\ntests/b.py", ("tests/a.py::t[x, y]", "tests/b.py")),
        ("mute", '["a", "b"]', ("a", "b")),
        ("mute", "[ab]*", ("[ab]*",)),
        ("fleet", "host:8786", "tcp://host:8786"),
        ("fleet_classes", "cpu:slots=2 gpu=1", ("cpu:slots=2", "gpu=1")),
        ("fleet", "tls://10.0.0.1:8786/", "tls://10.0.0.1:8786"),
        ("fleet", "tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("fleet", "none", ""),
        ("prefect", "OFF", "off"),
        ("prefect", "http://localhost:4200/api", "http://localhost:4200/api"),
        ("name", " nightly ", "nightly"),
    ],
)
def test_a_value_is_read_from_the_environment(tmp_path, key, text, value):
    """Everything can be said in text."""
    name = f"PROCTOR_{key.upper()}"
    settings = load_settings(tmp_path, {name: text}, {})
    assert (getattr(settings, key), settings.origin(key)) == (value, name)


def test_an_empty_variable_and_an_empty_name_say_nothing(tmp_path):
    """As `NAME= proctor run` unsets a variable for most programs."""
    settings = load_settings(tmp_path, {"PROCTOR_TIMEOUT": "", "PROCTOR_NAME": "n"}, {"name": ""})
    assert (settings.timeout, settings.name) == (600.0, "n")


def test_what_only_workers_read_is_refused_where_it_is_typed(tmp_path):
    """Else a worker's log is the only place that says so."""
    assert load_settings(tmp_path, {"PROCTOR_MEMORY_RESERVE": " 2GiB "}, {}).notes == ()
    with pytest.raises(BadSetting, match=r"PROCTOR_MEMORY_RESERVE 'plenty' is no size.*16GB"):
        load_settings(tmp_path, {"PROCTOR_MEMORY_RESERVE": "plenty"}, {})


def test_a_state_directory_that_is_a_file_is_refused(tmp_path):
    """It would look like one without campaigns."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadSetting, match=r"state \(--state\) .*/notes\.txt is a file; name the"):
        load_settings(tmp_path, {}, {"state": "notes.txt"})


def test_a_state_directory_that_nobody_can_name_is_refused(tmp_path):
    """DuckDB opens no such file, and no worker of it would start."""
    with pytest.raises(BadSetting, match=r"state \(--state\) .*odd\\udcff' is no text in UTF-8"):
        load_settings(tmp_path, {}, {"state": "odd\udcff"})


def test_a_variable_that_nothing_reads_is_noticed(tmp_path):
    """PROCTOR_TIMOUT=5 must not be ignored in silence, nor what is like no setting at all."""
    given = dict.fromkeys(("PROCTOR_TIMOUT", "PROCTOR_RETRY", "PROCTOR_WORKERS"), "5")
    wrong = "is no setting and was not read"
    assert load_settings(tmp_path, given, {}).notes == (
        f"PROCTOR_RETRY {wrong}; did you mean retries?",
        f"PROCTOR_TIMOUT {wrong}; did you mean timeout?",
        f"PROCTOR_WORKERS {wrong}; `proctor config show` has all there are",
    )


def test_what_kubernetes_says_of_a_service_is_no_mistake(tmp_path):
    """Each container beside a service called `proctor` has seven such variables."""
    names = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR")
    links = [f"PROCTOR_{service}{name}" for service in ("", "UI_") for name in names]
    assert load_settings(tmp_path, dict.fromkeys(links, "5"), {}).notes == ()


def test_variables_that_other_parts_read_are_no_mistakes(tmp_path):
    """Of workers, of faults, of tests: each stands in one of our files."""
    root = Path(proctor.__file__).parent
    named: set[str] = set()
    for folder in ("deployments", "flows", "infra", "monitoring"):
        for file in (root / folder).rglob("*.py"):
            named |= set(re.findall(r'"(PROCTOR_[A-Z_]+)"', file.read_text()))
    assert "PROCTOR_RUNNER" in named
    others = named - {f"PROCTOR_{key.upper()}" for key in KEYS}
    assert load_settings(tmp_path, dict.fromkeys(others, "1GB"), {}).notes == ()


def test_a_relative_path_starts_where_it_was_written(project):
    """The file's beside the file, the flag's in the directory one stands in."""
    root = project("[tool.proctor]\nstate = 'memory'\n")
    below = root / "below"
    below.mkdir()
    assert load_settings(below, {}, {}).state == root / "memory"
    assert load_settings(below, {"PROCTOR_STATE": "memory"}, {}).state == below / "memory"
    assert load_settings(below, {}, {"state": "../x"}).state == root / "x"


def test_the_state_directory_follows_xdg(tmp_path):
    """Absolute only, as its specification says."""
    given_home = {"XDG_STATE_HOME": str(tmp_path)}
    assert load_settings(tmp_path, given_home, {}).state == tmp_path / "proctor"
    relative = load_settings(tmp_path, {"XDG_STATE_HOME": "here"}, {})
    assert relative.state.parts[-3:] == (".local", "state", "proctor")


@pytest.fixture
def environment(tmp_path):
    """Something that looks like a virtual environment: its interpreter is a link."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.symlink_to(sys.executable)
    return python


def test_the_active_virtual_environment_holds_the_interpreter(tmp_path, environment):
    """Its link is kept: followed, it would be an interpreter without the packages."""
    active = str(environment.parent.parent)
    settings = load_settings(tmp_path, {"VIRTUAL_ENV": active}, {})
    assert settings.python == str(environment)
    assert settings.origin("python") == "default (VIRTUAL_ENV)"


def test_a_virtual_environment_that_is_gone_is_not_used(tmp_path):
    """The variable outlives the directory in many shells."""
    settings = load_settings(tmp_path, {"VIRTUAL_ENV": str(tmp_path / "gone")}, {})
    assert settings.python == sys.executable


@pytest.mark.parametrize("written", [".venv", ".venv/bin/python", "./.venv/"])
def test_an_interpreter_may_be_named_by_its_environment(tmp_path, environment, written):
    """A relative path to the environment or into it."""
    assert load_settings(tmp_path, {}, {"python": written}).python == str(environment)


def test_an_interpreter_may_be_a_command(tmp_path, environment):
    """Looked for on the PATH that was given; one that is elsewhere only stays a command."""
    environ = {"PATH": str(environment.parent)}
    assert load_settings(tmp_path, environ, {"python": "python"}).python == str(environment)
    assert load_settings(tmp_path, environ, {"python": "pypy9"}).python == "pypy9"


def test_what_is_looked_for_on_a_path_is_known(tmp_path, environment):
    """Workers elsewhere look for it on theirs; the last word counts, and paths are paths."""
    environ = {"PATH": str(environment.parent), "PROCTOR_PYTHON": "python"}
    assert load_settings(tmp_path, environ, {}).python_command == "python"
    assert load_settings(tmp_path, environ, {"python": ".venv"}).python_command == ""
    assert load_settings(tmp_path, {}, {}).python_command == ""


def test_rows_say_each_value_as_people_read_it(project):
    """Units are back, and every setting has its row."""
    settings = load_settings(
        project("[tool.proctor]\ntimeout = 5400\nmute = ['a', 'b']\n"),
        {},
        {
            "memory_limit": "4GiB",
            "requirements": [{"match": "t/*", "gpu": 1, "tags": ["a", "b"]}],
            "hedge": False,
        },
    )
    rows = {row.key: (row.text, row.origin) for row in settings.rows()}
    assert list(rows) == KEYS
    assert rows["timeout"] == ("1h30m", "pyproject.toml line 2")
    assert rows["mute"] == ("a, b", "pyproject.toml line 3")
    assert rows["memory_limit"] == ("4GiB", "--memory-limit")
    assert rows["requirements"] == ("t/*: gpu=1 tags=a+b", "--requirements")
    assert rows["hedge"] == ("false", "--no-hedge")
    assert rows["deadline"] == ("none", "default")
    assert rows["fleet"] == ("none", "default")
    assert rows["output_limit"] == ("256KiB", "default")


def test_a_password_is_in_no_record(tmp_path):
    """The journal and the screen show the server, not how to enter it."""
    url = "http://admin:geheim@host:4200/api"
    settings = load_settings(tmp_path, {}, {"prefect": url})
    assert settings.prefect == url
    assert settings.plain()["prefect"] == "http://host:4200/api"
    assert "geheim" not in json.dumps([[row.value, row.text] for row in settings.rows()])


def test_an_unknown_key_has_no_origin(tmp_path):
    """Asking for it is explained like writing it."""
    with pytest.raises(BadSetting, match="did you mean timeout"):
        load_settings(tmp_path, {}, {}).origin("timeot")


words = st.text(string.ascii_letters + string.digits + "/*.:[]_-", min_size=1, max_size=20)
seconds = st.floats(min_value=0.001, max_value=1e7)
some_flags = st.fixed_dictionaries(
    {},
    optional={
        "slots": st.integers(1, 512),
        "timeout": seconds,
        "hang_timeout": seconds,
        "deadline": st.none() | seconds,
        "retries": st.integers(0, 99),
        "maxfail": st.integers(0, 99),
        "isolate": st.booleans(),
        "import_cache": st.booleans(),
        "hedge": st.booleans(),
        "split_files": st.booleans(),
        "math_threads": st.sampled_from(["auto", "all"]) | st.integers(1, 64).map(str),
        "output_limit": st.integers(0, 2**40),
        "memory_limit": st.just(0) | st.integers(2**24, 2**45),
        "mute": st.lists(words, max_size=3),
        "requirements": st.lists(
            st.fixed_dictionaries(
                {"match": words},
                optional={
                    "gpu": st.integers(0, 8),
                    "cpu": st.floats(0, 64),
                    "memory": st.integers(0, 2**45),
                    "tags": st.lists(words, max_size=3),
                    "timeout": seconds,
                },
            ),
            max_size=3,
        ),
        "name": words,
        "prefect": st.sampled_from(["auto", "off", "http://host:4200/api"]),
        "fleet": st.sampled_from(["", "tcp://host:8786"]),
        "fleet_classes": st.lists(st.sampled_from(["cpu", "gpu:gpu=1,simulated"]), max_size=3),
    },
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


@given(flags=some_flags)
def test_recorded_settings_yield_the_same_settings_again(empty, flags):
    """A campaign is resumed with what its journal says, through JSON and back."""
    settings = load_settings(empty, {}, flags)
    recorded = json.loads(json.dumps(settings.plain()))
    again = load_settings(empty, {}, recorded)
    assert {key: getattr(again, key) for key in KEYS} == {
        key: getattr(settings, key) for key in KEYS
    }
