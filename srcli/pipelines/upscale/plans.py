"""Plan the enlargement of a raster that was looked at: bands, values, model, output.

Each function that decides takes the look and the options, and adds its reasons to those
for the user. None opens a file; a photograph that is judged by its pixels is decoded by
its header, which is handed in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL.ExifTags import Base

import srcli
from srcli.files import file_state
from srcli.imaging.files.provenance import REPEATED
from srcli.imaging.metadata import exif
from srcli.imaging.metadata.by_format import dress_metadata
from srcli.imaging.metadata.fitting import fit_metadata, with_record
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.pixels.arrays import Size
from srcli.imaging.pixels.geometry import PixelMap
from srcli.imaging.rasters.bounds import keep_bounds
from srcli.imaging.rasters.companions import companions_on_disk, source_id
from srcli.imaging.rasters.dataset_names import DatasetName, file_on_disk
from srcli.imaging.rasters.embedding import embed_metadata, exif_beside_gdal
from srcli.imaging.rasters.info import RasterInfo
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.meanings import (
    Reasons,
    check_alpha_bands,
    choose_layout_by_signs,
    find_special_codes,
    find_undeclared_nodata,
)
from srcli.imaging.rasters.output import derive_profile
from srcli.imaging.rasters.parts import Parts
from srcli.imaging.rasters.profile import OutputProfile
from srcli.imaging.rasters.selection import (
    BandLayout,
    as_floats,
    check_axes,
    check_dtype,
)
from srcli.imaging.rasters.source import RasterSource
from srcli.imaging.rasters.value_range import (
    choose_value_range,
    values_as_they_are,
)
from srcli.pipelines.upscale.choosing import (
    INTERPOLATION_MODEL,
    Condition,
    choose_by_condition,
    classify_condition,
)
from srcli.pipelines.upscale.interpolated_bands import (
    choose_interpolated_bands,
    interpolates_exactly,
    keep_interpolated_values,
    visible_windows,
)
from srcli.ports import Values, Window

if TYPE_CHECKING:
    from srcli.imaging.metadata.embedded import Metadata
    from srcli.pipelines.upscale.looking import SeenRaster
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Facts, Item

_AREAS = (0x9214, Base.SubjectLocation)
"""Entries of EXIF that describe places in the whole picture: SubjectArea is the first."""
_TAGS_OF_TIFF = ("TIFFTAG_", "SRX_", "AREA_OR_POINT")
"""Beginnings of GDAL's names of tags that are no text of a photograph."""


@dataclass(frozen=True, kw_only=True)
class RasterPlan:
    """Everything that is decided about a raster before its network is loaded."""

    item: Item
    options: Settled
    info: RasterInfo
    layout: BandLayout
    area: Window
    """The part of the file whose tiles and statistics are used: all of it, so that a window
    comes out as in the whole, or the window where the file is on the network."""
    window: Window
    """The part of the file that is enlarged."""
    values: Values
    interpolated: tuple[int, ...]
    """Positions in ``layout.smooth`` of bands that bicubic interpolation enlarges."""
    output: OutputProfile
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

    @property
    def facts(self) -> Facts:
        """What is reported of it."""
        model = self.options.model if self.layout.smooth else REPEATED
        return {
            "size": self.size,
            "model": model,
            "condition": self.condition,
            "warnings": self.notes,
        }

    def embed(self, result: Path) -> None:
        """Put metadata into a result that GDAL has written."""
        if self.embedded is not None:
            embed_metadata(result, self.item.format, self.embedded)

    def source(self, window: Window, rows: int) -> RasterSource:
        """Return a window for tiles of at most ``rows`` rows; see ``RasterSource``."""
        return RasterSource(self.info, self.layout, window, rows)


def without_tags(info: RasterInfo) -> RasterInfo:
    """Return a raster's header without tags, except those of colour profile and georeference."""
    tags: dict[str, Mapping[str, str]] = {"": {}}
    if "COLOR_PROFILE" in info.tags:
        tags["COLOR_PROFILE"] = info.tags["COLOR_PROFILE"]
    if "AREA_OR_POINT" in info.tags.get("", {}):  # a part of the georeference
        tags[""] = {"AREA_OR_POINT": info.tags[""]["AREA_OR_POINT"]}
    bands = tuple(replace(band, tags={}) for band in info.bands)
    return replace(info, tags=tags, bands=bands)


def plan_raster(item: Item, options: Settled, seen: SeenRaster) -> RasterPlan:
    """Decide on bands, values, model and output of a raster, before it is enlarged.

    Each decision goes by what was seen and the options.
    """
    window = seen.window
    reasons = Reasons([*seen.look.info.notes])
    bands = decide_bands(seen.look, options, reasons)
    reasons.notes.extend(seen.notes)
    values, remark = decide_values(bands, options, is_sheet=item.from_folder)
    model = decide_model(bands, values, options, seen.picture, reasons)
    if remark and len(model.interpolated) < len(
        bands.layout.smooth
    ):  # network sees some
        reasons.remarks.append(remark)

    is_photograph = seen.picture is not None and seen.picture.raster is None
    if options.divide or not is_photograph:
        layout = keep_bounds(
            bands.look, bands.layout, options.scale, reasons, divides=options.divide
        )
        bands = replace(bands, layout=layout)
    if options.strip_metadata:  # tags have said what values mean
        bands = _without_metadata(bands)
    info = bands.look.info
    output_options = model.options.raster_output(item.format, seen.input_id)
    output = derive_profile(
        info, bands.layout, window, options.scale, output_options, reasons.notes
    )
    embedded = None
    if seen.picture is not None:
        embedded, notes = choose_embedded(
            seen.picture, item, window, output, model.options
        )
        reasons.notes.extend(notes)
        if embedded is not None and seen.picture.raster is None:
            output = leave_to_embedding(output, item.format)
    if options.keep_hidden and bands.layout.alpha is not None:
        reasons.notes.append(
            "--keep-hidden is for photographs: colours under alpha are not kept"
        )
    # COGs and maps of zoom levels have overviews whatever the input has
    if output.overviews and not options.overviews and output.driver == "GTiff":
        reasons.remarks.append(
            "has overviews, which its result gets, too; --no-overviews leaves them out"
        )
    return RasterPlan(
        item=item,
        options=model.options,
        info=info,
        layout=bands.layout,
        area=seen.look.area,
        window=window,
        values=keep_interpolated_values(
            values, model.interpolated, len(bands.layout.smooth)
        ),
        interpolated=model.interpolated,
        output=output,
        notes=tuple(reasons.notes),
        remarks=tuple(reasons.remarks),
        condition=model.condition,
        embedded=embedded,
        fingerprint=_fingerprint(bands, window, values, model),
    )


def choose_embedded(
    picture: Picture,
    item: Item,
    window: Window,
    output: OutputProfile,
    options: Settled,
) -> tuple[Metadata | None, tuple[str, ...]]:
    """Return what is put into an output of a window once GDAL has written it, maybe None.

    Returned with it are warnings of what is lost.
    """
    if options.strip_metadata:
        return None, ()
    metadata = picture.metadata
    is_photograph = picture.raster is None
    if not is_photograph:
        metadata = exif_beside_gdal(metadata)
        if metadata.exif is None:
            return None, ()
    if output.driver == "COG" or (not is_photograph and item.format != "tif"):
        form = "a COG" if output.driver == "COG" else f"{item.format} of a raster"
        if metadata.exif is None:
            return None, ()
        return None, (f"EXIF left out: {form} is written without it",)
    metadata = replace(metadata, icc=None, colours=None)
    before = (window.height, window.width)
    pixel_map = PixelMap(before=before, after=(output.height, output.width))
    metadata, notes = fit_metadata(metadata, pixel_map)
    if metadata.exif is not None and before != picture.size:
        block = exif.read_exif(metadata.exif)
        metadata = replace(metadata, exif=block.edited({}, dict.fromkeys(_AREAS)))
    if is_photograph and options.records_provenance:
        files = companions_on_disk(picture.path)
        input_id = source_id(picture.path, map(str, files), picture.input_id)
        metadata = with_record(metadata, options.make_provenance(input_id))
    metadata, lost = dress_metadata(metadata, item.format)
    return metadata, (*notes, *lost)


def leave_to_embedding(output: OutputProfile, fmt: str) -> OutputProfile:
    """Return an output without the texts and EXIF that GDAL would write, beside some formats."""
    tags = {}
    if "COLOR_PROFILE" in output.tags:
        tags["COLOR_PROFILE"] = output.tags["COLOR_PROFILE"]
    if fmt == "tif":
        tags[""] = {
            key: text
            for key, text in output.tags.get("", {}).items()
            if key.startswith(_TAGS_OF_TIFF)
        }
    return replace(output, tags=tags)


def _without_metadata(bands: BandDecision) -> BandDecision:
    """Return what was decided on bands, of which no tags go into the output."""
    look = replace(bands.look, info=without_tags(bands.look.info))
    outputs = tuple(replace(band, tags={}) for band in bands.layout.outputs)
    return replace(bands, look=look, layout=replace(bands.layout, outputs=outputs))


def _fingerprint(
    bands: BandDecision, window: Window, values: Values, model: ModelDecision
) -> dict[str, object]:
    """Return what the pixels depend on; see ``RasterPlan``."""
    info = bands.look.info
    layout = bands.layout
    options = model.options
    states: list[object] = []
    for path in info.files:  # without size and time where it is no file, but a service
        states.append([path, *(file_state(file_on_disk(path)) or ())])
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
        "interpolated": model.interpolated,
        "range": [values.ranges, str(values.dtype)],
        # as text, because NaN differs from itself
        "nodata": str([(band.nodata, *band.undeclared_nodata) for band in info.bands]),
        "codes": str([(band.codes, band.measured) for band in info.bands]),
        "limits": str([(band.limits, band.zero) for band in layout.outputs]),
        "divisor": layout.divisor,
        "part": [window.left, window.top, window.width, window.height],
        "cutline": options.polygons and options.polygons.checksum,
    }


@dataclass(frozen=True)
class BandDecision:
    """Content of the bands of a raster, and how they go through the network."""

    look: Look
    """With what was decided on nodata and alpha."""
    layout: BandLayout


@dataclass(frozen=True)
class ModelDecision:
    """The model of a raster, and the bands that it does not get."""

    options: Settled
    """With the model that ``auto`` has chosen."""
    condition: str = ""
    """What the pixels have gone through, where ``auto`` chose the model by it."""
    interpolated: tuple[int, ...] = ()
    """Positions in ``layout.smooth`` of bands that bicubic interpolation enlarges."""


def decide_bands(look: Look, options: Settled, reasons: Reasons) -> BandDecision:
    """Decide which values are no data, which band is alpha, and which hold classes.

    Each question is asked of the look that the one before has left: what is no data
    counts in none of the later ones, and a band called alpha that holds data may hold
    codes or classes.
    """
    if options.bands is None:
        check_axes(look.info)
    if options.nodata == "file":  # else the user has said all there is
        look = find_undeclared_nodata(look, reasons)
    look = check_alpha_bands(look, options.alpha, reasons)
    # classes are repeated with all their codes
    if options.nodata == "file" and options.classes != "yes":
        look = find_special_codes(look, options.rgb, reasons)
    layout = choose_layout_by_signs(
        look, options.classes, reasons, bands=options.bands, rgb=options.rgb
    )
    if options.dtype is not None:
        layout = as_floats(look.info, layout, options.dtype)
    check_dtype(look.info, layout)
    if layout.alpha:
        layout = replace(layout, soft_alpha=look.range_of_soft_alpha(layout.alpha))
    return _mark_outside(BandDecision(look, layout))


def _mark_outside(decision: BandDecision) -> BandDecision:
    """Choose how pixels outside a cutline are marked, where nothing marks empty ones yet."""
    look = decision.look
    layout = decision.layout
    marks = (look.info.mask, layout.nodata, layout.alpha)
    if look.info.cutline is None or marks != (None, None, None):
        return decision
    if layout.dtype.startswith("float"):
        return replace(decision, layout=replace(layout, nodata=math.nan))
    masked = replace(look, info=replace(look.info, mask="dataset"))
    return replace(decision, look=masked)


def decide_values(
    bands: BandDecision, options: Settled, *, is_sheet: bool = False
) -> tuple[Values, str]:
    """Decide on black and white, and why; without a network values stay as they are.

    A raster of a folder may be a sheet, whose neighbours should have the same range.
    """
    layout = bands.layout
    # bands of classes, and heights packed into colours, which are interpolated
    is_without_network = not layout.groups or layout.is_packed
    if is_without_network or interpolates_exactly(layout, options):
        return values_as_they_are(layout), ""
    values, remark = choose_value_range(bands.look, layout, options.values)
    if remark and not bands.look.is_of_whole_file:
        remark += "; it is that of this part alone, as the file is on the network"
    elif remark and is_sheet:
        remark += ", and --mosaic gives all sheets of a folder the same"
    return values, remark


def decide_model(
    bands: BandDecision,
    values: Values,
    options: Settled,
    picture: Picture | None,
    reasons: Reasons,
) -> ModelDecision:
    """Decide on the model, as ``auto`` does, and on bands that are interpolated instead.

    ``picture`` is a file that srx reads itself, which may be a photograph: then ``auto``
    has it decoded, and judges it as one.
    """
    layout = bands.layout
    condition = ""
    if options.auto and layout.is_packed:
        options = replace(options, model=INTERPOLATION_MODEL)
    elif options.auto and layout.groups:
        model, condition = _model_by_condition(bands, options, picture)
        options = replace(options, model=model)
    interpolated = choose_interpolated_bands(
        bands.look, layout, values, options, reasons
    )
    # no network is loaded that would see no band
    if options.auto and layout.groups and len(interpolated) == len(layout.smooth):
        options = replace(options, model=INTERPOLATION_MODEL)
        condition = "measurements"
    return ModelDecision(options, condition, interpolated)


def _model_by_condition(
    bands: BandDecision,
    options: Settled,
    picture: Picture | None,
) -> tuple[str, str]:
    """Return the model, as ``auto`` chooses it, and the condition of the pixels.

    A photograph, read by windows or not, gets that of photographs.
    """
    choose = options.model_for_raster
    if picture is not None and picture.raster is None:
        if picture.height * picture.width <= LARGEST_AREA:
            photograph = read_photograph(picture)
            return choose_by_condition(photograph, options, picture.format)
        choose = options.model_for_photograph
    condition = classify_raster_condition(bands.look, bands.layout)
    return choose(condition), condition


def classify_raster_condition(
    look: Look, layout: BandLayout
) -> Condition | Literal[""]:
    """Return the condition of most of an aerial picture, that is RGB of 8 bits, no palette.

    Parts all over it are looked at; those with holes, and drawings, do not count.
    Empty for all other rasters: their values are measurements, which no network may
    restore.
    """
    if not layout.rgb or layout.dtype != "uint8" or layout.palette is not None:
        return ""
    conditions: Counter[Condition] = Counter()
    numbers = [layout.bands[index] for index in layout.rgb]
    bands = [visible_windows(look, layout, number, 512, 3) for number in numbers]
    for colours in zip(*bands, strict=True):
        if all(window.valid.all() for window in colours):
            pixels = np.dstack([window.pixels for window in colours])
            conditions[classify_condition(pixels)] += 1
    del conditions["drawing"]
    if 2 * conditions["clean"] >= conditions.total():
        return "clean"
    del conditions["clean"]
    return conditions.most_common(1)[0][0]
