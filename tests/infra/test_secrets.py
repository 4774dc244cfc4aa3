"""Secrets of the environment never leave the worker."""

from __future__ import annotations

from proctor.infra.secrets import Scrubber

ENVIRONMENT = {
    "DEPLOY_TOKEN": "tok-12345678",
    "DATABASE_PASSWORD": "tok-12345678-and-more",
    "HOME": "/home/somebody",
    "CI_KEY": "short",
    "KEYBOARD": "qwertyuiop",
    "GIT_AUTHOR_NAME": "Ada Lovelace",
}


def test_known_values_are_replaced_wherever_a_test_prints_them():
    """In the message, in every text, in properties and notes."""
    message = {
        "k": "done",
        "id": "a.py::test[tok-12345678]",
        "message": "401 for tok-12345678",
        "text": [["stdout", "using tok-12345678\n"], ["stderr", "fine"]],
        "props": [["url", "https://tok-12345678@host"], ["seconds", 1.5]],
        "notes": ["saw tok-12345678"],
    }
    Scrubber(ENVIRONMENT).message(message)
    assert message == {
        "k": "done",
        "id": "a.py::test[tok-12345678]",
        "message": "401 for [secret]",
        "text": [("stdout", "using [secret]\n"), ("stderr", "fine")],
        "props": [("url", "https://[secret]@host"), ("seconds", 1.5)],
        "notes": ["saw [secret]"],
    }


def test_the_longer_of_two_secrets_goes_first():
    """No tail of the longer one is left behind."""
    assert Scrubber(ENVIRONMENT).text("x tok-12345678-and-more y") == "x [secret] y"


def test_ordinary_variables_and_short_values_stay():
    """A home directory is no secret, and a keyboard is no key."""
    text = "/home/somebody short qwertyuiop by Ada Lovelace"
    assert Scrubber(ENVIRONMENT).text(text) == text
