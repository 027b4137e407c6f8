"""Decide which pixels of a raster the network does not see: no data, codes, transparent ones.

Each function looks at the bands by ``SIGNS`` and returns the look with what it has found,
and what the user is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from srcli.imaging.rasters.band import Band
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.selection import find_rgb
from srcli.imaging.rasters.signs import find_sign

AlphaMode = Literal["auto", "yes", "no"]
_KEPT = "repeated as they are; --nodata none interpolates them"


def find_undeclared_nodata(
    look: Look, numbers: Sequence[int] | None
) -> tuple[Look, tuple[str, ...]]:
    """Find undeclared fills; return the look that has them as nodata, and notes for the user.

    ``numbers`` are those of the bands to look at; None is all.
    """
    bands = list(look.info.bands)
    bands_by_text: defaultdict[str, list[str]] = defaultdict(list)
    for number, band_info in enumerate(look.info.bands, 1):
        if numbers is not None and number not in numbers:
            continue
        band = Band(look, number, is_only=False)
        finding = find_sign(band, "fills")
        if finding is None:
            continue
        nodata = band_info.nodata
        if nodata is None:
            nodata = band.fill_values[0]
        undeclared = (*band_info.undeclared_nodata, *band.fill_values)
        bands[number - 1] = replace(
            band_info, nodata=nodata, undeclared_nodata=undeclared
        )
        why = "which the file does not say"
        if band_info.nodata in band.fill_values:
            why = "as the file declares it beside a mask"
        text = f"{finding.reason} is taken as no data, {why}"
        bands_by_text[text].append(str(number))
    notes = []
    for text, names in bands_by_text.items():
        notes.append(
            f"{text} (bands: {','.join(names)}); --nodata none keeps it as a value"
        )
    return look.with_bands(bands), tuple(notes)


@dataclass(frozen=True)
class AlphaFindings:
    """Findings on the bands that a file calls alpha."""

    look: Look
    """The file, in which alpha bands that hold data have the interpretation undefined."""
    notes: tuple[str, ...] = ()
    soft: tuple[float, float] | None = None
    """Lowest and highest value of an alpha band that has others besides 0 and its
    highest; None without such a band."""


def check_alpha_bands(
    look: Look, mode: AlphaMode, numbers: Sequence[int] | None
) -> AlphaFindings:
    """Tell bands called alpha that hold data, and alpha that is soft, from others.

    The modes ``yes`` and ``no`` say of all of them that they are alpha, or data.
    ``numbers`` are those of the bands that are kept; None is all.
    """
    soft: tuple[float, float] | None = None
    bands = list(look.info.bands)
    data = []
    reason = ""
    for number, band_info in enumerate(look.info.bands, 1):
        is_chosen = numbers is None or number in numbers
        if band_info.interpretation != "alpha" or not is_chosen:
            continue
        band = Band(look, number, is_only=False)
        finding = find_sign(band, "alpha") if mode == "auto" else None
        if mode == "no" or finding is not None:
            bands[number - 1] = replace(band_info, interpretation="undefined")
            data.append(str(number))
            reason = finding.reason if finding is not None else ""
        elif soft is None and band.opacity.size:
            pixels = band.opacity
            highest = float(pixels.max())
            if bool(np.any((pixels != 0) & (pixels != highest))):
                soft = (float(pixels.min()), highest)
    note = f"band {','.join(data)} {reason}: enlarged as data; --alpha yes if it is transparency"
    notes = (note,) if reason else ()
    return AlphaFindings(look.with_bands(bands), notes, soft)


@dataclass(frozen=True)
class CodeFindings:
    """Findings on codes beside measurements."""

    look: Look
    """The raster, whose bands know their codes."""
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def find_special_codes(
    look: Look, numbers: Sequence[int] | None, rgb: Sequence[int] | None
) -> CodeFindings:
    """Find the codes of bands by ``SIGNS``: by a stated range, or beyond a gap.

    ``numbers`` are those of the bands that are kept, from 1, None is all; of a gap in
    red, green and blue nothing can be told.
    """
    candidates = []
    for number, band_info in enumerate(look.info.bands, 1):
        is_chosen = numbers is None or number in numbers
        if is_chosen and band_info.interpretation not in ("alpha", "palette"):
            candidates.append(number)
    together, _ = find_rgb(look.info, tuple(candidates), rgb)
    bands = list(look.info.bands)
    notes = []
    remarks = []
    for number in candidates:
        band = Band(look, number, is_only=False)
        if band.measured is not None:
            bands[number - 1] = replace(bands[number - 1], measured=band.measured)
        finding = find_sign(band, "limits")
        if finding is None or (number in together and not finding.sign.is_sure):
            continue
        text = f"band {number} {finding.reason}: {_KEPT}"
        if finding.sign.is_sure:
            remarks.append(text)
        else:
            bands[number - 1] = replace(bands[number - 1], codes=band.special_codes)
            notes.append(text)
    return CodeFindings(look.with_bands(bands), tuple(notes), tuple(remarks))
