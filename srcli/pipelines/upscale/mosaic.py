"""Upscale a folder of map tiles as one raster, and cut the result into tiles of the same names.

The tiles of a web map (``z/x/y.png``, y downwards; each zoom level by itself) or georeferenced
sheets become one VRT, which goes the way of every raster: place, holes, memory, resuming and
calibration are those of a single file, and no tile knows of its borders.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.files import attributes_for, write_whole
from srcli.imaging.photograph import Photograph, Picture, mark_source
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.opening import open_raster, reading_errors
from srcli.imaging.rasters.output import DRIVERS
from srcli.imaging.rasters.parts import vrt_source
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.writing import write_photograph
from srcli.pipelines.upscale.inputs import find_due
from srcli.pipelines.upscale.photographs import kept_metadata
from srcli.pipelines.upscale.plan import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import Reporter

    Upscale = Callable[[Path, Path, UpscaleOptions], str]
    """Upscales a raster into a file; returns why it failed, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One file of a mosaic."""

    item: Item
    top: float
    """First row in pixels; whole once it is placed in the mosaic."""
    left: float
    height: int
    width: int
    kind: tuple[tuple[str, str], ...]
    """What all tiles of a mosaic agree in, by names for the user."""
    bands: tuple[str, ...]
    """Of the file, by GDAL's names, for each band of the mosaic."""
    picture: Picture | None = None
    """The header of a tile of a web map; None for georeferenced sheets."""
    palette: bool = False


def upscale_mosaic(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    reporter: Reporter,
    upscale: Upscale,
) -> None:
    """Upscale the tiles of a folder as one raster for each zoom level, or for all sheets.

    The output folder gets files of the same names; a damaged tile is a hole in the mosaic.
    """
    if len(inputs) != 1 or not inputs[0].is_dir():
        raise UsageError("--mosaic takes one folder of map tiles; run it once for each")
    new, finished = find_due(inputs, output, replace(options, recursive=True), reporter)
    due = {*new}
    mosaics: defaultdict[str, list[Item]] = defaultdict(list)
    for item in (*new, *finished):
        mosaics[_level(item.source, inputs[0])].append(item)
    for level, items in mosaics.items():
        # where one is new, its neighbours change as well
        wanted = any(item in due for item in items)
        tiles = _read_tiles(items, level, reporter) if wanted else []
        if not any(tile.item in due for tile in tiles):
            for item in items:
                if item not in due:
                    reporter.add(item, "skipped")
            continue
        name = Path(level).name or tiles[0].item.source.stem
        work = output / f".{name}.srx-mosaic"  # stays after an interruption
        work.mkdir(parents=True, exist_ok=True)
        vrt, result = work / f"{name}.vrt", work / "enlarged.tif"
        _write_vrt(vrt, tiles)
        own = replace(
            options, mosaic=False, keep_dates=False, format="auto", suffix="", overwrite=False
        )
        if failure := upscale(vrt, result, own):
            for tile in tiles:
                reporter.fail(tile.item, f"{tile.item.source}: {failure}")
        else:
            _cut(tiles, result, options, reporter)
            shutil.rmtree(work, ignore_errors=True)


def _level(path: Path, folder: Path) -> str:
    """Return the folder of a zoom level, ``.`` for the folder itself; empty for other names."""
    parts = path.relative_to(folder.parent).with_suffix("").parts
    if len(parts) < 3 or not all(one.isdecimal() for one in parts[-2:]):
        return ""
    return str(path.parent.parent)


def _read_tiles(items: Sequence[Item], level: str, reporter: Reporter) -> list[Tile]:
    """Read and decode all tiles; those that are damaged, or unlike the most, are reported."""
    found: list[Tile] = []
    for item in items:
        with reporter.guard(item):
            found.append(_read_map_tile(item) if level else _read_sheet(item))
    if not found:
        return []
    ((usual, _),) = Counter(tile.kind for tile in found).most_common(1)
    for tile in found:
        if tile.kind != usual:
            pairs = zip(tile.kind, usual, strict=True)
            (name, own), (_, other) = next(pair for pair in pairs if pair[0] != pair[1])
            reason = f"its {name} is {own}, that of the others {other}; it is left out"
            reporter.fail(tile.item, f"{tile.item.source}: {reason}")
    tiles = [tile for tile in found if tile.kind == usual]
    top, left = min(tile.top for tile in tiles), min(tile.left for tile in tiles)
    return [
        replace(tile, top=round(tile.top - top), left=round(tile.left - left)) for tile in tiles
    ]


def _read_map_tile(item: Item) -> Tile:
    picture = open_picture(item.source, confined=True)
    read_photograph(picture)  # a damaged one would end the whole mosaic later
    if picture.bits != 8 or picture.orientation != 1 or picture.frames > 1:
        raise PictureError(
            f"{item.source}: is no map tile (8 bits, one picture, not turned by EXIF)"
        )
    with open_raster(item.source) as dataset:
        palette = dataset.colorinterp[0].name == "palette"
        colours = ("1", "2", "3") if dataset.count > 2 else ("1", "1", "1")
    height, width = picture.height, picture.width
    return Tile(
        item=item,
        top=int(item.source.stem) * height,
        left=int(item.source.parent.name) * width,
        height=height,
        width=width,
        kind=(("size", f"{width}x{height}"),),
        picture=picture,
        # the mask is the alpha band of those that have one
        bands=(*colours, "1" if palette else "mask,1"),
        palette=palette,
    )


def _read_sheet(item: Item) -> Tile:
    if item.format not in DRIVERS:
        raise PictureError(f"{item.target}: sheets of a mosaic are written as tif, png or jpg")
    with open_raster(item.source) as dataset, reading_errors(item.source, "it cannot be decoded"):
        for _, window in dataset.block_windows(1):
            dataset.read(window=window)
        pixel = dataset.transform
        if pixel.is_identity or pixel.b or pixel.d:
            raise PictureError(
                f"{item.source}: has no place for --mosaic: no name z/x/y, and no georeference "
                "along rows and columns"
            )
        left, top = pixel.c / pixel.a, pixel.f / pixel.e
        kind = {
            "coordinate system": dataset.crs,
            "pixel size": f"{pixel.a:.9g}, {pixel.e:.9g}",
            "kind of bands": " ".join(dataset.dtypes),
            "nodata value": dataset.nodata,
            "place between whole pixels": tuple(round(one % 1, 2) % 1 for one in (left, top)),
        }
        return Tile(
            item=item,
            top=top,
            left=left,
            height=dataset.height,
            width=dataset.width,
            kind=tuple((name, str(value)) for name, value in kind.items()),
            bands=tuple(map(str, dataset.indexes)),
        )


def _write_vrt(path: Path, tiles: Sequence[Tile]) -> None:
    """Write the mosaic as a VRT; one that says the same stays, so that a run can go on."""
    import rasterio
    from affine import Affine
    from rasterio.enums import ColorInterp

    height = max(tile.top + tile.height for tile in tiles)
    width = max(tile.left + tile.width for tile in tiles)
    new = path.with_suffix(".new")
    sheets = tiles[0].picture is None
    profile: dict[str, Any] = {"count": 4, "dtype": "uint8"}
    with open_raster(tiles[0].item.source) as like, quiet_pillow():
        if sheets:
            pixel = like.transform
            x, y = pixel.c - tiles[0].left * pixel.a, pixel.f - tiles[0].top * pixel.e
            place = Affine(pixel.a, 0, x, 0, pixel.e, y)
            profile = {"count": like.count, "dtype": like.dtypes[0], "nodata": like.nodata}
            profile |= {"crs": like.crs, "transform": place}
        with rasterio.open(new, "w", driver="VRT", height=height, width=width, **profile) as vrt:
            if sheets:
                _copy_bands(like, vrt)
            else:
                names = ("red", "green", "blue", "alpha")
                vrt.colorinterp = [ColorInterp[name] for name in names]
    tree = ET.fromstring(new.read_bytes())
    for number, band in enumerate(tree.findall("VRTRasterBand")):
        band.extend(_source(tile, tile.bands[number], number) for tile in tiles)
    if sheets and profile["nodata"] is None:
        mask = ET.SubElement(ET.SubElement(tree, "MaskBand"), "VRTRasterBand", dataType="Byte")
        mask.extend(_source(tile, "mask,1", 0) for tile in tiles)
    text = ET.tostring(tree)
    new.unlink()
    if not path.is_file() or path.read_bytes() != text:
        write_whole(path, text)


def _copy_bands(source: DatasetReader, target: Any) -> None:  # noqa: ANN401 - any open dataset
    """Copy what the bands mean: colours, names and palette."""
    target.colorinterp = source.colorinterp
    target.descriptions = [text or "" for text in source.descriptions]
    if source.colorinterp[0].name == "palette":
        target.write_colormap(1, source.colormap(1))


def _source(tile: Tile, band: str, number: int) -> ET.Element:
    file, size = tile.item.source.absolute(), (tile.height, tile.width)
    source = vrt_source("ComplexSource", file, band, size, (tile.top, tile.left))
    if tile.palette:
        ET.SubElement(source, "ColorTableComponent").text = str(number + 1)
    return source


def _cut(tiles: Sequence[Tile], result: Path, options: UpscaleOptions, reporter: Reporter) -> None:
    """Write each tile's window of the enlarged mosaic."""
    from rasterio.windows import Window

    scale = options.scale
    with open_raster(result) as whole:
        for tile in tiles:
            item = tile.item
            with reporter.guard(item):
                item.make_folder()
                size = tile.height * scale, tile.width * scale
                window = Window(tile.left * scale, tile.top * scale, size[1], size[0])
                if tile.picture is not None:
                    _write_picture(item, tile.picture, whole.read(window=window), options)
                else:
                    _write_sheet(item, whole, window, options)
                reporter.add(item, size=size)


def _write_picture(
    item: Item, picture: Picture, bands: NDArray[Any], options: UpscaleOptions
) -> None:
    pixels = np.ascontiguousarray(bands[: picture.channels].transpose(1, 2, 0))
    alpha = bands[3] if picture.has_alpha else None
    metadata = kept_metadata(picture.metadata, picture, options, options.model)
    write_photograph(
        item.target,
        Photograph(pixels=pixels, alpha=alpha, metadata=metadata),
        fmt=item.format,
        quality=options.quality,
        attributes=attributes_for(item.target, item.source, dates=options.keep_dates),
    )


def _write_sheet(item: Item, whole: DatasetReader, window: Any, options: UpscaleOptions) -> None:  # noqa: ANN401 - of rasterio
    """Write a window of the mosaic as a georeferenced file beside it, then move it in place."""
    import rasterio
    from rasterio.shutil import copy

    folder = Path(whole.name).parent / "sheet"
    shutil.rmtree(folder, ignore_errors=True)  # of one that failed
    folder.mkdir()
    made = folder / item.target.name
    part = made if item.format == "tif" else folder.with_suffix(".tif")
    profile = {**whole.profile, "height": window.height, "width": window.width}
    profile |= {"driver": "GTiff", "transform": whole.window_transform(window)}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), quiet_pillow():
        with rasterio.open(part, "w", **profile) as sheet:
            _copy_bands(whole, sheet)
            sheet.write(whole.read(window=window))
            tags = {key: text for key, text in whole.tags().items() if "SOFTWARE" not in key}
            if options.records:
                made_by = options.made_by(mark_source(item.source))
                tags |= {"TIFFTAG_SOFTWARE": made_by.software(), **made_by.tags}
            sheet.update_tags(**tags)
            mask = whole.dataset_mask(window=window)
            if whole.nodata is None and not mask.all():
                sheet.write_mask(mask)
        if part != made:
            copy(part, made, driver=DRIVERS[item.format], WORLDFILE="YES")
    attributes_for(item.target, item.source).apply(made)
    for file in folder.iterdir():  # world file, .aux.xml too
        file.replace(item.target.with_name(file.name))
