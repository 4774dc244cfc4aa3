"""What may lie behind the shifts of a series: when two explanations of it are nearly one."""

from __future__ import annotations

from proctor.monitoring.trends.background import Background


def test_waves_found_twice_are_near() -> None:
    """The same season told from the steps and from what levels leave, in another order."""
    one = Background(waves=(0.0417, 0.1429))
    other = Background(waves=(0.14287, 0.04172))
    assert one.near(other, 0.001)
    assert other.near(one, 0.001)
    assert not one.near(other, 0.00001)


def test_another_number_of_waves_is_another_background() -> None:
    assert not Background(waves=(0.1,)).near(Background(waves=(0.1, 0.2)), 0.01)
    assert not Background(waves=(0.1,)).near(Background(), 0.01)


def test_a_slope_makes_another_background() -> None:
    assert not Background(waves=(0.1,), slope=True).near(Background(waves=(0.1,)), 0.01)
    assert Background(slope=True).near(Background(slope=True), 0.01)
