"""The pipes to the worker: commands in, records out; both JSON, one object a line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import time
from json.encoder import encode_basestring_ascii
from typing import Any

from .system import System

# Exit code of ours, told apart from what a test may choose by being unusual.
EXIT_WIRE_LOST = 86
# Records are written at least this often while cases are found; each case flushes by itself.
FLUSH_SECONDS = 0.02
FLUSH_BYTES = 64 * 1024
# With more than this in the pipe the parent is woken early: its pipe holds about 1 MiB.
RING_BYTES = 256 * 1024

Message = dict[str, Any]

# ensure_ascii keeps lone surrogates harmless; NaN passes as Python writes it.
encoded = json.JSONEncoder(
    ensure_ascii=True, separators=(",", ":"), check_circular=False, default=repr
).encode
# Of our own: tests replace what the module `json` has.
decoded = json.JSONDecoder().decode
# A string as JSON.
quoted = encode_basestring_ascii


class Wire:
    """Commands in, records out.

    Records go into a pipe nobody sleeps on: the parent looks every few milliseconds and is woken
    by the bell, a second pipe, only when it must act at once. A record is thus safe from the
    death of this process for the price of one write, and costs nobody a wake-up.
    """

    def __init__(self, *, commands: int, records: int, bell: int) -> None:
        self.commands = out_of_reach(commands)
        self.records = out_of_reach(records)
        self.bell = out_of_reach(bell)
        self.identity = System.fstat(self.records).st_ino
        self.pid = System.getpid()
        self.disowned = False
        # True while this process forks a child of its own that keeps the wire (isolate mode).
        self.sharing = False
        self.verdict_of_stranger = 0
        self.poller = select.poll()
        self.poller.register(self.commands, select.POLLIN)
        self.incoming = b""
        self.outgoing: list[str] = []
        self.outgoing_bytes = 0
        self.unrung_bytes = 0
        # Our own reference: tests replace the one of the module `time`.
        self.clock = time.monotonic
        self.flushed = self.clock()
        os.register_at_fork(after_in_child=self.disown)

    def disown(self) -> None:
        """In a process that a test forked: it must never speak for us."""
        if self.sharing:
            self.pid = System.getpid()
            return
        self.disowned = True
        self.outgoing.clear()
        for descriptor in (self.commands, self.records, self.bell):
            with contextlib.suppress(OSError):
                System.close(descriptor)

    def leave_if_stranger(self) -> None:
        """End a forked child of a test that came back into our loop instead of exiting."""
        # The pid catches forks that Python does not know of.
        if self.disowned or System.getpid() != self.pid:
            System.exit(self.verdict_of_stranger)

    def put(self, message: Message) -> None:
        self.put_line(encoded(message))

    def put_line(self, line: str) -> None:
        """A record that is JSON already."""
        self.outgoing.append(line)
        self.outgoing_bytes += len(line)

    def send(self, message: Message) -> None:
        self.put(message)
        self.flush(ring=True)

    def stream(self, message: Message) -> None:
        """Put, and flush now and then."""
        self.put(message)
        if self.outgoing_bytes > FLUSH_BYTES or self.clock() - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self, *, ring: bool = False) -> None:
        self.leave_if_stranger()
        if self.outgoing:
            self.outgoing.append("")
            data = "\n".join(self.outgoing).encode("ascii")
            self.outgoing = []
            self.outgoing_bytes = 0
            self.unrung_bytes += len(data)
            self.write(data)
            self.flushed = self.clock()
        if ring or self.unrung_bytes > RING_BYTES:
            self.unrung_bytes = 0
            # A full bell is a bell that will be heard.
            with contextlib.suppress(BlockingIOError):
                System.write(self.bell, b"!")

    def write(self, data: bytes) -> None:
        try:
            # A test may have closed every descriptor and opened a file that got our number.
            if System.fstat(self.records).st_ino != self.identity:
                System.exit(EXIT_WIRE_LOST)
            while data:
                if len(data) > RING_BYTES:
                    with contextlib.suppress(BlockingIOError):
                        System.write(self.bell, b"!")
                data = data[System.write(self.records, data[:RING_BYTES]) :]
        except OSError:
            System.exit(EXIT_WIRE_LOST)

    def receive(self, *, wait: bool) -> Message | None:
        """The next command; None when there is none yet, or when the parent is gone."""
        self.leave_if_stranger()
        while b"\n" not in self.incoming:
            if not wait and not self.poller.poll(0):
                return None
            try:
                chunk = System.read(self.commands, 1 << 20)
            except OSError:
                System.exit(EXIT_WIRE_LOST)
            if not chunk:
                return {"cmd": "exit"}
            self.incoming += chunk
        line, self.incoming = self.incoming.split(b"\n", 1)
        command: Message = decoded(line.decode())
        return command


def out_of_reach(descriptor: int) -> int:
    """Move a descriptor to a high number, where `closerange(3, 256)` of a test does not get it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = 200 if limit < 256 else min(limit, 4096) - 48
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:
        os.set_inheritable(descriptor, False)
        return descriptor
    os.close(descriptor)
    return moved
