"""Georeference of an enlarged raster: transform, control points, RPCs, world file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from collections.abc import Sequence

    from affine import Affine
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    from srcli.ports.image import Window


def scaled_transform(transform: Affine, window: Window, scale: float) -> Affine:
    """Return the transform of an enlarged window; its upper left corner stays in place.

    Args:
        transform: Of the entire raster, from (column, row) of a pixel's corner to coordinates; it
            may be rotated, south-up or have oblong pixels.
        window: The enlarged part, in pixels of the raster.
        scale: Pixels of the result per pixel, along each side.

    Returns:
        From (column, row) of the enlarged window to the same coordinates.
    """
    x, y = _coordinates(transform, window.left, window.top)
    return type(transform)(
        transform.a / scale,
        transform.b / scale,
        x,
        transform.d / scale,
        transform.e / scale,
        y,
    )


def scaled_points(
    points: Sequence[GroundControlPoint], window: Window, scale: float
) -> tuple[GroundControlPoint, ...]:
    """Return the ground control points of an enlarged window.

    Like GDAL's, they count from the corner of the first pixel, not from its centre. Points outside
    the window are kept: they locate the others as well.

    Args:
        points: Of the entire raster.
        window: The enlarged part, in pixels of the raster.
        scale: Pixels of the result per pixel, along each side.
    """
    from rasterio.control import GroundControlPoint

    return tuple(
        GroundControlPoint(
            row=(point.row - window.top) * scale,
            col=(point.col - window.left) * scale,
            x=point.x,
            y=point.y,
            z=point.z,
            id=point.id,
            info=point.info,
        )
        for point in points
    )


def scaled_rpcs(rpcs: RPC, window: Window, scale: float) -> RPC:
    """Return the rational polynomial coefficients (sensor model) of an enlarged window.

    Args:
        rpcs: Of the entire raster.
        window: The enlarged part, in pixels of the raster.
        scale: Pixels of the result per pixel, along each side.
    """
    from rasterio.rpc import RPC

    values = rpcs.to_dict()
    values["line_off"] = _from_centre(rpcs.line_off, window.top, scale)
    values["samp_off"] = _from_centre(rpcs.samp_off, window.left, scale)
    values["line_scale"] = rpcs.line_scale * scale
    values["samp_scale"] = rpcs.samp_scale * scale
    return RPC(**values)


def corners(transform: Affine, height: int, width: int) -> tuple[tuple[float, float], ...]:
    """Return coordinates (x, y) of a raster's outer corners, clockwise from the upper left one.

    Args:
        transform: From (column, row) of a pixel's corner to coordinates.
        height: Pixels.
        width: Pixels.
    """
    places = ((0, 0), (width, 0), (width, height), (0, height))
    return tuple(_coordinates(transform, column, row) for column, row in places)


def world_file(transform: Affine) -> str:
    """Return the text of a world file, which georeferences a picture beside it.

    Args:
        transform: From (column, row) of a pixel's corner to coordinates; world files give the
            centre of the first pixel.
    """
    x, y = _coordinates(transform, 0.5, 0.5)
    values = (transform.a, transform.d, transform.b, transform.e, x, y)
    # repr has enough digits to read the same numbers back
    return "".join(f"{value!r}\n" for value in map(float, values))


def _coordinates(transform: Affine, column: float, row: float) -> tuple[float, float]:
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def _from_centre(offset: float, start: int, scale: float) -> float:
    """Shift and scale a position that counts from the centre of the first pixel, as in RPCs."""
    return (offset + 0.5 - start) * scale - 0.5
