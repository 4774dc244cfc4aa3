"""What proposed commands are given to find the state."""

from __future__ import annotations

import pytest

from proctor.infra.state_flag import state_flag


@pytest.mark.parametrize(
    ("given", "flag"),
    [(None, ""), ("", ""), ("here", " --state here"), ("a b", " --state 'a b'")],
)
def test_a_command_names_the_state_as_it_was_typed(given: str | None, flag: str) -> None:
    """Nothing where it is found without; and a shell reads it as one word."""
    assert state_flag(given) == flag
