"""Read polygons from a file, and cut a raster out along them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.files import parse_text, read_input
from srcli.imaging.files.gdal import gdal_errors, reason_of
from srcli.imaging.pixels.arrays import Bools
from srcli.imaging.rasters.transforms import Extent, enlarge_transform
from srcli.ports import Window

Geometry = Mapping[str, Any]
"""A geometry, or what holds some, as GeoJSON has them."""
_PIECES = 1024
"""Points added to each ring: a ring of 100 km gets pieces of 100 m, exact to 1 mm."""
_LONGITUDE_LATITUDE = "OGC:CRS84"
"""Coordinate system of GeoJSON, unless an older file names another."""


@dataclass(frozen=True)
class Polygons:
    """Polygons of a file, in its coordinate system."""

    path: Path
    geometries: tuple[Geometry, ...]
    """Geometries of GeoJSON, each a ``Polygon``."""
    crs: str
    """Anything that rasterio reads as one: WKT, ``EPSG:4326``."""

    @property
    def checksum(self) -> str:
        """Eight digits that differ for other polygons."""
        return f"{zlib.crc32(repr((self.geometries, self.crs)).encode()):08x}"

    def on(self, path: Path, georeference: Mapping[str, Any]) -> Cutline:
        """Return the polygons as a cutline of a raster, in its coordinates."""
        from rasterio.crs import CRS
        from rasterio.warp import transform_geom

        transform = georeference["transform"]
        if transform is None or georeference["crs"] is None:
            raise PictureError(
                f"{path}: has no place on the map, or no coordinate system, so --cutline cannot be "
                "found; use --srcwin"
            )
        geometries = list(self.geometries)
        try:
            if CRS.from_user_input(self.crs) != georeference["crs"]:
                pieces = list(map(_in_pieces, geometries))
                geometries = transform_geom(self.crs, georeference["crs"], pieces)
        except gdal_errors(ValueError) as error:
            raise PictureError(
                f"{path}: {self.path} cannot be turned into its coordinates ({reason_of(error)})"
            ) from error
        return Cutline(tuple(geometries), transform)


@dataclass(frozen=True)
class Cutline:
    """Polygons outside of which a raster stays empty, in its coordinates."""

    geometries: tuple[Geometry, ...]
    transform: Any
    """The affine transform of the raster."""

    def window(self) -> Window:
        """Return the window of all pixels that the polygons touch; it may exceed the raster."""
        from rasterio.features import bounds

        rings = [shape["coordinates"] for shape in self.geometries]
        polygons = {"type": "MultiPolygon", "coordinates": rings}
        # rows go down
        left, bottom, right, top = bounds(polygons, transform=~self.transform)
        return Extent(left, top, right, bottom).enclosing_window()

    def outside(
        self, window: Window, scale: int = 1, *, touched: bool = False
    ) -> Bools:
        """Tell which pixels of an enlarged window, (h * scale, w * scale), lie outside.

        Pixels are inside by their centres, as for gdalwarp, or where polygons have
        ``touched`` them.
        """
        from rasterio.features import geometry_mask

        shape = (window.height * scale, window.width * scale)
        transform = enlarge_transform(self.transform, window, scale)
        outside: Bools = geometry_mask(
            self.geometries, shape, transform, all_touched=touched
        )
        return outside


def read_polygons(path: Path) -> Polygons:
    """Read the polygons of a vector file: GeoJSON, and by pyogrio whatever GDAL reads.

    Raises:
        UsageError: If the file cannot be read, or holds no polygons.
    """
    try:
        if path.suffix.lower() in (".geojson", ".json"):
            geometries, crs = _read_geojson(path)
        else:
            geometries, crs = _read_by_pyogrio(path)
        polygons = list(_polygons_of(geometries))
    except OSError as error:
        raise UsageError(
            f"--cutline {path}: cannot be read ({error.strerror})"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"--cutline {path}: is no GeoJSON ({error})") from error
    if not polygons:
        raise UsageError(f"--cutline {path}: holds no polygons")
    return Polygons(path, tuple(polygons), crs)


def _polygons_of(geometries: Sequence[Geometry]) -> Iterator[Geometry]:
    """Yield the polygons among geometries, which are not empty, one by one."""
    for shape in geometries:
        polygons = []
        if shape["type"] == "Polygon":
            polygons = [shape["coordinates"]]
        elif shape["type"] == "MultiPolygon":
            polygons = shape["coordinates"]
        for rings in polygons:
            if rings and rings[0]:
                for ring in rings:
                    points = np.array([point[:2] for point in ring], np.float64)
                    if len(points) < 4 or not np.isfinite(points).all():
                        raise ValueError(
                            "a ring has at least four points, of finite numbers"
                        )
                yield {"type": "Polygon", "coordinates": rings}


def _in_pieces(polygon: Geometry) -> dict[str, Any]:
    """Return a polygon with points added on its edges, which are curves on other maps."""
    rings = []
    for ring in polygon["coordinates"]:
        points = np.array([point[:2] for point in ring], np.float64)
        lengths = np.hypot(*np.diff(points, axis=0).T)
        positions = np.concatenate([[0.0], np.cumsum(lengths)])
        added = np.linspace(0, positions[-1], _PIECES)
        places = np.sort(np.concatenate([positions, added]))
        x = np.interp(places, positions, points[:, 0])
        y = np.interp(places, positions, points[:, 1])
        rings.append(np.column_stack([x, y]).tolist())
    return {"type": "Polygon", "coordinates": rings}


def _read_geojson(path: Path) -> tuple[list[Geometry], str]:
    """Return geometries and coordinate system of GeoJSON; older files name the latter."""
    document = parse_text(read_input(path).decode("utf-8-sig"))
    crs = _LONGITUDE_LATITUDE
    if document.get("crs"):
        crs = document["crs"]["properties"]["name"]
    return list(_geometries(document)), crs


def _geometries(item: Geometry) -> Iterator[Geometry]:
    """Yield the geometries of an object of GeoJSON, those of collections one by one."""
    match item["type"]:
        case "FeatureCollection":
            for feature in item["features"]:
                yield from _geometries(feature)
        case "GeometryCollection":
            for geometry in item["geometries"]:
                yield from _geometries(geometry)
        case "Feature":
            if item["geometry"]:
                yield from _geometries(item["geometry"])
        case _:
            yield item


def _read_by_pyogrio(path: Path) -> tuple[list[Geometry], str]:
    """Return geometries and coordinate system of the first layer of a vector file."""
    try:
        import pyogrio.raw
        import shapely
        from pyogrio.errors import DataSourceError
    except ImportError:
        raise UsageError(
            f"--cutline {path}: pip install 'srcli[cutline]' to read it, or give GeoJSON "
            "(ogr2ogr cutline.geojson FILE)"
        ) from None
    try:
        meta, _, geometries, _ = pyogrio.raw.read(path, columns=[], force_2d=True)
    except DataSourceError as error:
        raise UsageError(f"--cutline {path}: cannot be read ({error})") from error
    if geometries is None:
        return [], ""
    if not meta["crs"]:
        raise UsageError(
            f"--cutline {path}: names no coordinate system; a shapefile needs its .prj"
        )
    shapes = [shape for shape in shapely.from_wkb(geometries) if shape is not None]
    return [shape.__geo_interface__ for shape in shapes], meta["crs"]
