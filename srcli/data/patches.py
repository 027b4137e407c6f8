"""Random training patches as tensors: cropped, flipped, rotated, recoloured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from srcli.data.degrading import degraded_patch, draw
from srcli.errors import DataError
from srcli.layers.colour import luma
from srcli.layers.network import upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from srcli.data.training_set import Pairs
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import Stage

Picture = NDArray[np.uint8]
Numbers = NDArray[np.int64]

TURNS = {"d8": range(8), "rotations": (0, 3, 5, 6), "none": (0,)}
"""Ways to turn patches by augmentation, as ``turned`` numbers them."""
CELL = 8
"""Edge, in LR pixels, of the cells in which detail is measured."""


class Patches(NamedTuple):
    """The patches of one step as they lie in the pictures, and how they are to vary."""

    lr: Picture
    """(N, P, P, 3)."""
    hr: Picture
    """(N, sP, sP, 3)."""
    orders: Numbers | None
    """(N, 3): the channel that each becomes."""
    colours: NDArray[np.float64] | None
    """(N, 4) of ``draw_colours``."""


class PatchSampler:
    """Draw batches of aligned LR and HR patches; batch ``step`` depends on the seed and step only.

    Patches are turned as the stage says. For a network on Y they are Y of the RGB pixels, not
    rounded, as its input is when it enlarges a picture.

    Args:
        pairs: HR and LR pictures, none of which is copied.
        seed: Seed of the whole training.
        colour: ``rgb``, or ``y`` for one channel.
        degradation: Makes every LR patch anew from the HR pixels around it, by a draw of its own;
            None takes LR of ``pairs``.

    Attributes:
        share: (k, n): only the k-th of n equal parts of every batch is made, for rank k of n
            processes; together they make the batch of a single process, (0, 1).
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        seed: int = 0,
        colour: str = "rgb",
        degradation: Degradation | None = None,
    ) -> None:
        if not pairs.lr:
            raise DataError("no training pictures are left; give more with --data")
        self.scale = pairs.scale
        self.seed = seed
        self.colour = colour
        self.degradation = degradation
        self.share = (0, 1)
        self.shapes = np.array([image.shape[:2] for image in pairs.lr], dtype=np.int64)
        self._detail = [detail_integral(image) for image in pairs.lr]
        self._lr, self._hr = pairs.lr, pairs.hr

    def usable(self, patch: int) -> Numbers:
        """Return the numbers of the pictures with at least ``patch`` x ``patch`` LR pixels."""
        found = np.flatnonzero((self.shapes >= patch).all(axis=1))
        if not len(found):
            raise DataError(
                f"no training picture has {patch}x{patch} LR pixels ({patch * self.scale} at full "
                f"size); use a smaller patch (--set stages.0.patch=32) or larger pictures"
            )
        return found

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return the LR (N, C, P, P) and HR (N, C, sP, sP) patches of one step.

        Returns:
            Floats in [0, 1], in channels_last layout; C is 3, or 1 for Y.
        """
        return self.varied(self.cut(step, stage), torch.device("cpu"))

    def cut(self, step: int, stage: Stage) -> Patches:
        """Draw the patches of one step, and cut or degrade them."""
        random = np.random.default_rng((self.seed, step))
        batch, patch = stage.batch, stage.edge(self.scale)
        usable = self.usable(patch)
        places = self._draw(random, usable, stage)
        if stage.prefer_detail:
            other = self._draw(random, usable, stage)
            better = self._score(other, patch) > self._score(places, patch)
            places = np.where(better[:, None], other, places)
        ways = np.array(TURNS[stage.augmentation])
        turns = ways[random.integers(0, 8, size=batch) % len(ways)]
        orders = np.tile(np.arange(3), (batch, 1)) if stage.shuffle_channels else None
        if orders is not None:
            orders = random.permuted(orders, axis=1)
        colours = draw_colours(random, batch, stage.recolour) if stage.recolour else None
        # Everything is drawn for the whole batch; then each process takes its own part.
        part, parts = self.share
        own = np.arange(batch * part // parts, batch * (part + 1) // parts)
        places, turns = places[own], turns[own]
        hr_places = places * np.array([1, self.scale, self.scale])
        return Patches(
            lr=self._lr_patches(step, own, places, turns, patch),
            hr=cut(self._hr, hr_places, turns, patch * self.scale),
            orders=None if orders is None else orders[own],
            colours=None if colours is None else colours[own],
        )

    def varied(self, patches: Patches, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the batch of patches, their colours varied, on a device."""
        lr, hr = (to_tensor(upload(each, device)) for each in (patches.lr, patches.hr))
        if patches.orders is not None:
            lr, hr = _reordered(lr, patches.orders), _reordered(hr, patches.orders)
        if patches.colours is not None:
            lr, hr = recoloured(lr, hr, patches.colours)
        if self.colour == "y":
            lr, hr = luma(lr), luma(hr)
        return lr, hr

    def _lr_patches(
        self, step: int, numbers: Numbers, places: Numbers, turns: Numbers, patch: int
    ) -> Picture:
        """Crop LR patches at ``places``, or degrade HR there by draws of step and number."""
        if self.degradation is None:
            return cut(self._lr, places, turns, patch)
        patches = []
        drawn = zip(numbers.tolist(), places.tolist(), turns.tolist(), strict=True)
        for index, (which, y, x), turn in drawn:
            # The last number keeps it apart from (seed, step), which draws the places.
            random = np.random.default_rng((self.seed, step, index, 1))
            chain = draw(self.degradation, self.scale, random)
            lr_patch = degraded_patch(self._hr[which], (y, x), patch, chain, random)
            patches.append(turned(lr_patch, turn))
        return np.stack(patches)

    def _draw(self, random: np.random.Generator, usable: Numbers, stage: Stage) -> Numbers:
        """Draw a place for each patch: number of the picture, top and left in LR pixels."""
        count, step = stage.batch, stage.patch_stride
        # Pictures are drawn in proportion to their area, so that every pixel is as likely.
        areas = self.shapes[usable].prod(axis=1).astype(np.float64)
        which = usable[np.searchsorted(np.cumsum(areas), random.random(count) * areas.sum())]
        free = (self.shapes[which] - stage.edge(self.scale)) // step + 1
        corner = (random.random((count, 2)) * free).astype(np.int64) * step
        return np.column_stack([which, corner])

    def _score(self, places: Numbers, patch: int) -> NDArray[np.float64]:
        scores = np.empty(len(places))
        for i, (which, y, x) in enumerate(places):
            table = self._detail[which]
            top, left = y // CELL, x // CELL
            bottom = min((y + patch) // CELL, table.shape[0] - 1)
            right = min((x + patch) // CELL, table.shape[1] - 1)
            below = table[bottom, right] - table[bottom, left]
            above = table[top, right] - table[top, left]
            scores[i] = (below - above) / max((bottom - top) * (right - left), 1)
        return scores


def _reordered(patches: Tensor, orders: Numbers) -> Tensor:
    """Permute the channels of every patch (N, 3, H, W) by its row of ``orders`` (N, 3)."""
    channels = upload(orders, patches.device)
    rows = torch.arange(len(patches), device=patches.device)[:, None]
    return patches[rows, channels].contiguous(memory_format=torch.channels_last)


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


def draw_colours(random: np.random.Generator, batch: int, share: float) -> NDArray[np.float64]:
    """Draw (N, 4) for a batch: R, G, B and contrast, 0..1; NaN for patches that keep their colours.

    Photographs hold few saturated colours, aerial pictures hardly any: networks trained on these
    alone shift them, flat cyan at worst by 38 of 255 levels.
    """
    colours = np.empty((batch, 4))
    # A channel is 0 or 1, as in saturated colours, in a sixth of the draws each.
    colours[:, :3] = random.uniform(-0.25, 1.25, size=(batch, 3)).clip(0, 1)
    colours[:, 3] = random.random(batch)
    colours[random.random(batch) >= share] = np.nan
    return colours


def recoloured(lr: Tensor, hr: Tensor, colours: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Move RGB patches (N, 3, H, W) to other mean colours, linearly, as LR is made from HR.

    Their contrast is made so much smaller that HR stays within 0 to 1; those that are moved to
    saturated colours become flat.

    Args:
        lr: LR patches.
        hr: HR patches.
        colours: (N, 4) from ``draw_colours``.
    """
    own = upload(colours, hr.device).to(hr.dtype)
    colour, contrast = own[:, :3, None, None], own[:, 3:, None, None]
    mean = hr.mean(dim=(2, 3), keepdim=True)
    above = (hr.amax(dim=(2, 3), keepdim=True) - mean).clamp(min=1e-6)
    below = (mean - hr.amin(dim=(2, 3), keepdim=True)).clamp(min=1e-6)
    room = torch.minimum((1 - colour) / above, colour / below).amin(dim=1, keepdim=True)
    gain = contrast * room.clamp(max=1.0)
    kept = colour.isnan()
    gain, offset = torch.where(kept, 1.0, gain), torch.where(kept, 0.0, colour - gain * mean)
    return lr * gain + offset, hr * gain + offset


def cut(pictures: Sequence[Picture], places: Numbers, turns: Numbers, edge: int) -> Picture:
    """Return square patches (N, edge, edge, 3) of pictures.

    Places are (N, 3): the number of a picture, row and column of the first pixel. Turns are (N,),
    see ``turned``.
    """
    drawn = zip(places.tolist(), turns.tolist(), strict=True)
    return np.stack(
        [
            turned(pictures[which][top : top + edge, left : left + edge], turn)
            for (which, top, left), turn in drawn
        ]
    )


def to_tensor(patches: Tensor) -> Tensor:
    """Convert (N, H, W, 3) uint8 to (N, 3, H, W) floats in [0, 1], in channels_last layout."""
    return patches.permute(0, 3, 1, 2).float().div_(255.0)


def turned(patch: Picture, turn: int) -> Picture:
    """Flip and rotate a patch (P, P, 3) in one of eight ways: bits 1, 2 flip, 4 transposes."""
    if turn & 1:
        patch = patch[::-1]
    if turn & 2:
        patch = patch[:, ::-1]
    return patch.swapaxes(0, 1) if turn & 4 else patch
