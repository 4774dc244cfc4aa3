import pytest
from orchard import is_prime, primes_below

KNOWN = [2, 3, 5, 7, 11, 13, 7919, 104_729, 1_299_709, 15_485_863]


@pytest.mark.parametrize("number", KNOWN)
def test_known_primes_are_prime(number):
    assert is_prime(number)


@pytest.mark.parametrize("number", [-7, 0, 1, 4, 9, 7917, 104_730])
def test_others_are_not(number):
    assert not is_prime(number)


@pytest.mark.parametrize("limit", [5_000, 10_000, 20_000, 40_000])
def test_primes_thin_out(limit):
    assert len(primes_below(limit)) < limit / 3


@pytest.mark.skip(reason="nobody has waited for it yet")
def test_the_largest_prime():
    raise AssertionError


@pytest.mark.xfail(reason="one is no prime, whatever grandfather said", strict=True)
def test_grandfather():
    assert is_prime(1)
