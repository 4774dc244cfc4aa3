"""The small program whose suite the demo runs."""

from __future__ import annotations

import math


def is_prime(number: int) -> bool:
    return number > 1 and all(number % each for each in range(2, math.isqrt(number) + 1))


def primes_below(limit: int) -> list[int]:
    """Primes below the limit.

    >>> primes_below(12)
    [2, 3, 5, 7, 11]
    """
    return [number for number in range(limit) if is_prime(number)]


def pick(rows: list[int], size: int) -> list[list[int]]:
    if size < 1:
        raise ValueError(f"a basket holds at least one apple, not {size}")
    return [rows[start : start + size] for start in range(0, len(rows), size)]
