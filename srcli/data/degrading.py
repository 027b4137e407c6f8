"""Draw degradations from a recipe's ranges and apply them to pictures and training patches."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from srcli.imaging.degrading import (
    DegradationChain,
    Resampling,
    add_noise,
    blur,
    sharpen,
    through_jpeg,
)
from srcli.imaging.resize import mirrored
from srcli.recipes.degradation import Blur, Degradation, Noise, Resize, Sharpen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.data.training_set import Pairs
    from srcli.imaging.degrading import Array
    from srcli.recipes.degradation import Piece

MCU = 16
"""Pixels after which the blocks of a 4:2:0 JPEG repeat, luma and chroma together."""
HALO = 8
"""LR pixels around a patch, at least, that are degraded with it."""
VALIDATION_SEED = 20
"""Seed of the LR pictures of validation, the same for all seeds of a training."""


def draw(degradation: Degradation, scale: int, random: np.random.Generator) -> DegradationChain:
    """Draw the pieces to apply, and their numbers."""
    if degradation.clean and random.random() < degradation.clean:
        return DegradationChain(scale=scale)
    before = [_draw_piece(piece, random, scale) for piece in degradation.before]
    after = [_draw_piece(piece, random, 1) for piece in degradation.after]
    return DegradationChain(
        scale=scale,
        before=tuple(step for step in before if step and not isinstance(step, Resampling)),
        after=tuple(step for step in after if step is not None),
        filter=_one_of(degradation.filters, random),
    )


def _one_of(names: Sequence[str], random: np.random.Generator) -> str:
    return names[0] if len(names) == 1 else names[int(random.integers(len(names)))]


def _draw_piece(
    piece: Piece, random: np.random.Generator, pixels: int
) -> partial[Array] | Resampling | None:
    """Draw one piece, or none; ``pixels`` are the picture's pixels per LR pixel."""
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
    quality, subsampled = random.integers(*piece.quality, endpoint=True), random.random()
    return partial(through_jpeg, quality=int(quality), subsampled=subsampled < piece.subsampling)


def degrade(
    picture: NDArray[np.uint8], scale: int, degradation: str | Degradation = "aerial", seed: int = 0
) -> NDArray[np.uint8]:
    """Make the LR picture of a test set: one draw from a degradation's ranges.

    Args:
        picture: HR, (H, W, 3) uint8 RGB, both sides at least ``scale``; rows and columns that the
            scale does not divide are cut at the far ends.
        scale: The super-resolution factor.
        degradation: A name of ``srcli.recipes.degradation.DEGRADATIONS``, or your own. With
            ``bicubic`` the result is that of ``srcli.imaging.resize.downscale``, bit for bit.
        seed: Seed of the draw; give every picture of a set another.

    Returns:
        (H // scale, W // scale, 3) uint8.

    Raises:
        RecipeError: If there is no degradation of that name.
        ValueError: If the picture has another shape or type, or is too small.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"expected (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    chosen = Degradation.named(degradation) if isinstance(degradation, str) else degradation
    random = np.random.default_rng(seed)
    return draw(chosen, scale, random).apply(picture, random)


def degrade_pairs(pairs: Pairs, degradation: Degradation, seed: int = VALIDATION_SEED) -> Pairs:
    """Return the same HR pictures with degraded LR; picture ``i`` is drawn by ``(seed, i)``."""
    lr = []
    for i, picture in enumerate(pairs.hr):
        random = np.random.default_rng((seed, i))
        lr.append(draw(degradation, pairs.scale, random).apply(picture, random))
    return replace(pairs, lr=lr)


def degraded_patch(
    picture: NDArray[np.uint8],
    corner: tuple[int, int],
    patch: int,
    chain: DegradationChain,
    random: np.random.Generator,
) -> NDArray[np.uint8]:
    """Make an LR patch (patch, patch, 3) as if the whole picture were degraded.

    The picture is HR, (H, W, 3), both sides multiples of the scale; ``corner`` is top and left of
    the patch in LR pixels. ``random`` gives the position of JPEG blocks and the noise. What lies
    farther away than ``HALO``, and in other blocks of a JPEG, does not count.
    """
    steps = [step.func for step in chain.after if isinstance(step, partial)]
    block = MCU if through_jpeg in steps else 1
    region, cuts = picture, []
    for axis, begin in enumerate(corner):
        before = HALO + int(random.integers(block))
        cuts.append(slice(before, before + patch))
        first = (begin - before) * chain.scale
        last = first + chain.scale * block * math.ceil((before + patch + HALO) / block)
        if 0 <= first <= last <= picture.shape[axis]:
            region = region[:, first:last] if axis else region[first:last]
        else:  # "take" gathers pixels of three bytes several times faster than indexing does
            read = mirrored(np.arange(first, last), picture.shape[axis])
            region = region.take(read, axis)
    return chain.apply(region, random)[cuts[0], cuts[1]]
