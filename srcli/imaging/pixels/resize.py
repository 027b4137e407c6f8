"""MATLAB-compatible bicubic resizing of arrays.

The kernel is Keys' cubic convolution with a = -0.5 (Keys 1981), widened by 1/scale when
shrinking (antialiasing). Edges are mirrored with the edge pixel repeated. Rows are
resized first, then columns; integer arrays are rounded half away from zero and clipped
after EACH of the two passes, which is what makes LR pictures equal to those of MATLAB's
``imresize`` bit for bit.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcli.imaging.pixels.arrays import Array, Size, empty_array, release
from srcli.ports import Wrap

STRIP = 1 << 18
"""Values processed in float64 at a time."""


def mirrored(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Map positions beyond the ends of an axis to the samples that they mirror.

    Positions are 0 to ``length`` - 1 on the axis itself, below and above beyond its
    ends, which are mirrored as often as it takes; the outermost sample is repeated, as
    by numpy's ``symmetric``.
    """
    turned: NDArray[np.int64] = np.mod(positions, 2 * length)
    return np.where(turned < length, turned, 2 * length - 1 - turned)


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5, support [-2, 2]."""
    near = np.abs(x)
    inner = 1.5 * near**3 - 2.5 * near**2 + 1.0
    outer = -0.5 * near**3 + 2.5 * near**2 - 4.0 * near + 2.0
    return np.where(near <= 1, inner, np.where(near <= 2, outer, 0.0))


@lru_cache(maxsize=256)
def taps(
    length: int, out_length: int, scale: Fraction, *, wraps: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Compute the input samples and weights of each output sample along one axis.

    The scale is that of output samples per input sample. Beyond the ends of the axis
    lies its mirror image, or with ``wraps`` its other end. Returned are indices
    (out_length, K) into the input axis and weights (out_length, K) that sum to 1.
    """
    stretch = float(scale) if scale < 1 else 1.0
    width = 4.0 / stretch
    count = math.ceil(width) + 2
    centre = np.arange(1, out_length + 1) / float(scale) + 0.5 * (1 - 1 / float(scale))
    positions = np.floor(centre - width / 2)[:, None] + np.arange(count)[None, :]
    weights = stretch * cubic(stretch * (centre[:, None] - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    indices = positions.astype(np.int64) - 1
    indices = np.mod(indices, length) if wraps else mirrored(indices, length)
    used = np.any(weights != 0, axis=0)
    indices, weights = indices[:, used], weights[:, used]
    for array in (indices, weights):
        array.setflags(write=False)
    return indices, weights


def resize(
    image: Array,
    scale: float | Fraction,
    wrap: Wrap = "",
    folder: Path | None = None,
) -> Array:
    """Resize (H, W) or (H, W, C) as MATLAB's ``imresize(image, scale, 'bicubic')`` does.

    Any real dtype is kept: integers are rounded and clipped after each pass, floats are
    computed in float64. The scale is output pixels per input pixel, a ``Fraction`` for
    1/3. With ``wrap`` the picture goes on at its opposite border, and is not mirrored.
    Large results lie in the ``folder``; see ``empty_array``.
    """
    exact = Fraction(scale).limit_denominator(10_000)
    height, width = (math.ceil(side * exact) for side in image.shape[:2])
    return resize_to(image, (height, width), wrap, folder, exact)


def resize_to(
    image: Array,
    size: Size,
    wrap: Wrap,
    folder: Path | None = None,
    scale: Fraction | None = None,
) -> Array:
    """Resize both axes, by a scale or to a size."""
    height, width = size
    wraps_down = wrap in ("y", "both")
    wraps_across = wrap in ("x", "both")
    taller = _resize_axis(image, height, 0, scale, wraps=wraps_down, folder=folder)
    return _resize_axis(taller, width, 1, scale, wraps=wraps_across, folder=folder)


def _resize_axis(
    image: Array,
    out_length: int,
    axis: int,
    scale: Fraction | None,
    *,
    wraps: bool,
    folder: Path | None,
) -> Array:
    # By strips of rows: whole pictures in float64 would take ten times their size.
    length = image.shape[axis]
    scale = scale or Fraction(out_length, length)
    indices, weights = taps(length, out_length, scale, wraps=wraps)
    shape = list(image.shape)
    shape[axis] = out_length
    out = empty_array(tuple(shape), image.dtype, folder)
    rows = max(STRIP // max(image[0].size, out[0].size), 1)
    for top in range(0, shape[0], rows):
        strip = slice(top, top + rows)
        if axis == 0:
            values = _weighted(image, indices[strip], weights[strip])
        else:
            turned = np.ascontiguousarray(image[strip].swapaxes(0, 1), dtype=np.float64)
            values = _weighted(turned, indices, weights).swapaxes(0, 1)
        out[strip] = to_dtype(values, image.dtype)
        release(out)
        release(image)
    return out


def _weighted(
    rows: Array, indices: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum the rows that ``taps`` names with their weights, in float64.

    Where infinities meet, or one has no weight, the sum is no number, without a warning.
    """
    out = np.zeros((len(indices), *rows.shape[1:]))
    tail = (1,) * (rows.ndim - 1)
    with np.errstate(invalid="ignore", over="ignore"):
        for k in range(indices.shape[1]):
            out += rows[indices[:, k]] * weights[:, k].reshape(-1, *tail)
    return out


def white_level(dtype: np.dtype[Any]) -> float:
    """Return the value of white, and of full opacity: 1 in floats, else the highest."""
    if dtype.kind == "f":
        return 1.0
    return int(np.iinfo(dtype).max)


def to_dtype(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Array:
    """Convert floats to ``dtype``; integers are rounded half away from zero and clipped."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype, copy=False)
    info = np.iinfo(dtype)
    rounded = np.trunc(values + np.copysign(0.5, values))
    return np.clip(rounded, info.min, info.max).astype(dtype)


def stretch_to_dtype(values: Array, bits: int, dtype: type) -> Array:
    """Stretch numbers of 1 to 16 bits over the whole range of a dtype; floats become float32."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    top = np.iinfo(dtype).max
    if values.dtype == dtype and top == 2**bits - 1:
        return values
    levels: Array = np.rint(np.arange(2**bits) * (top / (2**bits - 1))).astype(dtype)
    stretched: Array = levels[np.minimum(values, 2**bits - 1)]
    return stretched


def mod_crop(image: Array, multiple: int) -> Array:
    """Crop at the bottom and the right so that both sides divide by ``multiple``."""
    height, width = image.shape[:2]
    if height < multiple or width < multiple:
        raise ValueError(
            f"a picture of {width}x{height} is smaller than the scale {multiple}"
        )
    return image[: height - height % multiple, : width - width % multiple]


def downscale(image: Array, scale: int) -> Array:
    """Downscale HR to LR: mod-crop, then MATLAB bicubic by 1/scale."""
    return resize(mod_crop(image, scale), Fraction(1, scale))
