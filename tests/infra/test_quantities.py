"""Durations and sizes: what people write is read, what cannot be read is explained."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proctor.infra.errors import BadSetting
from proctor.infra.quantities import (
    LARGEST_BYTES,
    LONGEST_SECONDS,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("2.5", 2.5),
        (".5", 0.5),
        (2.5, 2.5),
        (0, 0),
        ("90s", 90),
        ("10m", 600),
        ("10 min", 600),
        ("1h30m", 5400),
        (" 1h 30m ", 5400),
        ("1d2h3m4.5s", 93784.5),
        ("250ms", 0.25),
        ("1.5H", 5400),
        ("1e3", 1000),
    ],
)
def test_a_duration_is_read_as_people_write_it(text, seconds):
    """Bare numbers are seconds, units add up."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("soon", "'soon' is not a number with a unit"),
        ("1h30", "'30' is not a number with a unit"),
        ("30m1h", "large to small"),
        ("1h1h", "each once"),
        ("10m 5min", "each once"),
        ("10 years", "'10 years' is not"),
        ("", "empty"),
        ("   ", "empty"),
        ("-5", "negative"),
        (-5, "negative"),
        (True, "truth value"),
        (None, "neither a number nor a text"),
        ([], "neither a number nor a text"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        ("1e999", "100 years"),
        ("40000d", "100 years"),
        ("٣s", "not a number"),
    ],
)
def test_a_bad_duration_names_input_reason_and_mend(bad, reason):
    """One sentence tells which value is wrong, why, and what to write instead."""
    with pytest.raises(BadSetting) as caught:
        parse_duration(bad, what="timeout")
    text = str(caught.value)
    assert text.startswith(f"timeout {bad!r} is no duration: ")
    assert reason in text
    assert '"1h30m"' in text
    assert "\n" not in text


@given(st.floats(min_value=0, max_value=LONGEST_SECONDS))
@example(5400.0)
@example(0.1 + 0.2)
@example(1e-300)
def test_a_written_duration_is_read_back_exactly(seconds):
    """Nothing is lost between writing a duration and reading it."""
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (2.5, "2.5s"), (600, "10m"), (5400, "1h30m"), (86400, "1d"), (0.25, "0.25s")],
)
def test_a_duration_is_written_short(seconds, text):
    """Whole units, largest first, none that is zero."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 10**9),
        ("16GiB", 16 * 2**30),
        ("16 gb", 16 * 10**9),
        ("16G", 16 * 10**9),
        ("16Gi", 16 * 2**30),
        ("1.5KiB", 1536),
        ("512", 512),
        ("512B", 512),
        (512, 512),
        (64e9, 64 * 10**9),
        ("64e9", 64 * 10**9),
        ("0", 0),
        ("0.1KiB", 102),
    ],
)
def test_a_size_is_read_as_people_write_it(text, size):
    """Decimal and binary units are told apart; bare numbers are bytes."""
    assert parse_size(text) == size
    assert isinstance(parse_size(text), int)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("16 bananas", "not a number with a unit"),
        ("GB", "not a number with a unit"),
        ("16GB 2MB", "not a number with a unit"),
        ("-1GB", "negative"),
        (-1, "negative"),
        (False, "truth value"),
        (float("nan"), "not finite"),
        ({}, "neither a number nor a text"),
        ("5000PB", "4 EiB"),
    ],
)
def test_a_bad_size_names_input_reason_and_mend(bad, reason):
    """One sentence tells which value is wrong, why, and what to write instead."""
    with pytest.raises(BadSetting) as caught:
        parse_size(bad, what="memory")
    text = str(caught.value)
    assert text.startswith(f"memory {bad!r} is no size: ")
    assert reason in text
    assert '"16GiB" (binary)' in text


@given(st.integers(min_value=0, max_value=LARGEST_BYTES))
@example(16 * 10**9)
@example(16 * 2**30)
def test_a_written_size_is_read_back_exactly(size):
    """Nothing is lost between writing a size and reading it."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1, "1B"), (16 * 10**9, "16GB"), (256 * 1024, "256KiB"), (1500, "1500B")],
)
def test_a_size_is_written_in_the_unit_it_was_meant_in(size, text):
    """The largest unit that divides it, decimal or binary."""
    assert format_size(size) == text


@given(st.text())
def test_any_text_is_read_or_refused_with_a_reason(text):
    """No input makes the readers fail in another way."""
    for read in (parse_duration, parse_size):
        with suppress(BadSetting):
            assert read(text) >= 0
