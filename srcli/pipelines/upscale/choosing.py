"""Choose the model for a photograph by what its pixels have gone through, and the passes.

They show blocks of JPEG, blur, noise, nothing, or measurements on a smooth surface. The
thresholds are those of EXPERIMENTS.md: measured on pictures made smaller without more,
and on the same after files, blur and noise of known strength.

A network's error is a share of the range of values. In a picture nobody sees it; in
elevation of 2,500 m it is half a metre, on a plain whose furrows have less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.files.provenance import SHRUNK
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.pixels.arrays import Array, Bools, Floats, Size
from srcli.imaging.pixels.values import robust_range, spread_windows
from srcli.ports import ValueRange

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled


INTERPOLATION_MODEL = "bicubic"
"""Name of the model that is bicubic interpolation."""
INTERPOLATION_COST = 0.02
"""Its work for a pixel beside that of a network."""
Condition = Literal["drawing", "blocks", "soft", "noise", "clean"]

VISIBLE_BLOCKINESS = 1.3
"""Blockiness from which blocks show."""
SOFT_SHARPNESS = 0.485
"""Share of a strong edge's rise within one pixel below which a picture is soft."""
NOISY_LEVELS = 1.6
"""Levels of white noise in the smoothest places from which a picture is noisy."""
DRAWING_SHARE = 0.4
"""Share of neighbours of one colour from which a picture is a drawing, screenshot or
pixel art."""
SMALLEST_SIDE = 64
"""Pixels a side below which nothing can be measured."""
_LARGEST_SIDE = 512  # pixels that are measured, from the middle
_BLOCK = 8
_RIPPLES = ((5, 5), (5, 6), (6, 5), (4, 6), (6, 4))
"""Orders, across and down, of cosine coefficients that a JPEG of 90 or less sets to 0."""
_RIPPLED_SIDE = 256  # pixels a side in which they are counted
_LARGE_RIPPLE = 5  # levels
_FEW_RIPPLES = 0.01  # added to shares of them, for what chance does
_SILENCE = 1.25
"""Where blocks begin, so many times fewer ripples than at the next best place."""
_SOFT_RIPPLES = 0.045
"""Share of ripples, with those added, below which a picture may be soft."""
_PRINTED_LEVELS = 20
_PRINTED_FALL = 0.42
"""Least level of the detail of dots, largest share of it in means of 2x2 pixels: white
noise has half, nearly all that is pictured or drawn more."""
_SMOOTH_STEP = 4  # levels: a step beside one that is larger belongs to the picture
_DARKEST = 4  # levels: noise shows above them
_LARGEST_STEP = 8  # levels: larger ones count as this
_LONELY = 0.7
"""Of the highest mean of steps, above which a second one says: chance, or dots."""
_LEAST_STEP = 0.05  # levels; flat drawings have hardly any
_TRACES_SHARE = 0.8
"""Share of the steps that are not 0: antialiased drawings have as many small ones."""
_COLOURS_PER_PIXEL = 0.01  # for each pixel
_GRAY_AREAS = 0.68
_COLOUR_AREAS = 0.4
"""Largest share of a drawing's changing pixels that lie in areas of such: gray ones have
tones of dots."""
_FEW_COLOURS = 512
"""Colours that are few in the smallest pictures, too: letters of two colours, smoothed,
have 256."""
_LEAST_RISE = 12  # levels that the rise of an edge has at least
_EVENNESS = 0.38
"""Level of the smoothest fiftieth of the blocks over that of the middle one, at least:
noise is everywhere, leaves and grass are not."""
_FINENESS = 1.5
_GRAIN_FINENESS = 2.0
"""Noise over the spread of means of 4x4 pixels, at least: texture has less of it."""
_GRAIN_LEVELS = (2.5, 10)
"""Least and largest level of grain, in pixels or in means of 2x2 of them."""
_GRAIN_SPREAD = 0.22
"""Largest difference of its level in places of like brightness, as a logarithm."""
_COLOUR_LEVELS = 2
_COLOUR_SHARE = 0.9
"""Least detail by which channels differ, and that as a share of their mean's."""
_GRAY_TINT = 0.01
_GRAIN_TINT = 0.25
"""Largest spread over the channels, of gray and in colours: grain is as strong in all of
them, leaves and grass in proportion to their colour."""
_IMMERKAER_SHARE = np.sqrt(np.pi / 2) / 6
"""Standard deviation of white noise over the mean size of its Laplacians' difference."""
NETWORK_ERROR = 2e-4
"""Share of the range by which ``g-idrn`` is off on smooth surfaces, as a root mean
square: the largest of ``benchmarks/surfaces.py``, rounded up."""
_WELL_ABOVE = 5
"""Times this error that the detail of a raster must have."""
_SMOOTHEST = 10
"""Percent of the blocks that may have less detail."""
_SURFACE_BLOCK = 16
_LEAST_PIXELS = 64
"""Pixels of a block whose neighbours are all valid."""
_SMOOTH_RATIO = 0.1
"""Detail of a block as a share of its slope, below which half of the blocks must be that
are not flat: height maps have up to 0.06, photographs 0.19 and more."""
_CENTRE = np.s_[1:-1, 1:-1]
_SIDES = np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:]
"""The pixels above, below, left and right of those of ``_CENTRE``."""
_LARGEST_SQUARED = 1e150
"""Values up to which sums of squares are no larger than floats are."""
_STEP_SHARE = 0.1
"""Of a step of whole numbers: an error below it is rounded away."""


def choose_model(
    photograph: Photograph, options: Settled, file_format: str
) -> tuple[str, str]:
    """Return the model for a photograph; by ``auto`` also its condition, such as ``noise``.

    Gray pictures of 16 bits that hold measurements, such as heights, are interpolated;
    what becomes no larger needs no network.
    """
    height, width = photograph.pixels.shape[:2]
    if options.only_shrinks((height, width)):
        return SHRUNK, ""
    is_chosen = options.auto and not options.engine.is_corrected
    if is_chosen and are_measurements(photograph.pixels):
        return INTERPOLATION_MODEL, "measurements"
    return choose_by_condition(photograph, options, file_format)


def choose_by_condition(
    photograph: Photograph, options: Settled, file_format: str
) -> tuple[str, str]:
    """Return the model for a photograph that holds no measurements; see ``choose_model``.

    Floats are not judged: what is black and white in them is not known.

    A JPEG is never clean: from traces of its compression that are too faint to be
    measured, g-idrn would make rings and dots. For ``best`` and ``fast`` other files of 8
    bits are unsure, as they may have been JPEGs before, or resized; but not TIFFs, which
    cameras and scanners write.
    """
    if not options.auto or photograph.pixels.dtype.kind == "f":
        return options.model, ""
    word: str = classify_condition(photograph.pixels)
    if word == "clean" and file_format == "jpg":
        word = "saved"
    elif word == "clean" and options.doubts_clean_ones and file_format != "tif":
        is_measured = min(photograph.pixels.shape[:2]) >= SMALLEST_SIDE
        if is_measured and photograph.pixels.dtype == np.uint8:
            word = "unsure"
    return options.model_for_photograph(word), word


def choose_passes(
    size: Size, options: Settled, model: str
) -> tuple[tuple[str, int], ...]:
    """Return model and scale of each pass over a photograph of a size (height, width).

    The first restores, others only enlarge. There is none where it only shrinks.
    """
    steps = options.steps(model, size)
    if not steps:
        return ()
    first_scale, *scales = steps
    further_model = options.model
    if model == INTERPOLATION_MODEL:
        further_model = model
    further = [(further_model, scale) for scale in scales]
    return (model, first_scale), *further


def classify_condition(pixels: Array) -> Condition:
    """Say in one word what (H, W, C) of 1 or 3 channels, uint8 or uint16, has gone through.

    Only the middle is looked at; ``clean`` are pictures of fewer than 64 pixels a side,
    in which nothing can be measured.
    """
    middle = _middle_of(pixels, _LARGEST_SIDE)
    if min(middle.shape[:2]) < SMALLEST_SIDE:
        return "clean"
    white = np.iinfo(pixels.dtype).max // 255
    gray = middle.mean(axis=2, dtype=np.float32) / np.float32(white)
    if is_drawing(middle.astype(np.int32) // white):
        return "drawing"
    if is_print(gray):
        return "clean"
    lowest, second, *usual = np.sort(ripples(gray).ravel()) + _FEW_RIPPLES
    if second >= _SILENCE * lowest or blockiness(gray) >= VISIBLE_BLOCKINESS:
        return "blocks"
    if np.median(usual) < _SOFT_RIPPLES and sharpness(gray) < SOFT_SHARPNESS:
        return "soft"
    if is_noisy(middle.astype(np.float32) / np.float32(white)):
        return "noise"
    return "clean"


def _middle_of(pixels: Array, largest: int) -> Array:
    """Return the middle of pixels (H, W) or (H, W, C), at most so large a side."""
    top, left = (max(side - largest, 0) // 2 for side in pixels.shape[:2])
    return pixels[top : top + largest, left : left + largest]


def blockiness(gray: Floats) -> float:
    """Compare steps across the borders of 8x8 blocks with all others, in smooth places.

    Blocks may begin anywhere, as they do after turning or cropping. The ratio is about
    1 without blocks.
    """
    return float(np.mean([_along_rows(gray), _along_rows(gray.T)]))


def _along_rows(gray: Floats) -> float:
    """Return the blockiness of steps along rows, which cross the upright borders of blocks."""
    steps = np.abs(np.diff(gray, axis=1))
    # what a single step of a picture may add is bounded
    inner = np.minimum(steps[:, 1:-1], _LARGEST_STEP)
    smooth = (steps[:, :-2] < _SMOOTH_STEP) & (steps[:, 2:] < _SMOOTH_STEP)
    means = np.ones(_BLOCK)
    for phase in range(_BLOCK):  # the column at which blocks may begin
        places = smooth[:, phase::_BLOCK]
        if places.any():
            means[phase] = inner[:, phase::_BLOCK][places].mean()
    *most, second, highest = np.sort(means)
    usual = np.mean([*most, second])
    if second - usual > _LONELY * (highest - usual):
        return 1.0
    return float(highest / max(usual, _LEAST_STEP))


def is_print(gray: Floats) -> bool:
    """Tell if dots of a print are all that is there: means of 2x2 pixels lose them."""
    detail = _fine_detail(gray).mean()
    coarse_detail = _fine_detail(_block_means(gray, 2)).mean()
    return bool(detail > _PRINTED_LEVELS and coarse_detail < _PRINTED_FALL * detail)


def ripples(gray: Floats) -> Floats:
    """Return how much of 8x8 pixels ripples, for each of the places where blocks may begin.

    (8, 8), shares of high cosine coefficients that are large, in the middle. A JPEG has
    set them to 0 in its blocks; steps between blocks do not show in what is drawn.
    """
    middle = _middle_of(gray, _RIPPLED_SIDE)
    across = {order: _coefficients(middle.T, order).T for order in (4, 5, 6)}
    are_large = [
        np.abs(_coefficients(across[order], order_down)) > _LARGE_RIPPLE
        for order, order_down in _RIPPLES
    ]
    shares = np.mean(are_large, axis=0)
    means: Floats = _blocks_of(shares, _BLOCK).mean(axis=(0, 2))
    return means


def _coefficients(rows: Floats, order: int) -> Floats:
    """Return a cosine coefficient of every eight rows."""
    count = len(rows) - _BLOCK + 1
    phases = np.pi * order * (np.arange(_BLOCK) + 0.5) / _BLOCK
    weights = np.cos(phases).astype(np.float32) / 2
    total = np.zeros((count, rows.shape[1]), np.float32)
    for start, weight in enumerate(weights):
        total += weight * rows[start : start + count]
    return total


def is_drawing(values: NDArray[np.int32]) -> bool:
    """Return True if many neighbours (H, W, C) are equal, few nearly so, others in lines.

    Files with losses leave traces around all that was drawn. Few colours are a drawing,
    too, also where they fill areas, but gray never has many.
    """
    down = np.abs(np.diff(values, axis=0)).max(axis=2)
    across = np.abs(np.diff(values, axis=1)).max(axis=2)
    steps = np.concatenate([down.ravel(), across.ravel()])
    changes = steps[np.flatnonzero(steps)]
    if len(changes) > (1 - DRAWING_SHARE) * len(steps):
        return False
    if (changes <= _SMOOTH_STEP).sum() > _TRACES_SHARE * len(changes):
        return False
    in_areas = _share_in_areas(down > 0, across > 0)
    if (values == values[..., :1]).all():
        return in_areas <= _GRAY_AREAS
    if in_areas <= _COLOUR_AREAS:
        return True
    colours = values @ (1 << 8 * np.arange(values.shape[2]))
    most_colours = max(_COLOURS_PER_PIXEL * colours.size, _FEW_COLOURS)
    return len(np.unique(colours)) <= most_colours


def _share_in_areas(down: Bools, across: Bools) -> float:
    """Return the share of changing pixels around which all change, two pixels far.

    ``down`` and ``across`` tell of each step to the next pixel. Drawings change along
    lines, photographs on white in areas.
    """
    changing = np.pad(down, ((0, 1), (0, 0))) | np.pad(down, ((1, 0), (0, 0)))
    changing |= np.pad(across, ((0, 0), (0, 1))) | np.pad(across, ((0, 0), (1, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(changing, (5, 5))
    in_areas = windows.all(axis=(2, 3)).sum()
    return float(in_areas / max(changing.sum(), 1))


def sharpness(gray: Floats) -> float:
    """Return how much of the rise of the strongest edges happens from one pixel to the next.

    The median over the steepest twentieth of all rises over four pixels: 1 for ideal
    edges, 0.25 for ramps; 1 as well if there is no edge.
    """
    medians = []
    for lines in (gray, gray.T):
        steps = np.abs(np.diff(lines, axis=1))
        rise = np.abs(lines[:, 4:] - lines[:, :-4])
        spans = np.lib.stride_tricks.sliding_window_view(steps, 4, axis=1)
        steepest = spans.max(axis=2)
        edges = rise >= max(np.percentile(rise, 95), _LEAST_RISE)
        if edges.any():
            medians.append(np.median(steepest[edges] / rise[edges]))
    if not medians:
        return 1.0
    return float(np.mean(medians))


@dataclass(frozen=True)
class NoiseLook:
    """What the smoothest blocks of 8x8 pixels of a picture show, medians over them."""

    level: float
    """Standard deviation of white noise, in levels of 255."""
    fineness: float
    """The level over the spread of means of 4x4 pixels, which texture has, too."""
    spread: float
    """Difference of the level in blocks of like brightness, as a logarithm."""
    tint: float
    """Spread of the level over the channels, as a logarithm."""
    shade: float
    """The same of the level over the brightness of each channel."""
    evenness: float
    """Lowest level of all blocks over that of the middle one."""


def is_noisy(values: Floats) -> bool:
    """Tell if (H, W, C) in levels of 255 has white noise or grain, which no texture is.

    Noise is everywhere, and has one level over blocks of like brightness. White noise
    becomes weaker in means of 2x2 pixels; grain of film or of a noise reduction does not,
    but is as strong in all channels.
    """
    if values.shape[2] > 1 and _has_colour_noise(values):
        return True
    fine = look_at_noise(values)
    coarse = look_at_noise(_block_means(values, 2))
    if fine is None or coarse is None or fine.evenness < _EVENNESS:
        return False
    is_fine = fine.fineness >= _FINENESS and fine.level >= NOISY_LEVELS
    if is_fine and coarse.level < fine.level:
        return True
    if coarse.tint > min(max(coarse.shade, _GRAY_TINT), _GRAIN_TINT):
        return False
    return any(
        _GRAIN_LEVELS[0] <= look.level <= _GRAIN_LEVELS[1]
        and look.fineness >= _GRAIN_FINENESS
        and look.spread <= _GRAIN_SPREAD
        for look in (fine, coarse)
    )


def _has_colour_noise(values: Floats) -> bool:
    """Tell if channels (H, W, 3) differ by as much detail as they share, everywhere.

    Noise of a sensor does, no clean photograph.
    """
    red, green, blue = np.moveaxis(values, 2, 0)
    shared, *apart = (
        _block_means(_fine_detail(plane), _BLOCK).ravel()
        for plane in (values.mean(axis=2), red - green, blue - green)
    )
    least = np.minimum(*apart)
    smoothest = np.argsort(least)[: max(len(least) // 10, 4)]
    level = np.median(least[smoothest])
    share = np.median(least[smoothest] / (shared[smoothest] + _LEAST_STEP))
    return bool(level > _COLOUR_LEVELS and share > _COLOUR_SHARE)


def look_at_noise(values: Floats) -> NoiseLook | None:
    """Measure noise of (H, W, C) in levels of 255; None where black or white clips it all.

    By the Laplacian's difference, to which ramps and edges give little (Immerkær 1996).
    """
    gray = values.mean(axis=2)
    noise = _block_means(_fine_detail(gray), _BLOCK).ravel()
    quarters = _blocks_of(_block_means(gray[_CENTRE], _BLOCK // 2), 2)
    light = quarters.mean(axis=(1, 3)).ravel()
    # no noise shows where it is clipped
    inside = np.flatnonzero((light > _DARKEST) & (light < 255 - _BLOCK))
    if not inside.size:
        return None
    texture = quarters.std(axis=(1, 3)).ravel()
    smoothest = inside[np.argsort(texture[inside])[: max(len(inside) // 10, 4)]]
    by_light = smoothest[np.argsort(light[smoothest])]
    changes = np.abs(np.diff(np.log(noise[by_light] + _LEAST_STEP)))
    channels = values.shape[2]
    detail = _block_means(_fine_detail(values), _BLOCK).reshape(-1, channels)
    brightness = _block_means(values[_CENTRE], _BLOCK).reshape(-1, channels)
    levels = np.log(detail[smoothest] + _LEAST_STEP)
    shades = levels - np.log(brightness[smoothest] + 1)
    lowest, middle = np.percentile(noise[inside], (2, 50))
    return NoiseLook(
        level=float(np.median(noise[smoothest])),
        fineness=float(np.median(noise[smoothest] / (texture[smoothest] + 0.1))),
        spread=float(np.median(changes)) if len(changes) else np.inf,
        tint=float(np.median(levels.std(axis=1))),
        shade=float(np.median(shades.std(axis=1))),
        evenness=float(lowest / (middle + _LEAST_STEP)),
    )


def _fine_detail(values: Floats) -> Floats:
    """Return the size of the Laplacian's difference, as white noise has it.

    It is that of the pixels within the border, of one channel or several.
    """
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    difference = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    fine: Floats = np.abs(difference) * _IMMERKAER_SHARE
    return fine


def _block_means(values: Floats, edge: int) -> Floats:
    """Return the means of whole blocks, of one channel or several."""
    means: Floats = _blocks_of(values, edge).mean(axis=(1, 3))
    return means


def _blocks_of(values: Array, edge: int) -> Array:
    """Return (H, W) or (H, W, C) as whole blocks, (rows, edge, columns, edge) and maybe C."""
    down, across = (side // edge for side in values.shape[:2])
    cut = values[: down * edge, : across * edge]
    return cut.reshape(down, edge, across, edge, *values.shape[2:])


def errs_too_much(blocks: Array, value_range: ValueRange, *, are_whole: bool) -> bool:
    """Tell if the detail of blocks is not well above the error of a network."""
    if not blocks.size or (are_whole and is_rounded_away(value_range)):
        return False
    error = NETWORK_ERROR * (value_range[1] - value_range[0])
    return bool(np.percentile(blocks, _SMOOTHEST) < _WELL_ABOVE * error)


def is_rounded_away(value_range: ValueRange) -> bool:
    """Tell if the error of a network disappears where values are whole numbers."""
    low, high = value_range
    return NETWORK_ERROR * (high - low) < _STEP_SHARE


def are_measurements(pixels: Array) -> bool:
    """Tell if a photograph's pixels are measurements for which a network errs too much.

    ``pixels`` are (H, W, C); those of gray pictures of 16 bits may be.

    It is judged as a raster of one band is: heights of a game or a 3-D program, depths.
    Photographs are among such pictures, with flat places where they are black or white.
    So blocks that are not flat must be smooth as well, as slopes of the ground are.
    """
    is_gray = pixels.dtype == np.uint16 and pixels.shape[2] == 1
    if not is_gray:
        return False
    samples = []
    details = []
    slopes = []
    height, width = pixels.shape[:2]
    for area in spread_windows(height, width, side=256, along=4):
        window = pixels[area.top : area.bottom, area.left : area.right, 0]
        valid = np.ones(window.shape, np.bool_)
        samples.append(window.ravel())
        details.append(details_of_blocks(window, valid))
        slopes.append(_slopes(window, valid))
    low, high = robust_range(np.concatenate(samples))
    blocks = np.concatenate(details)
    if not errs_too_much(blocks, (low, high), are_whole=True):
        return False
    steepness = np.concatenate(slopes)
    is_sloping = steepness >= _WELL_ABOVE * NETWORK_ERROR * (high - low)
    ratios = blocks[is_sloping] / steepness[is_sloping]
    return bool(ratios.size and np.median(ratios) < _SMOOTH_RATIO)


def details_of_blocks(pixels: Array, valid: Bools) -> Array:
    """Return the detail of blocks of a window, each a root mean square."""
    if min(pixels.shape) < 3:
        return np.empty(0)
    exact = np.where(valid, pixels, 0).astype(np.float64)
    unit = 1.0
    largest = float(np.abs(exact).max())
    if largest > _LARGEST_SQUARED:
        unit = largest
        exact /= unit
    around = sum(exact[side] / len(_SIDES) for side in _SIDES)
    details = _root_means((exact[_CENTRE] - around) ** 2, valid)
    # between the lowest and the highest float there is more than a float holds
    most = np.finfo(np.float64).max / unit
    return np.asarray(np.minimum(details, most) * unit)


def _slopes(pixels: Array, valid: Bools) -> Array:
    """Return how far values rise from one pixel to the next, for each block."""
    if min(pixels.shape) < 3:
        return np.empty(0)
    exact = pixels.astype(np.float64)
    above, below, left, right = (exact[side] for side in _SIDES)
    return _root_means(((below - above) ** 2 + (right - left) ** 2) / 4, valid)


def _root_means(squares: Array, valid: Bools) -> Array:
    """Return root means of blocks of squares, one for each inner pixel of a window.

    Only pixels count that are valid, with the four beside them; blocks with few such
    pixels are left out.
    """
    are_valid = valid[_CENTRE].copy()
    for side in _SIDES:
        are_valid &= valid[side]
    counts = _sums_of_blocks(are_valid.astype(np.int64))
    has_enough = counts >= min(_LEAST_PIXELS, are_valid.size)
    sums = _sums_of_blocks(np.where(are_valid, squares, 0))
    return np.asarray(np.sqrt(sums[has_enough] / counts[has_enough]))


def _sums_of_blocks(layer: Array) -> Array:
    """Return the sums of square blocks of a layer (h, w)."""
    for axis, length in enumerate(layer.shape):
        layer = np.add.reduceat(layer, np.arange(0, length, _SURFACE_BLOCK), axis=axis)
    return layer
