"""Which values of a raster a network sees as black and white: the same for all of its tiles."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import UsageError
from srcli.imaging.rasters.decoding import RasterDecoder
from srcli.imaging.rasters.sampling import sample_windows
from srcli.ports.values import Values, are_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.rasters.bands import BandLayout
    from srcli.imaging.rasters.info import RasterInfo
    from srcli.ports.image import Window

    Array = NDArray[Any]
    Ends = tuple[float, float]

MOST_SAMPLES = 2**22
"""Values that are looked at, of all bands together."""
_ENOUGH = 10_000
_LONGEST_WHOLE = 1e12  # whole numbers below it are written out
_FEW_BLOCKS, _MANY_BLOCKS = 256, 2048
# Percent of the values that are taken for outliers, on each side, and the part of the range that
# is added on each side. Values outside are kept, but the network does not work on them; a margin
# leaves most of the outliers to it, at little cost in contrast.
_OUTLIERS = 0.1
_MARGIN = 0.1
_EVEN = 1e-6
"""Width of the range of floats that are all equal, as a part of their value."""
# What looks like an undeclared nodata value: its share of the samples, and its distance to the
# nearest other one as a multiple of their range.
_FREQUENT, _FAR = 0.001, 2.0
_SHOWN = 4  # groups of bands whose ranges are told


def choose_value_range(
    info: RasterInfo, layout: BandLayout, window: Window, spec: str
) -> tuple[Values, str]:
    """Choose the values that become 0 and 1 for the network.

    ``auto`` takes 0 to 255 for uint8, 0 to 1 for floats that lie there already, and else the range
    of nearly all valid pixels: of red, green and blue together, of every other band alone, for a
    height in metres beside an index of -1 to 1 must not rule it. It looks at the whole window if
    that is small, at overviews of large files, at blocks spread over those that have none; the same
    ones each time.

    Args:
        info: The file.
        layout: Which bands.
        window: The part that is enlarged.
        spec: ``auto``; ``dtype`` for all that the dtype holds (0 to 1 for floats); or two numbers,
            ``LO,HI``.

    Returns:
        The values, and what to tell the user of them; empty if nothing was decided.

    Raises:
        UsageError: If ``spec`` is none of these.
        PictureError: If the file is damaged.
    """
    dtype = np.dtype(layout.dtype)
    if spec not in ("auto", "dtype"):
        low, high = _two_numbers(spec)
        return Values(dtype=dtype, low=low, high=high), ""
    low, high = (0.0, 1.0) if dtype.kind == "f" else _limits(dtype)
    if spec == "dtype" or dtype == np.uint8:
        return Values(dtype=dtype, low=low, high=high), ""
    found = _samples(info, layout, window)
    why = "found from the pixels" if any(map(len, found)) else "no valid pixel was found"
    ranges = [_range(samples) if samples.size else (low, high) for samples in found]
    told = f"({why}); --range changes that{_stray(found, layout)}"
    if len(set(ranges)) == 1:
        (low, high), words = ranges[0], _words(*ranges[0])
        return Values(dtype=dtype, low=low, high=high), f"values {words} are black to white {told}"
    bands = [",".join(str(layout.bands[place]) for place in group) for group in layout.groups]
    texts = [f"{band}: {_words(*ends)}" for band, ends in zip(bands, ranges, strict=True)]
    more = [f"{len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    words = f"of bands {'; '.join(texts[:_SHOWN] + more)} are black to white {told}"
    by_place = dict(chain.from_iterable(map(_each, layout.groups, ranges)))
    lows, highs = zip(*(by_place[place] for place in range(layout.channels)), strict=True)
    return Values(dtype=dtype, low=lows, high=highs), f"values {words}"


def _stray(found: list[Array], layout: BandLayout) -> str:
    """Ask for a value that looks as if it stood for no data: frequent, and far from all others."""
    if layout.nodata is not None:
        return ""
    for samples in found:
        for end in (samples.min(), samples.max()) if samples.size else ():
            others = samples[samples != end]
            if not others.size or 1 - others.size / samples.size < _FREQUENT:
                continue
            nearest, furthest = sorted(abs(float(each) - float(end)) for each in _ends(others))
            if nearest > _FAR * (furthest - nearest):
                text = _text(float(end), 9)
                return f"; {text} occurs often, far from all others: --nodata {text} if it is none"
    return ""


def _ends(samples: Array) -> tuple[float, float]:
    return float(samples.min()), float(samples.max())


def _each(group: tuple[int, ...], ends: tuple[float, float]) -> list[tuple[int, Ends]]:
    return [(place, ends) for place in group]


def _words(low: float, high: float) -> str:
    return " to ".join(_texts(low, high))


def _texts(low: float, high: float) -> tuple[str, str]:
    """Both numbers with as many digits as tell them apart, and their distance to a hundredth."""
    texts = repr(low), repr(high)
    for digits in range(6, 17):
        texts = _text(low, digits), _text(high, digits)
        if abs(float(texts[1]) - float(texts[0]) - (high - low)) <= 0.01 * (high - low):
            break
    return texts


def _text(value: float, digits: int) -> str:
    whole = value == int(value) and abs(value) < _LONGEST_WHOLE
    return f"{value:.0f}" if whole else f"{value:.{digits}g}"


def _two_numbers(spec: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in spec.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--range {spec}: give auto, dtype, or two numbers LO,HI with LO < HI")
    return low, high


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    limits = np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def _samples(info: RasterInfo, layout: BandLayout, window: Window) -> list[Array]:
    """Valid values of each group of bands."""
    decoder = RasterDecoder(info, layout)
    samples: list[Array] = []
    try:
        for blocks in (_FEW_BLOCKS, _MANY_BLOCKS):
            most = MOST_SAMPLES // layout.channels
            found: list[list[Array]] = [[] for _ in layout.groups]
            for place, shape in sample_windows(info, window, pixels=most, blocks=blocks):
                piece = decoder.interpret(*decoder.load(place, shape))
                valid = np.True_ if piece.valid is None else piece.valid
                valid = np.broadcast_to(valid, piece.pixels.shape)
                for kept, group in zip(found, layout.groups, strict=True):
                    kept.append(piece.pixels[:, :, group][valid[:, :, group]])
            samples = [np.concatenate(kept) for kept in found]
            if min(map(len, samples)) >= _ENOUGH // layout.channels:
                break
    finally:
        decoder.close()
    return samples


def _range(samples: Array) -> tuple[float, float]:
    """The range of nearly all samples, a little wider; never empty, never beyond the samples."""
    whole = samples.dtype.kind != "f"
    if not whole and are_units(float(samples.min()), float(samples.max())):
        return 0.0, 1.0
    ends = np.array([samples.min(), samples.max()], np.float64)
    # quarters keep differences of the largest floats finite
    bottom, top = ends.clip(-np.finfo(np.float64).max / 4, np.finfo(np.float64).max / 4)
    low, high = np.percentile(samples.astype(np.float64, copy=False), [_OUTLIERS, 100 - _OUTLIERS])
    low, high = max(low, bottom), min(high, top)
    margin = _MARGIN * (high - low)
    low, high = max(low - margin, bottom), min(high + margin, top)
    if not low < high:  # nearly all pixels are equal
        low, high = bottom, top
    if not low < high:  # all are
        # narrow, so that what the network adds to an even picture is nothing
        high = low + (1.0 if whole else max(abs(low), 1.0) * _EVEN)
    if whole:
        low, high = math.floor(low), math.ceil(high)
    return float(low), float(high)
