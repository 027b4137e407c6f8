"""Upscale a folder of map tiles as one raster, and cut the result into tiles of the same names.

The tiles of a web map (``z/x/y.png``, y downwards; each zoom level by itself) or
georeferenced sheets become one VRT, which goes the way of every raster: place, holes,
memory, resuming and calibration are those of a single file, and no tile knows of its
borders.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.files import hidden_name, lock_file, write_whole
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import write_photograph
from srcli.imaging.pixels.resize import resize
from srcli.imaging.rasters.companions import companions_on_disk, source_id
from srcli.imaging.rasters.headers import info_of, read_info
from srcli.imaging.rasters.info import LEGEND, enlarge_georeference
from srcli.imaging.rasters.opening import keep_open
from srcli.imaging.rasters.output import derive_profile
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import Parts, open_parts
from srcli.imaging.rasters.publishing import (
    publish,
    write_vrt,
)
from srcli.imaging.rasters.selection import choose_layout, choose_window
from srcli.imaging.rasters.source import DecodedWindow, RasterSource
from srcli.models import MODELS
from srcli.pipelines.upscale.finished import find_due_and_finished
from srcli.pipelines.upscale.mosaic_tiles import (
    MosaicTile,
    describe_tiles,
    find_zoom_folder,
    read_map_tile,
    read_sheet,
    read_tiles,
    split_at_gaps,
)
from srcli.pipelines.upscale.photographs import choose_metadata, writing_options
from srcli.pipelines.upscale.plans import without_tags
from srcli.pipelines.upscale.preparing import prepare
from srcli.pipelines.upscale.reporter import Ending, FileReport, Item, Reporter
from srcli.pipelines.upscale.run import upscale_due
from srcli.ports import ForwardedProgress, Progress, Window

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor
    from srcli.pipelines.upscale.options import Settled

LOCK = "lock"
"""File in a work folder that is locked by the run which is at it."""


def upscale_mosaic(
    inputs: Sequence[Path],
    output: Path,
    options: Settled,
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
    reporter = Reporter(progress, on_file, options)
    if len(inputs) != 1 or not inputs[0].is_dir():
        raise UsageError("--mosaic takes one folder of map tiles; run it once for each")
    due, finished = find_due_and_finished(
        inputs, output, replace(options, recursive=True), reporter
    )
    folder = inputs[0]
    mosaics: defaultdict[str, list[Item]] = defaultdict(list)
    for item in (*due, *finished):
        mosaics[find_zoom_folder(item.source, folder)].append(item)
    new = set(due)
    for zoom_folder, items in mosaics.items():
        if new.isdisjoint(items):
            if not dry_run:
                _remove_work_folders(items, folder, output)
            continue
        read_tile = read_map_tile if zoom_folder else read_sheet
        tiles = read_tiles(items, partial(read_tile, decode=not dry_run), reporter)
        groups = split_at_gaps(tiles)
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
            name = zoom_folder or str(folder)
            if dry_run:
                _estimate_group(tiles, name, options, reporter)
                continue
            # at an interruption this folder is left for the next run
            work_folder = _work_folder(tiles[0].item, folder, output)
            _upscale_group(tiles, work_folder, name, options, reporter, executor)
    targets = {report.target for report in reporter.files}
    for item in finished:
        if item.target not in targets:
            reporter.add(item, "skipped")
    return reporter


def _work_folder(item: Item, folder: Path, output: Path) -> Path:
    """Return the hidden folder in which a group of tiles is enlarged, by the first of them."""
    path = item.source.relative_to(folder).with_suffix("")
    return hidden_name(output / "_".join(path.parts), ".srx-mosaic")


def _remove_work_folders(items: Sequence[Item], folder: Path, output: Path) -> None:
    """Remove what a run has left that was killed between its last tile and its end."""
    for item in items:
        work_folder = _work_folder(item, folder, output)
        if not work_folder.is_dir() or work_folder.is_symlink():
            continue
        # another run may be at it
        with lock_file(work_folder / LOCK) as locked:
            if locked:
                shutil.rmtree(work_folder, ignore_errors=True)


class _RenamedProgress(ForwardedProgress):
    """Progress whose messages name the mosaic's folder instead of its hidden VRT."""

    def __init__(self, progress: Progress, vrt: Path, name: str) -> None:
        super().__init__(progress)
        self.vrt = vrt
        self.name = name

    def reword(self, text: str) -> str:
        """Return a text with the name in place of the VRT's path."""
        return text.replace(str(self.vrt), self.name)


class _MosaicReporter(Reporter):
    """Reporter whose text beside the bar names the mosaic, not its hidden files."""

    def __init__(
        self, progress: _RenamedProgress, result: Path, options: Settled
    ) -> None:
        super().__init__(progress, options=options)
        self._hidden_names = (progress.vrt.name, result.name)
        # a zoom level, by its number alone, would say little
        self._name = "/".join(Path(progress.name).parts[-2:])

    def describe(self, text: str) -> None:
        """Replace the text beside the progress, under the mosaic's name."""
        for hidden in self._hidden_names:
            text = text.replace(f" {hidden}", f" {self._name}")
        super().describe(text)


def _upscale_group(
    tiles: Sequence[MosaicTile],
    work_folder: Path,
    name: str,
    options: Settled,
    reporter: Reporter,
    executor: ProcessExecutor | None,
) -> None:
    """Upscale tiles as one VRT in ``work_folder``, cut the result, and report the tiles."""
    work_folder.mkdir(parents=True, exist_ok=True)
    with lock_file(work_folder / LOCK) as locked:
        if not locked:
            for tile in tiles:
                reason = "another srx is writing this mosaic; wait for it"
                reporter.fail(tile.item, f"{tile.item.source}: {reason}")
            return
        vrt = work_folder / f"{tiles[0].item.source.stem}.vrt"
        text = describe_tiles(tiles)
        # an unchanged VRT keeps its time, so that an interrupted run goes on
        if not vrt.is_file() or vrt.read_bytes() != text:
            write_whole(vrt, text)
        progress = _RenamedProgress(reporter.progress, vrt, name)
        result = work_folder / "enlarged.tif"
        run = _MosaicReporter(progress, result, options)
        run.ending = _foresee_cutting(tiles, options, reporter)
        upscale_due([vrt], result, _options_of_whole(options, tiles), run, executor)
        if run.files[0].state != "failed":
            shutil.rmtree(work_folder, ignore_errors=True)
            return
    _fail_together(tiles, vrt, run.files[0].error, progress, reporter)


def _options_of_whole(options: Settled, tiles: Sequence[MosaicTile]) -> Settled:
    """Return the options for the VRT of a mosaic; names and metadata come with the tiles.

    Provenance is kept: ``_cut_into_tiles`` reads there which bands hold classes.
    """
    if tiles[0].picture is not None and options.alpha == "auto":
        # in formats of pictures it is never near infrared, and has no other place
        options = replace(options, alpha="yes")
    return replace(
        options, into_folder=False, keep_dates=False, format="auto", suffix="", overwrite=False,
        strip_metadata=False, strip_provenance=False,
    )  # fmt: skip


def _fail_together(
    tiles: Sequence[MosaicTile],
    vrt: Path,
    error: str,
    progress: _RenamedProgress,
    reporter: Reporter,
) -> None:
    """Report that the mosaic of tiles failed: the reason once, then where it stands."""
    reason = progress.reword(error.removeprefix(f"{vrt}: "))
    for tile in tiles:
        reporter.fail(tile.item, f"{tile.item.source}: {reason}")
        reason = f"is enlarged together with {tiles[0].item.source}"


def _estimate_group(
    tiles: Sequence[MosaicTile],
    name: str,
    options: Settled,
    reporter: Reporter,
) -> None:
    """Report the sizes of tiles that are enlarged together, and shares of the disk that takes."""
    with tempfile.TemporaryDirectory(
        prefix="srx-", ignore_cleanup_errors=True
    ) as folder:
        vrt = Path(folder) / f"{tiles[0].item.source.stem}.vrt"
        vrt.write_bytes(describe_tiles(tiles))
        progress = _RenamedProgress(reporter.progress, vrt, name)
        run = Reporter(progress, options=options)
        result = hidden_name(tiles[0].item.target, ".tif")
        upscale_due(
            [vrt], result, _options_of_whole(options, tiles), run, None, dry_run=True
        )
    (whole,) = run.files
    if whole.state == "failed":
        _fail_together(tiles, vrt, whole.error, progress, reporter)
        return
    for tile in tiles:
        reporter.add(
            tile.item,
            model=whole.model,
            condition=whole.condition,
            size=(tile.piece.height * options.scale, tile.piece.width * options.scale),
            bytes=whole.bytes // len(tiles),
            likely_bytes=whole.likely_bytes // len(tiles),
        )


def _seconds_of_writing(item: Item, picture: Picture, options: Settled) -> float:
    """Return the seconds that writing a map tile takes, by one that is interpolated."""
    prepared = prepare(read_photograph(picture))
    larger = prepared.finish(resize(prepared.pixels, options.scale))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix="srx-", ignore_cleanup_errors=True
    ) as folder:
        trial = replace(item, target=Path(folder) / item.target.name)
        write_photograph(
            trial.target, larger, **writing_options(trial, picture, options)
        )
    return time.monotonic() - started


def _foresee_cutting(
    tiles: Sequence[MosaicTile], options: Settled, reporter: Reporter
) -> Ending:
    """Return how finished parts are cut into tiles, with the time by that of one tile."""
    seconds = 0.0
    picture = tiles[0].picture
    if picture is not None:
        # a trial that fails says nothing: cutting the tile will tell the reason
        with suppress(PictureError, OSError):
            seconds = _seconds_of_writing(tiles[0].item, picture, options) * len(tiles)

    def finish(parts: Parts, on_share: Callable[[float], None]) -> None:
        _cut_into_tiles(tiles, parts, options, reporter, on_share)

    return Ending(text=f"cutting {len(tiles)} tiles", seconds=seconds, finish=finish)


def _cut_into_tiles(
    tiles: Sequence[MosaicTile],
    parts: Parts,
    options: Settled,
    reporter: Reporter,
    on_share: Callable[[float], None],
) -> None:
    """Write each tile's window of the finished parts of a mosaic, and report the tile.

    ``on_share`` is called with the share of the tiles that is written.
    """
    scale = options.scale
    with keep_open(write_vrt(parts)) as opened:
        info = replace(info_of(opened), tags={"": parts.output.tags.get("", {})})
        class_bands = [1]
        if not info.palette:
            numbers = info.tags[""].get("SRX_NEAREST_BANDS", "")
            class_bands = [int(number) for number in numbers.split(",") if number]
        layout = choose_layout(info, classes=class_bands)  # no JPEG of classes
        model = info.tags[""].get("SRX_MODEL", "")
        if model in MODELS:  # which auto has chosen; a file has only its name there
            options = replace(options, model=model)
        mosaic = RasterSource(info, layout, choose_window(info)[0])
        for number, tile in enumerate(tiles, 1):
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
                reporter.add(
                    tile.item,
                    model=options.model,
                    size=(window.height, window.width),
                )
            on_share(number / len(tiles))


def _write_map_tile(
    item: Item, picture: Picture, decoded: DecodedWindow, options: Settled
) -> None:
    """Write a window of the enlarged mosaic as a photograph, like its input ``picture``."""
    pixels = decoded.pixels[:, :, : picture.channels]
    # a world file or .aux.xml beside it, as gdal2tiles writes one
    files = map(str, companions_on_disk(item.source, had_some=False))
    input_id = source_id(item.source, files, picture.input_id)
    recorded = replace(picture, input_id=input_id)
    size = pixels.shape[0], pixels.shape[1]
    metadata, _ = choose_metadata(item, recorded, options, options.model, size)
    photograph = Photograph(
        pixels=np.ascontiguousarray(pixels),
        alpha=decoded.alpha if picture.has_alpha else None,
        metadata=metadata,
    )
    settings = writing_options(item, picture, options)
    write_photograph(item.target, photograph, **settings)


def _write_sheet(
    item: Item, mosaic: RasterSource, window: Window, options: Settled
) -> None:
    """Write a window of the enlarged mosaic with the georeference and the tags of the sheet."""
    sheet = read_info(item.source, options.nodata)
    if options.strip_metadata:
        sheet = without_tags(sheet)
    info = mosaic.info
    if _is_all_valid(mosaic, window):
        info = replace(info, mask=None)
    tags = dict(sheet.tags)
    # which state the size of the sheet
    for namespace in ("xml:XMP", "IMD"):
        tags.pop(namespace, None)
    named = replace(
        info,
        path=item.source,  # for messages
        tags=tags,
        has_overviews=sheet.has_overviews,
    )
    numbers = options.bands or range(1, len(sheet.bands) + 1)
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
    output = derive_profile(named, layout, window, 1, output_options, [])
    size = Window(top=0, left=0, height=sheet.height, width=sheet.width)
    place = enlarge_georeference(sheet.georeference, size, options.scale)
    output = replace(output, georeference=place)
    source = RasterSource(info, layout, window)
    with open_parts(item.target, output, {}, resume=False) as (parts, _):
        writer = PartWriter(parts, range(parts.count), source, 1)
        for number in range(parts.count):
            writer.write_part(number)
        publish(parts, item.attributes(dates=options.keep_dates))


def _is_all_valid(mosaic: RasterSource, window: Window) -> bool:
    """Return True if all pixels of a window are valid."""
    for top in range(window.top, window.bottom, 256):
        strip = replace(window, top=top, height=min(256, window.bottom - top))
        if not mosaic.decode(strip).valid.all():
            return False
    return True
