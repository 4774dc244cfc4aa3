"""What the text of a hook shows of what it does to the list of cases."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from proctor.infra.session.whole_list import signs_of

Items = list[Any]


def marks(items: Items) -> None:
    for item in items:
        if "slow" in item.keywords and item.nodeid[5:] != "x":
            item.add_marker(pytest.mark.skip)
            item.user_properties.append(("from", os.getcwd()))


def sorts(items: Items) -> None:
    items.sort(key=str)


def joins(items: Items) -> None:
    items[:] = [each for each in items if each.slow] + [each for each in items if not each.slow]


def helper(items: Items) -> Items:
    return sorted(items, key=str)


def asks_another(items: Items) -> None:
    for place in helper(items):
        place.seen = True


def chooses(items: Items) -> None:
    for each in items[:]:
        if each.slow:
            items.remove(each)


def every_other(items: Items) -> None:
    del items[::2]


def deals(items: Items) -> None:
    items[:] = [each for place, each in enumerate(items) if place % 3 == 1]


def first_few(items: Items) -> None:
    found = 0
    for each in list(items):
        if each.slow:
            found += 1
        if found > 5:
            items.remove(each)


def marks_and_sorts(config: Any, items: Items) -> None:
    if not config.getoption("--slow"):
        for item in items:
            item.add_marker(pytest.mark.skip)
    items.sort(key=str)


def samples(config: Any, items: Items) -> None:
    if not config.getoption("--slow"):
        items[:] = items[::10]


def splits(config: Any, items: Items) -> None:
    take_part(config, items)


def take_part(config: Any, items: Items) -> None:
    part = config.getoption("--slow")
    if not part or config.option.part is None:
        return
    with suppress(IndexError):
        del items[int(part) :]


def sorts_as_asked(config: Any, items: Items) -> None:
    how = config.getoption("order", "file")
    try:
        if how == "file":
            pass
        elif how == "name" and len(items) > 1:
            items.sort(key=str)
        else:
            items.reverse()
    finally:
        if config.getoption("--nowhere", default=True):
            items.insert(0, items[-1])


def asks_each_time(config: Any, items: Items) -> None:
    slow = False
    for item in list(items):
        if slow:
            items.remove(item)
        slow = config.getoption("--slow")
        if slow:
            items.sort(key=str)


class Plugin:
    def hook(self, items: Items) -> None:
        items.reverse()


@pytest.mark.parametrize(
    ("hook", "signs"),
    [
        (marks, set[str]()),
        (sorts, {"moves"}),
        (joins, {"cuts"}),
        (asks_another, {"moves"}),
        (chooses, {"cuts"}),
        (every_other, {"cuts", "places"}),
        (deals, {"cuts", "places"}),
        (first_few, {"cuts", "places"}),
        (Plugin().hook, {"moves"}),
        # Without a text of their own.
        (len, set[str]()),
        (partial(sorts), set[str]()),
    ],
)  # fmt: skip
def test_what_a_hook_does_is_seen(hook: Callable[[Items], None], signs: set[str]) -> None:
    assert signs_of(Given(), hook) == signs


class Given:
    """Options as pytest knows them; no others are registered."""

    def __init__(self, **given: object) -> None:
        self._given = {"slow": False, "part": None, "order": "file", **given}

    def getoption(self, name: str, default: object) -> object:
        return self._given.get(name.lstrip("-"), default)


@pytest.mark.parametrize(
    ("hook", "given", "signs"),
    [
        # What it asks for is about something else, or lets it be.
        (marks_and_sorts, {}, {"moves"}),
        (samples, {}, {"cuts", "places"}),
        (samples, {"slow": True}, set[str]()),
        (splits, {}, set[str]()),
        (splits, {"slow": "2"}, set[str]()),
        (splits, {"slow": "2", "part": 1}, {"cuts", "places"}),
        # An option that nobody has registered may be anything.
        (sorts_as_asked, {}, {"moves"}),
        (sorts_as_asked, {"nowhere": False}, set[str]()),
        (sorts_as_asked, {"nowhere": False, "order": "name"}, {"moves"}),
        # A name may stand for something else the next time.
        (asks_each_time, {}, {"cuts"}),
    ],
)  # fmt: skip
def test_what_a_hook_does_with_other_options_is_not(
    hook: Callable[[Items], None], given: dict[str, object], signs: set[str]
) -> None:
    assert signs_of(Given(**given), hook) == signs
