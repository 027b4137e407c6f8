"""Rasters of ``same_outputs.py``, each a function that returns its bands.

A new one is a function with ``@raster`` or ``@profiled``: every case of
``EACH_RASTER`` is run on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin

Array = NDArray[Any]
SIDE = 96
PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_300_000, 10, 10)}
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
WAVES = (np.sin(COLUMNS / 7) + np.cos(ROWS / 9) + 2) / 4
PICTURE = 0.9 * WAVES + 0.1 * np.random.default_rng(2).random((SIDE, SIDE))
"""0 to 1, with some texture."""
COLOURED = np.stack([PICTURE, PICTURE.T, 1 - PICTURE])
PATCHES = np.random.default_rng(3).integers(0, 9, (8, 8)).repeat(12, 0).repeat(12, 1)
"""Square patches with the values 0 to 8 in any order."""

RASTERS: dict[str, Callable[[Path], None]] = {}
"""What writes them, by file name."""


def raster(name: str) -> Callable[[Callable[[], Array]], Callable[[], Array]]:
    """Register a function that returns the bands of a GeoTIFF without further properties."""
    return profiled(name)


def profiled(
    name: str, then: Callable[[Any], None] | None = None, **profile: object
) -> Callable[[Callable[[], Array]], Callable[[], Array]]:
    """Register a function that returns bands, and what else a GeoTIFF of them says."""

    def register(make: Callable[[], Array]) -> Callable[[], Array]:
        def write(path: Path) -> None:
            write_raster(path, make(), then, **profile)

        RASTERS[name] = write
        return make

    return register


def write_raster(
    path: Path,
    bands: Array,
    then: Callable[[Any], None] | None = None,
    **profile: object,
) -> None:
    """Write bands (count, h, w) or (h, w) by rasterio."""
    bands = np.asarray(bands)
    if bands.ndim == 2:
        bands = bands[None]
    count, height, width = bands.shape
    options: dict[str, Any] = {"driver": "GTiff", **PLACE, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path,
            "w",
            count=count,
            height=height,
            width=width,
            dtype=bands.dtype.name,
            **options,
        ) as file:
            file.write(bands)
            if then is not None:
                then(file)


def as_type(values: Array, dtype: str, most: float) -> Array:
    """Return values of 0 to 1 as a type, the highest one ``most``."""
    return np.asarray((values * most).astype(dtype))


def described(*names: str) -> Callable[[Any], None]:
    """Return what gives bands their names."""

    def describe(file: Any) -> None:
        file.descriptions = names

    return describe


def coloured(*interpretations: Any) -> Callable[[Any], None]:
    """Return what gives bands their colour interpretations."""

    def colour(file: Any) -> None:
        file.colorinterp = interpretations

    return colour


def circle(radius: float = 40) -> Array:
    """Return a disc in the middle, true inside."""
    middle = SIDE / 2
    return np.asarray(np.hypot(ROWS - middle, COLUMNS - middle) < radius)


# ---- pictures


@profiled("rgb.tif", photometric="RGB")
def _rgb() -> Array:
    return as_type(COLOURED, "uint8", 250)


@profiled(
    "gray_in_rgb.tif", photometric="RGB", tiled=True, blockxsize=32, blockysize=32
)
def _gray_in_rgb() -> Array:
    return as_type(np.stack([PICTURE] * 3), "uint8", 250)


@profiled("soft_alpha.tif", photometric="RGB", alpha="YES")
def _soft_alpha() -> Array:
    alpha = np.clip((ROWS + COLUMNS) * 2, 0, 255)
    return np.concatenate([as_type(COLOURED, "uint8", 250), [alpha]]).astype("uint8")


@profiled("hard_alpha.tif", photometric="RGB", alpha="YES")
def _hard_alpha() -> Array:
    return np.concatenate([as_type(COLOURED, "uint8", 250), [circle() * 255]]).astype(
        "uint8"
    )


@profiled("infrared_as_alpha.tif", photometric="RGB", alpha="YES")
def _infrared_as_alpha() -> Array:
    noise = np.random.default_rng(4).random((SIDE, SIDE))
    infrared = 0.5 * PICTURE + 0.5 * noise
    return as_type(np.concatenate([COLOURED, [infrared]]), "uint8", 240)


@raster("four_bands.tif")
def _four_bands() -> Array:
    return as_type(np.concatenate([COLOURED, [WAVES]]), "uint16", 9000)


@profiled("six_bands.tif", described("Blue", "Green", "Red", "NIR", "SWIR1", "SWIR2"))
def _six_bands() -> Array:
    return as_type(np.concatenate([COLOURED, COLOURED[::-1]]), "uint16", 9000)


@profiled("twelve_bits.tif", nbits=12)
def _twelve_bits() -> Array:
    return as_type(PICTURE, "uint16", 4095)


@raster("dark.tif")
def _dark() -> Array:
    return as_type(PICTURE, "uint16", 9)


@profiled("with_mask.tif", lambda file: file.write_mask(circle()), photometric="RGB")
def _with_mask() -> Array:
    return as_type(COLOURED, "uint8", 250)


@profiled("palette.tif", photometric="PALETTE")
def _palette() -> Array:
    return PATCHES.astype("uint8")


@profiled("one_bit.tif", nbits=1)
def _one_bit() -> Array:
    return circle().astype("uint8")


@profiled("inverted.tif", photometric="MINISWHITE")
def _inverted() -> Array:
    return as_type(PICTURE, "uint8", 250)


@profiled(
    "overviews.tif",
    lambda file: file.build_overviews([2, 4]),
    tiled=True,
    blockxsize=32,
    blockysize=32,
)
def _overviews() -> Array:
    return as_type(PICTURE, "uint16", 60_000)


# ---- measurements


@raster("elevation_in_metres.tif")
def _elevation_in_metres() -> Array:
    return as_type(WAVES, "int16", 2500)


@raster("elevation.tif")
def _elevation() -> Array:
    return as_type(WAVES, "float32", 2500)


@raster("undeclared_fill.tif")
def _undeclared_fill() -> Array:
    return np.where(circle(), as_type(WAVES, "float32", 300), np.float32(-9999))


@raster("fill_of_65535.tif")
def _fill_of_65535() -> Array:
    return np.where(circle(), as_type(PICTURE, "uint16", 4000), np.uint16(65535))


@raster("near_fill.tif")
def _near_fill() -> Array:
    heights = as_type(WAVES, "int16", 3000) - 10_500
    return np.where(circle(), heights, np.int16(-9999)).astype("int16")


@profiled("declared.tif", nodata=-9999)
def _declared() -> Array:
    return np.where(circle(), as_type(WAVES, "int16", 300), np.int16(-9999))


@raster("with_nan.tif")
def _with_nan() -> Array:
    return np.where(circle(), as_type(PICTURE, "float32", 0.9), np.float32(np.nan))


@raster("doubles.tif")
def _doubles() -> Array:
    return as_type(np.stack([PICTURE, WAVES]), "float64", 1e5)


@raster("wide.tif")
def _wide() -> Array:
    return as_type(PICTURE, "uint32", 4e9)


@raster("small_signed.tif")
def _small_signed() -> Array:
    return (as_type(PICTURE, "int16", 200) - 100).astype("int8")


@profiled("all_empty.tif", nodata=0)
def _all_empty() -> Array:
    return np.zeros((SIDE, SIDE), "uint16")


@raster("constant.tif")
def _constant() -> Array:
    return np.full((SIDE, SIDE), 7, "uint16")


# ---- classes


@raster("patches.tif")
def _patches() -> Array:
    return PATCHES.astype("uint8")


@raster("grades.tif")
def _grades() -> Array:
    return as_type(WAVES, "uint8", 9)


@raster("parcels.tif")
def _parcels() -> Array:
    numbers = np.random.default_rng(5).permutation(256).reshape(16, 16)
    return (numbers.repeat(6, 0).repeat(6, 1) * 37).astype("uint32")


@raster("codes_with_gaps.tif")
def _codes_with_gaps() -> Array:
    codes = np.array([7011, 7016, 7019, 7050, 7051, 7090, 7100, 7130])
    return codes[(WAVES * 7.9).astype(int)].astype("uint16")


@raster("scene_QA_PIXEL.tif")
def _quality() -> Array:
    return (
        np.random.default_rng(6)
        .choice([1, 64, 21824, 55052], (SIDE, SIDE))
        .astype("uint16")
    )


@profiled("with_scl.tif", described("B02", "B03", "B04", "SCL"))
def _with_scl() -> Array:
    return np.concatenate([as_type(COLOURED, "uint16", 9000), [PATCHES]]).astype(
        "uint16"
    )


@raster("three_years.tif")
def _three_years() -> Array:
    return np.stack([PATCHES, PATCHES.T, PATCHES[::-1]]).astype("uint8")


@profiled("flags.tif", lambda file: file.update_tags(1, flag_values="1,2,3"))
def _flags() -> Array:
    return as_type(WAVES, "uint8", 3)


# ---- places and containers


@profiled("nowhere.tif", crs=None, transform=None)
def _nowhere() -> Array:
    return as_type(WAVES, "float32", 100)


@profiled("rotated.tif", transform=PLACE["transform"] @ rasterio.Affine.rotation(20))
def _rotated() -> Array:
    return as_type(COLOURED, "uint8", 250)


@profiled(
    "sparse.tif", sparse_ok=True, tiled=True, blockxsize=32, blockysize=32, nodata=0
)
def _sparse() -> Array:
    values = as_type(PICTURE, "uint16", 9000)
    values[32:] = 0
    return values


def raster_files() -> dict[str, Callable[[Path], None]]:
    """Return what writes rasters that are no GeoTIFF of their own, by name."""

    def world_file(path: Path) -> None:
        Image.fromarray(as_type(PICTURE, "uint8", 250)).save(path)
        path.with_suffix(".pgw").write_text("10\n0\n0\n-10\n500005\n5299995\n")

    def palette_png(path: Path) -> None:
        picture = Image.fromarray(PATCHES.astype("uint8"), "P")
        picture.putpalette([value for i in range(9) for value in (i * 20, 99, 200 - i)])
        picture.save(path)

    def mosaic(path: Path) -> None:
        path.write_text(
            f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}">'
            "<SRS>EPSG:32632</SRS>"
            "<GeoTransform>500000, 10, 0, 5300000, 0, -10</GeoTransform>"
            '<VRTRasterBand dataType="Int16" band="1"><SimpleSource>'
            '<SourceFilename relativeToVRT="1">elevation_in_metres.tif</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )

    return {"world.png": world_file, "palette.png": palette_png, "mosaic.vrt": mosaic}


RASTERS |= raster_files()


def large_raster(path: Path) -> None:
    """Write a raster that is sampled by windows, not read completely."""
    rows, columns = np.mgrid[:1100, :1300]
    waves = (np.sin(columns / 41) + np.cos(rows / 57) + 2) / 4
    bands = np.stack([waves, waves**2, 1 - waves, np.sqrt(waves)])
    bands += 0.1 * np.random.default_rng(7).random(bands.shape)
    write_raster(path, as_type(bands, "uint16", 9000), tiled=True)


def large_elevation(path: Path) -> None:
    """Write elevation with an undeclared fill that is sampled by windows."""
    rows, columns = np.mgrid[:1600, :1500]
    heights = 900 * np.sin(columns / 90) * np.cos(rows / 70)
    heights[rows + columns < 700] = -9999
    write_raster(path, heights.astype("float32"), tiled=True)
