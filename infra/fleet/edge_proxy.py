"""A proxy at the edge of one process: rules in files delay, thin, cut or swallow what passes.

`python edge_proxy.py --rules DIR --parent PID --edge NAME=HOST:PORT ...` prints one JSON line with
the port it listens on for each edge. It needs nothing but the standard library, so that it starts
in a tenth of a second beside every worker of a fleet that is there to be broken.

Each file `*.json` of the directory is a rule while it is there; several add up:
  {"latency": seconds}   each piece arrives so much later
  {"bandwidth": bytes}   so many bytes a second pass, each way of each connection
  {"cut": true}          connections end, new ones are refused
  {"hole": true}         nothing passes; connections seem to stand, new ones are never answered
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.05
PIECE_BYTES = 1 << 16
# What may be under way on one connection while it is delayed.
MOST_PIECES = 256


@dataclass(frozen=True)
class Rules:
    """What holds now."""

    latency: float = 0.0
    bandwidth: float = 0.0
    cut: bool = False
    hole: bool = False


def read_rules(directory: Path) -> Rules:
    """All files together; one that is torn or gone counts as none."""
    rules = Rules()
    for path in sorted(directory.glob("*.json")):
        try:
            given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        rates = [each for each in (rules.bandwidth, given.get("bandwidth", 0.0)) if each]
        rules = Rules(
            latency=rules.latency + given.get("latency", 0.0),
            bandwidth=min(rates, default=0.0),
            cut=rules.cut or bool(given.get("cut")),
            hole=rules.hole or bool(given.get("hole")),
        )
    return rules


class Proxy:
    """All edges of one process, under one set of rules."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rules = Rules()
        self._stamp: object = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    async def listen(self, host: str, port: int) -> int:
        """Stand before an address; the port to use instead."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(reader, writer, host, port)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=PIECE_BYTES)
        return int(server.sockets[0].getsockname()[1])

    async def follow_rules(self) -> None:
        """Until cancelled."""
        while True:
            stamp = tuple(sorted(path.name for path in self._directory.glob("*.json")))
            if stamp != self._stamp:
                self._stamp = stamp
                async with self._changed:
                    self._rules = read_rules(self._directory)
                    self._changed.notify_all()
                if self._rules.cut:
                    for writer in list(self._writers):
                        writer.transport.abort()
            await asyncio.sleep(LOOK_SECONDS)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        await self._through_holes()
        if self._rules.cut:
            writer.transport.abort()
            return
        try:
            their_reader, their_writer = await asyncio.open_connection(
                host, port, limit=PIECE_BYTES
            )
        except OSError:
            writer.transport.abort()
            return
        both = (writer, their_writer)
        self._writers.update(both)
        try:
            await asyncio.gather(self._pass(reader, their_writer), self._pass(their_reader, writer))
        finally:
            for each in both:
                self._writers.discard(each)
                each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_PIECES)

        async def take() -> None:
            while True:
                piece = b""
                with contextlib.suppress(OSError):
                    piece = await reader.read(PIECE_BYTES)
                await pieces.put((time.monotonic(), piece))
                if not piece:
                    return

        taking = asyncio.ensure_future(take())
        try:
            while True:
                arrived, piece = await pieces.get()
                await self._through_holes()
                wait = arrived + self._rules.latency - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                if not piece:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                if self._rules.bandwidth:
                    await asyncio.sleep(len(piece) / self._rules.bandwidth)
                writer.write(piece)
                await writer.drain()
        except OSError:
            writer.transport.abort()
        finally:
            taking.cancel()

    async def _through_holes(self) -> None:
        if self._rules.hole:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._rules.hole)


async def serve(rules: Path, edges: list[str]) -> None:
    """Listen for every edge, say where, and stay."""
    proxy = Proxy(rules)
    ports: dict[str, int] = {}
    for edge in edges:
        name, _, address = edge.partition("=")
        host, _, port = address.rpartition(":")
        ports[name] = await proxy.listen(host, int(port))
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await proxy.follow_rules()


def main() -> None:
    parser = argparse.ArgumentParser(description="Stand at the edges of a process.")
    parser.add_argument("--rules", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--edge", action="append", default=[], metavar="NAME=HOST:PORT")
    told = parser.parse_args()
    # As in process_life, which is not imported: this file runs alone.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != told.parent:
        return
    told.rules.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(told.rules, told.edge))


if __name__ == "__main__":
    main()
