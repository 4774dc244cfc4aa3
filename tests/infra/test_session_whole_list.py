"""What the text of a hook shows of what it does to the list of cases."""

from __future__ import annotations

import os
from collections.abc import Callable
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
    assert signs_of(hook) == signs
