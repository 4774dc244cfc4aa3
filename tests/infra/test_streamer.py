"""What a streamer sends."""

from __future__ import annotations

import asyncio

import orjson

from proctor.infra.runners.streamer import Streamer


def test_messages_travel_together_as_bytes_in_their_order():
    """Dask would take a list apart at each station, and fail at what msgpack cannot carry."""

    async def stream() -> list[bytes]:
        sent: list[bytes] = []
        streamer = Streamer(sent.append, asyncio.get_running_loop())
        streamer.send({"k": "start", "id": "a"})
        streamer.send({"k": "done", "id": "a", "text": [["stdout", "x"]]})
        streamer.flush()
        return sent

    (data,) = asyncio.run(stream())
    assert type(data) is bytes
    assert [message["k"] for message in orjson.loads(data)] == ["start", "done"]


def test_nothing_is_sent_when_nothing_waits():
    """A flush at the end of an empty batch costs no message."""

    async def flush() -> list[bytes]:
        sent: list[bytes] = []
        Streamer(sent.append, asyncio.get_running_loop()).flush()
        return sent

    assert asyncio.run(flush()) == []
