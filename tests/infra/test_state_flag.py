"""What proposed commands are given to find the state."""

from __future__ import annotations

import pytest

from proctor.infra.errors import UnknownCampaign
from proctor.infra.state_flag import remedies_find, state_flag, with_state


@pytest.mark.parametrize(
    ("given", "flag"),
    [(None, ""), ("", ""), ("here", " --state here"), ("a b", " --state 'a b'")],
)
def test_a_command_names_the_state_as_it_was_typed(given: str | None, flag: str) -> None:
    """Nothing where it is found without; and a shell reads it as one word."""
    assert state_flag(given) == flag


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wait", "wait"),
        (
            "`proctor up` starts one; or `proctor run`",
            "`proctor up S` starts one; or `proctor run S`",
        ),
        ("`proctor scale --manual`", "`proctor scale --manual S`"),
        # What has it already, what pytest would take, another machine and other programs.
        ("`proctor show x S`", "`proctor show x S`"),
        ("`proctor run a -- -s`", "`proctor run a S -- -s`"),
        ("`proctor join tls://a` there", "`proctor join tls://a` there"),
        ("`pytest --collect-only`", "`pytest --collect-only`"),
    ],
)
def test_commands_within_a_text_find_the_state(text: str, told: str) -> None:
    """Each of them, once."""
    flag = " --state 'a b'"
    assert with_state(text.replace(" S", flag), flag) == told.replace(" S", flag)
    assert with_state(text, "") == text


def test_what_a_problem_proposes_finds_the_state() -> None:
    """Also where two who know what was typed hear of it."""
    with (
        pytest.raises(UnknownCampaign) as told,
        remedies_find("here"),
        remedies_find("here"),
    ):
        raise UnknownCampaign("there is none", remedy="`proctor list` shows those there are")
    assert told.value.remedy == "`proctor list --state here` shows those there are"
