"""Durations and sizes as short texts."""

from __future__ import annotations

import pytest

from srcli.quantities import format_bytes, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2504, "250 ms"),
        (0.9996, "1 s"),
        (5.23, "5.2 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3599.7, "1 h"),
        (7499, "2 h 5 min"),
        (5 * 3600, "5 h"),
        (86399, "24 h"),
        (100 * 3600, "4 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 KiB"),
        (350 << 10, "350 KiB"),
        (170 << 20, "170 MiB"),
        (2800 << 20, "2.7 GiB"),
    ],
)
def test_sizes_can_be_read(count, words):
    assert format_bytes(count) == words
