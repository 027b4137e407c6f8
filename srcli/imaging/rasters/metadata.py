"""Georeference and tags of an enlarged raster: scaled, and written into or beside its file."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from collections.abc import Mapping, Sequence

    from affine import Affine
    from rasterio.control import GroundControlPoint
    from rasterio.io import DatasetWriter
    from rasterio.rpc import RPC

    from srcli.imaging.rasters.output import OutputProfile
    from srcli.ports.image import Window

# Keys that collide with the arguments of rasterio's update_tags.
_RESERVED = frozenset({"bidx", "ns"})
_WORLD_SUFFIXES = {"png": "*.pgw", "jpg": "*.jgw"}


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
    x, y = coordinates(transform, window.left, window.top)
    a, b, _, d, e, _ = transform[:6]
    return type(transform)(a / scale, b / scale, x, d / scale, e / scale, y)


def scaled_points(
    points: Sequence[GroundControlPoint], window: Window, scale: float
) -> tuple[GroundControlPoint, ...]:
    """Return the ground control points of an enlarged window.

    Like GDAL's, they count from the corner of the first pixel, not from its centre. Points outside
    the window are kept: they locate the others as well. Arguments as for ``scaled_transform``.
    """
    scaled = tuple(map(copy.copy, points))
    for point in scaled:
        point.row = (point.row - window.top) * scale
        point.col = (point.col - window.left) * scale
    return scaled


def scaled_rpcs(rpcs: RPC, window: Window, scale: float) -> RPC:
    """Return the rational polynomial coefficients (sensor model) of an enlarged window.

    Unlike control points they count from the centre of the first pixel. Arguments as for
    ``scaled_transform``.
    """
    scaled = copy.copy(rpcs)
    scaled.line_off = (rpcs.line_off + 0.5 - window.top) * scale - 0.5
    scaled.samp_off = (rpcs.samp_off + 0.5 - window.left) * scale - 0.5
    scaled.line_scale = rpcs.line_scale * scale
    scaled.samp_scale = rpcs.samp_scale * scale
    return scaled


def coordinates(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Return the coordinates (x, y) of a place in pixels."""
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )


def georeference_sidecars(output: OutputProfile) -> dict[str, bytes]:
    """Make the world file and .prj of a PNG or JPEG, by keys of ``write_sidecars``."""
    if output.format not in _WORLD_SUFFIXES or output.transform is None:
        return {}
    found = {_WORLD_SUFFIXES[output.format]: world_file(output.transform).encode("ascii")}
    if output.crs:
        from rasterio.errors import CRSError

        try:
            text = output.crs.to_wkt(version="WKT1_ESRI")
        except CRSError:
            return found  # not expressible in Esri's WKT; .aux.xml has it
        found["*.prj"] = text.encode("utf-8")
    return found


def world_file(transform: Affine) -> str:
    """Return the text of a world file, which georeferences a picture beside it.

    Args:
        transform: From (column, row) of a pixel's corner to coordinates; world files give the
            centre of the first pixel.
    """
    centre = coordinates(transform, 0.5, 0.5)
    values = (transform.a, transform.d, transform.b, transform.e, *centre)
    # repr has enough digits to read the same numbers back
    return "".join(f"{value!r}\n" for value in map(float, values))


def set_metadata(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set all metadata of a new GeoTIFF that are not arguments of rasterio.open."""
    from rasterio.enums import ColorInterp

    known = ColorInterp.__members__
    # an enlarged palette band is gray: its colour table is not kept
    names = ["gray" if b.interpretation == "palette" else b.interpretation for b in output.bands]
    dataset.colorinterp = [known.get(name, ColorInterp.undefined) for name in names]
    _set_tags(dataset, 0, output.tags)
    for place, band in enumerate(output.bands, 1):
        _set_tags(dataset, place, band.tags)
        if band.description:
            dataset.set_band_description(place, band.description)
        if band.unit:
            dataset.set_band_unit(place, band.unit)
    if any(band.scale != 1 or band.offset != 0 for band in output.bands):
        dataset.scales = [band.scale for band in output.bands]
        dataset.offsets = [band.offset for band in output.bands]
    if output.gcps:
        dataset.gcps = (_control_points(output), output.gcps_crs)
    if output.rpcs is not None:
        dataset.rpcs = output.rpcs


def _set_tags(dataset: DatasetWriter, band: int, found: Mapping[str, Mapping[str, str]]) -> None:
    """Set the tags of a band, or of the file if it is 0, by their namespaces."""
    for namespace, tags in found.items():
        settable = {key: value for key, value in tags.items() if key not in _RESERVED}
        if set(tags) == {namespace}:
            # a complete document, such as XML: rasterio reads it under the name of its namespace,
            # but writes "key=value"
            key, sign, value = tags[namespace].partition("=")
            settable = {key: value} if sign else {}
        dataset.update_tags(band, ns=namespace or None, **settable)


def _control_points(output: OutputProfile) -> list[GroundControlPoint]:
    """Shift control points so that GDAL reads the right ones from the output."""
    points = [copy.copy(point) for point in output.gcps]
    if output.tags.get("", {}).get("AREA_OR_POINT") == "Point":
        shift = _shift_of_gdal()
        for point in points:
            point.row -= shift
            point.col -= shift
    return points


def _shift_of_gdal() -> float:
    """Measure by how many pixels GDAL moves control points from writing to reading.

    With AREA_OR_POINT=Point GDAL 3.10 moves them by half a pixel to the lower right when it writes
    a GeoTIFF, and once more when it reads it.
    """
    from rasterio.control import GroundControlPoint
    from rasterio.io import MemoryFile

    points = [GroundControlPoint(row=9, col=9 * n, x=n, y=n * n) for n in range(4)]
    profile = {"driver": "GTiff", "height": 1, "width": 1, "count": 1, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(**profile, crs="EPSG:4326", gcps=points) as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
        with memory.open() as dataset:
            return float(dataset.gcps[0][0].row) - 9
