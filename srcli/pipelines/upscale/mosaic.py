"""Upscale a folder of map tiles as one raster, and cut the result into tiles of the same names.

The tiles of a web map (``z/x/y.png``, y downwards; each zoom level by itself) or
georeferenced sheets become one VRT, which goes the way of every raster: place, holes,
memory, resuming and calibration are those of a single file, and no tile knows of its
borders.
"""

from __future__ import annotations

import math
import shutil
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, SrxError, UsageError
from srcli.files import hidden_name, write_whole
from srcli.imaging.photograph import Photograph, Picture
from srcli.imaging.rasters.companions import companions_on_disk, source_id
from srcli.imaging.rasters.info import (
    COLOURS,
    LEGEND,
    BandInfo,
    enlarge_georeference,
    info_of,
    read_info,
)
from srcli.imaging.rasters.merging import MosaicFile, describe_mosaic, merge_parts
from srcli.imaging.rasters.opening import OpenedRaster, open_raster, reading_errors
from srcli.imaging.rasters.output import DRIVERS, OutputProfile, derive_profile
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.imaging.rasters.source import DecodedWindow, RasterSource
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.writing import write_photograph
from srcli.pipelines.upscale.inputs import find_due_and_finished
from srcli.pipelines.upscale.photographs import choose_metadata, writing_options
from srcli.pipelines.upscale.plans import without_tags
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter
from srcli.pipelines.upscale.run import upscale_files
from srcli.ports.image import Window
from srcli.ports.progress import ForwardedProgress, Progress

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import UpscaleOptions

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

    The output folder gets files of the same names; a damaged tile is a hole in the
    mosaic. See ``upscale_files``.
    """
    if dry_run:
        raise UsageError("--mosaic has no --dry-run: it decodes all tiles first")
    reporter = Reporter(progress, on_file, options.model)
    if len(inputs) != 1 or not inputs[0].is_dir():
        raise UsageError("--mosaic takes one folder of map tiles; run it once for each")
    due, finished = find_due_and_finished(
        inputs, output, replace(options, recursive=True), reporter
    )
    folder = inputs[0]
    mosaics: defaultdict[str, list[Item]] = defaultdict(list)
    for item in (*due, *finished):
        mosaics[_zoom_folder(item.source, folder)].append(item)
    new = set(due)
    for zoom_folder, items in mosaics.items():
        if new.isdisjoint(items):
            continue
        groups = _split_at_gaps(_read_tiles(items, zoom_folder, reporter))
        if len(groups) > 1:
            file = min(groups, key=len)[0].item.source
            progress.message(
                f"{zoom_folder or folder}: {len(groups)} groups of files lie far from each "
                f"other, that of {file} among them; each is enlarged by itself"
            )
        for tiles in groups:
            # where one tile is due, all are: its neighbours' borders change
            if new.isdisjoint(tile.item for tile in tiles):
                continue
            path = tiles[0].item.source.relative_to(folder).with_suffix("")
            # at an interruption this folder is left for the next run
            work_folder = hidden_name(output / "_".join(path.parts), ".srx-mosaic")
            name = zoom_folder or str(folder)
            _upscale_group(tiles, work_folder, name, options, reporter, executor)
    targets = {report.target for report in reporter.files}
    for item in finished:
        if item.target not in targets:
            reporter.add(item, "skipped")
    return reporter


class _RenamedProgress(ForwardedProgress):
    """Progress whose messages name the mosaic's folder instead of its hidden VRT."""

    def __init__(self, progress: Progress, vrt: Path, name: str) -> None:
        super().__init__(progress)
        self.vrt = vrt
        self.name = name

    def rename(self, text: str) -> str:
        """Return a text with the name in place of the VRT's path."""
        return text.replace(str(self.vrt), self.name)

    def message(self, text: str) -> None:
        """Pass a message on under the name."""
        super().message(self.rename(text))

    def warn(self, text: str) -> None:
        """Pass a warning on under the name."""
        super().warn(self.rename(text))


def _upscale_group(
    tiles: Sequence[MosaicTile],
    work_folder: Path,
    name: str,
    options: UpscaleOptions,
    reporter: Reporter,
    executor: ProcessExecutor | None,
) -> None:
    """Upscale tiles as one VRT in ``work_folder``, cut the result, and report the tiles."""
    work_folder.mkdir(parents=True, exist_ok=True)
    first_source = tiles[0].item.source
    vrt = work_folder / f"{first_source.stem}.vrt"
    result = work_folder / "enlarged.tif"
    text = _describe_as_vrt(tiles)
    # an unchanged VRT keeps its time, so that an interrupted run goes on
    if not vrt.is_file() or vrt.read_bytes() != text:
        write_whole(vrt, text)
    # provenance is kept: ``_cut_into_tiles`` reads there which bands hold classes
    raster_options = replace(
        options, into_folder=False, keep_dates=False, format="auto", suffix="", overwrite=False,
        strip_metadata=False, strip_provenance=False,
    )  # fmt: skip
    progress = _RenamedProgress(reporter.progress, vrt, name)
    run = upscale_files(
        [vrt], result, raster_options, progress=progress, executor=executor
    )
    report = run.files[0]
    if report.state != "failed":
        _cut_into_tiles(tiles, result, options, reporter)
        shutil.rmtree(work_folder, ignore_errors=True)
        return
    reason = progress.rename(report.error.removeprefix(f"{vrt}: "))
    for tile in tiles:
        reporter.fail(tile.item, f"{tile.item.source}: {reason}")
        reason = f"is enlarged together with {first_source}"


def _split_at_gaps(tiles: Sequence[MosaicTile]) -> list[list[MosaicTile]]:
    """Split tiles into groups that no gap divides, and place each group in a mosaic of its own."""
    subgroups = _split_along(tiles, "top", "height")
    if len(subgroups) == 1:
        subgroups = _split_along(tiles, "left", "width")
    if len(subgroups) == 1:
        return [_place_in_mosaic(tiles)]
    groups = []
    for subgroup in subgroups:
        groups += _split_at_gaps(subgroup)
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


def _zoom_folder(path: Path, folder: Path) -> str:
    """Return the zoom level's folder of a map tile ``z/x/y``; empty for a georeferenced sheet."""
    parts = path.absolute().relative_to(folder.absolute().parent).with_suffix("").parts
    if len(parts) < 3 or not (parts[-1].isdecimal() and parts[-2].isdecimal()):
        return ""
    if path.suffix.lower() in (".tif", ".tiff"):  # sheets may have numbers
        with suppress(SrxError), open_raster(path) as dataset:
            if not dataset.transform.is_identity:
                return ""
    return str(path.parent.parent)


def _read_tiles(
    items: Sequence[Item], zoom_folder: str, reporter: Reporter
) -> list[MosaicTile]:
    """Read and decode all tiles; report those that are damaged or unlike the majority as failed."""
    tiles = []
    for item in items:
        with reporter.guard(item):
            tiles.append(_read_map_tile(item) if zoom_folder else _read_sheet(item))
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
    return alike


def _read_map_tile(item: Item) -> MosaicTile:
    """Decode a tile ``z/x/y`` of a web map, whose place its name says."""
    picture = open_picture(item.source, confined=True)
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


def _read_sheet(item: Item) -> MosaicTile:
    """Decode a sheet, whose place its georeference says."""
    if item.format not in DRIVERS:
        raise PictureError(
            f"{item.target}: sheets of a mosaic are written as tif, png or jpg"
        )
    with (
        open_raster(item.source) as dataset,
        reading_errors(
            item.source, "it cannot be decoded", pixels=dataset.width * dataset.height
        ),
    ):
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


def _describe_as_vrt(tiles: Sequence[MosaicTile]) -> bytes:
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


def _cut_into_tiles(
    tiles: Sequence[MosaicTile],
    result: Path,
    options: UpscaleOptions,
    reporter: Reporter,
) -> None:
    """Write each tile's window of the enlarged mosaic, and report the tile."""
    scale = options.scale
    with OpenedRaster(result) as opened:
        info = info_of(opened)
        class_bands = [1]
        if not info.palette:
            numbers = info.tags[""].get("SRX_NEAREST_BANDS", "")
            class_bands = [int(number) for number in numbers.split(",") if number]
        layout = choose_layout(info, classes=class_bands)  # no JPEG of classes
        mosaic = RasterSource(info, layout, choose_window(info)[0])
        for tile in tiles:
            piece = tile.piece
            window = Window(
                top=int(piece.top) * scale,
                left=int(piece.left) * scale,
                height=piece.height * scale,
                width=piece.width * scale,
            )
            with reporter.guard(tile.item):
                tile.item.make_folder()
                if tile.picture is None:
                    _write_sheet(tile.item, mosaic, window, options)
                else:
                    _write_map_tile(
                        tile.item, tile.picture, mosaic.decode(window), options
                    )
                reporter.add(tile.item, size=(window.height, window.width))


def _write_map_tile(
    item: Item, picture: Picture, decoded: DecodedWindow, options: UpscaleOptions
) -> None:
    """Write a window of the enlarged mosaic as a photograph, like its input ``picture``."""
    pixels = decoded.pixels[:, :, : picture.channels]
    # a world file or .aux.xml beside it, as gdal2tiles writes one
    files = map(str, companions_on_disk(item.source, had_some=False))
    input_id = source_id(item.source, files, picture.input_id)
    recorded = replace(picture, input_id=input_id)
    photograph = Photograph(
        pixels=np.ascontiguousarray(pixels),
        alpha=decoded.alpha if picture.has_alpha else None,
        metadata=choose_metadata(picture.metadata, recorded, options, options.model),
    )
    settings = writing_options(item, picture, options)
    write_photograph(item.target, photograph, **settings)


def _write_sheet(
    item: Item, mosaic: RasterSource, window: Window, options: UpscaleOptions
) -> None:
    """Write a window of the enlarged mosaic with the georeference and the tags of the sheet."""
    sheet = read_info(item.source, options.raster.nodata)
    if options.strip_metadata:
        sheet = without_tags(sheet)
    info = mosaic.info
    if _is_all_valid(mosaic, window):
        info = replace(info, mask=None)
    tags = dict(sheet.tags)
    # which state the size of the sheet
    for namespace in ("xml:XMP", "IMD"):
        tags.pop(namespace, None)
    named = replace(info, path=item.source, tags=tags)  # the path is for messages
    numbers = options.raster.bands or range(1, len(sheet.bands) + 1)
    layout = mosaic.layout
    if len(numbers) == len(layout.outputs):  # else a palette has become colours
        outputs = []
        for band, number in zip(layout.outputs, numbers, strict=True):
            sheet_band = sheet.band(number)
            about = dict(sheet_band.vrt_elements)
            for element in LEGEND - band.vrt_elements.keys():
                about.pop(element, None)
            outputs.append(replace(band, tags=sheet_band.tags, vrt_elements=about))
        layout = replace(layout, outputs=tuple(outputs))
    input_id = source_id(item.source, sheet.files)
    output_options = options.raster_output(item.format, input_id)
    output = derive_profile(named, layout, window, 1, output_options)
    size = Window(top=0, left=0, height=sheet.height, width=sheet.width)
    output.georeference = enlarge_georeference(sheet.georeference, size, options.scale)
    source = RasterSource(info, layout, window)
    with open_parts(item.target, output, {}, resume=False) as (parts, _):
        writer = PartWriter(parts, range(parts.count), source, 1)
        for number in range(parts.count):
            writer.write_part(number)
        merge_parts(parts, item.attributes(dates=options.keep_dates))


def _is_all_valid(mosaic: RasterSource, window: Window) -> bool:
    """Return True if all pixels of a window are valid."""
    for top in range(window.top, window.bottom, 256):
        strip = replace(window, top=top, height=min(256, window.bottom - top))
        if not mosaic.decode(strip).valid.all():
            return False
    return True
