"""Task lists: what is written becomes cases, what is wrong is told in one line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from proctor.infra.errors import PROBLEMS_TOLD, BadTaskList
from proctor.infra.records import CaseKind, Requirements, TaskSpec
from proctor.infra.tasks.task_schema import schema
from proctor.infra.tasks.tasklist import read_tasks, tasks_from

GB = 10**9


def only(task, **around):
    """The one case of a list with that task."""
    (case,) = tasks_from({"tasks": [task], **around}, source="tasks.json").cases
    return case


def problem_with(*tasks, **around):
    with pytest.raises(BadTaskList) as caught:
        tasks_from({"tasks": list(tasks), **around}, source="tasks.json")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_a_command_becomes_a_case():
    """With everything a task can say."""
    case = only(
        {
            "id": "train",
            "command": "python train.py --name 'two words'",
            "args": ["--seed", 7],
            "env": {"SEED": 1, "MODE": "fast"},
            "cwd": "models",
            "timeout": "1h30m",
            "requirements": {"gpu": 1, "memory": "16GB", "tags": ["a100"]},
            "tags": ["slow"],
            "description": "for people",
            "type": "benchmark",
        }
    )
    assert case.task == TaskSpec(
        command=("python", "train.py", "--name", "two words", "--seed", "7"),
        environment={"SEED": "1", "MODE": "fast"},
        working_directory="models",
    )
    assert (case.id, case.group, case.index, case.kind) == ("train", "train", 0, CaseKind.COMMAND)
    assert case.needs == Requirements(gpu=1.0, memory_bytes=16 * GB, tags=frozenset({"a100"}))
    assert case.timeout_seconds == 5400.0
    assert case.tags == ("slow",)


def test_a_callable_becomes_a_case():
    """Called with its keyword arguments, whatever JSON can say."""
    case = only({"name": "fit", "callable": "pkg.models:Net.fit", "kwargs": {"sizes": [1, 2]}})
    assert (case.id, case.kind) == ("fit", CaseKind.CALLABLE)
    assert case.task == TaskSpec(callable="pkg.models:Net.fit", arguments={"sizes": [1, 2]})


def test_a_plain_list_is_a_task_list():
    """Nothing around the tasks is needed."""
    cases = tasks_from([{"command": "true"}, {"command": ["false"]}], source="t.json").cases
    assert [case.id for case in cases] == ["true", "false"]
    assert [case.index for case in cases] == [0, 1]
    assert tasks_from([], source="t.json").cases == ()


def test_a_task_without_id_is_called_after_what_it_runs():
    """In one line, so that its history finds it again."""
    assert only({"command": ["sh", "-c", "echo a\necho b"]}).id == "sh -c 'echo a echo b'"
    assert only({"callable": "m:f"}).id == "m:f"


def test_defaults_fill_what_a_task_leaves_open():
    """Tables key by key, tags together, the task's own word last."""
    case = only(
        {"command": "a", "env": {"B": "2"}, "requirements": {"gpu": 2}, "tags": "own"},
        defaults={
            "env": {"A": "1", "B": "1"},
            "cwd": "here",
            "timeout": 5,
            "requirements": {"gpu": 1, "cpu": 4, "tags": "x"},
            "tags": ["all"],
        },
    )
    assert case.task.environment == {"A": "1", "B": "2"}
    assert case.task.working_directory == "here"
    assert case.timeout_seconds == 5.0
    assert case.needs == Requirements(gpu=2.0, cpu=4.0, tags=frozenset({"x"}))
    assert case.tags == ("all", "own")


def test_default_keyword_arguments_reach_callables_only():
    """A command in the same list is not refused for them."""
    listed = tasks_from(
        {
            "tasks": [{"callable": "m:f", "kwargs": {"b": 3}}, {"command": "true"}],
            "defaults": {"kwargs": {"a": 1, "b": 2}},
        },
        source="t.json",
    )
    assert [dict(case.task.arguments) for case in listed.cases] == [{"a": 1, "b": 3}, {}]


def test_a_higher_priority_comes_first_and_order_is_kept():
    """Whatever is above the lowest priority goes before all others."""
    given_tasks = [
        {"id": "a", "command": "a"},
        {"id": "b", "command": "b", "priority": 5},
        {"id": "c", "command": "c"},
        {"id": "d", "command": "d", "priority": 5},
        {"id": "e", "command": "e", "priority": -1},
    ]
    listed = tasks_from(given_tasks, source="t.json")
    assert [(case.id, case.index) for case in listed.cases] == [
        ("b", 0),
        ("d", 1),
        ("a", 2),
        ("c", 3),
        ("e", 4),
    ]
    assert listed.first == {"a", "b", "c", "d"}


def test_tasks_of_one_priority_have_none_first():
    """Then the dispatcher is free to put the longest first."""
    tasks = [{"command": name, "priority": 3} for name in "ab"]
    assert tasks_from(tasks, source="t.json").first == frozenset()


def test_the_older_form_with_config_is_understood():
    """Type, config, requirements by hardware, priority: lists written for other systems run."""
    listed = tasks_from(
        [
            {
                "task_id": "wait",
                "type": "command",
                "config": {"command": ["sleep", "5"], "timeout": 30},
                "requirements": {"hardware": ["cpu"], "min_memory_gb": 8},
                "priority": 1,
            },
            {
                "type": "benchmark",
                "callable": "bench:run",
                "config": {"model": "small", "batch_sizes": [1, 2]},
                "requirements": {"hardware": ["cuda", "a100"]},
                "priority": 2,
            },
            {
                "type": "test",
                "config": {"test_file": "tests/test_a.py", "test_args": ["-x"]},
            },
        ],
        source="test_tasks.json",
        python="/venv/bin/python",
    )
    bench, wait, test = listed.cases
    assert bench.task.arguments == {"model": "small", "batch_sizes": [1, 2]}
    assert bench.needs == Requirements(gpu=1.0, tags=frozenset({"a100"}))
    assert wait.task.command == ("sleep", "5")
    assert (wait.timeout_seconds, wait.needs.memory_bytes) == (30.0, 8 * GB)
    assert test.task.command == ("/venv/bin/python", "-m", "pytest", "tests/test_a.py", "-x")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"id": "a"}, "task 1 (a): it has neither command nor callable; add command"),
        (
            {"type": "benchmark", "config": {"model": "bert"}},
            "neither command nor callable, and its type 'benchmark' says what it is",
        ),
        ({"command": "a", "callable": "m:f"}, "it has a command and a callable"),
        (
            {"command": "a", "timeot": 5},
            "task 1: there is no field 'timeot'; did you mean timeout?",
        ),
        ({"command": "a", "zzz": 5}, "there is no field 'zzz'; known: id, name, "),
        ({"command": "a", "depends-on": ["b"]}, "no field 'depends-on', tasks run in any order"),
        ({"command": "a", "dependencies": ["b"]}, "tasks run in any order"),
        ({"command": "a", "retries": 2}, "one number of retries; give it with --retries"),
        ({"command": 5}, "task 1: command 5 is not a text or a list; write the program and its"),
        ({"command": ["a", 5]}, "task 1: command[1] 5 is not a text; write the program"),
        ({"command": []}, "task 1: command [] is empty"),
        ({"command": ""}, "command '' is empty"),
        ({"command": "  "}, "command '  ' is empty"),
        ({"command": "echo 'a"}, "cannot be split into words (No closing quotation)"),
        ({"command": "a | b"}, 'has a bare |, but no shell runs it; write ["sh", "-c"'),
        ({"command": "a && b"}, "has a bare &&"),
        ({"command": "echo hello; pwd"}, "has a bare ;"),
        ({"command": "make>log"}, "has a bare >"),
        ({"command": "echo $FOO"}, "has a bare $FOO, but no shell runs it"),
        ({"command": 'echo "in $(pwd)"'}, "has a bare $("),
        ({"command": "echo `pwd`"}, "has a bare `"),
        ({"command": "rm *.tmp"}, "has a bare *"),
        ({"command": "ls ~/data"}, "has a bare ~"),
        ({"command": "make a\nmake b\n"}, "has a bare line break"),
        ({"command": "exit 3"}, "begins with the shell's own exit"),
        ({"command": "A=1 b"}, "begins with a variable, but no shell runs it; set it in env"),
        ({"command": ["", "b"]}, "command names no program"),
        ({"command": ["a\0"]}, "zero character"),
        ({"callable": "m.f"}, "'m.f' is not of the right form; write a Python function, as"),
        ({"callable": "m:f", "args": [1]}, "a callable is called with kwargs, not with args"),
        ({"command": "a", "kwargs": {}}, "kwargs belong to a callable"),
        ({"args": ["a"]}, "args belong to a command"),
        ({"command": "a", "env": {"DEBUG": True}}, "env.DEBUG True is not a text or a number"),
        ({"command": "a", "env": {"A=B": "x"}}, "env 'A=B' is not of the right form"),
        ({"command": "a", "timeout": "soon"}, "task 1: timeout 'soon' is no duration"),
        ({"command": "a", "timeout": 0}, "every task needs a limit"),
        (
            {"command": "a", "requirements": {"gpus": 1}},
            "requirements: there is no field 'gpus'; did you mean gpu?",
        ),
        ({"command": "a", "requirements": {"gpu": -1}}, "requirements.gpu -1 is less than 0"),
        ({"command": "a", "requirements": {"memory": "big"}}, "requirements: memory 'big' is no"),
        (
            {"command": "a", "requirements": {"memory": 1, "min_memory_gb": 1}},
            "requirements have memory and min_memory_gb",
        ),
        ({"command": "a", "tags": [""]}, "tags[0] '' is empty"),
        ({"command": "a", "tags": 5}, "tags 5 is not a text or a list"),
        ({"command": "a", "priority": "high"}, "priority 'high' is not a whole number"),
        ({"id": "a\nb", "command": "a"}, "is not of the right form"),
        ({"id": " ", "command": "a"}, "is not of the right form"),
        ({"id": "x" * 501, "command": "a"}, "is longer than 500 characters"),
        ({"id": "a", "name": "b", "command": "a"}, "task 1 (a): it has both id and name"),
        ("echo", "task 1 'echo' is not a table of fields"),
        ({"config": 5, "command": "a"}, "config 5 is not a table of fields"),
        ({"config": {"command": "a"}, "command": "b"}, "stands in the task and in its config"),
        ({"config": {"command": 5}}, "command 5 is not a text"),
        ({"config": {"command": "a", "model": 1}}, "its config has model, which a command"),
        ({"type": "test", "config": {"test_file": 5}}, "command[3] 5 is not a text"),
        ({"type": "test", "config": {"test_file": "a", "test_args": "-x"}}, "test_args is no list"),
    ],
)
def test_a_broken_task_is_told_in_one_line(task, message):
    """File, task, field, value, and what to do."""
    text = problem_with(task)
    assert text.startswith("tasks.json: task 1")
    assert message in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grep '|' file", ("grep", "|", "file")),
        ('grep "a; b" file', ("grep", "a; b", "file")),
        ("echo '$FOO' \\* it\\'s", ("echo", "$FOO", "*", "it's")),
        ("pytest t.py::test_a[1] -k 'a*'\n", ("pytest", "t.py::test_a[1]", "-k", "a*")),
        ("a~ --cost=5$ 100% #5", ("a~", "--cost=5$", "100%", "#5")),
        ("make \\\n  all", ("make", "all")),
    ],
)
def test_what_is_quoted_is_an_argument(text, words):
    """Only bare signs expect a shell."""
    assert only({"command": text}).task.command == words


def test_the_broken_task_is_found_among_others():
    """By its place and its id."""
    text = problem_with({"id": "a", "command": "a"}, {"id": "b", "command": "b", "cwd": 5})
    assert text.startswith("tasks.json: task 2 (b): cwd 5 is not a text; ")


def test_all_mistakes_are_told_at_once():
    """One a line, of every task and of the defaults; a field nobody knows hides no other."""
    with pytest.raises(BadTaskList) as caught:
        tasks_from(
            {
                "tasks": [
                    {"command": "a", "timeout": "soon", "requirements": {"memory": "big"}},
                    {"id": 3, "command": ""},
                    {"command": "fine"},
                    {"command": "a | b", "id": "piped"},
                    {"command": "x", "zzz": 1, "retries": 2},
                    {"config": {"command": "a"}, "command": "b"},
                ],
            },
            source="tasks.json",
        )
    heading, *lines = str(caught.value).splitlines()
    assert heading == "tasks.json has 8 mistakes:"
    told = (
        "  task 1: timeout 'soon' is no duration",
        "  task 1: requirements: memory 'big' is no",
        "  task 2: command '' is empty; write the program and its arguments",
        "  task 2: id 3 is not a text; write a text in one line, 500 characters at most",
        "  task 4 (piped): command 'a | b' has a bare |",
        "  task 5: there is no field 'zzz'",
        "  task 5: there is no field 'retries'",
        "  task 6: command stands in the task and in its config",
    )
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == [*told]
    with pytest.raises(BadTaskList, match="has 2 mistakes"):
        tasks_from({"tasks": [{"command": 5}], "defaults": {"cwd": 5}}, source="tasks.json")
    many = [{"id": f"t{number}", "command": "x"} for number in range(30)]
    with pytest.raises(BadTaskList, match=r"^tasks.json: defaults: timeout 'soon' is no duration"):
        tasks_from({"tasks": many, "defaults": {"timeout": "soon"}}, source="tasks.json")
    with pytest.raises(BadTaskList, match="has 2 mistakes"):
        tasks_from([{"id": name, "command": "x"} for name in "aabb"], source="tasks.json")


def test_two_tasks_with_one_id_are_named():
    """Their results could not be told apart."""
    text = problem_with(
        {"id": "a", "command": "x"}, {"command": "b"}, {"name": "a", "command": "y"}
    )
    assert text == (
        "tasks.json: 2 tasks are called 'a' (tasks 1 and 3); give each an id of its own"
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (5, "is neither a list of tasks nor a table with tasks"),
        ({}, "has no list of tasks"),
        ({"tasks": {"a": 1}}, "has no list of tasks"),
        ({"task": []}, "'task' is nothing a task list has; known: $schema, tasks, defaults; did"),
        ({"tasks": [], "defaults": {"timeot": 1}}, "defaults: there is no field 'timeot'"),
        ({"tasks": [], "defaults": {"id": "a"}}, "defaults: there is no field 'id'; known: "),
    ],
)
def test_what_stands_around_the_tasks_is_checked(document, message):
    """A mistyped outline would otherwise run nothing."""
    with pytest.raises(BadTaskList) as caught:
        tasks_from(document, source="tasks.json")
    assert message in str(caught.value)


SAME = {
    "tasks.json": '{"defaults": {"timeout": "10m"}, "tasks": [{"id": "a", "command": "b c"}]}',
    "tasks.toml": 'defaults.timeout = "10m"\n[[tasks]]\nid = "a"\ncommand = "b c"\n',
    "tasks.yaml": "defaults: {timeout: 10m}\ntasks:\n- id: a\n  command: b c\n",
    "TASKS.YML": "\ufeffdefaults: {timeout: 10m}\ntasks:\n- {id: a, command: [b, c]}\n",
}


@pytest.mark.parametrize("name", SAME)
def test_each_format_says_the_same(tmp_path, name):
    """JSON, TOML and YAML are three spellings."""
    (tmp_path / name).write_text(SAME[name])
    (case,) = read_tasks(tmp_path / name).cases
    assert (case.id, case.task.command, case.timeout_seconds) == ("a", ("b", "c"), 600.0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", '[{"command": }]', "t.json is not valid JSON: Expecting value at line 1 column"),
        ("t.json", '[{"command": "a", "command": "b"}]', "the field 'command' stands twice"),
        ("t.json", '[{"command": "a", "timeout": NaN}]', "[0].timeout: nan is no finite number"),
        ("t.json", '[{"callable": "m:f", "kwargs": {"x": 1' + "0" * 30 + "}}]", "than 64 bits"),
        ("t.json", r'[{"command": "a\ud800"}]', "holds half a character"),
        ("t.json", "[" * 100_000, "nested too deeply"),
        ("t.json", "", "t.json is not valid JSON"),
        ("t.toml", "tasks = [", "t.toml is not valid TOML: "),
        ("t.toml", "[[tasks]]\ntimeout = 10:00:00", "tasks[0].timeout: 10:00:00 is a time, not a"),
        ("t.yaml", "a: [b", "t.yaml is not valid YAML: "),
        ("t.yaml", "- command: a\n  command: b", "t.yaml line 2: the field 'command' stands twice"),
        ("t.yaml", "- command: a\n  env: {1: b}", "[0].env: the key 1 is no text"),
        ("t.yaml", "- {callable: m:f, kwargs: {day: 2020-01-01}}", "kwargs.day: 2020-01-01 is a"),
        ("t.yaml", "- {callable: m:f, kwargs: {day: 2020-99-99}}", "t.yaml is not valid YAML: "),
        ("t.yaml", "- &a [*a]", "nested too deeply"),
        ("t.yaml", "", "is neither a list of tasks"),
        ("t.yaml", "- !!python/object:os.system {}", "not valid YAML: could not determine a"),
        ("t.txt", "", "t.txt is no task list by its ending '.txt'; call it .json, .toml, .yaml"),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path, name, content, message):
    """With the place, as far as the format knows it."""
    (tmp_path / name).write_text(content)
    with pytest.raises(BadTaskList) as caught:
        read_tasks(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    """Missing, a directory, or not text."""
    with pytest.raises(BadTaskList, match="there is no task list"):
        read_tasks(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(BadTaskList, match="cannot be read"):
        read_tasks(tmp_path / "folder.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BadTaskList, match="not UTF-8"):
        read_tasks(tmp_path / "bytes.json")


def test_an_anchor_may_be_used_twice(tmp_path):
    """YAML's own way to have something in common, merge keys included."""
    (tmp_path / "t.yaml").write_text(
        "- &base {id: a, command: x, env: {A: b}}\n- {<<: *base, id: b}\n"
    )
    cases = read_tasks(tmp_path / "t.yaml").cases
    assert [(case.id, dict(case.task.environment)) for case in cases] == [
        ("a", {"A": "b"}),
        ("b", {"A": "b"}),
    ]


def test_the_published_schema_is_a_schema_and_agrees_with_the_reader():
    """An editor that uses it accepts what we accept, and refuses a mistyped field."""
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    for text in (SAME["tasks.json"], '[{"type": "t", "config": {"command": "a", "x": 1}}]'):
        assert validator.is_valid(json.loads(text))
    assert not validator.is_valid([{"command": "a", "timeot": 1}])
    assert not validator.is_valid({"tasks": [], "default": {}})


words = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@given(st.lists(st.lists(words, min_size=1, max_size=4), max_size=4, unique_by=tuple))
def test_a_list_of_words_runs_exactly_those_words(commands):
    """Whatever is in them: quotes, pipes, spaces."""
    tasks = [{"id": f"t{n}", "command": words} for n, words in enumerate(commands)]
    cases = tasks_from(tasks, source="t.json").cases
    assert [case.task.command for case in cases] == [tuple(each) for each in commands]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*schema()["$defs"]["task"]["properties"], "tasks", "defaults", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(plain)
def test_any_document_is_read_or_refused_in_one_line(document):
    """No input makes the reader fail in another way."""
    for whole in (document, [document], {"tasks": [document]}, {"tasks": [], "defaults": document}):
        try:
            tasks_from(whole, source="t.json")
        except BadTaskList as error:
            text = str(error)
            assert text.count("\n") == min(len(error.problems), PROBLEMS_TOLD + 1)  # noqa: PT017
            assert error.remedy or error.problems  # noqa: PT017 - reading it is as good.


@given(st.text(max_size=60))
def test_any_yaml_text_is_read_or_refused(tmp_path_factory, text):
    """The third format has the most surprises."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read_tasks(path)
    except BadTaskList as error:
        assert "\n" not in str(error)  # noqa: PT017 - reading it is as good.
