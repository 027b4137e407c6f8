"""The tiles of a mosaic: their places, by name or georeference, what they share, their VRT."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, SrxError
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.rasters.copying import MosaicFile, describe_mosaic
from srcli.imaging.rasters.gdal_access import reading_errors
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.info import COLOURS, BandInfo, enlarge_georeference
from srcli.imaging.rasters.opening import open_raster
from srcli.imaging.rasters.output import DRIVERS
from srcli.imaging.rasters.profile import OutputProfile
from srcli.ports import Window

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import Item, Reporter

_LEAST_GAP = 4096
"""Pixels of a gap between tiles above which its two sides are enlarged separately."""


@dataclass(frozen=True, kw_only=True)
class MosaicTile:
    """One map tile or sheet: its input and output, and its place in the mosaic."""

    item: Item
    piece: MosaicFile
    features: dict[str, str]
    """Properties that all tiles of a mosaic must share, by names for the user."""
    picture: Picture | None = None
    """The header of a tile of a web map; None for georeferenced sheets."""


def split_at_gaps(tiles: Sequence[MosaicTile]) -> list[list[MosaicTile]]:
    """Split tiles into groups that no gap divides, and place each group in a mosaic of its own."""
    subgroups = _split_along(tiles, "top", "height")
    if len(subgroups) == 1:
        subgroups = _split_along(tiles, "left", "width")
    if len(subgroups) == 1:
        return [_place_in_mosaic(tiles)]
    groups = []
    for subgroup in subgroups:
        groups += split_at_gaps(subgroup)
    return groups


def _split_along(
    tiles: Sequence[MosaicTile], start: str, size: str
) -> list[list[MosaicTile]]:
    """Split tiles at gaps along an axis; ``start`` and ``size`` are fields of ``MosaicFile``."""
    groups: list[list[MosaicTile]] = []
    end = -math.inf
    for tile in sorted(tiles, key=lambda tile: float(getattr(tile.piece, start))):
        begin = getattr(tile.piece, start)
        if not groups or begin > end + _LEAST_GAP:
            groups.append([])
        groups[-1].append(tile)
        end = max(end, begin + getattr(tile.piece, size))
    return groups


def _place_in_mosaic(tiles: Sequence[MosaicTile]) -> list[MosaicTile]:
    """Return tiles in the order of their names, with places counted from their common corner."""
    y = min(tile.piece.top for tile in tiles)
    x = min(tile.piece.left for tile in tiles)
    placed = []
    for tile in sorted(tiles, key=lambda tile: tile.item.source):
        piece = tile.piece
        piece = piece._replace(top=round(piece.top - y), left=round(piece.left - x))
        placed.append(replace(tile, piece=piece))
    return placed


def find_zoom_folder(path: Path, folder: Path) -> str:
    """Return the zoom level's folder of a map tile ``z/x/y``; empty for a georeferenced sheet."""
    parts = path.absolute().relative_to(folder.absolute().parent).with_suffix("").parts
    if len(parts) < 3 or not (parts[-1].isdecimal() and parts[-2].isdecimal()):
        return ""
    if path.suffix.lower() in (".tif", ".tiff"):  # sheets may have numbers
        with suppress(SrxError), open_raster(path) as dataset:
            if not dataset.transform.is_identity:
                return ""
    return str(path.parent.parent)


def read_tiles(
    items: Sequence[Item],
    read_tile: Callable[[Item], MosaicTile],
    reporter: Reporter,
) -> list[MosaicTile]:
    """Read all tiles; report as failed what is damaged, unlike the majority, or hidden.

    Of files of one place, such as bands, the last by name would be written for all.
    """
    tiles = []
    task = reporter.progress.task("reading", total=len(items), unit="files")
    for item in items:
        with reporter.guard(item):
            tiles.append(read_tile(item))
        task.advance()
    task.close()
    if not tiles:
        return []
    counts = Counter(tuple(tile.features.items()) for tile in tiles)
    ((usual, _),) = counts.most_common(1)
    alike = []
    for tile in tiles:
        for name, text in usual:
            if tile.features[name] != text:
                reason = (
                    f"its {name} is {tile.features[name]}, that of the others {text}"
                )
                reporter.fail(
                    tile.item, f"{tile.item.source}: {reason}; it is left out"
                )
                break
        else:
            alike.append(tile)
    shown: dict[tuple[float, ...], MosaicTile] = {}
    visible = []
    for tile in sorted(alike, key=lambda tile: tile.item.source, reverse=True):
        piece = tile.piece
        place = (piece.top, piece.left, piece.height, piece.width)
        upper = shown.setdefault(place, tile)
        if upper is tile or _has_holes(upper.item.source):
            visible.append(tile)
        else:
            reporter.fail(
                tile.item,
                f"{tile.item.source}: {upper.item.source.name} covers the same place and "
                "would hide it; bands are enlarged without --mosaic",
            )
    return visible


def _has_holes(sheet: Path) -> bool:
    """Tell if anything that lies below a sheet is seen through it."""
    with open_raster(sheet) as dataset:
        return any(
            np.ma.masked_invalid(dataset.read(1, window=window, masked=True)).mask.any()
            for _, window in dataset.block_windows(1)
        )


def read_map_tile(item: Item, *, decode: bool = True) -> MosaicTile:
    """Read a tile ``z/x/y`` of a web map, whose place its name says; ``decode`` its pixels."""
    picture = open_picture(item.source, confined=True)
    if decode:
        read_photograph(picture)  # a damaged one would end the whole mosaic later
    if picture.bits != 8 or picture.orientation != 1 or picture.frames > 1:
        raise PictureError(
            f"{item.source}: is no map tile (8 bits, one upright picture)"
        )
    with open_raster(item.source) as dataset:
        has_palette = dataset.colorinterp[0].name == "palette"
        has_colours = dataset.count > 2
        bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
    # the mask is the alpha band of those that have one
    bands = ["1", "1", "1"]
    if has_colours:
        bands = ["1", "2", "3"]
    bands.append("1" if has_palette else "mask,1")
    element = {}
    if bits < 8:  # such values are read as they are stored
        element = {"ScaleRatio": f"{255 / (2**bits - 1)}"}
    elements = [element] * 3
    if has_palette:
        elements = [{"ColorTableComponent": f"{number}"} for number in range(1, 5)]
    height = picture.height
    width = picture.width
    piece = MosaicFile(
        file=item.source.absolute(),
        top=int(item.source.stem) * height,
        left=int(item.source.parent.name) * width,
        height=height,
        width=width,
        bands=bands,
        source_elements=[*elements, {}],
    )
    features = {"size": f"{width}x{height}"}
    return MosaicTile(item=item, piece=piece, features=features, picture=picture)


def read_sheet(item: Item, *, decode: bool = True) -> MosaicTile:
    """Read a sheet, whose place its georeference says; ``decode`` its pixels."""
    if item.format not in DRIVERS or FORMATS[item.format].map_tiles:
        raise PictureError(
            f"{item.target}: sheets of a mosaic are written as tif, png or jpg"
        )
    with (
        open_raster(item.source) as dataset,
        reading_errors(
            item.source, "it cannot be decoded", pixels=dataset.width * dataset.height
        ),
    ):
        if decode:
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)
        transform = dataset.transform
        if transform.is_identity or transform.b or transform.d:
            raise PictureError(
                f"{item.source}: has no place for --mosaic: no name z/x/y, and no georeference "
                "along rows and columns"
            )
        column = transform.c / transform.a
        row = transform.f / transform.e
        between = (round(column % 1, 2) % 1, round(row % 1, 2) % 1)
        names = [interpretation.name for interpretation in dataset.colorinterp]
        palette = "none"
        if names[0] == "palette" and (table := dataset.colormap(1)):
            palette = f"{zlib.crc32(repr(table).encode()):08x}"
        # a sheet's empty pixels show those of the sheets that it covers
        element = {}
        flags = {flag.name for flag in dataset.mask_flag_enums[0]}
        if flags & {"per_dataset", "alpha"}:
            element = {"UseMaskBand": "true"}
        elif dataset.nodata is not None:
            element = {"NODATA": f"{dataset.nodata!r}"}
        elif dataset.dtypes[0][0] == "f":
            element = {"NODATA": "nan"}
        kinds = []
        elements = []
        for name, dtype in zip(names, dataset.dtypes, strict=True):
            if name == "alpha":
                kinds.append(name)
                elements.append({"NODATA": "0"})
            else:
                kinds.append(dtype)
                elements.append(element)
        piece = MosaicFile(
            file=item.source.absolute(),
            top=row,
            left=column,
            height=dataset.height,
            width=dataset.width,
            bands=[*map(str, dataset.indexes), "mask,1"],
            source_elements=[*elements, {"NODATA": "0"}],
        )
        features = {
            "coordinate system": str(dataset.crs),
            "pixel size": f"{transform.a:.9g}, {transform.e:.9g}",
            "kind of bands": " ".join(kinds),
            "palette (checksum)": palette,
            "nodata value": str(dataset.nodata),
            "place between whole pixels": str(between),
        }
        return MosaicTile(item=item, piece=piece, features=features)


def describe_tiles(tiles: Sequence[MosaicTile]) -> bytes:
    """Return a VRT that describes the mosaic."""
    pieces = [tile.piece for tile in tiles]
    info = read_info(tiles[0].item.source)
    bands = info.bands
    nodata = bands[0].nodata
    has_mask = nodata is None
    if tiles[0].picture is not None:
        names = (*COLOURS, "alpha")
        bands = tuple(BandInfo(dtype="uint8", interpretation=name) for name in names)
        nodata = None
        has_mask = False
    piece = pieces[0]
    corner = Window(top=-int(piece.top), left=-int(piece.left), height=1, width=1)
    output = OutputProfile(
        driver="VRT",
        height=max(int(piece.top) + piece.height for piece in pieces),
        width=max(int(piece.left) + piece.width for piece in pieces),
        dtype=bands[0].dtype,
        bands=bands,
        mask=has_mask,
        nodata=nodata,
        georeference=enlarge_georeference(info.georeference, corner, 1),
    )
    return describe_mosaic(output, pieces)
