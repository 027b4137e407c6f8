"""Decide which bands of a raster hold classes, which are not interpolated, and group the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from srcli.imaging.rasters.band import Band
from srcli.imaging.rasters.info import COLOURS
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.selection import BandLayout, choose_layout
from srcli.imaging.rasters.signs import (
    Finding,
    Meaning,
    find_sign,
)

ClassMode = Literal["auto", "yes", "no"]
_TREATMENTS: dict[Meaning, str] = {
    "angles": (
        "taken for angles, each pixel repeated, as between 359 and 1 degrees lies no 180; "
        "--classes no interpolates"
    ),
    "classes": (
        "taken for classes, enlarged by nearest neighbour; --classes no interpolates"
    ),
    "heights": (
        "interpolated as numbers, whose bytes they are; --rgb 1,2,3 takes them for colours"
    ),
    "elevation": "taken for elevation, which auto interpolates",
    "picture": "taken for a picture; --classes yes if not",
}
"""What is done with bands by their meaning, in words for the user."""
_SILENCED = "--classes yes silences this"


def choose_layout_by_signs(
    look: Look,
    mode: ClassMode,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
) -> BandLayout:
    """Choose the bands of the output by ``choose_layout``, after finding those of classes.

    The modes ``yes`` and ``no`` decide for all bands; ``auto`` goes by ``SIGNS``: first by
    what the file says of any band, then by the values of those that would go through
    the network.
    """
    info = look.info
    candidates = [
        number
        for number, band in enumerate(info.bands, start=1)
        if band.interpretation != "alpha" and (bands is None or number in bands)
    ]
    if mode == "no":
        return choose_layout(info, bands=bands, rgb=rgb)
    if mode == "yes":
        return choose_layout(info, bands=bands, rgb=rgb, classes=candidates)
    seen = {}
    for number in candidates:
        seen[number] = Band(look, number, is_only=len(candidates) == 1)
    findings = _find_by_headers(seen, rgb or ())
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=findings)
    if layout.palette is None:  # a palette that is left stands for colours
        findings |= _find_by_values(seen, layout, is_asked=rgb is not None)
    classes = []
    elevations = []
    for number, finding in findings.items():
        if finding.sign.meaning == "elevation":
            elevations.append(number)
        elif finding.sign.meaning != "picture":  # classes and angles are repeated
            classes.append(number)
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=classes)
    layout = replace(layout, elevations=tuple(elevations))
    if rgb is None:
        layout = _as_packed_heights(look, layout)
    notes, remarks = _explain(findings)
    notes += layout.notes
    remarks += layout.remarks
    return replace(layout, notes=tuple(notes), remarks=tuple(remarks))


def _as_packed_heights(look: Look, layout: BandLayout) -> BandLayout:
    """Return a layout of three bands that hold heights as one of them, with a line."""
    are_three = len(layout.rgb) == 3 == layout.channels
    if not are_three or layout.palette is not None or layout.nodata is not None:
        return layout
    red, green, blue = (layout.bands[index] for index in layout.rgb)
    if (green, blue) != (red + 1, red + 2) or layout.rgb != [0, 1, 2]:
        return layout
    finding = find_sign(Band(look, red, is_only=False), "bytes")
    have_codes = any(band.codes or band.measured for band in layout.outputs)
    if finding is None or have_codes:
        return layout
    remark = f"bands {red},{green},{blue} {finding.reason}: {_TREATMENTS['heights']}"
    return replace(
        layout, is_packed=True, smooth=(0,), groups=((0,),), notes=(), remarks=(remark,)
    )


def _find_by_headers(
    seen: Mapping[int, Band], rgb: Sequence[int]
) -> dict[int, Finding]:
    """Return what the file says of bands; floats must be whole numbers to be classes."""
    findings = {}
    for number, band in seen.items():
        if number in rgb or band.header.interpretation in COLOURS:
            continue
        finding = find_sign(band, "header")
        if finding is None:
            continue
        may_be_fractions = band.header.dtype.startswith("float")
        if finding.sign.meaning == "angles":
            may_be_fractions = False
        # floats that are no whole numbers are probabilities
        if not may_be_fractions or band.appearance.is_whole:
            findings[number] = finding
    return findings


def _find_by_values(
    seen: Mapping[int, Band], layout: BandLayout, *, is_asked: bool
) -> dict[int, Finding]:
    """Return what the values of bands show; ``is_asked`` is a group that the user named."""
    findings = {}
    for group in layout.groups:
        numbers = layout.numbers(group)
        # a second band of alpha is none that is looked at
        bands = [seen[number] for number in numbers if number in seen]
        if len(group) == 1 and bands:
            (band,) = bands
            finding = find_sign(band, "values")
            if finding is not None:
                findings[band.number] = finding
        elif len(bands) == 3 and not is_asked and are_three_bands_of_classes(bands):
            for band in bands:
                finding = find_sign(band, "colours")
                if finding is not None:
                    findings[band.number] = finding
    return findings


def are_three_bands_of_classes(bands: list[Band]) -> bool:
    """Tell if bands taken for red, green and blue hold classes, as those of three years do.

    None may follow the order of its values. Where the file itself calls them colours
    they must share one set of values, without white, and differ: a drawing has other
    values in each band, or the same gray in all.
    """
    if not all(band.appearance.are_codes for band in bands):
        return False
    if not any(band.header.interpretation in COLOURS for band in bands):
        return True
    first = bands[0].windows.pixels
    if all(np.array_equal(first, band.windows.pixels) for band in bands[1:]):
        return False
    values_of_bands = [band.appearance.values for band in bands]
    all_values = frozenset[float]().union(*values_of_bands)
    shared = all_values.intersection(*values_of_bands)
    is_8_bit = all(band.header.dtype == "uint8" for band in bands)
    white = 255 if is_8_bit else 65535
    is_shared = len(shared) >= max(5, 0.75 * len(all_values))
    return is_shared and white not in all_values


def _explain(findings: Mapping[int, Finding]) -> tuple[list[str], list[str]]:
    """Return warnings on bands whose values alone decided, and messages on the others."""
    notes = []
    remarks = []
    for meaning, treatment in _TREATMENTS.items():
        sure: list[str] = []
        guessed: list[str] = []
        for number, finding in sorted(findings.items()):
            if finding.sign.meaning == meaning:
                texts = sure if finding.sign.is_sure else guessed
                texts.append(f"band {number} {finding.reason}")
        if sure:
            remarks.append(f"{'; '.join(sure)}: {treatment}")
        if guessed:
            notes.append(f"{'; '.join(guessed)}: {treatment}, {_SILENCED}")
    return notes, remarks
