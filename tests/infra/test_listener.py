"""Looking whether anybody listens at an address."""

from __future__ import annotations

import socket

import pytest

from proctor.infra.errors import FleetUnavailable
from proctor.infra.listener import await_listener


class Answers:
    """Gives connections, or refuses them, in this order; the last answer again and again."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, address: tuple[str, int], timeout: float) -> socket.socket:
        assert timeout > 0
        self.asked.append(address)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            raise answer
        return socket.socket()


def test_one_who_listens_is_found_at_once():
    """One connection is enough."""
    answers = Answers(None)

    await_listener("tcp://127.0.0.1:8786", connect=answers, pause=lambda seconds: None)

    assert answers.asked == [("127.0.0.1", 8786)]


def test_a_refusal_is_told_when_its_time_is_over():
    """With the address, the kernel's reason and what to do."""
    answers = Answers(ConnectionRefusedError(111, "Connection refused"))

    with pytest.raises(FleetUnavailable, match=r"tcp://h:1 \(Connection refused\).*proctor up"):
        await_listener("tcp://h:1", seconds=0, connect=answers)


def test_a_scheduler_that_comes_back_is_waited_for():
    """One that is being started again refuses for a while."""
    refused = ConnectionRefusedError(111, "Connection refused")
    answers = Answers(refused, refused, None)

    await_listener("tcp://h:1", seconds=60, connect=answers, pause=lambda seconds: None)

    assert len(answers.asked) == 3


def test_silence_is_no_refusal():
    """A network that swallows packets is left to the deadline of whoever speaks with it."""
    answers = Answers(TimeoutError("timed out"))

    await_listener("tcp://h:1", seconds=0, connect=answers)

    assert len(answers.asked) == 1
