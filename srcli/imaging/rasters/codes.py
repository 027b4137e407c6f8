"""Decide which values of a raster's bands are codes beside measurements, which are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from srcli.imaging.rasters.band import Band
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.selection import find_rgb
from srcli.imaging.rasters.signs import find_sign

_KEPT = "repeated as they are; --nodata none interpolates them"


@dataclass(frozen=True)
class CodeFindings:
    """What is known of codes beside measurements."""

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
