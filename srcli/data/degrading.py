"""Degrade HR to LR as cameras and programs do, by numbers drawn from a recipe's ranges.

A recipe's degradation consists of pieces, each with ranges. Drawn, a piece becomes a
step, a function with its numbers, and the degradation a ``DegradationChain`` of steps.

Values of pictures stay floats of 0 to 255 between the steps and are rounded once, to 8
or 16 bits as the picture has; a JPEG has 8. A picture that is only downscaled is
rounded as MATLAB rounds it. All works on encoded (not linear) values, as the
literature does.

Any kernel is a sum of few products of a column and a row, its singular vectors: one for
a round Gaussian, three or four for a drawn-out one (Treitel and Shanks 1971). Each
product is two passes along one axis. A downscale that follows is merged into them, so
that only pixels that stay are computed, fast and on one thread.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from srcli.imaging.pixels.arrays import Array, Floats, Size
from srcli.imaging.pixels.resize import downscale, mirrored, mod_crop, taps, to_dtype
from srcli.recipes.degradation import Blur, Degradation, Noise, Piece, Resize, Sharpen

if TYPE_CHECKING:
    from srcli.data.training_set import Pairs

MID_GRAY = 127.5
REACH_SIGMAS = 4.0
"""Radius of a Gaussian kernel in standard deviations."""
NEGLIGIBLE = 1e-3
"""Share of a kernel's singular values that is left out: about 0.1 levels of 255 at
edges."""
BLOCK = 8
"""Pixels that one matrix product makes along an axis; more would multiply mostly
zeros."""
MOST_MULTIPLICATIONS = 2**18
"""Multiplications in one product. OpenBLAS does not divide products this small among
threads, which would fight for the cores with those of a training, and round in another
way."""
MCU = 16
"""Pixels after which the blocks of a 4:2:0 JPEG repeat, luma and chroma together."""
HALO = 8
"""LR pixels around a patch, at least, that are degraded with it."""
VALIDATION_SEED = 20
"""Seed of the LR pictures of validation, the same for all seeds of a training."""


def resampled(picture: Array, size: Size, name: str) -> Floats:
    """Resize (H, W, C) of any real dtype to (height, width) by a filter of Pillow, not rounded."""
    planes = []
    for plane in picture.transpose(2, 0, 1).astype(np.float32, order="C"):
        image = Image.fromarray(plane)
        image = image.resize(size[::-1], Image.Resampling[name.upper()])
        planes.append(np.asarray(image))
    return np.stack(planes, axis=2)


def filter_and_shrink(
    picture: Array, kernel: NDArray[np.float64], scale: int = 1
) -> Floats:
    """Filter by a kernel and downscale by MATLAB's bicubic in one go, without any rounding.

    The picture is (H, W, C) of any real dtype, both sides multiples of the scale, its
    edges mirrored with the edge pixel repeated; the kernel is (K, K), K odd. A scale of
    1 only filters.
    """
    places, weights = taps(16 * scale, 16, Fraction(1, scale))
    # At a whole scale every output pixel has the weights of one in the middle.
    offsets = places[8] - 8 * scale
    shrinking = np.zeros(int(offsets[-1] - offsets[0]) + 1)
    shrinking[offsets - offsets[0]] = weights[8]
    kernel_columns, kernel_rows = separate_kernel(kernel)
    columns = [np.convolve(shrinking, column) for column in kernel_columns]
    rows = [np.convolve(shrinking, row) for row in kernel_rows]
    start = int(offsets[0]) - kernel.shape[0] // 2

    def padded(lines: Array, axis: int) -> Array:
        """Mirror the ends of an axis as far as whole blocks of the output reach."""
        outputs = math.ceil(lines.shape[axis] // scale / BLOCK) * BLOCK
        indices = np.arange(start, start + scale * (outputs - 1) + len(rows[0]))
        return lines.take(mirrored(indices, lines.shape[axis]), axis)

    # (H, C, W): both passes find their axis where a matrix product wants it.
    planes = padded(picture, 0).transpose(0, 2, 1).astype(np.float32, order="C")
    total: Floats = np.zeros((), np.float32)
    for column, row in zip(columns, rows, strict=True):
        down = _filter_rows(planes.reshape(len(planes), -1), column, scale)
        lines = padded(down.reshape(-1, planes.shape[2]), 1)
        total = total + _filter_rows(lines.T, row, scale)
    result = total.reshape(len(total), -1, picture.shape[2]).swapaxes(0, 1)
    return result[: picture.shape[0] // scale, : picture.shape[1] // scale]


def separate_kernel(
    kernel: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns (N, K) and rows (N, K) whose products add up to a kernel, nearly."""
    column = kernel.sum(axis=1)
    row = kernel.sum(axis=0)
    if np.abs(np.outer(column, row) - kernel).max() < NEGLIGIBLE * kernel.max() / 100:
        # a round Gaussian, without the time of a decomposition
        return column[None], row[None]
    columns, values, rows = np.linalg.svd(kernel)
    negligible_from = values.sum() * (1 - NEGLIGIBLE)
    count = int((values.cumsum() < negligible_from).sum()) + 1
    return (columns[:, :count] * values[:count]).T, rows[:count]


def _filter_rows(lines: Floats, weights: NDArray[np.float64], stride: int) -> Floats:
    """Filter (H, W) along the first axis, and keep every ``stride``-th row of the result.

    Products of matrices make ``BLOCK`` rows at a time, of a few columns each.
    """
    band_matrix = np.zeros((BLOCK, stride * (BLOCK - 1) + len(weights)), np.float32)
    for i in range(BLOCK):
        band_matrix[i, stride * i : stride * i + len(weights)] = weights
    windows = sliding_window_view(lines, band_matrix.shape[1], axis=0)
    windows = windows[:: stride * BLOCK].swapaxes(1, 2)
    sums = np.empty((len(windows), BLOCK, lines.shape[1]), np.float32)
    width = max(MOST_MULTIPLICATIONS // band_matrix.size, 1)
    for start in range(0, lines.shape[1], width):
        columns = slice(start, start + width)
        np.matmul(band_matrix, windows[:, :, columns], out=sums[:, :, columns])
    return sums.reshape(-1, lines.shape[1])


def gaussian(
    sigma: float, aspect: float = 1.0, angle: float = 0.0
) -> NDArray[np.float64]:
    """Return the weights (K, K), K odd, of a Gaussian blur; they sum to 1.

    They are made from the contrast that a Gaussian leaves at each frequency: samples of
    a Gaussian of less than half a pixel would blur far less than asked.
    """
    reach = 0
    if sigma > 0:
        reach = max(math.ceil(REACH_SIGMAS * sigma), 2)
    frequencies = 2 * math.pi * np.fft.fftfreq(2 * reach + 1)
    y, x = np.meshgrid(frequencies, frequencies, indexing="ij")
    cos = math.cos(math.radians(angle))
    sin = math.sin(math.radians(angle))
    along = x * cos + y * sin
    across = (y * cos - x * sin) * aspect
    contrast = np.exp(-0.5 * sigma**2 * (along**2 + across**2))
    return np.fft.fftshift(np.fft.ifft2(contrast).real)


# Steps take a picture (H, W, 3) of 0 to 255 and a source of random numbers, and return
# one of that size; only a JPEG rounds. A new step needs a piece in
# ``srcli.recipes.degradation``, a function here and a branch in ``_draw_step``; one
# that reaches farther than ``HALO`` LR pixels needs a larger ``HALO``.


def blur(
    picture: Array,
    random: np.random.Generator,
    *,
    sigma: float,
    aspect: float = 1.0,
    angle: float = 0.0,
) -> Floats:
    """Blur with a Gaussian, edges mirrored; sigma is in pixels of this picture."""
    return filter_and_shrink(picture, gaussian(sigma, aspect, angle))


def add_noise(
    picture: Array,
    random: np.random.Generator,
    *,
    sigma: float,
    shot: float = 0.0,
    gray: bool = False,
    colour: bool = False,
    size: float = 1.0,
) -> Floats:
    """Add the Gaussian noise of a sensor, of standard deviation ``sigma`` in levels of 255.

    ``shot`` is the share of its variance that grows with light, ``gray`` one noise for
    all channels, ``colour`` none in their mean, ``size`` the pixels of a grain.
    """
    values = picture.astype(np.float32)
    height, width, channels = values.shape
    shape = [max(round(side / size), 1) for side in (height, width)]
    shape.append(1 if gray else channels)
    noise = sigma * random.standard_normal(shape, dtype=np.float32)
    if colour:
        noise -= noise.mean(axis=2, keepdims=True)
    if size > 1:
        noise = resampled(noise, (height, width), "bicubic")
    if shot > 0:
        light = values
        if gray:
            light = values.mean(axis=2, keepdims=True)
        noise = noise * np.sqrt((1 - shot) + shot * (np.maximum(light, 0) / MID_GRAY))
    result: Floats = values + noise
    return result


def through_jpeg(
    picture: Array,
    random: np.random.Generator | None = None,
    *,
    quality: int,
    subsampled: bool = False,
) -> NDArray[np.uint8]:
    """Return a picture after saving it as a JPEG, colours perhaps at half size (4:2:0).

    The blocks of the JPEG begin at the corner of the picture.
    """
    stream = io.BytesIO()
    rounded = Image.fromarray(np.ascontiguousarray(round_levels(picture)))
    rounded.save(stream, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"))


def sharpen(
    picture: Array, random: np.random.Generator, *, sigma: float, amount: float
) -> Floats:
    """Sharpen as cameras and programs do, by an unsharp mask without a threshold."""
    values = picture.astype(np.float32)
    return values + amount * (values - blur(picture, random, sigma=sigma))


def to_levels(picture: Array) -> Array:
    """Return the values of a 16-bit picture on the scale of 0..255; others as they are."""
    if picture.dtype == np.uint16:
        return picture / np.float32(257)
    return picture


def round_levels(picture: Array, dtype: DTypeLike = np.uint8) -> Array:
    """Round a picture to uint8 or uint16, half away from zero; floats span 0..255."""
    if picture.dtype == dtype:
        return picture
    return to_dtype(to_levels(picture) * (np.iinfo(dtype).max / 255), np.dtype(dtype))


class Resampling(NamedTuple):
    """A step that changes the size, by a filter of Pillow."""

    factor: float
    """Pixels of the result per pixel of the picture, along each side."""
    filter: str


@dataclass(frozen=True, kw_only=True)
class DegradationChain:
    """Drawn steps before and after a downscale; only their noise is still random."""

    scale: int
    before: tuple[partial[Array], ...] = ()
    after: tuple[partial[Array] | Resampling, ...] = ()
    filter: str = "bicubic"
    """Filter of the downscale; ``bicubic`` is MATLAB's, others are Pillow's."""

    def apply(self, picture: Array, random: np.random.Generator) -> Array:
        """Degrade HR (H, W, 3), uint8 or uint16, to LR; what the scale does not divide is cut."""
        if self == DegradationChain(scale=self.scale):
            return downscale(picture, self.scale)  # rounds after each pass, as MATLAB
        values = to_levels(mod_crop(picture, self.scale))
        height, width = (side // self.scale for side in values.shape[:2])

        def size_before(
            steps: Sequence[partial[Array] | Resampling],
        ) -> tuple[int, int]:
            """Return the size of the picture before the last ``steps``, which end at LR's."""
            factor = 1.0
            for step in reversed(steps):
                if isinstance(step, Resampling):
                    factor *= step.factor
            return max(round(height / factor), 1), max(round(width / factor), 1)

        # A blur at the end of the steps on HR is merged into the downscale.
        steps = self.before
        kernel = np.ones((1, 1))
        if steps and steps[-1].func is blur:
            kernel = gaussian(**steps[-1].keywords)
            steps = steps[:-1]
        for step in steps:
            values = step(values, random)
        resizes_later = any(isinstance(step, Resampling) for step in self.after)
        if self.filter == "bicubic" and not resizes_later:
            values = filter_and_shrink(values, kernel, self.scale)
        else:
            if kernel.size > 1:
                values = filter_and_shrink(values, kernel)
            values = resampled(values, size_before(self.after), self.filter)
        for number, later_step in enumerate(self.after, 1):
            if isinstance(later_step, Resampling):
                size = size_before(self.after[number:])
                values = resampled(values, size, later_step.filter)
            else:
                values = later_step(values, random)
        return round_levels(values, picture.dtype)


def draw_chain(
    degradation: Degradation, scale: int, random: np.random.Generator
) -> DegradationChain:
    """Draw which pieces are applied, and their numbers from their ranges."""
    if degradation.clean and random.random() < degradation.clean:
        return DegradationChain(scale=scale)
    before = [_draw_step(piece, random, scale) for piece in degradation.before]
    after = [_draw_step(piece, random, 1) for piece in degradation.after]
    return DegradationChain(
        scale=scale,
        before=tuple(
            step for step in before if step and not isinstance(step, Resampling)
        ),
        after=tuple(step for step in after if step is not None),
        filter=_one_of(degradation.filters, random),
    )


def _one_of(names: Sequence[str], random: np.random.Generator) -> str:
    if len(names) == 1:
        return names[0]
    return names[int(random.integers(len(names)))]


def _draw_step(
    piece: Piece, random: np.random.Generator, pixels: int
) -> partial[Array] | Resampling | None:
    """Draw the step of a piece; None if it is not applied.

    ``pixels`` are the picture's pixels per LR pixel, along each side.
    """
    if random.random() >= piece.probability:
        return None
    if isinstance(piece, Blur):
        return partial(
            blur,
            sigma=pixels * random.uniform(*piece.sigma),
            aspect=random.uniform(*piece.aspect),
            angle=random.uniform(*piece.angle),
        )
    if isinstance(piece, Noise):
        return partial(
            add_noise,
            sigma=random.uniform(*piece.sigma),
            shot=random.uniform(*piece.shot),
            gray=random.random() < piece.gray and not piece.colour,
            colour=piece.colour,
            size=random.uniform(*piece.size) if piece.size[1] > 1 else 1.0,
        )
    if isinstance(piece, Sharpen):
        sigma = pixels * random.uniform(*piece.sigma)
        return partial(sharpen, sigma=sigma, amount=random.uniform(*piece.amount))
    if isinstance(piece, Resize):
        return Resampling(random.uniform(*piece.factor), _one_of(piece.filters, random))
    quality = int(random.integers(*piece.quality, endpoint=True))
    subsampled = random.random() < piece.subsampling
    return partial(through_jpeg, quality=quality, subsampled=subsampled)


def degrade(
    picture: Array,
    scale: int,
    degradation: str | Degradation = "aerial",
    seed: int | tuple[int, int] = 0,
) -> Array:
    """Degrade one HR picture to LR, by one draw from a degradation's ranges.

    Args:
        picture: HR, (H, W, 3) RGB, uint8 or uint16, both sides at least ``scale``; rows
            and columns that the scale does not divide are cut at the far ends.
        scale: The super-resolution factor.
        degradation: A name of ``srcli.recipes.degradation.DEGRADATIONS``, or your own.
            With ``bicubic`` the result is that of ``srcli.imaging.pixels.resize.downscale``,
            bit for bit.
        seed: Seed of the draw; give every picture of a set another.

    Returns:
        (H // scale, W // scale, 3) of the same dtype.

    Raises:
        RecipeError: If there is no degradation of that name.
        ValueError: If the picture has another shape or type, or is too small.
    """
    if (
        picture.ndim != 3
        or picture.shape[2] != 3
        or picture.dtype not in (np.uint8, np.uint16)
    ):
        raise ValueError(
            f"expected (H, W, 3) uint8 or uint16, got {picture.shape} {picture.dtype}"
        )
    if isinstance(degradation, str):
        degradation = Degradation.named(degradation)
    random = np.random.default_rng(seed)
    return draw_chain(degradation, scale, random).apply(picture, random)


def degrade_pairs(
    pairs: Pairs, degradation: Degradation, seed: int = VALIDATION_SEED
) -> Pairs:
    """Return the same HR pictures with degraded LR; ``(seed, i)`` draws picture ``i``."""
    lr = [
        degrade(hr, pairs.scale, degradation, (seed, i))
        for i, hr in enumerate(pairs.hr)
    ]
    return replace(pairs, lr=lr)


def degraded_patch(
    picture: Array,
    corner: tuple[int, int],
    patch: int,
    chain: DegradationChain,
    random: np.random.Generator,
) -> Array:
    """Make an LR patch (patch, patch, 3) as if the whole picture were degraded.

    The picture is HR, (H, W, 3), both sides multiples of the scale; ``corner`` is top
    and left of the patch in LR pixels. ``random`` gives the position of JPEG blocks and
    the noise. What lies farther away than ``HALO``, and in other blocks of a JPEG, does
    not count.
    """
    steps = [step.func for step in chain.after if isinstance(step, partial)]
    block = MCU if through_jpeg in steps else 1
    region = picture
    inside = []
    for axis, patch_start in enumerate(corner):
        margin = HALO + int(random.integers(block))
        inside.append(slice(margin, margin + patch))
        blocks = math.ceil((margin + patch + HALO) / block)
        start = (patch_start - margin) * chain.scale
        stop = start + chain.scale * block * blocks
        if 0 <= start <= stop <= picture.shape[axis]:
            region = region[:, start:stop] if axis else region[start:stop]
        else:
            # "take" gathers pixels of three bytes several times faster than indexing
            indices = mirrored(np.arange(start, stop), picture.shape[axis])
            region = region.take(indices, axis)
    return chain.apply(region, random)[tuple(inside)]
