"""Random training patches as tensors: cut, flipped and rotated by index arithmetic, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.data.pairs import Pairs

CELL = 8
"""Edge, in LR pixels, of the cells in which detail is measured."""


class PatchSampler:
    """Draw batches of aligned LR and HR patches; batch ``step`` depends on the seed and step only.

    All pixels lie in one uint8 buffer on ``device``; a batch is one gather, whose indices already
    contain the flips and rotations (D8 augmentation).

    Args:
        pairs: HR and LR pictures.
        device: Where the pictures live and the batches are made.
        seed: Seed of the whole training.

    Raises:
        DataError: If there are no pictures.
    """

    def __init__(self, pairs: Pairs, *, device: torch.device, seed: int = 0) -> None:
        if not pairs.lr:
            raise DataError("no training pictures are left; give more with --data")
        self.scale = pairs.scale
        self.device = device
        self.seed = seed
        self.shapes = np.array([image.shape[:2] for image in pairs.lr], dtype=np.int64)
        self._lr, self._lr_starts = _flatten(pairs.lr, device)
        self._hr, self._hr_starts = _flatten(pairs.hr, device)
        self._detail = [detail_integral(image) for image in pairs.lr]

    def batch(
        self, step: int, *, batch: int, patch: int, prefer_detail: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the LR (N, 3, P, P) and HR (N, 3, sP, sP) patches of one step.

        Args:
            step: Number of the iteration.
            batch: Patches N.
            patch: Edge P in LR pixels.
            prefer_detail: Of two random places take the one with more gradient energy.

        Returns:
            Floats in [0, 1], laid out as channels_last.

        Raises:
            DataError: If no picture is as large as the patch.
        """
        random = np.random.default_rng((self.seed, step))
        usable = np.flatnonzero((self.shapes >= patch).all(axis=1))
        if len(usable) == 0:
            raise DataError(
                f"no training picture has {patch}x{patch} LR pixels; "
                f"use a smaller patch (--set stages.0.patch=32) or larger pictures"
            )
        places = self._draw(random, usable, batch, patch)
        if prefer_detail:
            other = self._draw(random, usable, batch, patch)
            better = self._score(other, patch) > self._score(places, patch)
            places = np.where(better[:, None], other, places)
        turns = random.integers(0, 8, size=batch)
        lr = _gather(self._lr, self._lr_starts, self.shapes, places, turns, patch, 1)
        hr = _gather(
            self._hr, self._hr_starts, self.shapes, places, turns, patch * self.scale, self.scale
        )
        return lr, hr

    def _draw(
        self, random: np.random.Generator, usable: NDArray[np.int64], count: int, patch: int
    ) -> NDArray[np.int64]:
        # Pictures are drawn in proportion to their area, so that every pixel is as likely.
        areas = self.shapes[usable].prod(axis=1).astype(np.float64)
        which = usable[np.searchsorted(np.cumsum(areas), random.random(count) * areas.sum())]
        free = self.shapes[which] - patch + 1
        corner = (random.random((count, 2)) * free).astype(np.int64)
        return np.column_stack([which, corner])

    def _score(self, places: NDArray[np.int64], patch: int) -> NDArray[np.float64]:
        scores = np.empty(len(places))
        for i, (which, y, x) in enumerate(places):
            table = self._detail[which]
            top, left = y // CELL, x // CELL
            bottom = min((y + patch) // CELL, table.shape[0] - 1)
            right = min((x + patch) // CELL, table.shape[1] - 1)
            total = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
            scores[i] = total / max((bottom - top) * (right - left), 1)
        return scores


def detail_integral(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Summed-area table of the gradient energy of an LR picture, in cells of ``CELL`` pixels."""
    gray = image.astype(np.float32).mean(axis=2)
    energy = np.zeros_like(gray)
    energy[:, 1:] += np.abs(np.diff(gray, axis=1))
    energy[1:] += np.abs(np.diff(gray, axis=0))
    h, w = (max(side // CELL, 1) for side in gray.shape)
    cells = energy[: h * CELL, : w * CELL]
    rows = np.add.reduceat(cells, np.arange(0, cells.shape[0], CELL)[:h], axis=0)
    sums = np.add.reduceat(rows, np.arange(0, cells.shape[1], CELL)[:w], axis=1)
    table = np.zeros((h + 1, w + 1))
    table[1:, 1:] = sums.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return table


def _flatten(images: Sequence[NDArray[np.uint8]], device: torch.device) -> tuple[Tensor, NDArray[np.int64]]:
    sizes = np.array([image.shape[0] * image.shape[1] for image in images], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pixels = torch.empty((int(sizes.sum()), 3), dtype=torch.uint8)
    for start, size, image in zip(starts, sizes, images, strict=True):
        pixels[start : start + size] = torch.from_numpy(image.reshape(-1, 3).copy())
    return pixels.to(device), starts


def _gather(
    pixels: Tensor,
    starts: NDArray[np.int64],
    shapes: NDArray[np.int64],
    places: NDArray[np.int64],
    turns: NDArray[np.int64],
    patch: int,
    scale: int,
) -> Tensor:
    which = places[:, 0]
    width = shapes[which, 1] * scale
    first = starts[which] + places[:, 1] * scale * width + places[:, 2] * scale
    down, across = width.copy(), np.ones_like(width)
    last = patch - 1
    for bit, axis in ((1, 0), (2, 1)):  # flips: start at the far end, walk backwards
        flip = (turns & bit) > 0
        stride = down if axis == 0 else across
        first = np.where(flip, first + last * stride, first)
        stride[flip] *= -1
    swap = (turns & 4) > 0  # transposition: swap the strides of the two axes
    down, across = np.where(swap, across, down), np.where(swap, down, across)
    device = pixels.device
    steps = torch.arange(patch, device=device)
    base, rows, columns = (
        torch.from_numpy(values).to(device)[:, None, None] for values in (first, down, across)
    )
    index = base + rows * steps[None, :, None] + columns * steps[None, None, :]
    chosen = pixels.index_select(0, index.reshape(-1)).reshape(len(which), patch, patch, 3)
    return chosen.permute(0, 3, 1, 2).float().div_(255.0)
