"""Durations and sizes as short texts."""

from __future__ import annotations

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: ``250 ms``, ``42 s``, ``3 min 20 s``, ``5 h``."""
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    unit, size, smaller_unit, smaller_size = next(
        units for units in _UNITS if round(seconds) >= units[1]
    )
    count, remainder = divmod(round(seconds / smaller_size), size // smaller_size)
    text = f"{count} {unit}"
    if remainder:
        text += f" {remainder} {smaller_unit}"
    return text


def format_bytes(count: int) -> str:
    """Return a number of bytes as ``350 KiB``, ``170 MiB`` or ``2.6 GiB``."""
    if count < 2**20:
        return f"{count / 2**10:.0f} KiB"
    if count < 2**30:
        return f"{count / 2**20:,.0f} MiB"
    return f"{count / 2**30:,.1f} GiB"
