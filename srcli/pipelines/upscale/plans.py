"""Plan the enlargement of a raster from its header: bands, window, values and output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import srcli
from srcli.errors import PictureError
from srcli.files import file_state, free_disk
from srcli.imaging.arrays import Size
from srcli.imaging.embedding import embed_metadata
from srcli.imaging.photograph import LARGEST_AREA, Metadata, Picture
from srcli.imaging.rasters.alpha_bands import check_alpha_bands
from srcli.imaging.rasters.classes import choose_layout_by_pixels
from srcli.imaging.rasters.companions import source_id
from srcli.imaging.rasters.dataset_names import DatasetName, file_on_disk
from srcli.imaging.rasters.info import RasterInfo, info_of, read_info
from srcli.imaging.rasters.opening import OpenedRaster
from srcli.imaging.rasters.output import (
    OutputOptions,
    OutputProfile,
    derive_profile,
    disk_needed,
)
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.selection import BandLayout, choose_window
from srcli.imaging.rasters.source import RasterSource
from srcli.imaging.rasters.trial_copy import sample_copy
from srcli.imaging.rasters.undeclared_nodata import find_undeclared_nodata
from srcli.imaging.rasters.value_range import (
    choose_value_range,
    classify_raster_condition,
)
from srcli.imaging.reading import read_photograph
from srcli.imaging.tiff import DAMAGED_PAGE
from srcli.models.weights import AERIAL_MODEL
from srcli.pipelines.upscale.choosing import choose_by_condition
from srcli.pipelines.upscale.interpolated_bands import (
    INTERPOLATION_MODEL,
    InterpolatedBands,
    choose_interpolated_bands,
    keep_interpolated_values,
)
from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.raster_metadata import choose_embedded, read_picture
from srcli.pipelines.upscale.reporter import Item
from srcli.ports.image import Values, Window

USUAL_SHARE = 0.4
"""Share of its uncompressed size that an output takes where no sample of it is made;
photographs rarely shrink so far."""
MOST_GROWTH = 12
"""How many times larger a pixel becomes by compression without loss; that of the input
may have been a lossy one."""
SURE_SHARE = 0.6
"""Share of the foreseen bytes that must be free on disk, as samples may be unlike the
rest."""
UNSURE_SHARE = 1.3
"""Share of the foreseen bytes that an output may take after all."""
_LOSSY = {(1, False): "JPEG", (3, False): "JPEG", (3, True): "WEBP"}
"""Lossy compression by the number of colour bands, and if there is alpha."""


@dataclass(frozen=True, kw_only=True)
class RasterPlan:
    """Everything that is decided about a raster before its network is loaded."""

    item: Item
    options: UpscaleOptions
    info: RasterInfo
    layout: BandLayout
    window: Window
    values: Values
    interpolated: tuple[int, ...]
    """Positions in ``layout.smooth`` of bands that bicubic interpolation enlarges."""
    output: OutputProfile
    lossy_output: OutputProfile | None
    """The output with lossy compression, where that of the input is, and the user has
    named none."""
    notes: tuple[str, ...]
    """Choices made for the user, who may want others; shown as warnings."""
    remarks: tuple[str, ...]
    """Choices by what the file says, such as bands of classes; shown as messages."""
    fingerprint: Mapping[str, object]
    """Everything but the network that the pixels depend on, by names that users
    understand: a run continues an interrupted one with the same."""
    condition: str
    """What its pixels have gone through, where ``auto`` chose the model by it; else
    empty."""
    embedded: Metadata | None
    """What is put into the output once GDAL has written it."""

    @property
    def parts(self) -> Parts:
        """Parts in which the output is made."""
        return Parts(self.item.target, self.output)

    @property
    def size(self) -> Size:
        """Height and width of the output."""
        return self.output.height, self.output.width

    def embed(self, result: Path) -> None:
        """Put metadata into a result that GDAL has written."""
        if self.embedded is not None:
            embed_metadata(result, self.item.format, self.embedded)

    def open(self, rows: int) -> RasterSource:
        """Open the window for tiles of at most ``rows`` rows; see ``RasterSource``."""
        return RasterSource(self.info, self.layout, self.window, rows)


def without_tags(info: RasterInfo) -> RasterInfo:
    """Return a raster's header without tags, except those of colour profile and georeference."""
    tags: dict[str, Mapping[str, str]] = {"": {}}
    if "COLOR_PROFILE" in info.tags:
        tags["COLOR_PROFILE"] = info.tags["COLOR_PROFILE"]
    if "AREA_OR_POINT" in info.tags.get("", {}):  # a part of the georeference
        tags[""] = {"AREA_OR_POINT": info.tags[""]["AREA_OR_POINT"]}
    bands = tuple(replace(band, tags={}) for band in info.bands)
    return replace(info, tags=tags, bands=bands)


def plan_raster(
    item: Item, options: UpscaleOptions, opened: OpenedRaster
) -> RasterPlan:
    """Decide on bands, window, values, model and output of a raster, before it is enlarged."""
    raster_options = options.raster
    picture = read_picture(item.source, opened.stream)
    info = info_of(opened, raster_options.nodata)
    if options.strip_metadata:
        info = without_tags(info)
    _check_output_is_no_part(item, info)
    info, window, notes_on_window = _choose_part(info, raster_options)
    notes_on_fills: tuple[str, ...] = ()
    if raster_options.nodata == "file":
        info, notes_on_fills = find_undeclared_nodata(
            info, window, raster_options.bands
        )
    transparency = check_alpha_bands(
        info, window, raster_options.alpha, raster_options.bands
    )
    info = transparency.info
    layout = choose_layout_by_pixels(
        info,
        window,
        raster_options.classes,
        bands=raster_options.bands,
        rgb=raster_options.rgb,
    )
    if layout.alpha:
        layout = replace(layout, soft_alpha=transparency.soft)
    marks = (info.mask, layout.nodata, layout.alpha)
    if info.cutline is not None and marks == (None, None, None):
        if layout.dtype.startswith("float"):
            layout = replace(layout, nodata=math.nan)
        else:
            info = replace(info, mask="dataset")

    values = Values(dtype=np.dtype(layout.dtype), ranges=((0, 1),))
    remark_on_range = ""
    condition = ""
    if layout.groups:
        values, remark_on_range = choose_value_range(
            info, layout, window, raster_options.values
        )
        if options.auto:
            model, condition = _choose_model(picture, info, layout, window, options)
            options = replace(options, model=model)
    bicubic = choose_interpolated_bands(info, layout, window, values, options)
    if bicubic.remark and len(bicubic.interpolated) == len(layout.smooth):
        options = replace(options, model=INTERPOLATION_MODEL)
        remark_on_range = ""
        if condition:  # of a photograph
            condition = "measurements"

    input_id = source_id(item.source, info.files, opened.input_id)
    output_options = options.raster_output(item.format, input_id)
    output = derive_profile(info, layout, window, options.scale, output_options)
    embedded, notes_on_metadata = choose_embedded(
        item, picture, window, output, options
    )
    remarks = [*layout.remarks, remark_on_range, bicubic.remark]
    remarks.append(_tell_of_overviews(output, options))
    notes = [*info.notes, *notes_on_fills, *transparency.notes, *layout.notes]
    if picture is not None and DAMAGED_PAGE in picture.warnings:
        notes.append(DAMAGED_PAGE)  # GDAL counts the pages before it, and is silent
    notes += [*notes_on_window, *bicubic.notes, *output.notes, *notes_on_metadata]
    notes += _check_disk(item, info, layout, window, output, options)
    if options.keep_hidden and layout.alpha is not None:
        notes.append(
            "--keep-hidden is for photographs: colours under alpha are not kept"
        )
    return RasterPlan(
        item=item,
        options=options,
        info=info,
        layout=layout,
        window=window,
        values=keep_interpolated_values(values, bicubic, len(layout.smooth)),
        interpolated=bicubic.interpolated,
        output=output,
        lossy_output=_derive_lossy(info, layout, window, options.scale, output_options),
        notes=tuple(notes),
        remarks=tuple(remark for remark in remarks if remark),
        condition=condition,
        embedded=embedded,
        fingerprint=_fingerprint(info, layout, window, values, bicubic, options),
    )


def _choose_model(
    picture: Picture | None,
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    options: UpscaleOptions,
) -> tuple[str, str]:
    """Return the model, as ``auto`` chooses it, and the condition of the pixels.

    A photograph, read by windows or not, gets that of photographs.
    """
    if picture is None or picture.raster is not None:
        condition = classify_raster_condition(info, layout, window)
        return options.model_for(condition, AERIAL_MODEL), condition
    if picture.height * picture.width > LARGEST_AREA:
        condition = classify_raster_condition(info, layout, window)
        return options.model_for_photograph(condition), condition
    photograph = read_photograph(picture)
    return choose_by_condition(photograph, options, picture.format)


def _choose_part(
    info: RasterInfo, options: RasterOptions
) -> tuple[RasterInfo, Window, tuple[str, ...]]:
    """Return a header with its cutline, the window to enlarge, and notes for the user."""
    if options.cutline is not None:
        cutline = options.cutline.on(info.path, info.georeference)
        info = replace(info, cutline=cutline)
    window, notes = choose_window(info, srcwin=options.srcwin, bounds=options.bounds)
    return info, window, notes


def raster_size(item: Item, options: UpscaleOptions) -> Size:
    """Return the (height, width) of the output of a raster."""
    _, window, _ = _choose_part(read_info(item.source), options.raster)
    return window.height * options.scale, window.width * options.scale


def _check_output_is_no_part(item: Item, info: RasterInfo) -> None:
    parts = {Path(name).resolve() for name in info.files}
    parts.discard(item.source.resolve())
    if item.target.resolve() in parts:
        raise PictureError(
            f"{item.source}: {item.target} is a part of it and would be overwritten; give another "
            "output folder or --suffix _x4"
        )


def _check_disk(
    item: Item,
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    output: OutputProfile,
    options: UpscaleOptions,
) -> tuple[str, ...]:
    """Refuse an output that the disk has no room for; return a warning for one that may not fit."""
    free, _ = free_disk(item.target)
    if free >= round(disk_needed(output) * info.block_share):
        return ()
    likely = foresee_disk(info, layout, window, output, options.scale)
    # parts of an earlier run are there, or are removed
    likely = max(likely - Parts(item.target, output).stored_bytes, 0)
    advice = "a part (--srcwin)"
    if options.mosaic:
        advice = "a folder with fewer of its files"
    return item.check_disk(
        "parts and result may take",
        round(UNSURE_SHARE * likely),
        round(SURE_SHARE * likely),
        advice,
        refuses=options.disk_check,
    )


def foresee_disk(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    output: OutputProfile,
    scale: int,
) -> int:
    """Estimate the bytes on disk that an output takes on the way, by a sample of it."""
    sample = sample_copy(info, layout, window, scale, output)
    most = round(disk_needed(output) * info.block_share)
    # a mosaic may have large holes, and its samples lie beside them by chance
    input_bytes = sum((file_state(name) or (0,))[0] for name in info.files)
    if info.driver == "VRT" and input_bytes:
        most = min(most, round(2 * MOST_GROWTH * input_bytes * scale**2))
    if sample is None:
        return round(USUAL_SHARE * most)
    return min(sample.disk_needed(output), most)


def _derive_lossy(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    scale: int,
    output_options: OutputOptions,
) -> OutputProfile | None:
    """Return the output with lossy compression; see ``RasterPlan``."""
    is_asked = "COMPRESS" in output_options.creation or output_options.format != "tif"
    has_classes = bool(layout.classes) or not info.is_lossy
    if is_asked or has_classes or layout.dtype != "uint8":
        return None
    compression = _LOSSY.get((layout.channels, layout.alpha is not None))
    if compression is None:
        return None
    creation = {**output_options.creation, "COMPRESS": compression}
    return derive_profile(
        info, layout, window, scale, replace(output_options, creation=creation)
    )


def _tell_of_overviews(output: OutputProfile, options: UpscaleOptions) -> str:
    if not output.overviews or options.raster.overviews:
        return ""
    return "has overviews, and so gets its result; --no-overviews leaves them out"


def _fingerprint(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    values: Values,
    bicubic: InterpolatedBands,
    options: UpscaleOptions,
) -> dict[str, object]:
    """Return what the pixels depend on; see ``RasterPlan``."""
    states: list[object] = [_file_state(path) for path in info.files]
    if isinstance(info.path, DatasetName):  # one of several rasters in its file
        states.insert(0, str(info.path))
    return {
        "version": srcli.__version__,
        "input": states,
        "scale": options.scale,
        "wrap": options.wrap,
        "classes": layout.classes,
        "bands": [*layout.bands, layout.alpha, layout.soft_alpha],
        "rgb": layout.groups,
        "interpolated": bicubic.interpolated,
        "range": [values.ranges, str(values.dtype)],
        # as text, because NaN differs from itself
        "nodata": str([(band.nodata, *band.undeclared_nodata) for band in info.bands]),
        "part": [window.left, window.top, window.width, window.height],
        "cutline": options.raster.cutline and options.raster.cutline.checksum,
    }


def _file_state(path: str) -> list[object]:
    """Return name, size and time of a file, by which a change of it is seen."""
    # none of a source that is no file, such as a service
    return [path, *(file_state(file_on_disk(path)) or ())]
