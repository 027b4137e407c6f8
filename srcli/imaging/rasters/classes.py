"""Decide which bands of a raster hold classes, which are not interpolated, and group the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from srcli.imaging.rasters.band import Band
from srcli.imaging.rasters.info import COLOURS
from srcli.imaging.rasters.look import Look
from srcli.imaging.rasters.selection import BandLayout, choose_layout
from srcli.imaging.rasters.signs import (
    Finding,
    are_three_bands_of_classes,
    find_sign,
)

ClassMode = Literal["auto", "yes", "no"]
_REPEATED = (
    "taken for classes, enlarged by nearest neighbour; --classes no interpolates"
)
_KEPT = "taken for a picture; --classes yes if not"


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
    for number, finding in findings.items():
        if finding.sign.meaning == "classes":
            classes.append(number)
    layout = choose_layout(info, bands=bands, rgb=rgb, classes=classes)
    notes, remarks = _explain(findings)
    return replace(layout, notes=(*layout.notes, *notes), remarks=tuple(remarks))


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
        is_float = band.header.dtype.startswith("float")
        # floats that are no whole numbers are probabilities
        if not is_float or band.appearance.is_whole:
            findings[number] = finding
    return findings


def _find_by_values(
    seen: Mapping[int, Band], layout: BandLayout, *, is_asked: bool
) -> dict[int, Finding]:
    """Return what the values of bands show; ``is_asked`` is a group that the user named."""
    findings = {}
    for group in layout.groups:
        numbers = [layout.bands[index] for index in layout.indices(group)]
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


def _explain(findings: Mapping[int, Finding]) -> tuple[list[str], list[str]]:
    """Return warnings on bands whose values alone decided, and messages on the others."""
    texts: dict[str, list[str]] = {}
    guesses: list[str] = []
    for number, finding in sorted(findings.items()):
        text = f"band {number} {finding.reason}"
        if not finding.sign.is_sure:
            guesses.append(text)
            continue
        treatment = _REPEATED if finding.sign.meaning == "classes" else _KEPT
        texts.setdefault(treatment, []).append(text)
    remarks = []
    for treatment in (_REPEATED, _KEPT):
        if treatment in texts:
            remarks.append(f"{'; '.join(texts[treatment])}: {treatment}")
    notes = []
    if guesses:
        notes.append(f"{'; '.join(guesses)}: {_REPEATED}, --classes yes silences this")
    return notes, remarks
