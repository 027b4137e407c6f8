"""Random training patches as tensors: cropped, flipped, rotated, with varied levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcli.data.degrading import degraded_patch, draw
from srcli.errors import DataError
from srcli.imaging.colour import Y_BLACK, Y_WHITE
from srcli.layers.colour import luma
from srcli.layers.network import upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.data.training_set import Pairs
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import Stage

    Picture = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

TURNS = {"d8": range(8), "rotations": (0, 3, 5, 6), "none": (0,)}
"""Ways to turn patches by augmentation, as ``turned`` numbers them."""
CELL = 8
"""Edge, in LR pixels, of the cells in which detail is measured."""
BEYOND = 0.1
"""Largest distance of a varied black from 0, of a varied white from 1."""
LEVELS = {"rgb": (0.0, 1.0), "y": (Y_BLACK / 255, Y_WHITE / 255)}
"""Black and white of pictures, by the colour of the network."""


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The patches of one step as they lie in the pictures, and how they are to vary."""

    lr: Picture | Tensor
    """(N, P, P, 3) uint8."""
    hr: Picture | Tensor
    """(N, sP, sP, 3) uint8."""
    orders: Numbers | None
    """(N, 3): the channel that each becomes."""
    colours: NDArray[np.float64] | None
    """(N, 4) of ``draw_colours``."""
    levels: NDArray[np.float64] | None
    """(N, 2) of ``draw_levels``."""


class PatchSampler:
    """Draw batches of aligned LR and HR patches; batch ``step`` depends on the seed and step only.

    Patches are turned as the stage says. For a network on Y they are Y of the RGB pixels, not
    rounded, as its input is when it enlarges a picture.

    Args:
        pairs: HR and LR pictures.
        device: Holds the pictures and makes the batches; all pictures are copied to a GPU, none
            in main memory.
        seed: Seed of the whole training.
        colour: ``rgb``, or ``y`` for one channel.
        degradation: Makes every LR patch anew from the HR pixels around it, on the processor, by a
            draw of its own; None takes LR of ``pairs``.

    Attributes:
        share: (k, n): only the k-th of n equal parts of every batch is made, for rank k of n
            processes; together they make the batch of a single process, (0, 1).
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        device: torch.device,
        seed: int = 0,
        colour: str = "rgb",
        degradation: Degradation | None = None,
    ) -> None:
        if not pairs.lr:
            raise DataError("no training pictures are left; give more with --data")
        self.scale = pairs.scale
        self.device = device
        self.seed = seed
        self.colour = colour
        self.degradation = degradation
        self.share = (0, 1)
        self.shapes = np.array([image.shape[:2] for image in pairs.lr], dtype=np.int64)
        self._detail = [detail_integral(image) for image in pairs.lr]
        make = HostAtlas if device.type == "cpu" else partial(DeviceAtlas, device=device)
        self._lr: HostAtlas | DeviceAtlas = make(pairs.lr)
        self._hr: HostAtlas | DeviceAtlas = make(pairs.hr)

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
            Floats in [0, 1], with varied levels in [-0.1, 1.1], in channels_last layout; C is 3,
            or 1 for Y.
        """
        return self.varied(self.cut(step, stage), self.device)

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
        levels = draw_levels(random, batch, stage.vary_levels) if stage.vary_levels else None
        colours = draw_colours(random, batch, stage.recolour) if stage.recolour else None
        # Everything is drawn for the whole batch; then each process takes its own part.
        part, parts = self.share
        own = np.arange(batch * part // parts, batch * (part + 1) // parts)
        places, turns = places[own], turns[own]
        return Patches(
            lr=self._lr_patches(step, own, places, turns, patch),
            hr=self._hr.cut(places[:, 0], places[:, 1:] * self.scale, turns, patch * self.scale),
            orders=None if orders is None else orders[own],
            colours=None if colours is None else colours[own],
            levels=None if levels is None else levels[own],
        )

    def varied(self, patches: Patches, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the batch of patches, their colours and levels varied, on a device."""
        lr, hr = (to_tensor(upload(each, device)) for each in (patches.lr, patches.hr))
        if patches.orders is not None:
            lr, hr = _reordered(lr, patches.orders), _reordered(hr, patches.orders)
        if patches.colours is not None:
            lr, hr = recoloured(lr, hr, patches.colours)
        if self.colour == "y":
            lr, hr = luma(lr), luma(hr)
        if patches.levels is not None:
            lr, hr = (set_levels(each, patches.levels, self.colour) for each in (lr, hr))
        return lr, hr

    def _lr_patches(
        self, step: int, numbers: Numbers, places: Numbers, turns: Numbers, patch: int
    ) -> Picture | Tensor:
        """Crop LR patches at ``places``, or degrade HR there by draws of step and number."""
        if self.degradation is None:
            return self._lr.cut(places[:, 0], places[:, 1:], turns, patch)
        assert isinstance(self._hr, HostAtlas)
        pictures, patches = self._hr.pictures, []
        drawn = zip(numbers.tolist(), places.tolist(), turns.tolist(), strict=True)
        for index, (which, y, x), turn in drawn:
            # The last number keeps it apart from (seed, step), which draws the places.
            random = np.random.default_rng((self.seed, step, index, 1))
            chain = draw(self.degradation, self.scale, random)
            lr_patch = degraded_patch(pictures[which], (y, x), patch, chain, random)
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


def draw_levels(random: np.random.Generator, batch: int, share: float) -> NDArray[np.float64]:
    """Draw (N, 2) levels of black and white for a batch; NaN for patches that keep theirs.

    Y of pictures fills 16 to 235 of 255 and RGB never leaves 0 to 255: networks trained on these
    alone give arbitrary results outside, for gray pictures taken as luma, for LR that overshoots at
    edges, for measurements beyond their range.
    """
    levels = np.array([0.0, 1.0]) + random.uniform(-BEYOND, BEYOND, size=(batch, 2))
    levels[random.random(batch) >= share] = np.nan
    return levels


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


def set_levels(patches: Tensor, levels: NDArray[np.float64], colour: str) -> Tensor:
    """Move black and white of patches (N, C, H, W) to their levels, linearly.

    Args:
        patches: With the black and white of ``LEVELS``.
        levels: (N, 2) from ``draw_levels``.
        colour: ``rgb`` or ``y``.
    """
    black, white = LEVELS[colour]
    gains = (levels[:, 1] - levels[:, 0]) / (white - black)
    lines = np.stack([gains, levels[:, 0] - black * gains])
    lines[:, np.isnan(gains)] = [[1.0], [0.0]]  # these patches keep every bit
    own = upload(lines, patches.device).to(patches.dtype)
    gain, offset = own.view(2, -1, 1, 1, 1).unbind()
    return patches * gain + offset


class HostAtlas:
    """Pictures in main memory, or mapped into it from a file; none is copied."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = list(pictures)

    def cut(self, which: Numbers, corner: Numbers, turns: Numbers, edge: int) -> Picture:
        """Return square patches.

        Args:
            which: (N,) numbers of pictures.
            corner: (N, 2) rows and columns of their first pixels.
            turns: (N,) from 0 to 7, see ``turned``.
            edge: Of the patches, pixels.

        Returns:
            (N, edge, edge, 3) uint8.
        """
        patches = np.empty((len(which), edge, edge, 3), np.uint8)
        drawn = zip(which.tolist(), corner.tolist(), turns.tolist(), strict=True)
        for patch, (number, (top, left), turn) in zip(patches, drawn, strict=True):
            there = self.pictures[number][top : top + edge, left : left + edge]
            patch[...] = turned(there, turn)
        return patches


class DeviceAtlas:
    """Pictures in one flat buffer on a device; a batch is one gather by computed indices."""

    def __init__(self, pictures: Sequence[Picture], device: torch.device) -> None:
        sizes = np.array([picture.shape[0] * picture.shape[1] for picture in pictures], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.widths = np.array([picture.shape[1] for picture in pictures], np.int64)
        self.pixels = torch.empty((int(sizes.sum()), 3), dtype=torch.uint8, device=device)
        for picture, start, size in zip(pictures, self.starts, sizes, strict=True):
            # A copy that may be written to, as torch wants it.
            flat = torch.from_numpy(np.array(picture.reshape(-1, 3)))
            self.pixels[start : start + size] = flat.to(device)

    def cut(self, which: Numbers, corner: Numbers, turns: Numbers, edge: int) -> Tensor:
        """Return the same as ``HostAtlas.cut``, on the device."""
        width = self.widths[which]
        first = self.starts[which] + corner[:, 0] * width + corner[:, 1]
        down, across = width.copy(), np.ones_like(width)
        for bit, stride in ((1, down), (2, across)):  # flips: start at the far end, walk backwards
            flip = (turns & bit) > 0
            first = np.where(flip, first + (edge - 1) * stride, first)
            stride[flip] *= -1
        swap = (turns & 4) > 0  # transposition: swap the strides of the two axes
        down, across = np.where(swap, across, down), np.where(swap, down, across)
        device = self.pixels.device
        steps = torch.arange(edge, device=device)
        base, rows, columns = upload(np.stack([first, down, across]), device)[..., None, None]
        index = base + rows * steps[None, :, None] + columns * steps[None, None, :]
        chosen = self.pixels.index_select(0, index.reshape(-1))
        return chosen.reshape(len(which), edge, edge, 3)


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
