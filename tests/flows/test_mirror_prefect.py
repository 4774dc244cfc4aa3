"""What the mirror makes of a server's answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from proctor.flows.mirroring.mirror_facts import Away, Refused, RunFacts
from proctor.flows.mirroring.mirror_prefect import PrefectLink
from proctor.infra.errors import StateUnwritable

RUN = "11111111-1111-1111-1111-111111111111"


class Scripted(HTTPServer):
    """Answers by path: a status, and a document or a page."""

    def __init__(self, answers: dict[str, tuple[int, object]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.removeprefix("/api")
        self.server.asked.append(path)
        status, answer = self.server.answers.get(path, (404, {"detail": "Not Found"}))
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted({}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asked(url: str, act: Callable[[PrefectLink], Awaitable[Any]]) -> Any:
    async def ask() -> Any:
        link = PrefectLink(lambda: url)
        try:
            return await act(link)
        finally:
            await link.leave()

    return asyncio.run(asyncio.wait_for(ask(), 120))


def test_a_run_that_is_not_there_is_none(server):
    """And no refusal: it is made anew."""
    assert asked(server.url, lambda link: link.standing(RUN)) is None


def test_an_answer_of_another_version_is_a_refusal(server):
    """To ask again would bring the same; the other pieces are told."""
    server.answers[f"/flow_runs/{RUN}"] = (200, {"what": "a later version says"})
    with pytest.raises(Refused, match="another version"):
        asked(server.url, lambda link: link.standing(RUN))


def test_the_page_of_a_proxy_is_no_answer(server):
    """Its server is away: it is asked again later."""
    server.answers["/events/filter"] = (200, "<h1>Back soon</h1>")
    with pytest.raises(Away):
        asked(server.url, lambda link: link.known_events([RUN]))


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_server_without_our_doors_gets_the_run_through_its_own(server, status):
    """Servers say differently that they do not know a path."""
    server.answers |= {
        "/flows/": (201, {"id": RUN}),
        "/proctor/flow-runs": (status, {}),
        "/flow_runs/": (201, {"id": RUN}),
    }
    facts = RunFacts(flow="submit-tests", name="orchard", key="k", started=1.0)
    assert asked(server.url, lambda link: link.open_run(facts)) == RUN
    assert server.asked[-2:] == ["/proctor/flow-runs", "/flow_runs/"]


def test_a_resident_server_that_cannot_be_started_now_is_away():
    """On a full disk, for example; the mirror goes on trying."""

    def address() -> str:
        raise StateUnwritable("the disk is full", remedy="make room")

    async def ask() -> None:
        await PrefectLink(address).standing(RUN)

    with pytest.raises(Away, match="the disk is full"):
        asyncio.run(ask())
