"""A campaign over a scripted cluster: what it learns of its suite while it runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scripted_bench import FIRST, SUITE, Bench, judged, outcomes, worker

from proctor.infra.dispatching.batches import Rules
from proctor.infra.engine.fakes import (
    DESELECTED,
    HANGS,
    NOT_FOUND,
    NOT_IMPORTABLE,
    SKIPS_ITSELF,
    Script,
)
from proctor.infra.errors import (
    BadSetting,
    CollectionProblem,
)
from proctor.infra.records import Requirements
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.monitoring.reports.how_far import progress_of


def test_ids_that_are_gone_are_dropped(bench: Bench) -> None:
    """A stale inventory named it; it leaves no verdict."""
    campaign = bench.campaign(Script(outcomes={FIRST: (NOT_FOUND,)}))
    bench.known(campaign)
    campaign.run()
    record = bench.record()
    assert FIRST not in record.cases
    assert judged(record) == dict.fromkeys(SUITE[1:], "passed")


def test_ids_that_change_from_session_to_session_are_errors(bench: Bench) -> None:
    """Random values in them: what one session collected, no other can run."""
    campaign = bench.campaign(Script(suite=SUITE, outcomes={FIRST: (NOT_FOUND,)}))
    campaign.search.collect()
    campaign.run()
    record = bench.record()
    assert judged(record) == {FIRST: "error", **dict.fromkeys(SUITE[1:], "passed")}
    assert "has to be the same each time" in record.attempts[FIRST][0].message


def test_what_was_not_asked_for_and_is_gone_is_no_news(bench: Bench) -> None:
    """--lf with -k: of what is deselected in the end, nobody had been told."""
    campaign = bench.campaign(Script(suite=SUITE))
    bench.collection.only = frozenset({FIRST, SUITE[1]})
    cluster, say = bench.cluster, bench.cluster._end

    def deselect(order: SlotOrder, name: str, result: dict[str, object]) -> None:
        if order.act is Act.COLLECT:
            result["collected"] = {"file": None, "ids": [FIRST], "exit": 0}
        say(order, name, result)

    cluster._end = deselect  # type: ignore[method-assign, assignment]
    campaign.search.collect()
    campaign.run()
    assert judged(bench.record())[FIRST] == "passed"
    assert not set(bench.record().vanished) - {SUITE[1]}


def test_a_worker_that_drains_is_asked_once_to_collect(bench: Bench) -> None:
    """Who has just come hears of a drain by the worker's answer first."""
    bench.workers = [worker("w1"), worker("w2", memory_bytes=2**40)]
    campaign = bench.campaign(Script(suite=SUITE))
    cluster, collect = bench.cluster, bench.cluster._collect

    def drain(order: SlotOrder, name: str) -> None:
        if name == "w1":
            cluster._end(order, name, {"left": [], "reason": "draining", "died": False})
        else:
            collect(order, name)

    cluster._collect = drain  # type: ignore[method-assign]
    campaign.search.collect()
    campaign.run()
    record = bench.record()
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    asked = [name for order, name in cluster.orders if order.act is Act.COLLECT]
    assert asked == ["w1", "w2"]
    told = [note.text for note in record.notes if "drains" in note.text]
    assert told == ["worker w1 drains: it takes nothing new"]


def test_a_file_that_stays_whole_is_begun_when_all_of_it_is_found(bench: Bench) -> None:
    """A first part that goes out alone would have its fixtures taken down before the rest."""
    bench.rules = Rules(split_files=False)
    campaign = bench.campaign(Script(suite=SUITE))
    campaign.search.collect()
    for case in SUITE[:5]:
        assert not bench.seen.totals
        campaign.search.hear({"k": "item", "id": case, "file": case.split("::")[0], "marks": []})
        campaign.search.hand_over()
    assert bench.seen.totals == [4]
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    batches = [order.order for order in bench.cluster.sent(Act.RUN)]
    assert [len(order.work) for order in batches if order] == [4, 4]


def test_cases_that_share_an_id_run_once_and_are_told(bench: Bench) -> None:
    """A hook repeats the list, or a file is given twice with --keep-duplicates."""
    campaign = bench.campaign(Script(suite=SUITE))
    say = bench.cluster._end

    def repeat(order: SlotOrder, name: str, result: dict[str, object]) -> None:
        if order.act is Act.COLLECT:
            result["collected"] = {"file": None, "ids": [*SUITE, FIRST], "exit": 0}
        say(order, name, result)

    bench.cluster._end = repeat  # type: ignore[method-assign, assignment]
    campaign.search.collect()
    campaign.run()
    record = bench.record()
    assert judged(record) == dict.fromkeys(SUITE, "passed")
    told = f"1 case has the id of another one, and each id runs once: {FIRST}"
    assert told in [note.text for note in record.notes]


def test_a_file_that_holds_more_has_the_suite_collected_anew(bench: Bench) -> None:
    """New cases run, old ones are not run twice, and it happens once."""
    more = (*SUITE, "test_a.py::test_new")
    holds = {file: [each for each in more if each.startswith(file)] for file in ("test_a.py",)}
    campaign = bench.campaign(Script(suite=more, holds=holds))
    bench.known(campaign)
    campaign.search.doubt()
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(more, "passed")
    assert bench.cluster.executions == dict.fromkeys(more, 1)
    assert len(list(bench.cluster.sent(Act.COLLECT))) == 1
    # For whoever resumes it in between.
    assert [name for name, _ in bench.record().phases] == ["collect", "run"]


def test_a_trusted_list_is_not_collected_anew(bench: Bench) -> None:
    """Single cases of a file were named: that it holds others is no news."""
    campaign = bench.campaign(Script(holds={"test_a.py": [*SUITE, "test_a.py::test_other"]}))
    bench.known(campaign)
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE, "passed")
    assert not list(bench.cluster.sent(Act.COLLECT))


def test_a_file_that_a_session_cannot_import_costs_its_own_cases(bench: Bench) -> None:
    """Whoever collected could import it: its cases are errors, and all others run."""
    broken = dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,))
    record = bench.collected(outcomes=broken)
    told = {**dict.fromkeys(SUITE[:4], "error"), **dict.fromkeys(SUITE[4:], "passed")}
    assert judged(record) == told


def test_a_file_that_another_session_can_import_is_tried_there(bench: Bench) -> None:
    """As whatever else fails, if retries are asked for."""
    bench.rules = Rules(retries=1, hedge=False)
    record = bench.collected(outcomes={FIRST: (NOT_IMPORTABLE, "passed")})
    assert outcomes(record, FIRST) == ["error", "passed"]


def test_a_file_of_an_inventory_that_cannot_be_imported_is_collected_anew(bench: Bench) -> None:
    """If pytest cannot collect it any more, the campaign ends as pytest would."""
    script = Script(
        suite=SUITE[4:],
        uncollectable={"test_a.py": "E   ImportError: gone"},
        outcomes=dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,)),
    )
    campaign = bench.campaign(script)
    bench.known(campaign)
    campaign.search.doubt()
    with pytest.raises(CollectionProblem, match=r"test_a\.py cannot be collected: ImportError"):
        campaign.run()
    # The file is told, and no case of it: to pytest there is none.
    assert not bench.record().attempts.keys() & set(SUITE[:4])


def test_a_file_of_an_inventory_that_pytest_can_collect_costs_its_own_cases(bench: Bench) -> None:
    """What a session had said of them counts then, each once."""
    campaign = bench.campaign(
        Script(suite=SUITE, outcomes=dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,)))
    )
    bench.known(campaign)
    campaign.search.doubt()
    campaign.run()
    record = bench.record()
    told = {**dict.fromkeys(SUITE[:4], "error"), **dict.fromkeys(SUITE[4:], "passed")}
    assert judged(record) == told
    assert [outcomes(record, case) for case in SUITE[:4]] == [["error"]] * 4


@pytest.mark.parametrize("collects", [True, False])
def test_a_case_that_is_gone_when_it_is_to_run_again_ends_so(bench: Bench, collects: bool) -> None:
    """What it came to before stands, and nobody asks for it for ever."""
    bench.rules = Rules(retries=2, hedge=False)
    script = Script(suite=SUITE, outcomes={FIRST: ("failed", NOT_FOUND)})
    campaign = bench.campaign(script)
    if collects:
        campaign.search.collect()
    else:
        bench.known(campaign)
    campaign.run()
    record = bench.record()
    assert outcomes(record, FIRST) == ["failed"]
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), FIRST: "failed"}


def test_a_case_that_is_deselected_only_where_it_is_to_run_is_an_error(bench: Bench) -> None:
    """A hook that looks at the whole list sees one file there: nothing is left out silently."""
    record = bench.collected(outcomes={FIRST: (DESELECTED,)})
    assert judged(record) == {**dict.fromkeys(SUITE, "passed"), FIRST: "error"}
    assert "deselected when its file is loaded alone" in record.attempts[FIRST][0].message


def test_a_file_that_skips_itself_only_where_it_is_to_run_is_skipped(bench: Bench) -> None:
    """As with a module that one worker has not got; the rest of the suite has other sessions."""
    record = bench.collected(outcomes=dict.fromkeys(SUITE[:4], (SKIPS_ITSELF,)))
    told = {**dict.fromkeys(SUITE[:4], "skipped"), **dict.fromkeys(SUITE[4:], "passed")}
    assert judged(record) == told
    assert record.attempts[FIRST][0].message == "not here"


def misread(*ids: str) -> Callable[[str, object], tuple[Requirements, None]]:
    """Needs as stated, but for those of some cases."""

    def needs_of(case: str, marks: object) -> tuple[Requirements, None]:
        if case in ids:
            raise BadSetting(f"{case}: unknown requirement 'gpus'", remedy="did you mean gpu?")
        return Requirements(), None

    return needs_of


def test_needs_that_cannot_be_read_refuse_the_campaign_all_at_once(bench: Bench) -> None:
    """Each is told, and nothing has run meanwhile."""
    campaign = bench.campaign(Script(suite=SUITE))
    bench.collection.needs_of = misread(FIRST, SUITE[5])
    campaign.search.collect()
    with pytest.raises(BadSetting) as told:
        campaign.run()
    assert told.value.message.splitlines() == [
        "what 2 cases need cannot be read:",
        *(f"  {each}: unknown requirement 'gpus'; did you mean gpu?" for each in (FIRST, SUITE[5])),
    ]
    assert bench.cluster.executions == {}


def test_what_runs_when_needs_cannot_be_read_ends_after_its_case(bench: Bench) -> None:
    """Another case of its batch is not begun: most likely the campaign is refused."""
    campaign = bench.campaign(Script(outcomes={FIRST: (HANGS,)}))
    cluster = bench.cluster
    bench.collection.needs_of = misread(SUITE[5])

    def collect_slowly(order: SlotOrder, name: str) -> None:
        told = {"k": "item", "id": FIRST, "file": "test_a.py", "marks": []}
        cluster._say(order, name, told)  # type: ignore[arg-type]
        collecting.append((order, name))

    collecting: list[tuple[SlotOrder, str]] = []
    cluster._collect = collect_slowly  # type: ignore[method-assign]

    def turn(now: float) -> None:
        if cluster._hanging and collecting:
            order, name = collecting.pop()
            told = {"k": "item", "id": SUITE[5], "file": "test_b.py", "marks": []}
            cluster._say(order, name, told)  # type: ignore[arg-type]
            found = {"k": "collected", "file": None, "ids": [FIRST, SUITE[5]], "exit": 0}
            cluster._end(order, name, {"reason": "collected", "collected": found})

    cluster.watch_roster = turn  # type: ignore[method-assign]
    campaign.search.collect()
    with pytest.raises(BadSetting, match="gpus"):
        campaign.run()
    (batch,) = bench.record().batches
    assert (batch.id, False) in cluster.stopped


def test_needs_of_what_is_deselected_may_be_anything(bench: Bench) -> None:
    """They are found before it is known what -k leaves."""
    campaign = bench.campaign(Script(suite=SUITE))
    bench.collection.needs_of = misread(FIRST)
    cluster, say = bench.cluster, bench.cluster._end

    def deselect(order: SlotOrder, name: str, result: dict[str, object]) -> None:
        if order.act is Act.COLLECT:
            result["collected"] = {"file": None, "ids": list(SUITE[1:]), "exit": 0}
        say(order, name, result)

    cluster._end = deselect  # type: ignore[method-assign, assignment]
    campaign.search.collect()
    campaign.run()
    assert judged(bench.record()) == dict.fromkeys(SUITE[1:], "passed")


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize(
    "outcomes",
    [
        {},
        {FIRST: ("failed",)},
        {FIRST: (NOT_FOUND,)},
        {FIRST: (DESELECTED,)},
        dict.fromkeys(SUITE[:4], (SKIPS_ITSELF,)),
        dict.fromkeys(SUITE[:4], (NOT_IMPORTABLE,)),
    ],
    ids=["passed", "failed", "not found", "deselected", "skips itself", "not importable"],
)
def test_whoever_looks_on_counts_the_cases_of_the_summary(
    bench: Bench, outcomes: dict[str, tuple[str, ...]], collects: bool
) -> None:
    """The view, what the campaign says of itself, and who reads its journal from outside."""
    campaign = bench.campaign(Script(suite=SUITE, outcomes=outcomes))
    if collects:
        campaign.search.collect()
    else:
        bench.known(campaign)
        campaign.search.doubt()
    campaign.run()
    told = judged(bench.record())
    reached = campaign._reached()
    assert (reached.total, sum(reached.counts.values())) == (len(told), len(told))
    assert bench.seen.totals[-1] == len(told)
    outside = progress_of(bench.directory, most=1 << 30)
    assert outside is not None
    assert (outside.total, outside.done, outside.counts) == (len(told), len(told), reached.counts)
