"""Finding campaigns in a state directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_parts import Clock, case, freeze, open_ledger

from proctor.infra.errors import UnknownCampaign
from proctor.infra.ledgers import campaigns
from proctor.infra.ledgers.campaigns import find_campaign, list_campaigns, stages_directory
from proctor.infra.ledgers.epochs import ledger_path
from proctor.infra.ledgers.record import read_campaign


def begin(state: Path, name: str, at: float = 0.0, **more: str) -> Path:
    """A campaign that was opened then and is over."""
    directory = state / "campaigns" / name
    clock = Clock(1000.0 + at)
    with open_ledger(directory, name=f"suite {name}", clock=clock, **more) as ledger:
        counts = {"passed": 3, "failed": 1}
        ledger.write("close", state="completed", exit_code=1, counts=counts, makespan=4.5, slots=2)
        ledger.write("note", level="info", text="after the last word")
    return directory


def test_campaigns_are_listed_newest_first(tmp_path: Path):
    """Each in one line, from its first and last words."""
    begin(tmp_path, "b", at=1)
    begin(tmp_path, "a", at=2)
    begin(tmp_path, "c", at=0)
    found = list_campaigns(tmp_path)
    assert [each.id for each in found] == ["a", "b", "c"]
    newest = found[0]
    assert (newest.state, newest.exit_code, newest.name) == ("completed", 1, "suite a")
    assert (newest.counts, newest.makespan) == ({"passed": 3, "failed": 1}, 4.5)
    assert (newest.started, newest.ended) == (1002.0, 1002.0)


def test_a_campaign_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch):
    """Another user's, one whose first line is nonsense, and one that is removed while we look."""
    begin(tmp_path, "good")
    (begin(tmp_path, "odd") / "ledger-000001.jsonl").write_text('{"k":"open","t":"soon"}\n')
    for name in ("barred", "gone"):
        begin(tmp_path, name)
    read = campaigns.accepted_bytes

    def look(directory: Path) -> dict[int, int | None]:
        if directory.name == "barred":
            raise PermissionError(13, "Permission denied", str(directory))
        if directory.name == "gone":
            raise FileNotFoundError(2, "No such file or directory", str(directory))
        return read(directory)

    monkeypatch.setattr(campaigns, "accepted_bytes", look)
    found = {each.id: each.state for each in list_campaigns(tmp_path)}
    assert found == {"good": "completed", "odd": "damaged", "barred": "damaged"}


def refuse(state: Path, name: str, at: float, *, told: str = "refused") -> Path:
    """A campaign in which nothing ran, for nobody has what its cases need."""
    directory = state / "campaigns" / name
    # Earlier versions wrote no reason.
    why = {"reason": "no worker has a gpu"} if told == "refused" else {}
    with open_ledger(directory, clock=Clock(1000.0 + at)) as ledger:
        ledger.write("close", state=told, exit_code=4, counts={"not-run": 3}, **why)
    return directory


@pytest.mark.parametrize("told", ["refused", "failed"])
def test_what_was_refused_is_listed_and_is_not_the_last(tmp_path: Path, told: str):
    """It says nothing of the suite; earlier versions wrote that it had failed."""
    ran = begin(tmp_path, "a")
    refused = refuse(tmp_path, "b", 5, told=told)
    newest = list_campaigns(tmp_path)[0]
    assert (newest.id, newest.state, newest.is_history) == ("b", "refused", False)
    assert newest.reason == ("no worker has a gpu" if told == "refused" else "")
    assert find_campaign(tmp_path, "last") == ran
    assert find_campaign(tmp_path, "b") == refused
    assert read_campaign(refused).state == "refused"


def test_cases_made_up_for_faults_are_nobodys_last_campaign(tmp_path: Path):
    """They are found by their id."""
    mine = begin(tmp_path, "a", at=1)
    made_up = begin(tmp_path, "b", at=2, root=str(stages_directory(tmp_path) / "6-files"))
    assert [each.is_staged for each in list_campaigns(tmp_path)] == [True, False]
    assert find_campaign(tmp_path, "last") == mine
    assert find_campaign(tmp_path, "b") == made_up


def test_the_last_is_that_of_the_project_one_stands_in(tmp_path: Path):
    """At its root, below or above; where nothing has run yet, the newest of all."""
    orchard = begin(tmp_path, "a", at=1, root="/home/p/orchard")
    garden = begin(tmp_path, "b", at=2, root="/home/p/garden")

    def last(place: str) -> Path:
        return find_campaign(tmp_path, "last", here=Path(place))

    assert last("/home/p/orchard") == last("/home/p/orchard/tests") == orchard
    assert last("/home/p/garden") == garden
    assert last("/home/p") == last("/elsewhere") == find_campaign(tmp_path, "last") == garden


def test_a_broken_suite_is_the_last_though_nothing_ran(tmp_path: Path):
    """With pytest's exit code for it, which is also that of what was typed wrongly."""
    begin(tmp_path, "a")
    directory = tmp_path / "campaigns" / "b"
    with open_ledger(directory, clock=Clock(1005.0)) as ledger:
        ledger.write("close", state="failed", exit_code=4, counts={}, reason="conftest.py raises")
    newest = list_campaigns(tmp_path)[0]
    assert (newest.state, newest.is_history, newest.reason) == (
        "failed",
        True,
        "conftest.py raises",
    )
    assert find_campaign(tmp_path, "last") == directory


def test_where_all_was_refused_there_is_no_last(tmp_path: Path):
    """The newest is named, for it says why."""
    refuse(tmp_path, "a", 0)
    refuse(tmp_path, "b", 1)
    with pytest.raises(UnknownCampaign, match="the newest, b, was refused; `proctor show b`"):
        find_campaign(tmp_path, "last")


def test_a_state_directory_that_is_not_there_has_no_campaigns(tmp_path: Path):
    """Nothing has run yet."""
    assert list_campaigns(tmp_path / "nowhere") == []


def test_a_last_word_is_found_behind_much_else(tmp_path: Path):
    """Only the tail of a large ledger is looked at."""
    directory = tmp_path / "campaigns" / "big"
    with open_ledger(directory) as ledger:
        for number in range(3000):
            ledger.case(case(number))
        ledger.write("close", state="cancelled", exit_code=2, counts={})
    assert ledger_path(directory, 1).stat().st_size > 1 << 17
    assert [each.state for each in list_campaigns(tmp_path)] == ["cancelled"]


def test_states_of_campaigns_without_a_last_word(tmp_path: Path):
    """Running, interrupted, damaged; and one that nobody has begun is not listed."""
    campaigns = tmp_path / "campaigns"
    clock = Clock()
    running = open_ledger(campaigns / "running", clock=clock)
    expired = open_ledger(campaigns / "expired", clock=Clock(clock.now - 60))
    freeze(expired)
    open_ledger(campaigns / "let-go", clock=clock).close()
    damaged = begin(tmp_path, "damaged")
    ledger_path(damaged, 1).write_bytes(b"\0\n")
    (campaigns / "prepared").mkdir()
    begun = open_ledger(campaigns / "torn", clock=clock)
    ledger_path(begun.directory, 1).write_bytes(b'{"k":"op')
    assert {each.id: each.state for each in list_campaigns(tmp_path, clock=clock)} == {
        "running": "running",
        "expired": "interrupted",
        "let-go": "interrupted",
        "damaged": "damaged",
    }
    for ledger in (running, begun):
        ledger.abandon()


def test_a_resumed_campaign_keeps_its_beginning(tmp_path: Path):
    """It started when its first writer did, and its last word is the last writer's."""
    directory = begin(tmp_path, "a", at=0)
    with open_ledger(directory, clock=Clock(2000.0)) as ledger:
        ledger.write("close", state="failed", exit_code=6, counts={})
    (only,) = list_campaigns(tmp_path)
    assert (only.started, only.ended, only.state, only.epochs) == (1000.0, 2000.0, "failed", 2)


def test_a_campaign_is_found_by_id_prefix_or_as_the_last(tmp_path: Path):
    """A whole id wins over being a prefix of another."""
    begin(tmp_path, "2026-ab", at=2)
    begin(tmp_path, "2026-abc", at=1)
    begin(tmp_path, "2026-x", at=0)
    assert find_campaign(tmp_path, "2026-ab").name == "2026-ab"
    assert find_campaign(tmp_path, "2026-x").name == "2026-x"
    assert find_campaign(tmp_path, "2026-abc").name == "2026-abc"
    assert find_campaign(tmp_path, "last").name == "2026-ab"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("2026-a", "2 campaigns begin with '2026-a': 2026-ab, 2026-ac"),
        ("2025-ab", "no campaign is called '2025-ab'; did you mean 2026-ab"),
        ("zzz", "`proctor list`"),
        ("", "no campaign is called ''"),
    ],
)
def test_a_campaign_that_is_not_found_names_the_nearest(tmp_path: Path, wanted: str, words: str):
    """One sentence, with what to do."""
    begin(tmp_path, "2026-ab")
    begin(tmp_path, "2026-ac")
    with pytest.raises(UnknownCampaign) as caught:
        find_campaign(tmp_path, wanted)
    assert words in str(caught.value)


def test_there_is_no_last_campaign_before_the_first(tmp_path: Path):
    """It says how to start one."""
    with pytest.raises(UnknownCampaign, match="proctor run"):
        find_campaign(tmp_path, "last")
