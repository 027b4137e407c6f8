"""Write band descriptions, tags, control points and RPCs into a GeoTIFF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.imaging.rasters.georeference import scaled_points
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rasterio.control import GroundControlPoint
    from rasterio.io import DatasetWriter

    from srcli.imaging.rasters.output import OutputProfile

# Keys that collide with the arguments of rasterio's update_tags.
_RESERVED = frozenset({"bidx", "ns"})


def set_metadata(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set all metadata of a new GeoTIFF that are not arguments of rasterio.open."""
    from rasterio.enums import ColorInterp

    known = ColorInterp.__members__
    # an enlarged palette band is gray: its colour table is not kept
    names = ["gray" if b.interpretation == "palette" else b.interpretation for b in output.bands]
    dataset.colorinterp = [known.get(name, ColorInterp.undefined) for name in names]
    for namespace, tags in output.tags.items():
        dataset.update_tags(ns=namespace or None, **_settable(tags, namespace))
    for place, band in enumerate(output.bands, 1):
        if band.tags:
            dataset.update_tags(place, **_settable(band.tags, ""))
        for namespace, tags in band.domains.items():
            dataset.update_tags(place, ns=namespace, **_settable(tags, namespace))
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


def _settable(tags: Mapping[str, str], namespace: str) -> dict[str, str]:
    if set(tags) == {namespace}:
        # a complete document, such as XML: rasterio reads it under the name of its namespace, but
        # writes "key=value"
        key, sign, value = tags[namespace].partition("=")
        return {key: value} if sign else {}
    return {key: value for key, value in tags.items() if key not in _RESERVED}


def _control_points(output: OutputProfile) -> list[GroundControlPoint]:
    """Shift control points so that GDAL reads the right ones from the output."""
    if output.tags.get("", {}).get("AREA_OR_POINT") != "Point":
        return list(output.gcps)
    shift = _shift_of_gdal()
    whole = Window(top=0, left=0, height=output.height, width=output.width)
    points = scaled_points(output.gcps, whole, 1)
    for point in points:
        point.row -= shift
        point.col -= shift
    return list(points)


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
