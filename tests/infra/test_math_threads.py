"""Threads of numerical libraries: a slot's share of its machine, unless somebody has decided."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runner_suites import Told, collect, run_batch, spec_of, write_suite
from scripted_bench import Bench, worker

from proctor.infra.engine.fakes import FakeCluster
from proctor.infra.engine.happenings import Joined
from proctor.infra.errors import BadSetting
from proctor.infra.records import WorkerFacts
from proctor.infra.runners.math_threads import VARIABLES, fair_threads
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.runner import SessionRunner
from proctor.infra.settings import load_settings

WHAT_IS_SET = """
    import json, os

    def test_threads():
        print(json.dumps(dict(os.environ)))
"""


def on_machine(name: str, *, slots: int, cores: int = 8, host: str = "one") -> WorkerFacts:
    return worker(name, slots=slots, machine_cores=cores, machine=f"id-{host}", host=host)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write_suite(tmp_path / "suite", {"test_threads.py": WHAT_IS_SET})


def seen_by_tests(
    suite: Path, *, threads: int, environment: dict[str, str]
) -> dict[str, str | None]:
    """What the variables are for a test, and for whatever it starts."""
    told = Told()
    runner = SessionRunner(spec_of(suite, math_threads=threads, environment=environment))
    try:
        run_batch(runner, collect(runner, told), told)
    finally:
        runner.close()
    seen = json.loads(told.text("test_threads", "stdout"))
    return {name: seen.get(name) for name in VARIABLES}


@pytest.fixture
def nobody_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody_decided")
def test_a_session_is_given_its_threads(suite: Path) -> None:
    """By every name, for libraries differ in which they read."""
    assert seen_by_tests(suite, threads=3, environment={}) == dict.fromkeys(VARIABLES, "3")


@pytest.mark.usefixtures("nobody_decided")
@pytest.mark.parametrize("decided", VARIABLES)
def test_a_person_who_has_set_one_variable_has_decided(suite: Path, decided: str) -> None:
    """OpenBLAS prefers its own name to OMP_NUM_THREADS: ours beside theirs would undo it."""
    seen = seen_by_tests(suite, threads=1, environment={decided: "5"})
    assert seen == {**dict.fromkeys(VARIABLES), decided: "5"}


@pytest.mark.usefixtures("nobody_decided")
def test_without_a_limit_nothing_is_set(suite: Path) -> None:
    """As before, and as under plain pytest."""
    assert seen_by_tests(suite, threads=0, environment={}) == dict.fromkeys(VARIABLES)


def test_a_slot_has_its_share_of_the_cores() -> None:
    """Of those below all workers of its machine, wherever else there are others."""
    first, second = on_machine("a", slots=2), on_machine("b", slots=1)
    far = on_machine("c", slots=8, host="two")
    assert fair_threads(first, [first]) == 4
    assert fair_threads(first, [first, second, far]) == fair_threads(second, [first, second]) == 2
    # A core can be had by several, a part of one by nobody.
    assert fair_threads(on_machine("d", slots=9), []) == 1


def test_who_is_alone_on_its_machine_may_use_all_of_it() -> None:
    """Libraries then decide, as under plain pytest; and where nobody has counted the cores."""
    alone = on_machine("a", slots=1)
    assert fair_threads(alone, [alone]) == 0
    assert fair_threads(worker("b", slots=4), []) == 0


def threads_sent(bench: Bench) -> dict[str, set[int]]:
    """By worker, with every order that may start a session."""
    sent: dict[str, set[int]] = {}
    for order, name in bench.cluster.orders:
        if order.act is not Act.FINISH:
            sent.setdefault(name, set()).add(order.runner.math_threads)
    return sent


@pytest.mark.parametrize(
    ("asked", "threads"), [(None, {"w1": {2}, "w2": {2}}), (0, {"w1": {0}, "w2": {0}})]
)
def test_a_campaign_tells_its_workers(
    bench: Bench, asked: int | None, threads: dict[str, set[int]]
) -> None:
    """Also the first of a fleet of its own, while the second is still starting."""
    bench.workers = [on_machine("w1", slots=2), on_machine("w2", slots=2)]
    coming = tuple(worker(each.name, slots=each.slots) for each in bench.workers)
    bench.job_fields = {"math_threads": asked, "expected": coming}
    bench.collected()
    assert threads_sent(bench) == threads


def test_a_fleet_that_is_up_is_known_before_a_session_starts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers are told of one after the other; the first is not alone on its machine."""
    monkeypatch.setattr("proctor.infra.engine.campaign.LISTEN_SECONDS", 60.0)
    bench.workers = [on_machine(f"w{number}", slots=1) for number in range(1, 5)]
    bench.collected()
    assert threads_sent(bench) == {each.name: {2} for each in bench.workers}


def test_who_comes_later_gets_a_share_of_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that starts from then on knows of it."""
    first, second = on_machine("w1", slots=2), on_machine("w2", slots=2)
    bench.workers = [first]
    send = FakeCluster.send

    def sends(cluster: FakeCluster, order: SlotOrder, name: str) -> None:
        if order.act is Act.RUN and second.name not in cluster._workers:
            cluster._workers[second.name] = second
            cluster.happenings.put(Joined(facts=second))
        send(cluster, order, name)

    monkeypatch.setattr(FakeCluster, "send", sends)
    bench.collected()
    assert threads_sent(bench) == {"w1": {4, 2}, "w2": {2}}


@pytest.mark.parametrize("value", ["auto", "all", "3", 3])
def test_setting_is_read(tmp_path: Path, value: object) -> None:
    """And what was read can be read again, as `resume` does."""
    settings = load_settings(tmp_path, {}, {"math_threads": value})
    assert settings.math_threads == str(value)
    again = load_settings(tmp_path, {}, {"math_threads": settings.plain()["math_threads"]})
    assert again.math_threads == str(value)


@pytest.mark.parametrize("value", ["0", "-1", "some", 1.5, True, ""])
def test_setting_that_says_nothing_is_refused(tmp_path: Path, value: object) -> None:
    """In a line that says what can be written; an empty one counts as not given."""
    (tmp_path / "pyproject.toml").write_text(
        f"[tool.proctor]\nmath_threads = {str(value).lower() if value is True else repr(value)}\n"
    )
    with pytest.raises(BadSetting, match=r"math_threads") as refused:
        load_settings(tmp_path, {}, {})
    assert '"auto" or "all"' in str(refused.value.remedy)
