"""Choose which values of a raster become 0 and 1 for the network, from a sample of its pixels."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.rasters.reading import RasterDecoder, spread_windows
from srcli.ports.image import Values, are_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.rasters.info import RasterInfo
    from srcli.imaging.rasters.selection import BandLayout
    from srcli.ports.image import Window

    Array = NDArray[Any]
    Sample = tuple[Window, tuple[int, int]]

MOST_SAMPLES = 2**22
"""Sampled values, all bands together."""
_ENOUGH = 10_000
_LARGEST_WRITTEN_OUT = 1e12
_SIDE, _ALONG, _MORE_ALONG = 128, 16, 48
"""Pixels a side of the windows that are sampled, and the most of them along each axis; the larger
number where few pixels turn out to be valid."""
# Percent of the values taken as outliers on each side, and the margin added on each side as a
# fraction of the range. Values outside are kept, but the network does not work on them; a margin
# leaves most of the outliers to it, at little cost in contrast.
_OUTLIERS = 0.1
_MARGIN = 0.1
_CONSTANT = 1e-6
"""Width of the range of a constant float raster, as a fraction of its value."""
# An undeclared nodata value is suspected from this fraction of the samples, and from this distance
# to the nearest other value, as a multiple of the others' range.
_FREQUENT, _FAR = 0.001, 2.0
# Values that files usually hold for no data need not lie so far away.
_USUAL, _LESS_FAR = frozenset({-32768.0, -32767.0, -9999.0, -99999.0}), 0.1
_MOST_SHOWN = 4  # groups of bands whose ranges are printed


def choose_value_range(
    info: RasterInfo,
    layout: BandLayout,
    window: Window,
    spec: Literal["auto", "dtype"] | tuple[float, float],
) -> tuple[Values, str]:
    """Choose the values that become 0 and 1 for the network, the same for all tiles and runs.

    ``auto`` takes 0 to 255 for uint8, 0 to 1 for floats in this range, otherwise the range of
    nearly all valid pixels: of red, green and blue together and of every other band alone, so that
    heights in metres do not swamp an index of -1 to 1.

    Args:
        info: The file.
        layout: Bands to enlarge.
        window: The part to enlarge.
        spec: ``auto``; ``dtype`` for the full range of the dtype (0 to 1 for floats); or the lowest
            and the highest value, finite.

    Returns:
        The values, and a note for the user; empty if the range was not found from pixels.
    """
    dtype = np.dtype(layout.dtype)
    if dtype.kind != "f" and dtype.itemsize > 4:
        raise PictureError(
            f"{info.path}: {dtype} values are enlarged as classes only (--classes yes); convert "
            "them to integers of up to 32 bits, or to floats"
        )
    if isinstance(spec, tuple):
        return Values(dtype=dtype, low=spec[0], high=spec[1]), ""
    low, high = 0.0, 1.0
    if dtype.kind != "f":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    if spec == "dtype" or dtype == np.uint8:
        return Values(dtype=dtype, low=low, high=high), ""
    samples = _sample_groups(info, layout, window)
    why = "found from the pixels" if any(map(len, samples)) else "no valid pixel was found"
    ranges = [_robust_range(group) if group.size else (low, high) for group in samples]
    advice = f"({why}); --range changes that{_suggest_nodata(samples, layout)}"
    if len(set(ranges)) == 1:
        low, high = ranges[0]
        note = f"values {_range_text(low, high)} are black to white {advice}"
        return Values(dtype=dtype, low=low, high=high), note
    bands = [",".join(str(layout.bands[place]) for place in group) for group in layout.groups]
    texts = [f"{band}: {_range_text(*ends)}" for band, ends in zip(bands, ranges, strict=True)]
    more = [f"{len(texts) - _MOST_SHOWN} more"] if len(texts) > _MOST_SHOWN else []
    note = f"values of bands {'; '.join(texts[:_MOST_SHOWN] + more)} are black to white {advice}"
    by_place = {
        place: ends for group, ends in zip(layout.groups, ranges, strict=True) for place in group
    }
    lows, highs = zip(*(by_place[place] for place in range(layout.channels)), strict=True)
    return Values(dtype=dtype, low=lows, high=highs), note


def _sample_places(info: RasterInfo, window: Window, pixels: int, along: int) -> list[Sample]:
    """Choose windows of the file, and the (height, width) to subsample each to.

    A small window is read completely; a large one from an overview, unless a mask (which may have
    no overviews) marks its pixels; otherwise by ``along`` windows on each axis.
    """
    if window.height * window.width <= pixels:
        return [(window, (window.height, window.width))]
    for factor in sorted(info.overviews):
        height, width = max(window.height // factor, 1), max(window.width // factor, 1)
        if height * width <= pixels and info.mask not in ("dataset", "band"):
            return [(window, (height, width))]
    places = list(spread_windows(window, side=_SIDE, along=along))
    height, width = places[0].height, places[0].width
    kept = min(math.sqrt(pixels / len(places) / (height * width)), 1.0)
    shape = max(int(height * kept), 1), max(int(width * kept), 1)
    return [(place, shape) for place in places]


def _sample_groups(info: RasterInfo, layout: BandLayout, window: Window) -> list[Array]:
    """Read valid values of each group of bands."""
    samples: list[Array] = []
    with closing(RasterDecoder(info, layout)) as decoder:
        for along in (_ALONG, _MORE_ALONG):
            found: list[list[Array]] = [[] for _ in layout.groups]
            most = MOST_SAMPLES // layout.channels
            for place, shape in _sample_places(info, window, most, along):
                piece = decoder.read(place, shape)
                valid = np.True_ if piece.valid is None else piece.valid
                valid = np.broadcast_to(valid, piece.pixels.shape)
                for kept, group in zip(found, layout.groups, strict=True):
                    kept.append(piece.pixels[:, :, group][valid[:, :, group]])
            samples = [np.concatenate(kept) for kept in found]
            if min(map(len, samples)) >= _ENOUGH // layout.channels:
                break
    return samples


def _robust_range(samples: Array) -> tuple[float, float]:
    """Range of nearly all samples, slightly widened; never empty, never beyond the samples."""
    whole = samples.dtype.kind != "f"
    if not whole and are_units(float(samples.min()), float(samples.max())):
        return 0.0, 1.0
    ends = np.array([samples.min(), samples.max()], np.float64)
    # a quarter of the largest float keeps differences finite
    bottom, top = ends.clip(-np.finfo(np.float64).max / 4, np.finfo(np.float64).max / 4)
    low, high = np.percentile(samples.astype(np.float64, copy=False), [_OUTLIERS, 100 - _OUTLIERS])
    low, high = max(low, bottom), min(high, top)
    margin = _MARGIN * (high - low)
    low, high = max(low - margin, bottom), min(high + margin, top)
    if not low < high:  # nearly all pixels are equal
        low, high = bottom, top
    if not low < high:  # all are
        # narrow, so that whatever the network adds to a constant picture vanishes
        high = low + (1.0 if whole else max(abs(low), 1.0) * _CONSTANT)
    if whole:
        low, high = math.floor(low), math.ceil(high)
    return float(low), float(high)


def _suggest_nodata(groups: list[Array], layout: BandLayout) -> str:
    """Advise --nodata for a value that looks like it: frequent, and far from all others."""
    if layout.nodata is not None:
        return ""
    for samples in groups:
        for end in (samples.min(), samples.max()) if samples.size else ():
            others = samples[samples != end]
            if not others.size or 1 - others.size / samples.size < _FREQUENT:
                continue
            ends = float(others.min()), float(others.max())
            nearest, furthest = sorted(abs(each - float(end)) for each in ends)
            far = _LESS_FAR if float(end) in _USUAL else _FAR
            if nearest > far * (furthest - nearest):
                text = _number_text(float(end), 9)
                return f"; {text} occurs often, far from all others: --nodata {text} if it is none"
    return ""


def _range_text(low: float, high: float) -> str:
    """Format both numbers with enough digits to tell them apart."""
    digits = 6 if high - low > 1e-4 * max(abs(low), abs(high)) else 16
    return f"{_number_text(low, digits)} to {_number_text(high, digits)}"


def _number_text(value: float, digits: int) -> str:
    whole = value == int(value) and abs(value) < _LARGEST_WRITTEN_OUT
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"
