import unittest

import pytest
from orchard import pick


@pytest.mark.parametrize("size", range(1, 16))
def test_every_apple_is_in_a_basket(size, ladder):
    rows = list(range(100))
    assert [apple for basket in pick(rows, size) for apple in basket] == rows
    assert ladder > 0


def test_a_basket_without_room_is_refused():
    with pytest.raises(ValueError, match="at least one apple"):
        pick([1, 2], 0)


class OldStyle(unittest.TestCase):
    def test_one_basket(self):
        self.assertEqual(pick([1, 2], 5), [[1, 2]])  # noqa: PT009 - old style is the point
