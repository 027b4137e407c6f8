"""Where pixels of an enlarged raster lie: transforms, control points, sensor models, corners."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from collections.abc import Sequence

    from affine import Affine
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    from srcli.ports.image import Window


def scaled_transform(transform: Affine, window: Window, scale: float) -> Affine:
    """The transform of a window that is enlarged; its upper left corner stays where it is.

    Args:
        transform: Of the whole raster, from (column, row) of a pixel's corner to coordinates;
            rotated, south-up or with oblong pixels as it may be.
        window: The part that is enlarged, in pixels of the raster.
        scale: Pixels of the result for each pixel, along each side.

    Returns:
        From (column, row) of the enlarged window to the same coordinates.
    """
    x, y = _place(transform, window.left, window.top)
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
    """Ground control points of a window that is enlarged.

    Like GDAL's, they count from the corner of the first pixel, not from its centre. Points outside
    the window stay: they are as good as the others for finding where the rest lies.

    Args:
        points: Of the whole raster.
        window: The part that is enlarged, in pixels of the raster.
        scale: Pixels of the result for each pixel, along each side.
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
    """The sensor model (rational polynomials) of a window that is enlarged.

    Args:
        rpcs: Of the whole raster.
        window: The part that is enlarged, in pixels of the raster.
        scale: Pixels of the result for each pixel, along each side.
    """
    from rasterio.rpc import RPC

    values = rpcs.to_dict()
    values["line_off"] = _from_centre(rpcs.line_off, window.top, scale)
    values["samp_off"] = _from_centre(rpcs.samp_off, window.left, scale)
    values["line_scale"] = rpcs.line_scale * scale
    values["samp_scale"] = rpcs.samp_scale * scale
    return RPC(**values)


def corners(transform: Affine, height: int, width: int) -> tuple[tuple[float, float], ...]:
    """Coordinates (x, y) of a raster's outer corners, clockwise from the upper left one.

    Args:
        transform: From (column, row) of a pixel's corner to coordinates.
        height: Pixels.
        width: Pixels.
    """
    places = ((0, 0), (width, 0), (width, height), (0, height))
    return tuple(_place(transform, column, row) for column, row in places)


def world_file(transform: Affine) -> str:
    """The text of a world file, the place on the map beside pictures that cannot hold it.

    Args:
        transform: From (column, row) of a pixel's corner to coordinates; world files name the
            centre of the first pixel.
    """
    x, y = _place(transform, 0.5, 0.5)
    values = (transform.a, transform.d, transform.b, transform.e, x, y)
    # seventeen digits, so that the same numbers are read back
    return "".join(f"{value!r}\n" for value in map(float, values))


def _place(transform: Affine, column: float, row: float) -> tuple[float, float]:
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def _from_centre(offset: float, start: int, scale: float) -> float:
    """Shift and scale a place that counts from the centre of the first pixel, as RPCs do."""
    return (offset + 0.5 - start) * scale - 0.5
