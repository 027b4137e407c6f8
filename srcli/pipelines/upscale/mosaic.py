"""Upscale a folder of map tiles as one raster, and cut the result into tiles of the same names.

The tiles of a web map (``z/x/y.png``, y downwards; each zoom level by itself) or georeferenced
sheets become one VRT, which goes the way of every raster: place, holes, memory, resuming and
calibration are those of a single file, and no tile knows of its borders.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.files import attributes_for, write_whole
from srcli.imaging.photograph import Photograph, Picture
from srcli.imaging.rasters.info import (
    COLOURS,
    BandInfo,
    choose_layout,
    choose_window,
    enlarge_place,
    read_info,
)
from srcli.imaging.rasters.opening import open_raster, reading_errors
from srcli.imaging.rasters.output import DRIVERS, OutputProfile, make_output
from srcli.imaging.rasters.parts import Piece, describe_mosaic, merge_parts, open_parts
from srcli.imaging.rasters.reading import PartWriter, RasterSource
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.writing import write_photograph
from srcli.pipelines.upscale.inputs import find_due
from srcli.pipelines.upscale.photographs import kept_metadata, writing_options
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter
from srcli.pipelines.upscale.run import upscale_files
from srcli.ports.image import Window

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.ports.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One file of a mosaic."""

    item: Item
    piece: Piece
    kind: dict[str, str]
    """What all tiles of a mosaic agree in, by names for the user."""
    picture: Picture | None = None
    """The header of a tile of a web map; None for georeferenced sheets."""


def upscale_mosaic(
    inputs: Sequence[Path],
    output: Path,
    options: UpscaleOptions,
    *,
    progress: Progress,
    on_file: Callable[[FileReport], None],
    executor: ProcessExecutor | None = None,
    dry_run: bool = False,
) -> Reporter:
    """Upscale the tiles of a folder as one raster for each zoom level, or for all sheets.

    The output folder gets files of the same names; a damaged tile is a hole in the mosaic. See
    ``upscale_files``.
    """
    if dry_run:
        raise UsageError("--mosaic has no --dry-run: it decodes all tiles first")
    reporter = Reporter(progress, on_file, options.model)
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
        text = _describe(tiles)
        if not vrt.is_file() or vrt.read_bytes() != text:  # or else an earlier run goes on
            write_whole(vrt, text)
        own = replace(
            options, mosaic=False, keep_dates=False, format="auto", suffix="", overwrite=False,
            strip_metadata=False, strip_provenance=False,  # the result says which bands are classes
        )  # fmt: skip
        (made,) = upscale_files([vrt], result, own, progress=progress, executor=executor).files
        if made.state == "failed":
            for tile in tiles:
                reporter.fail(tile.item, f"{tile.item.source}: {made.error}")
        else:
            _cut(tiles, result, options, reporter)
            shutil.rmtree(work, ignore_errors=True)
    return reporter


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
    ((most, _),) = Counter(tuple(tile.kind.values()) for tile in found).most_common(1)
    usual = dict(zip(found[0].kind, most, strict=True))
    for tile in found:
        for name in [name for name in usual if tile.kind[name] != usual[name]][:1]:
            reason = f"its {name} is {tile.kind[name]}, that of the others {usual[name]}"
            reporter.fail(tile.item, f"{tile.item.source}: {reason}; it is left out")
    tiles = [tile for tile in found if tile.kind == usual]
    corner = min(tile.piece.top for tile in tiles), min(tile.piece.left for tile in tiles)
    for number, tile in enumerate(tiles):
        top, left = round(tile.piece.top - corner[0]), round(tile.piece.left - corner[1])
        tiles[number] = replace(tile, piece=tile.piece._replace(top=top, left=left))
    return tiles


def _read_map_tile(item: Item) -> Tile:
    picture = open_picture(item.source, confined=True)
    read_photograph(picture)  # a damaged one would end the whole mosaic later
    if picture.bits != 8 or picture.orientation != 1 or picture.frames > 1:
        raise PictureError(f"{item.source}: is no map tile (8 bits, one upright picture)")
    with open_raster(item.source) as dataset:
        palette = dataset.colorinterp[0].name == "palette"
        colours = "123" if dataset.count > 2 else "111"
    height, width = picture.height, picture.width
    top, left = int(item.source.stem) * height, int(item.source.parent.name) * width
    # the mask is the alpha band of those that have one
    bands = (*colours, "1" if palette else "mask,1")
    piece = Piece(item.source.absolute(), top, left, height, width, bands, palette)
    return Tile(item=item, piece=piece, kind={"size": f"{width}x{height}"}, picture=picture)


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
        bands = [*map(str, dataset.indexes), "mask,1"]
        piece = Piece(item.source.absolute(), top, left, dataset.height, dataset.width, bands)
        return Tile(item=item, piece=piece, kind={name: str(kind[name]) for name in kind})


def _describe(tiles: Sequence[Tile]) -> bytes:
    """Return the mosaic as a VRT."""
    pieces = [tile.piece for tile in tiles]
    first, sheets = read_info(tiles[0].item.source), tiles[0].picture is None
    bands, nodata = first.bands, first.bands[0].nodata if sheets else None
    if not sheets:
        names = (*COLOURS, "alpha")
        bands = tuple(BandInfo(dtype="uint8", interpretation=name) for name in names)
    corner = Window(top=-int(pieces[0].top), left=-int(pieces[0].left), height=1, width=1)
    output = OutputProfile(
        driver="VRT",
        height=max(int(piece.top) + piece.height for piece in pieces),
        width=max(int(piece.left) + piece.width for piece in pieces),
        dtype=bands[0].dtype,
        bands=bands,
        mask=sheets and nodata is None,
        nodata=nodata,
        place=enlarge_place(first.place, corner, 1),
    )
    return describe_mosaic(output, pieces)


def _cut(tiles: Sequence[Tile], result: Path, options: UpscaleOptions, reporter: Reporter) -> None:
    """Write each tile's window of the enlarged mosaic."""
    scale, info = options.scale, read_info(result)
    tags = info.tags[""]
    repeated = [int(band) for band in tags.get("SRX_NEAREST_BANDS", "").split(",") if band]
    own = {key: tags[key] for key in tags if not key.startswith(("SRX_", "TIFFTAG_SOFTWARE"))}
    info = replace(info, tags={**info.tags, "": own})
    layout = choose_layout(info, classes=[1] if info.palette else repeated)  # no JPEG of classes
    with RasterSource(info, layout, choose_window(info)[0]) as whole:
        for tile in tiles:
            item, piece, picture = tile.item, tile.piece, tile.picture
            height, width = piece.height * scale, piece.width * scale
            top, left = int(piece.top) * scale, int(piece.left) * scale
            window = Window(top=top, left=left, height=height, width=width)
            with reporter.guard(item):
                item.make_folder()
                decoded = whole.decode(window)
                if picture is None:
                    of_sheet = replace(info, mask=None) if decoded.valid.all() else info
                    with RasterSource(of_sheet, layout, window) as sheet:
                        _write_sheet(item, sheet, options)
                else:
                    photograph = Photograph(
                        pixels=np.ascontiguousarray(decoded.pixels[:, :, : picture.channels]),
                        alpha=decoded.alpha if picture.has_alpha else None,
                        metadata=kept_metadata(picture.metadata, picture, options, options.model),
                    )
                    form = writing_options(item, picture, options)
                    write_photograph(item.target, photograph, **form)
                reporter.add(item, size=(height, width))


def _write_sheet(item: Item, sheet: RasterSource, options: UpscaleOptions) -> None:
    """Write a window of the enlarged mosaic as it is."""
    info = replace(sheet.info, path=item.source)  # for messages
    wanted = options.output(item.format, item.source)
    output = make_output(info, sheet.layout, sheet.window, 1, wanted)
    with open_parts(item.target, output, {}, resume=False) as (parts, _):
        writer = PartWriter(parts, range(parts.count), sheet, 1)
        for number in range(parts.count):
            writer.write_part(number)
        merge_parts(parts, attributes_for(item.target, item.source, dates=options.keep_dates))
