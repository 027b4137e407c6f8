"""Durations and sizes as short texts."""

from __future__ import annotations

_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: ``250 ms``, ``42 s``, ``3 min 20 s``, ``5 h``."""
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    unit, size, smaller_unit, smaller = next(
        each for each in _UNITS if round(seconds) >= each[1]
    )
    whole, rest = divmod(round(seconds / smaller), size // smaller)
    return f"{whole} {unit}" + (f" {rest} {smaller_unit}" if rest else "")


def format_bytes(count: int) -> str:
    """Return a number of bytes as ``170 MiB`` or ``2.6 GiB``."""
    return f"{count / 2**20:,.0f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
