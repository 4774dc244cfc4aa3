"""The law of a series' own noise places shifts that a spread alone cannot."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.monitoring.trends.location import relocate, settle
from proctor.monitoring.trends.noise_law import noise_laws


def two_modes(rng, n):
    return 0.3 * rng.normal(size=n) + 3 * (rng.random(n) < 0.4)


def remembering(rng, n):
    steps, out, last = rng.normal(size=n), np.empty(n), 0.0
    for i in range(n):
        last = 0.7 * last + steps[i]
        out[i] = last
    return out


def sharp_edge(rng, n):
    return rng.exponential(size=n)


@pytest.mark.parametrize(
    ("noise", "size"), [(two_modes, 1.5), (remembering, 2.5), (sharp_edge, 1.0)]
)
def test_shapes_and_memory_place_shifts_better(noise, size):
    """Of a hundred shifts found near their place, clearly more are then exactly there."""
    rng = np.random.default_rng(7)
    before = after = 0
    for _ in range(100):
        values = noise(rng, 200)
        values[100:] += size
        rough = relocate(values, [98])
        before += rough == [100]
        after += settle(values, rough) == [100]
    assert after >= before + 10


def test_what_is_sure_is_left_alone():
    """A step far beyond plain noise stays where it is."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=120)
    values[40:] += 12
    assert settle(values, [40]) == [40]


def test_neighbouring_shifts_keep_their_order_and_distance():
    """However much the law would like to move them."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        values = sharp_edge(rng, 80)
        told = settle(values, [30, 34, 39, 60])
        assert np.diff([0, *told, 80]).min() >= 4


@pytest.mark.parametrize("values", [np.ones(60), np.arange(8.0)])
def test_no_noise_has_no_law(values):
    """Constant series and very short ones: the shifts stay as they are."""
    assert noise_laws(values[None], [4]) is None
    assert settle(values, []) == []
