"""Downscale HR to LR: by the named kernels of the literature, or after any blur, noise and JPEG.

Values stay floats between the steps and are rounded once, where a file is written; a picture that
is only downscaled is rounded as MATLAB rounds it. All works on encoded (not linear) values, as the
field does.

Any kernel is a sum of few products of a column and a row, its singular vectors: one for a round
Gaussian, three or four for a drawn-out one (Treitel and Shanks 1971). Each product is two passes
along one axis. A downscale that follows is merged into them, so that only pixels that stay are
computed, fast and on one thread.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from srcli.imaging.resize import downscale, mirrored, mod_crop, taps, to_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

MID_GRAY = 127.5
REACH_SIGMAS = 4.0
"""Radius of a Gaussian kernel in standard deviations."""
NEGLIGIBLE = 1e-3
"""Share of a kernel's singular values that is left out: about 0.1 levels of 255 at edges."""
BLOCK = 8
"""Pixels that one matrix product makes along an axis; more would multiply mostly zeros."""
WORK = 2**18
"""Multiplications in one product. OpenBLAS does not divide products this small among threads, which
would fight for the cores with those of a training, and round in another way."""


class ResizeKernel(NamedTuple):
    """One method of downscaling."""

    name: str
    description: str
    shrink: Callable[[Array, int], Array]
    """Takes (H, W, 3) uint8, both sides multiples of the scale, and the scale."""


def _pillow(picture: Array, scale: int, *, by: Image.Resampling) -> Array:
    size = (picture.shape[1] // scale, picture.shape[0] // scale)
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, by))


def _mean(picture: Array, scale: int) -> Array:
    """Average blocks, rounded once (Pillow's box filter rounds after each axis)."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // scale, scale, width // scale, scale, channels)
    return to_dtype(blocks.mean(axis=(1, 3)), picture.dtype)


def _blur_down(picture: Array, scale: int) -> Array:
    """Blur with a 7x7 Gaussian of sigma 1.6, edges repeated, then take every scale-th pixel.

    The pixel taken is the one that MATLAB's ``imresize(..., 'nearest')`` takes: ``scale // 2``.
    """
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(
        picture.astype(np.float64), 1.6, radius=3, mode="nearest", axes=(0, 1)
    )
    return to_dtype(blurred[scale // 2 :: scale, scale // 2 :: scale], picture.dtype)


KERNELS = {
    kernel.name: kernel
    for kernel in (
        ResizeKernel("bicubic", "MATLAB-compatible bicubic (a = -0.5, antialiased)", downscale),
        ResizeKernel(
            "bicubic-pillow",
            "Pillow's bicubic (a = -0.5, antialiased, other borders and rounding)",
            partial(_pillow, by=Image.Resampling.BICUBIC),
        ),
        ResizeKernel("lanczos", "Pillow's Lanczos", partial(_pillow, by=Image.Resampling.LANCZOS)),
        ResizeKernel("box", "mean of scale x scale pixels", _mean),
        ResizeKernel(
            "blur-down",
            "7x7 Gaussian blur of sigma 1.6, then every scale-th pixel (BD)",
            _blur_down,
        ),
    )
}
"""By name; nearly every published table uses ``bicubic``."""


FILTERS = {
    name: Image.Resampling[name.upper()] for name in ("bicubic", "bilinear", "box", "lanczos")
}
"""Antialiased filters of Pillow for any change of size."""


def resampled(picture: Array, size: tuple[int, int], name: str) -> NDArray[np.float32]:
    """Resize (H, W, C) of any real dtype to (height, width) by one of ``FILTERS``, not rounded."""
    planes = [
        np.asarray(Image.fromarray(plane).resize((size[1], size[0]), FILTERS[name]))
        for plane in picture.transpose(2, 0, 1).astype(np.float32, order="C")
    ]
    return np.stack(planes, axis=2)


def filtered(picture: Array, kernel: NDArray[np.float64], scale: int = 1) -> NDArray[np.float32]:
    """Filter a picture, then make it smaller by MATLAB's bicubic, without any rounding.

    The picture is (H, W, C) of any real dtype, both sides multiples of the scale (1 for none), its
    edges mirrored with the edge pixel repeated; weights are (K, K), K odd.
    """
    indices, weights = taps(16 * scale, 16, Fraction(1, scale))
    # At a whole scale every output pixel has the weights of one in the middle.
    offsets = indices[8] - 8 * scale
    dense = np.zeros(int(offsets[-1] - offsets[0]) + 1)
    dense[offsets - offsets[0]] = weights[8]
    columns, rows = ([np.convolve(dense, part) for part in parts] for parts in factors(kernel))
    start = int(offsets[0]) - kernel.shape[0] // 2

    def padded(lines: Array, axis: int) -> Array:
        """Mirror the ends of an axis as far as whole blocks of the output reach."""
        made = math.ceil(lines.shape[axis] // scale / BLOCK) * BLOCK
        read = np.arange(start, start + scale * (made - 1) + len(rows[0]))
        return lines.take(mirrored(read, lines.shape[axis]), axis)

    # (H, C, W): both passes find their axis where a matrix product wants it.
    planes = padded(picture, 0).transpose(0, 2, 1).astype(np.float32, order="C")
    products = []
    for column, row in zip(columns, rows, strict=True):
        down = _products(planes.reshape(len(planes), -1), column, scale)
        lines = padded(down.reshape(-1, planes.shape[2]), 1)
        products.append(_products(lines.T, row, scale))
    total: NDArray[np.float32] = np.sum(products, axis=0)
    made = total.reshape(len(total), -1, picture.shape[2]).swapaxes(0, 1)
    return made[: picture.shape[0] // scale, : picture.shape[1] // scale]


def factors(kernel: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns (N, K) and rows (N, K) whose products add up to a kernel, but for a trace."""
    column, row = kernel.sum(axis=1), kernel.sum(axis=0)
    if np.abs(np.outer(column, row) - kernel).max() < NEGLIGIBLE * kernel.max() / 100:
        return column[None], row[None]  # a round Gaussian, without the time of a decomposition
    left, values, right = np.linalg.svd(kernel)
    kept = int((values.cumsum() < values.sum() * (1 - NEGLIGIBLE)).sum()) + 1
    return (left[:, :kept] * values[:kept]).T, right[:kept]


def _products(
    lines: NDArray[np.float32], weights: NDArray[np.float64], stride: int
) -> NDArray[np.float32]:
    """Return weighted sums of lines (N, W), ``stride`` apart, in blocks of ``BLOCK``."""
    band = np.zeros((BLOCK, stride * (BLOCK - 1) + len(weights)), np.float32)
    for i in range(BLOCK):
        band[i, stride * i : stride * i + len(weights)] = weights
    read = sliding_window_view(lines, band.shape[1], axis=0)[:: stride * BLOCK].swapaxes(1, 2)
    made = np.empty((len(read), BLOCK, lines.shape[1]), np.float32)
    step = max(WORK // band.size, 1)
    for at in range(0, lines.shape[1], step):
        np.matmul(band, read[:, :, at : at + step], out=made[:, :, at : at + step])
    return made.reshape(-1, lines.shape[1])


def gaussian(sigma: float, aspect: float = 1.0, angle: float = 0.0) -> NDArray[np.float64]:
    """Return the weights (K, K), K odd, of a Gaussian blur; they sum to 1.

    They are made from the contrast that a Gaussian leaves at each frequency: samples of a Gaussian
    of less than half a pixel would blur far less than asked.
    """
    reach = max(math.ceil(REACH_SIGMAS * sigma), 2) if sigma > 0 else 0
    frequencies = 2 * math.pi * np.fft.fftfreq(2 * reach + 1)
    y, x = np.meshgrid(frequencies, frequencies, indexing="ij")
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = x * cos + y * sin, (y * cos - x * sin) * aspect
    contrast = np.exp(-0.5 * sigma**2 * (along**2 + across**2))
    return np.fft.fftshift(np.fft.ifft2(contrast).real)


# Steps of a degradation take (H, W, 3) of 0 to 255 and a source of random numbers, and return the
# picture of that size, which is rounded by a JPEG alone. Other numbers are those of the pieces of
# ``srcli.recipes.degradation``, drawn.


def blur(
    picture: Array,
    random: np.random.Generator,
    *,
    sigma: float,
    aspect: float = 1.0,
    angle: float = 0.0,
) -> NDArray[np.float32]:
    """Blur with a Gaussian, edges mirrored; sigma is in pixels of this picture."""
    return filtered(picture, gaussian(sigma, aspect, angle))


def add_noise(
    picture: Array,
    random: np.random.Generator,
    *,
    sigma: float,
    shot: float = 0.0,
    gray: bool = False,
    colour: bool = False,
    size: float = 1.0,
) -> NDArray[np.float32]:
    """Add the Gaussian noise of a sensor."""
    values = picture.astype(np.float32)
    height, width, channels = values.shape
    coarse = [max(round(side / size), 1) for side in (height, width)]
    noise = sigma * random.standard_normal((*coarse, 1 if gray else channels), dtype=np.float32)
    if colour:
        noise -= noise.mean(axis=2, keepdims=True)
    if size > 1:
        noise = resampled(noise, (height, width), "bicubic")
    if shot > 0:
        light = values.mean(axis=2, keepdims=True) if gray else values
        noise = noise * np.sqrt((1 - shot) + shot * (np.maximum(light, 0) / MID_GRAY))
    result: NDArray[np.float32] = values + noise
    return result


def through_jpeg(
    picture: Array,
    random: np.random.Generator | None = None,
    *,
    quality: int,
    subsampled: bool = False,
) -> NDArray[np.uint8]:
    """Save a JPEG whose blocks begin at the corner, colours perhaps at half the size (4:2:0)."""
    stream, rounded = io.BytesIO(), Image.fromarray(np.ascontiguousarray(round_levels(picture)))
    rounded.save(stream, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"))


def sharpen(
    picture: Array, random: np.random.Generator, *, sigma: float, amount: float
) -> NDArray[np.float32]:
    """Sharpen as cameras and programs do, by an unsharp mask without a threshold."""
    values = picture.astype(np.float32)
    return values + amount * (values - blur(picture, random, sigma=sigma))


class Resampling(NamedTuple):
    """A change of size between two steps, to so many pixels per pixel, by one of ``FILTERS``."""

    factor: float
    filter: str


@dataclass(frozen=True, kw_only=True)
class DegradationChain:
    """Steps before and after a downscale, all numbers of which but the noise are drawn."""

    scale: int
    before: tuple[partial[Array], ...] = ()
    after: tuple[partial[Array] | Resampling, ...] = ()
    filter: str = "bicubic"
    """Of the downscale: a name of ``FILTERS``; ``bicubic`` is MATLAB's."""

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return the sizes (height, width) after the downscale and after each change of size.

        The last one is that of LR, which is given.
        """
        found, factor = [(height, width)], 1.0
        for step in reversed(self.after):
            if isinstance(step, Resampling):
                factor *= step.factor
                found.append((max(round(height / factor), 1), max(round(width / factor), 1)))
        return found[::-1]

    def apply(self, picture: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Degrade HR (H, W, 3), of which what exceeds multiples of the scale is cropped, to LR."""
        values: Array = mod_crop(picture, self.scale)
        size, *later = self.sizes(*(side // self.scale for side in values.shape[:2]))
        if self == DegradationChain(scale=self.scale):
            values = downscale(values, self.scale)  # rounds after each pass, as MATLAB
        else:
            # A blur at the end of the steps on HR is merged into the downscale.
            steps, kernel = self.before, np.ones((1, 1))
            if steps and steps[-1].func is blur:
                steps, kernel = steps[:-1], gaussian(**steps[-1].keywords)
            for step in steps:
                values = step(values, random)
            if self.filter == "bicubic" and not later:
                values = filtered(values, kernel, self.scale)
            else:
                values = resampled(filtered(values, kernel), size, self.filter)
        for change in self.after:
            if isinstance(change, Resampling):
                values = resampled(values, later.pop(0), change.filter)
            else:
                values = change(values, random)
        return round_levels(values)


def round_levels(picture: Array) -> NDArray[np.uint8]:
    """Round to 0..255, half away from zero; 8-bit pictures are returned as they are."""
    return picture if picture.dtype == np.uint8 else to_dtype(picture, np.dtype(np.uint8))
