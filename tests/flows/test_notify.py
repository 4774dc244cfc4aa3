"""People are told once, of what is sure, and again when it is over; a real receiver listens."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proctor.blocks import notify
from proctor.blocks.notify import NobodyTold, acheck, asend, atell_news
from proctor.flows.trending import notifying
from proctor.flows.trending.notifying import Notifier
from proctor.infra.errors import UsageProblem
from proctor.monitoring.trends.journal import News


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[dict] = []
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def receiver(monkeypatch):
    """A webhook, and Prefect's own block for it in the place of a server's."""
    from prefect.blocks.core import Block
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        block = CustomWebhookNotificationBlock(
            name="ci", url=f"http://127.0.0.1:{server.server_port}/hook",
            json_data={"text": "{{body}}", "title": "{{subject}}"}, allow_private_urls=True,
        )  # fmt: skip

        async def load(name: str):
            if name != "custom-webhook/ci":
                raise ValueError(f"no block {name}")
            return block

        monkeypatch.setattr(Block, "aload", load)
        yield server
        server.shutdown()
        thread.join()


def news(status: str, *, name: str = "f1", worse: bool = True, before: str = "") -> News:
    return News(
        id=name, kind="change", before=before, status=status, text="t is slower", worse=worse
    )


def tell(tmp_path, *each: News) -> int:
    return asyncio.run(atell_news(each, "p", blocks=["custom-webhook/ci"], state=tmp_path))


def test_a_confirmed_regression_is_told_once_and_its_recovery_too(receiver, tmp_path):
    """Suspicions, improvements and repetitions are not."""
    assert tell(tmp_path, news("suspected")) == 0
    assert tell(tmp_path, news("confirmed", worse=False, name="f2")) == 0
    assert tell(tmp_path, news("confirmed")) == 1
    assert tell(tmp_path, news("confirmed")) == 0
    assert tell(tmp_path, news("recovered", before="confirmed")) == 1
    assert [each["text"] for each in receiver.got] == [
        "found: t is slower",
        "recovered: t is slower",
    ]


def test_what_nobody_heard_of_needs_no_recovery(receiver, tmp_path):
    """It came and went between two looks."""
    assert tell(tmp_path, news("recovered")) == 0
    assert receiver.got == []


def test_a_message_that_failed_is_sent_the_next_time(receiver, tmp_path):
    """The receiver answers 500 first; nothing is lost and nothing is told twice."""
    receiver.status = 500
    with pytest.raises(NobodyTold, match="custom-webhook/ci"):
        tell(tmp_path, news("confirmed"))
    receiver.status = 200
    assert tell(tmp_path) == 1
    assert tell(tmp_path) == 0
    assert len(receiver.got) == 2


@pytest.mark.parametrize("kept", ["nonsense", "[]", ""])
def test_what_was_told_before_may_be_unreadable(receiver, tmp_path, kept):
    """Another version's: news is told all the same, and what is told is kept again."""
    (tmp_path / "trends").mkdir()
    (tmp_path / "trends" / "told.json").write_text(kept)
    assert tell(tmp_path, news("confirmed")) == 1
    assert tell(tmp_path, news("confirmed")) == 0


def test_who_took_a_message_does_not_get_it_again_because_another_could_not(
    receiver, tmp_path, monkeypatch
):
    """The other one gets it the next time, and what is new goes to both."""
    from prefect.blocks.core import Block

    load, away = Block.aload, {"custom-webhook/two"}

    async def load_two(name: str):
        if name in away:
            raise ValueError(f"no block {name}")
        return await load("custom-webhook/ci")

    monkeypatch.setattr(Block, "aload", load_two)
    for blocks in (["custom-webhook/two", "custom-webhook/ci"], ["custom-webhook/two"]):
        with pytest.raises(NobodyTold, match="custom-webhook/two"):
            asyncio.run(atell_news([news("confirmed")], "p", blocks=blocks, state=tmp_path))
    assert len(receiver.got) == 1
    away.clear()
    both = ["custom-webhook/ci", "custom-webhook/two"]
    asyncio.run(atell_news([], "p", blocks=both, state=tmp_path))
    assert len(receiver.got) == 2
    asyncio.run(atell_news([news("recovered")], "p", blocks=both, state=tmp_path))
    assert [each["text"] for each in receiver.got[2:]] == ["recovered: t is slower"] * 2


def test_one_block_that_is_missing_does_not_silence_the_others(receiver):
    """Who is there is told; who is not is named."""
    blocks = ["email/nobody", "custom-webhook/ci"]
    with pytest.raises(NobodyTold, match="email/nobody"):
        asyncio.run(asend(blocks, subject="s", body="b"))
    assert len(receiver.got) == 1


def test_a_name_that_is_no_block_is_told():
    """Before anything is sent."""
    with pytest.raises(UsageProblem, match="names no block"):
        asyncio.run(asend(["slack"], subject="s", body="b"))


def test_a_block_that_is_not_there_is_refused_before_anything_is_looked_at(receiver, monkeypatch):
    """A mistyped name must not show on the day when there is something to tell."""
    asyncio.run(acheck(["custom-webhook/ci"]))
    for name, reason in (("email/nobody", "there is no block email/nobody"), ("ci", "names no b")):
        with pytest.raises(UsageProblem, match=reason):
            asyncio.run(acheck(["custom-webhook/ci", name]))
    assert receiver.got == []


def test_the_command_line_asks_the_server_that_keeps_the_run_history(receiver, monkeypatch):
    """The configured one or the resident one, and no other that Prefect would start by itself."""
    from prefect.settings import PREFECT_API_URL

    asked, seen = [], []

    def usable(setting, state, *, purpose):
        asked.append((setting, state))
        return "http://127.0.0.1:4299/api"

    async def check(blocks):
        seen.append((tuple(blocks), PREFECT_API_URL.value()))

    monkeypatch.setattr(notifying, "usable_url", usable)
    monkeypatch.setattr(notifying, "acheck", check)
    notifier = Notifier(["custom-webhook/ci"], state=Path("/state"), prefect="auto")
    notifier.check()
    notifier.send(subject="s", body="b")
    assert asked == [("auto", Path("/state"))]
    assert seen == [(("custom-webhook/ci",), "http://127.0.0.1:4299/api")]
    assert [each["title"] for each in receiver.got] == ["s"]
    # Where nobody is to be told, nobody is asked for a server.
    Notifier([], state=Path("/state"), prefect="auto").check()
    assert len(asked) == 1


def test_what_came_while_nobody_was_named_is_told_to_the_first_who_is(receiver, tmp_path):
    """Somebody looked by hand before the nightly look that tells people."""
    assert asyncio.run(atell_news([news("confirmed")], "p", blocks=[], state=tmp_path)) == 0
    assert tell(tmp_path) == 1
    assert tell(tmp_path) == 0


def test_a_second_run_that_decided_nothing_is_told_and_so_is_its_end(receiver, tmp_path):
    """Somebody has to look; a refutation interests only those who heard of it."""
    assert tell(tmp_path, news("refuted", name="f2")) == 0
    assert tell(tmp_path, news("undecided", before="suspected")) == 1
    assert tell(tmp_path, news("refuted", before="suspected")) == 1
    assert [each["title"] for each in receiver.got] == [
        "Proctor: 1 suspected in p",
        "Proctor: 1 not so in p",
    ]


def test_a_server_that_does_not_say_what_a_block_is_is_not_waited_for(monkeypatch):
    """Prefect's own client would try for minutes."""
    from prefect.blocks.core import Block

    async def load(name: str):
        await asyncio.sleep(3600)

    monkeypatch.setattr(Block, "aload", load)
    monkeypatch.setattr(notify, "SEND_SECONDS", 0.05)
    with pytest.raises(NobodyTold, match="custom-webhook/ci: TimeoutError"):
        asyncio.run(asyncio.wait_for(asend(["custom-webhook/ci"], subject="s", body="b"), 120))
