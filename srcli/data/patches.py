"""Random training patches as tensors: cropped, flipped, rotated, recoloured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import proxy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from srcli.data.degrading import degraded_patch, draw_chain
from srcli.errors import DataError
from srcli.imaging.pixels.arrays import Floats
from srcli.layers.colour import gray_of, luma
from srcli.layers.transfer import upload
from srcli.threads import interrupts_blocked

if TYPE_CHECKING:
    from srcli.data.pictures import RgbPixels
    from srcli.data.training_set import Pairs
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import Stage

Numbers = NDArray[np.int64]


TURNS = {"d8": range(8), "rotations": (0, 3, 5, 6), "none": (0,)}
"""Ways to turn patches by ``Stage.augmentation``, as ``turned`` numbers them."""
CELL = 8
"""Edge, in LR pixels, of the cells in which detail is measured."""


class Patches(NamedTuple):
    """The patches of one step, cut and turned, and how their colours are to vary."""

    lr: RgbPixels
    """(N, P, P, 3)"""
    hr: RgbPixels
    """(N, sP, sP, 3)"""
    orders: Numbers | None = None
    """Channel of the picture that each channel is taken from, (N, 3)."""
    colours: NDArray[np.float64] | None = None
    """Mean colour and contrast that each is to get, (N, 4) of ``draw_colours``."""


class PatchSampler(Dataset[Any]):
    """Draws batches of aligned LR and HR patches, which depend on seed and step only.

    A step is the number of an iteration over all stages. Patches are turned as the
    stage says. For a network on Y they are Y of the RGB
    pixels, not rounded, as its input is when it enlarges a picture.

    Args:
        pairs: HR and LR pictures, none of which is copied.
        seed: Seed of the whole training.
        colour: ``rgb``, or ``y`` or ``gray`` for one channel.
        degradation: Makes every LR patch anew from the HR pixels around it, by a draw
            of its own; None takes LR of ``pairs``.
        share: (k, n): only the k-th of n equal parts of every batch is made, for rank k
            of n processes; together they make the batch of a single process, (0, 1).
        device: Where the batches are put.
        workers: Processes that cut the patches of the next steps while a GPU computes;
            0 cuts in the call. After a skipped step or in another stage, the first
            batch has to be waited for.
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        seed: int = 0,
        colour: str = "rgb",
        degradation: Degradation | None = None,
        share: tuple[int, int] = (0, 1),
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        if not pairs.lr:
            raise DataError("no training pictures are left; give more with --data")
        self.pairs = pairs
        self.seed = seed
        self.colour = colour
        self.degradation = degradation
        self.share = share
        self.device = torch.device(device)
        self.workers = workers
        self.shapes = np.array([image.shape[:2] for image in pairs.lr], dtype=np.int64)
        self._detail = [measure_detail(image) for image in pairs.lr]
        self._ahead: Iterator[Patches] = iter(())
        self._next: tuple[int, Stage] | None = None

    def usable(self, patch: int, stage_number: int = 0) -> Numbers:
        """Return the numbers of the pictures with at least ``patch`` x ``patch`` LR pixels.

        DataError, which names the stage, if there is none.
        """
        usable = np.flatnonzero((self.shapes >= patch).all(axis=1))
        if not len(usable):
            raise DataError(
                f"no training picture has {patch}x{patch} LR pixels ({patch * self.pairs.scale} at "
                f"full size); use larger pictures or a smaller patch (stages.{stage_number}.patch)"
            )
        return usable

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return the LR (N, C, P, P) and HR (N, C, sP, sP) patches of one step, on the device.

        They are floats in [0, 1], or a little beyond, in channels_last layout; C is 3,
        or 1 for Y.
        """
        if not self.workers:
            return self._finish(self[step, stage])
        if self._next != (step, stage):
            loader = DataLoader(
                # a cycle of references would let the processes outlive the sampler
                proxy(self),
                batch_size=None,
                sampler=zip(count(step), repeat(stage)),
                num_workers=self.workers,
                # as they are, through pipes: containers have little /dev/shm
                collate_fn=lambda patches: patches,
                multiprocessing_context="fork",
                generator=torch.Generator(),  # leaves PyTorch's own alone
            )
            with interrupts_blocked():
                self._ahead = iter(loader)
        self._next = (step + 1, stage)
        return self._finish(next(self._ahead))

    def __getitem__(self, index: tuple[int, Stage]) -> Patches:
        """Draw the patches of one step, and cut or degrade them."""
        step, stage = index
        scale = self.pairs.scale
        random = np.random.default_rng((self.seed, step))
        batch = stage.batch
        edge = stage.patch_edge(scale)
        usable = self.usable(edge)
        places = self._draw_places(random, usable, stage)
        if stage.prefer_detail:
            rivals = self._draw_places(random, usable, stage)
            better = np.greater(self._score(rivals, edge), self._score(places, edge))
            places = np.where(better[:, None], rivals, places)
        ways = np.array(TURNS[stage.augmentation])
        turns = ways[random.integers(0, 8, size=batch) % len(ways)]
        # Everything is drawn for the whole batch; then each process takes its share.
        rank, ranks = self.share
        mine = slice(batch * rank // ranks, batch * (rank + 1) // ranks)
        orders = None
        if stage.shuffle_channels:
            orders = random.permuted(np.tile(np.arange(3), (batch, 1)), axis=1)[mine]
        colours = None
        if stage.recolour:
            colours = draw_colours(random, batch, stage.recolour)[mine]
        lr_patches = []
        hr_patches = []
        for number in range(batch)[mine]:
            which, y, x = places[number].tolist()
            lr_patch, hr_patch = self._cut(which, (y, x), edge, (step, number))
            lr_patches.append(turned(lr_patch, turns[number]))
            hr_patches.append(turned(hr_patch, turns[number]))
        return Patches(_stacked(lr_patches), _stacked(hr_patches), orders, colours)

    def _cut(
        self, which: int, corner: tuple[int, int], edge: int, key: tuple[int, int]
    ) -> tuple[RgbPixels, RgbPixels]:
        """Cut LR and HR patch out of picture number ``which``, or degrade HR to LR.

        ``corner`` is top and left in LR pixels; ``key`` are step and number of the
        patch, by which a degradation is drawn.
        """
        scale = self.pairs.scale
        picture = self.pairs.hr[which]
        y, x = corner
        if self.degradation is None:
            lr_patch = self.pairs.lr[which][y : y + edge, x : x + edge]
        else:
            # the last number keeps it apart from (seed, step), which draws the places
            random = np.random.default_rng((self.seed, *key, 1))
            chain = draw_chain(self.degradation, scale, random)
            lr_patch = degraded_patch(picture, corner, edge, chain, random)
        rows = slice(y * scale, (y + edge) * scale)
        return lr_patch, picture[rows, x * scale : (x + edge) * scale]

    def _finish(self, patches: Patches) -> tuple[Tensor, Tensor]:
        """Move LR and HR patches to the device, and vary their channels and colours there."""
        lr = to_tensor(patches.lr, self.device)
        hr = to_tensor(patches.hr, self.device)
        if patches.orders is not None:
            numbers = torch.arange(len(lr), device=lr.device)[:, None]
            orders = upload(patches.orders, lr.device)
            lr = lr[numbers, orders].contiguous(memory_format=torch.channels_last)
            hr = hr[numbers, orders].contiguous(memory_format=torch.channels_last)
        if patches.colours is not None:
            lr, hr = recoloured(lr, hr, patches.colours)
        if self.colour == "y":
            return luma(lr), luma(hr)
        if self.colour == "gray":
            return gray_of(lr), gray_of(hr)
        return lr, hr

    def _draw_places(
        self, random: np.random.Generator, usable: Numbers, stage: Stage
    ) -> Numbers:
        """Draw a place for each patch, (N, 3): picture, top and left in LR pixels."""
        step = stage.patch_stride
        # Pictures are drawn in proportion to their area, so that every pixel is as
        # likely.
        areas = self.shapes[usable].prod(axis=1).astype(np.float64)
        pixels = random.random(stage.batch) * areas.sum()
        which = usable[np.searchsorted(np.cumsum(areas), pixels)]
        free = (self.shapes[which] - stage.patch_edge(self.pairs.scale)) // step + 1
        corner = (random.random((stage.batch, 2)) * free).astype(np.int64) * step
        return np.column_stack([which, corner])

    def _score(self, places: Numbers, edge: int) -> list[float]:
        """Return the mean detail of the cells in the patch at each place."""
        scores = []
        for which, y, x in places:
            rows = slice(y // CELL, (y + edge) // CELL)
            cells = self._detail[which][rows, x // CELL : (x + edge) // CELL]
            scores.append(cells.sum(dtype=np.float64) / max(cells.size, 1))
        return scores


def _stacked(patches: list[RgbPixels]) -> RgbPixels:
    """Stack patches; all become uint16 if any of them is."""
    deepest = np.result_type(*patches)
    for number, patch in enumerate(patches):
        if patch.dtype != deepest:
            patches[number] = patch * np.uint16(257)
    return np.stack(patches)


def measure_detail(image: RgbPixels) -> Floats:
    """Sum the differences of neighbouring pixels of an LR picture in cells of ``CELL`` pixels.

    They are levels of 255, of the mean of the channels.
    """
    gray = image.astype(np.float32).mean(axis=2) * np.float32(
        255 / np.iinfo(image.dtype).max
    )
    changes: Floats = np.zeros_like(gray)
    changes[:, 1:] += np.abs(np.diff(gray, axis=1))
    changes[1:] += np.abs(np.diff(gray, axis=0))
    for axis, side in enumerate(gray.shape):
        starts = np.arange(0, max(side // CELL, 1) * CELL, CELL)
        whole_cells = changes.take(range(min(starts[-1] + CELL, side)), axis)
        changes = np.add.reduceat(whole_cells, starts, axis=axis)
    return changes


def draw_colours(
    random: np.random.Generator, batch: int, share: float
) -> NDArray[np.float64]:
    """Draw R, G, B and contrast, 0..1, for the patches of a batch: (N, 4).

    ``share`` is that of the patches to recolour; the others have NaN. Photographs hold
    few saturated colours, aerial pictures hardly any: networks trained on these alone
    shift them, flat cyan at worst by 38 of 255 levels.
    """
    colours = np.empty((batch, 4))
    # A channel is 0 or 1, as in saturated colours, in a sixth of the draws each.
    colours[:, :3] = random.uniform(-0.25, 1.25, size=(batch, 3)).clip(0, 1)
    colours[:, 3] = random.random(batch)
    unchanged = random.random(batch) >= share
    colours[unchanged] = np.nan
    return colours


def recoloured(
    lr: Tensor, hr: Tensor, colours: NDArray[np.float64]
) -> tuple[Tensor, Tensor]:
    """Move RGB patches (N, 3, H, W) to other mean colours, linearly, as LR is made from HR.

    Their contrast is made so much smaller that HR stays within 0 to 1; those that are
    moved to saturated colours become flat. ``colours`` are the (N, 4) of
    ``draw_colours``.
    """
    values = upload(colours, hr.device).to(hr.dtype)
    colour = values[:, :3, None, None]
    contrast = values[:, 3:, None, None]
    mean = hr.mean(dim=(2, 3), keepdim=True)
    above = (hr.amax(dim=(2, 3), keepdim=True) - mean).clamp(min=1e-6)
    below = (mean - hr.amin(dim=(2, 3), keepdim=True)).clamp(min=1e-6)
    room = torch.minimum((1 - colour) / above, colour / below).amin(dim=1, keepdim=True)
    gain = contrast * room.clamp(max=1.0)
    unchanged = colour.isnan()
    offset = torch.where(unchanged, 0.0, colour - gain * mean)
    gain = torch.where(unchanged, 1.0, gain)
    return lr * gain + offset, hr * gain + offset


def to_tensor(patches: RgbPixels, device: torch.device) -> Tensor:
    """Convert uint8 or uint16 (N, H, W, 3) to floats (N, 3, H, W) in [0, 1] on a device.

    The layout is channels_last.
    """
    white = 255.0
    if patches.dtype == np.uint16:
        white = 65535.0
        patches = patches.astype(np.int32)  # as torch has no uint16
    values = upload(patches, device)
    return values.permute(0, 3, 1, 2).float().div_(white)


def turned(patch: RgbPixels, turn: int) -> RgbPixels:
    """Flip and rotate a patch (P, P, 3) in one of eight ways: bits 1, 2 flip, 4 transposes."""
    if turn & 1:
        patch = patch[::-1]
    if turn & 2:
        patch = patch[:, ::-1]
    if turn & 4:
        patch = patch.swapaxes(0, 1)
    return patch
