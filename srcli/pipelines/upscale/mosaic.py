"""Upscale a folder of map tiles as one raster, and cut the result into tiles of the same names.

The tiles of a web map (``z/x/y.png``, y downwards; each zoom level by itself) or
georeferenced sheets become one VRT, which goes the way of every raster: place, holes,
memory, resuming and calibration are those of a single file, and no tile knows of its
borders.
"""

from __future__ import annotations

import shutil
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, SrxError, UsageError
from srcli.files import attributes_for, hidden_name, write_whole
from srcli.imaging.photograph import Photograph, Picture, mark_source
from srcli.imaging.rasters.info import (
    COLOURS,
    LEGEND,
    BandInfo,
    enlarge_place,
    read_info,
)
from srcli.imaging.rasters.merging import Piece, describe_mosaic, merge_parts
from srcli.imaging.rasters.opening import open_raster, reading_errors
from srcli.imaging.rasters.output import DRIVERS, OutputProfile, make_output
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.reading import RasterSource
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.imaging.rasters.writing import PartWriter
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.writing import write_photograph
from srcli.pipelines.upscale.inputs import find_due
from srcli.pipelines.upscale.photographs import kept_metadata, writing_options
from srcli.pipelines.upscale.plans import without_tags
from srcli.pipelines.upscale.reporter import FileReport, Item, Reporter
from srcli.pipelines.upscale.run import upscale_files
from srcli.ports.image import Window
from srcli.ports.progress import Progress, Task

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import UpscaleOptions

_FAR = 4096
"""Pixels without a tile, across which nothing is seen."""


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

    The output folder gets files of the same names; a damaged tile is a hole in the
    mosaic. See ``upscale_files``.
    """
    if dry_run:
        raise UsageError("--mosaic has no --dry-run: it decodes all tiles first")
    reporter = Reporter(progress, on_file, options.model)
    if len(inputs) != 1 or not inputs[0].is_dir():
        raise UsageError("--mosaic takes one folder of map tiles; run it once for each")
    new, finished = find_due(inputs, output, replace(options, recursive=True), reporter)
    due, folder = {*new}, inputs[0]
    mosaics: defaultdict[str, list[Item]] = defaultdict(list)
    for item in (*new, *finished):
        mosaics[_level(item.source, folder)].append(item)
    for level, items in mosaics.items():
        groups = (
            [] if due.isdisjoint(items) else _split(_read_tiles(items, level, reporter))
        )
        if len(groups) > 1:
            few = min(groups, key=len)[0].item.source
            progress.message(
                f"{level or folder}: {len(groups)} groups of files lie far from each other, that "
                f"of {few} among them; each is enlarged by itself"
            )
        for tiles in groups:
            # where one is new, its neighbours change as well
            if not due.isdisjoint(tile.item for tile in tiles):
                first = tiles[0].item.source
                name = "_".join(first.relative_to(folder).with_suffix("").parts)
                work = hidden_name(
                    output / name, ".srx-mosaic"
                )  # stays after an interruption
                _upscale_group(
                    tiles, work, level or str(folder), options, reporter, executor
                )
    known = {file.target for file in reporter.files}
    for item in finished:
        if item.target not in known:
            reporter.add(item, "skipped")
    return reporter


@dataclass
class _Renaming(Progress):
    """Progress of a mosaic whose lines name what the user knows."""

    progress: Progress
    vrt: str
    name: str
    """The folder, in place of the mosaic's hidden file."""

    def renamed(self, text: str) -> str:
        """Return a text with the name in it."""
        return text.replace(self.vrt, self.name)

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Start a piece of work."""
        return self.progress.task(label, total=total, unit=unit)

    def message(self, text: str) -> None:
        """Report something worth a line."""
        self.progress.message(self.renamed(text))

    def warn(self, text: str) -> None:
        """Report something that the user should act on."""
        self.progress.warn(self.renamed(text))

    def detail(self, *lines: str) -> None:
        """Report something for --verbose."""
        self.progress.detail(*lines)


def _upscale_group(
    tiles: Sequence[Tile],
    work: Path,
    name: str,
    options: UpscaleOptions,
    reporter: Reporter,
    executor: ProcessExecutor | None,
) -> None:
    work.mkdir(parents=True, exist_ok=True)
    first = tiles[0].item.source
    vrt, result, text = (
        work / f"{first.stem}.vrt",
        work / "enlarged.tif",
        _describe(tiles),
    )
    if not vrt.is_file() or vrt.read_bytes() != text:  # or else an earlier run goes on
        write_whole(vrt, text)
    own = replace(
        options, keep_dates=False, format="auto", suffix="", overwrite=False,
        strip_metadata=False, strip_provenance=False,  # the result says which bands are classes
    )  # fmt: skip
    shown = _Renaming(reporter.progress, str(vrt), name)
    (made,) = upscale_files([vrt], result, own, progress=shown, executor=executor).files
    if made.state != "failed":
        _cut(tiles, result, options, reporter)
        shutil.rmtree(work, ignore_errors=True)
        return
    reason = shown.renamed(made.error.removeprefix(f"{vrt}: "))
    for tile in tiles:
        reporter.fail(tile.item, f"{tile.item.source}: {reason}")
        reason = f"is enlarged together with {first}"


def _split(
    tiles: Sequence[Tile],
    start: str = "top",
    size: str = "height",
    *,
    last: bool = False,
) -> list[list[Tile]]:
    """Split tiles where ``_FAR`` rows or columns are empty; place each part from its corner."""

    def at(tile: Tile) -> float:
        return float(getattr(tile.piece, start))

    ordered = sorted(tiles, key=at)
    ends = accumulate((at(tile) + getattr(tile.piece, size) for tile in ordered), max)
    pairs = enumerate(zip(ends, ordered[1:], strict=False), 1)
    cuts = [0, *(n for n, (end, tile) in pairs if at(tile) > end + _FAR), len(tiles)]
    if tiles and (not last or len(cuts) > 2):
        other = ("left", "width") if start == "top" else ("top", "height")
        parts = [ordered[a:b] for a, b in pairwise(cuts)]
        return [
            each for one in parts for each in _split(one, *other, last=len(cuts) == 2)
        ]
    top, left = (
        min((getattr(t.piece, x) for t in tiles), default=0) for x in ("top", "left")
    )
    placed: list[Tile] = []
    for tile in sorted(tiles, key=lambda tile: tile.item.source):
        down, right = round(tile.piece.top - top), round(tile.piece.left - left)
        placed.append(replace(tile, piece=tile.piece._replace(top=down, left=right)))
    return [placed] if placed else []


def _level(path: Path, folder: Path) -> str:
    """Return the folder of a zoom level, ``.`` for the folder itself; empty for other names."""
    parts = path.absolute().relative_to(folder.absolute().parent).with_suffix("").parts
    if len(parts) < 3 or not all(one.isdecimal() for one in parts[-2:]):
        return ""
    if path.suffix.lower() in (".tif", ".tiff"):  # sheets may have numbers
        with suppress(SrxError), open_raster(path) as dataset:
            if not dataset.transform.is_identity:
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
            reason = (
                f"its {name} is {tile.kind[name]}, that of the others {usual[name]}"
            )
            reporter.fail(tile.item, f"{tile.item.source}: {reason}; it is left out")
    return [tile for tile in found if tile.kind == usual]


def _read_map_tile(item: Item) -> Tile:
    picture = open_picture(item.source, confined=True)
    read_photograph(picture)  # a damaged one would end the whole mosaic later
    if picture.bits != 8 or picture.orientation != 1 or picture.frames > 1:
        raise PictureError(
            f"{item.source}: is no map tile (8 bits, one upright picture)"
        )
    with open_raster(item.source) as dataset:
        palette = dataset.colorinterp[0].name == "palette"
        colours = "123" if dataset.count > 2 else "111"
        bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
    height, width = picture.height, picture.width
    top, left = int(item.source.stem) * height, int(item.source.parent.name) * width
    # the mask is the alpha band of those that have one
    bands = (*colours, "1" if palette else "mask,1")
    # values of fewer bits are read as they are stored
    more = [{"ScaleRatio": f"{255 / (2**bits - 1)}"}] * 3 * (bits < 8) or [{}] * 3
    if palette:
        more = [{"ColorTableComponent": f"{number}"} for number in range(1, 5)]
    piece = Piece(item.source.absolute(), top, left, height, width, bands, [*more, {}])
    return Tile(
        item=item, piece=piece, kind={"size": f"{width}x{height}"}, picture=picture
    )


def _read_sheet(item: Item) -> Tile:
    if item.format not in DRIVERS:
        raise PictureError(
            f"{item.target}: sheets of a mosaic are written as tif, png or jpg"
        )
    with (
        open_raster(item.source) as dataset,
        reading_errors(
            item.source,
            "it cannot be decoded",
            pixels=dataset.width * dataset.height,
        ),
    ):
        for _, window in dataset.block_windows(1):
            dataset.read(window=window)
        pixel = dataset.transform
        if pixel.is_identity or pixel.b or pixel.d:
            raise PictureError(
                f"{item.source}: has no place for --mosaic: no name z/x/y, and no georeference "
                "along rows and columns"
            )
        left, top = pixel.c / pixel.a, pixel.f / pixel.e
        names = [one.name for one in dataset.colorinterp]
        table = dataset.colormap(1) if names[0] == "palette" else {}
        pairs = zip(names, dataset.dtypes, strict=True)
        kind = {
            "coordinate system": dataset.crs,
            "pixel size": f"{pixel.a:.9g}, {pixel.e:.9g}",
            "kind of bands": " ".join(
                name if name == "alpha" else dtype for name, dtype in pairs
            ),
            "palette (checksum)": f"{zlib.crc32(repr(table).encode()):08x}"
            if table
            else "none",
            "nodata value": dataset.nodata,
            "place between whole pixels": tuple(
                round(one % 1, 2) % 1 for one in (left, top)
            ),
        }
        bands = [*map(str, dataset.indexes), "mask,1"]
        # where a sheet is empty, what lies below it is seen
        own = {"NODATA": "nan" if dataset.nodata is None else f"{dataset.nodata!r}"}
        if dataset.nodata is None and dataset.dtypes[0][0] != "f":
            own = {}
        if any(
            flag.name in ("per_dataset", "alpha") for flag in dataset.mask_flag_enums[0]
        ):
            own = {"UseMaskBand": "true"}
        more = [{"NODATA": "0"} if name == "alpha" else own for name in names] + [
            {"NODATA": "0"}
        ]
        size = dataset.height, dataset.width
        piece = Piece(item.source.absolute(), top, left, *size, bands, more)
        return Tile(
            item=item, piece=piece, kind={name: str(kind[name]) for name in kind}
        )


def _describe(tiles: Sequence[Tile]) -> bytes:
    """Return the mosaic as a VRT."""
    pieces = [tile.piece for tile in tiles]
    first, sheets = read_info(tiles[0].item.source), tiles[0].picture is None
    bands, nodata = first.bands, first.bands[0].nodata if sheets else None
    if not sheets:
        names = (*COLOURS, "alpha")
        bands = tuple(BandInfo(dtype="uint8", interpretation=name) for name in names)
    corner = Window(
        top=-int(pieces[0].top), left=-int(pieces[0].left), height=1, width=1
    )
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


def _cut(
    tiles: Sequence[Tile], result: Path, options: UpscaleOptions, reporter: Reporter
) -> None:
    """Write each tile's window of the enlarged mosaic."""
    scale, info = options.scale, read_info(result)
    tags = info.tags[""]
    repeated = [
        int(band) for band in tags.get("SRX_NEAREST_BANDS", "").split(",") if band
    ]
    layout = choose_layout(
        info, classes=[1] if info.palette else repeated
    )  # no JPEG of classes
    with RasterSource(info, layout, choose_window(info)[0]) as whole:
        for tile in tiles:
            item, piece, picture = tile.item, tile.piece, tile.picture
            height, width = piece.height * scale, piece.width * scale
            top, left = int(piece.top) * scale, int(piece.left) * scale
            window = Window(top=top, left=left, height=height, width=width)
            with reporter.guard(item):
                item.make_folder()
                if picture is None:
                    _write_sheet(item, whole, window, options)
                else:
                    decoded = whole.decode(window)
                    photograph = Photograph(
                        pixels=np.ascontiguousarray(
                            decoded.pixels[:, :, : picture.channels]
                        ),
                        alpha=decoded.alpha if picture.has_alpha else None,
                        metadata=kept_metadata(
                            picture.metadata, picture, options, options.model
                        ),
                    )
                    form = writing_options(item, picture, options)
                    write_photograph(item.target, photograph, **form)
                reporter.add(item, size=(height, width))


def _write_sheet(
    item: Item, whole: RasterSource, window: Window, options: UpscaleOptions
) -> None:
    """Write a window of the enlarged mosaic as it is, with the place and the tags of the sheet."""
    own = read_info(item.source, options.raster.nodata)
    if options.strip_metadata:
        own = without_tags(own)
    size = Window(top=0, left=0, height=own.height, width=own.width)
    tops, stop = (
        range(window.top, window.top + window.height, 256),
        window.top + window.height,
    )
    strips = (replace(window, top=top, height=min(256, stop - top)) for top in tops)
    is_full = all(whole.decode(strip).valid.all() for strip in strips)
    tags = {
        name: own.tags[name] for name in own.tags if name != "xml:XMP"
    }  # which tells sizes
    info = replace(whole.info, mask=None) if is_full else whole.info
    named = replace(info, path=item.source, tags=tags)  # the path is for messages
    kept = [
        own.bands[band - 1]
        for band in options.raster.bands or range(1, len(own.bands) + 1)
    ]
    layout, outputs = whole.layout, list[BandInfo]()
    if len(kept) == len(layout.outputs):  # else a palette has become colours
        for band, mine in zip(layout.outputs, kept, strict=True):
            about = {
                k: t
                for k, t in mine.about.items()
                if k not in LEGEND or k in band.about
            }
            outputs.append(replace(band, tags=mine.tags, about=about))
        layout = replace(layout, outputs=tuple(outputs))
    output = make_output(
        named, layout, window, 1, options.output(item.format, mark_source(item.source))
    )
    output.place = enlarge_place(own.place, size, options.scale)
    with (
        RasterSource(info, layout, window) as sheet,
        open_parts(item.target, output, {}, resume=False) as (parts, _),
    ):
        writer = PartWriter(parts, range(parts.count), sheet, 1)
        for number in range(parts.count):
            writer.write_part(number)
        merge_parts(
            parts, attributes_for(item.target, item.source, dates=options.keep_dates)
        )
