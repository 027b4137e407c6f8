"""Decide what the bands of a raster hold, by ``SIGNS``, and tell the user why.

First what the network does not see: no data, alpha that is data, codes. Each question is
asked of the look that the one before has left. Then which bands hold classes, which are
not interpolated, and which go together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from srcli.imaging.rasters.info import COLOURS, BandInfo
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.selection import BandLayout, choose_layout, find_rgb
from srcli.imaging.rasters.signs import (
    TREATMENTS,
    Band,
    Evidence,
    Finding,
    Meaning,
    find_sign,
)
from srcli.imaging.rasters.special_codes import range_beside

AlphaMode = Literal["auto", "yes", "no"]
ClassMode = Literal["auto", "yes", "no"]
_SILENCED = "--classes yes silences this"
_MOST_NAMED = 16
"""Bands up to which a message names each."""
_BY_CLASSES = frozenset({"angles", "classes", "elevation", "picture"})
"""Meanings that the option --classes decides on."""


def tell_bands(numbers_of_reasons: Mapping[str, Sequence[int]]) -> list[str]:
    """Return reasons that speak of one band, each with the numbers of its bands."""
    texts = []
    for reason, numbers in numbers_of_reasons.items():
        bands = f"band {numbers[0]}"
        if len(numbers) > _MOST_NAMED:
            bands = f"each of {len(numbers)} bands"
        elif len(numbers) > 1:
            bands = f"of bands {','.join(map(str, numbers))} each"
        texts.append(f"{bands} {reason}")
    return texts


@dataclass(frozen=True)
class Reasons:
    """What the user is told of the decisions on a raster, in their order."""

    notes: list[str] = field(default_factory=list)
    """Warnings of choices made for the user, who may want others."""
    remarks: list[str] = field(default_factory=list)
    """Messages on choices by what the file says."""

    def explain(self, findings: Mapping[int, Finding]) -> None:
        """Tell what shows the meaning of bands by their numbers, and what is done."""
        for meaning, treatment in TREATMENTS.items():
            for is_sure in (True, False):
                numbers_of_reasons: defaultdict[str, list[int]] = defaultdict(list)
                for number, finding in sorted(findings.items()):
                    sign = finding.sign
                    if sign.meaning == meaning and sign.is_sure == is_sure:
                        numbers_of_reasons[finding.reason].append(number)
                shown = tell_bands(numbers_of_reasons)
                text = f"{'; '.join(shown)}: {treatment}"
                if shown and is_sure:
                    self.remarks.append(text)
                elif shown and meaning in _BY_CLASSES:
                    self.notes.append(f"{text}, {_SILENCED}")
                elif shown:
                    self.notes.append(text)


def _as_nodata(band: Band) -> BandInfo:
    header = band.header
    nodata = header.nodata
    if nodata is None:
        nodata = band.fill_values[0]
    undeclared = (*header.undeclared_nodata, *band.fill_values)
    return replace(header, nodata=nodata, undeclared_nodata=undeclared)


def _as_data(band: Band) -> BandInfo:
    return replace(band.header, interpretation="undefined")


def _as_codes(band: Band) -> BandInfo:
    codes = band.gap_codes or band.top_codes
    measured = range_beside(*band.windows, codes) if band.top_codes else None
    return replace(band.header, codes=codes, measured=measured)


_EFFECTS: dict[Meaning, Callable[[Band], BandInfo]] = {
    "no data": _as_nodata,
    "data": _as_data,
    "codes": _as_codes,
}
"""What a guess makes of a band; of what the file says its header tells already."""


def _apply_signs(
    look: Look,
    evidence: Evidence,
    numbers: Iterable[int],
    reasons: Reasons,
    stated_alone: Collection[int] = (),
) -> Look:
    """Return the look after the effects of one evidence on bands of some numbers.

    Of those that are ``stated_alone`` counts only what the file says.
    """
    bands = list(look.info.bands)
    findings = {}
    for number in numbers:
        band = Band(look, number, is_only=len(look.info.bands) == 1)
        finding = find_sign(band, evidence, is_stated=number in stated_alone)
        if finding is None:
            continue
        findings[number] = finding
        if not finding.sign.is_sure or evidence == "fills":
            bands[number - 1] = _EFFECTS[finding.sign.meaning](band)
    reasons.explain(findings)
    return look.with_bands(bands)


def _numbers_but(look: Look, *interpretations: str) -> list[int]:
    """Return the bands that are looked at, without those of some interpretations."""
    numbers = []
    for number in look.numbers:
        if look.info.band(number).interpretation not in interpretations:
            numbers.append(number)
    return numbers


def find_undeclared_nodata(look: Look, reasons: Reasons) -> Look:
    """Return the look whose bands have undeclared fills as no data."""
    return _apply_signs(look, "fills", look.numbers, reasons)


def check_alpha_bands(look: Look, mode: AlphaMode, reasons: Reasons) -> Look:
    """Return the look whose bands called alpha, but holding data, are data.

    The modes ``yes`` and ``no`` say of all of them that they are alpha, or data.
    """
    called_alpha = set(look.numbers).difference(_numbers_but(look, "alpha"))
    if mode == "auto":
        return _apply_signs(look, "alpha", called_alpha, reasons)
    bands = list(look.info.bands)
    for number in called_alpha:
        if mode == "no":
            bands[number - 1] = _as_data(Band(look, number))
    return look.with_bands(bands)


def find_special_codes(look: Look, rgb: Sequence[int] | None, reasons: Reasons) -> Look:
    """Return the look whose bands know their codes: by range or flags that are stated, or a gap.

    Of a gap in red, green and blue nothing can be told.
    """
    candidates = _numbers_but(look, "alpha", "palette")
    together, _ = find_rgb(look.info, tuple(candidates), rgb)
    after = _apply_signs(look, "limits", candidates, reasons, together)
    bands = list(after.info.bands)
    for number in candidates:
        band = Band(look, number)
        header = bands[number - 1]
        codes = (*header.codes, *band.flag_codes)
        measured = band.measured or header.measured
        bands[number - 1] = replace(header, codes=codes, measured=measured)
    return look.with_bands(bands)


def choose_layout_by_signs(
    look: Look,
    mode: ClassMode,
    reasons: Reasons,
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
    candidates = _numbers_but(look, "alpha")
    findings: dict[int, Finding] = {}
    seen = {}
    if mode == "auto":
        for number in candidates:
            seen[number] = Band(look, number, is_only=len(candidates) == 1)
        findings = _find_by_headers(seen, rgb or ())
        layout = choose_layout(info, bands=bands, rgb=rgb, classes=findings)
        if layout.palette is None:  # a palette that is left stands for colours
            findings |= _find_by_values(seen, layout, is_asked=rgb is not None)
    meanings = {number: finding.sign.meaning for number, finding in findings.items()}
    classes = candidates if mode == "yes" else []
    elevations = []
    for number, meaning in meanings.items():
        if meaning == "elevation":
            elevations.append(number)
        elif meaning != "picture":  # classes and angles are repeated
            classes.append(number)
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=classes)
    layout = replace(layout, elevations=tuple(elevations))
    heights = _find_heights(look, layout) if mode == "auto" and rgb is None else None
    if heights is not None:
        findings = dict.fromkeys(layout.bands, heights)
        packed = ((0,),)
        layout = replace(layout, is_packed=True, smooth=(0,), groups=packed, note="")
    reasons.explain(findings)
    if layout.note:
        reasons.notes.append(layout.note)
    return layout


def _find_heights(look: Look, layout: BandLayout) -> Finding | None:
    """Return what shows that three bands are bytes of heights; None if they are not."""
    are_colours = layout.rgb == [0, 1, 2] and layout.channels == 3
    if not are_colours or layout.palette is not None or layout.nodata is not None:
        return None
    red = layout.bands[0]
    have_codes = any(band.codes or band.measured for band in layout.outputs)
    if layout.bands != (red, red + 1, red + 2) or have_codes:
        return None
    return find_sign(Band(look, red), "bytes")


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
        # a second band of alpha is none that is looked at
        bands = [seen[number] for number in layout.numbers(group) if number in seen]
        evidence: Evidence = "values"
        if len(group) == 3:
            evidence = "colours"
            if len(bands) < 3 or is_asked or not are_three_bands_of_classes(bands):
                continue
        for band in bands:
            finding = find_sign(band, evidence)
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
