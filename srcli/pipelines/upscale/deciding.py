"""Decide what a raster's bands are, which values are black and white, and which model they get.

Each function takes the look and the options, and adds its reasons to those for the user.
None opens a file; a photograph that is judged by its pixels is decoded by the
``KnownPicture`` that is handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from srcli.imaging.photographs.photograph import LARGEST_AREA
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.meanings import (
    Reasons,
    check_alpha_bands,
    choose_layout_by_signs,
    find_special_codes,
    find_undeclared_nodata,
)
from srcli.imaging.rasters.selection import BandLayout, as_floats, check_axes
from srcli.imaging.rasters.value_range import (
    check_dtype,
    choose_value_range,
    values_as_they_are,
)
from srcli.pipelines.upscale.choosing import INTERPOLATION_MODEL, choose_by_condition
from srcli.pipelines.upscale.condition import classify_raster_condition
from srcli.pipelines.upscale.interpolated_bands import (
    choose_interpolated_bands,
    interpolates_exactly,
)
from srcli.ports.image import Values

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.raster_metadata import KnownPicture


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
    check_dtype(look, layout)
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
    picture: KnownPicture | None,
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
        if condition:  # of a photograph
            condition = "measurements"
    return ModelDecision(options, condition, interpolated)


def _model_by_condition(
    bands: BandDecision,
    options: Settled,
    picture: KnownPicture | None,
) -> tuple[str, str]:
    """Return the model, as ``auto`` chooses it, and the condition of the pixels.

    A photograph, read by windows or not, gets that of photographs.
    """
    if picture is None or not picture.is_photograph:
        condition = classify_raster_condition(bands.look, bands.layout)
        return options.model_for_raster(condition), condition
    header = picture.header
    if header.height * header.width <= LARGEST_AREA:
        return choose_by_condition(picture.decode(), options, header.format)
    condition = classify_raster_condition(bands.look, bands.layout)
    return options.model_for_photograph(condition), condition
