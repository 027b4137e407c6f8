"""Affine transforms from pixels to the map, without the operators that affine has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affine import Affine


def coordinates(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Return the coordinates (x, y) of a position in pixels."""
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def enlarge_transform(transform: Affine, left: int, top: int, scale: int) -> Affine:
    """Return the transform of an enlarged window by its upper left corner, which stays."""
    x, y = coordinates(transform, left, top)
    a, b, _, d, e, _ = transform[:6]
    return type(transform)(a / scale, b / scale, x, d / scale, e / scale, y)
