"""Random training patches as tensors: cropped, flipped, rotated, recoloured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat
from typing import TYPE_CHECKING, Any
from weakref import proxy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from srcli.data.degrading import degraded_patch, draw
from srcli.data.pictures import Picture
from srcli.errors import DataError
from srcli.layers.colour import luma
from srcli.layers.network import upload
from srcli.threads import interrupts_blocked

if TYPE_CHECKING:
    from srcli.data.training_set import Pairs
    from srcli.recipes.degradation import Degradation
    from srcli.recipes.training import Stage

Numbers = NDArray[np.int64]
Patches = tuple[Picture, Picture, Numbers | None, NDArray[np.float64] | None]
"""LR (N, P, P, 3) and HR (N, sP, sP, 3) of one step as they lie in the pictures, and
how they are to vary: the channel that each becomes (N, 3), and the (N, 4) of
``draw_colours``."""

TURNS = {"d8": range(8), "rotations": (0, 3, 5, 6), "none": (0,)}
"""Ways to turn patches by augmentation, as ``turned`` numbers them."""
CELL = 8
"""Edge, in LR pixels, of the cells in which detail is measured."""


class PatchSampler(Dataset[Any]):
    """Draw batches of aligned LR and HR patches; batch ``step`` depends on the seed and step only.

    Patches are turned as the stage says. For a network on Y they are Y of the RGB
    pixels, not rounded, as its input is when it enlarges a picture.

    Args:
        pairs: HR and LR pictures, none of which is copied.
        seed: Seed of the whole training.
        colour: ``rgb``, or ``y`` for one channel.
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
        self.pairs, self.seed, self.colour, self.degradation = (
            pairs,
            seed,
            colour,
            degradation,
        )
        self.share, self.device, self.workers = share, torch.device(device), workers
        self.shapes = np.array([image.shape[:2] for image in pairs.lr], dtype=np.int64)
        self._detail = [measure_detail(image) for image in pairs.lr]
        self._ahead: Iterator[Patches] = iter(())
        self._next: tuple[int, Stage] | None = None

    def usable(self, patch: int, stage: int = 0) -> Numbers:
        """Return the numbers of the pictures with at least ``patch`` x ``patch`` LR pixels.

        DataError if there is none, which names the number of the stage.
        """
        found = np.flatnonzero((self.shapes >= patch).all(axis=1))
        if not len(found):
            raise DataError(
                f"no training picture has {patch}x{patch} LR pixels ({patch * self.pairs.scale} at "
                f"full size); use larger pictures or a smaller patch (stages.{stage}.patch)"
            )
        return found

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return the LR (N, C, P, P) and HR (N, C, sP, sP) patches of one step, on the device.

        They are floats in [0, 1], or a little beyond, in channels_last layout; C is 3,
        or 1 for Y.
        """
        if not self.workers:
            return self._varied(self[step, stage])
        if self._next != (step, stage):
            loader = DataLoader(
                proxy(
                    self
                ),  # a cycle of references would let the processes outlive the sampler
                batch_size=None,
                sampler=zip(count(step), repeat(stage)),
                num_workers=self.workers,
                collate_fn=tuple,  # as they are, through pipes: containers have little /dev/shm
                multiprocessing_context="fork",
                generator=torch.Generator(),  # leaves PyTorch's own alone
            )
            with interrupts_blocked():
                self._ahead = iter(loader)
        self._next = (step + 1, stage)
        return self._varied(next(self._ahead))

    def __getitem__(self, index: tuple[int, Stage]) -> Patches:
        """Draw the patches of one step, and cut or degrade them."""
        (step, stage), scale = index, self.pairs.scale
        random = np.random.default_rng((self.seed, step))
        batch, edge = stage.batch, stage.edge(scale)
        usable = self.usable(edge)
        places = self._draw(random, usable, stage)
        if stage.prefer_detail:
            other = self._draw(random, usable, stage)
            better = np.greater(self._score(other, edge), self._score(places, edge))
            places = np.where(better[:, None], other, places)
        ways = np.array(TURNS[stage.augmentation])
        turns = ways[random.integers(0, 8, size=batch) % len(ways)]
        # Everything is drawn for the whole batch; then each process takes its own part.
        part, parts = self.share
        own = slice(batch * part // parts, batch * (part + 1) // parts)
        orders, colours = None, None
        if stage.shuffle_channels:
            orders = random.permuted(np.tile(np.arange(3), (batch, 1)), axis=1)[own]
        if stage.recolour:
            colours = draw_colours(random, batch, stage.recolour)[own]
        lr, hr = [], []
        for number in range(batch)[own]:
            which, y, x = places[number].tolist()
            whole, big = self.pairs.hr[which], edge * scale
            if self.degradation is None:
                lr_patch = self.pairs.lr[which][y : y + edge, x : x + edge]
            else:  # the last number keeps it apart from (seed, step), which draws the places
                random = np.random.default_rng((self.seed, step, number, 1))
                chain = draw(self.degradation, scale, random)
                lr_patch = degraded_patch(whole, (y, x), edge, chain, random)
            y, x = y * scale, x * scale
            lr.append(turned(lr_patch, turns[number]))
            hr.append(turned(whole[y : y + big, x : x + big], turns[number]))
        return _stacked(lr), _stacked(hr), orders, colours

    def _varied(self, patches: Patches) -> tuple[Tensor, Tensor]:
        lr, hr = (to_tensor(each, self.device) for each in patches[:2])
        orders, colours = patches[2:]
        if orders is not None:
            places = (
                torch.arange(len(lr), device=lr.device)[:, None],
                upload(orders, lr.device),
            )
            layout = torch.channels_last
            lr, hr = (
                each[places].contiguous(memory_format=layout) for each in (lr, hr)
            )
        if colours is not None:
            lr, hr = recoloured(lr, hr, colours)
        return (luma(lr), luma(hr)) if self.colour == "y" else (lr, hr)

    def _draw(
        self, random: np.random.Generator, usable: Numbers, stage: Stage
    ) -> Numbers:
        """Draw a place for each patch: number of the picture, top and left in LR pixels."""
        step = stage.patch_stride
        # Pictures are drawn in proportion to their area, so that every pixel is as
        # likely.
        areas = self.shapes[usable].prod(axis=1).astype(np.float64)
        which = usable[
            np.searchsorted(np.cumsum(areas), random.random(stage.batch) * areas.sum())
        ]
        free = (self.shapes[which] - stage.edge(self.pairs.scale)) // step + 1
        corner = (random.random((stage.batch, 2)) * free).astype(np.int64) * step
        return np.column_stack([which, corner])

    def _score(self, places: Numbers, edge: int) -> list[float]:
        """Return the mean detail of the cells in the patch at each place."""
        first, last = places[:, 1:] // CELL, (places[:, 1:] + edge) // CELL
        inside = (
            self._detail[which][top:bottom, left:right]
            for which, (top, left), (bottom, right) in zip(
                places[:, 0], first, last, strict=True
            )
        )
        return [each.sum(dtype=np.float64) / max(each.size, 1) for each in inside]


def _stacked(patches: list[Picture]) -> Picture:
    """Stack patches, which all become uint16 where one of them is."""
    deepest = np.result_type(*patches)
    return np.stack(
        [each if each.dtype == deepest else each * np.uint16(257) for each in patches]
    )


def measure_detail(image: Picture) -> NDArray[np.float32]:
    """Sum the gradient energy of an LR picture in cells of ``CELL`` pixels."""
    gray = image.astype(np.float32).mean(axis=2) * np.float32(
        255 / np.iinfo(image.dtype).max
    )
    energy: NDArray[np.float32] = np.zeros_like(gray)
    energy[:, 1:] += np.abs(np.diff(gray, axis=1))
    energy[1:] += np.abs(np.diff(gray, axis=0))
    for axis, side in enumerate(gray.shape):
        starts = np.arange(0, max(side // CELL, 1) * CELL, CELL)
        whole = energy.take(range(min(starts[-1] + CELL, side)), axis)
        energy = np.add.reduceat(whole, starts, axis=axis)
    return energy


def draw_colours(
    random: np.random.Generator, batch: int, share: float
) -> NDArray[np.float64]:
    """Draw (N, 4) for a batch: R, G, B and contrast, 0..1; NaN for patches that keep their colours.

    Photographs hold few saturated colours, aerial pictures hardly any: networks trained
    on these alone shift them, flat cyan at worst by 38 of 255 levels.
    """
    colours = np.empty((batch, 4))
    # A channel is 0 or 1, as in saturated colours, in a sixth of the draws each.
    colours[:, :3] = random.uniform(-0.25, 1.25, size=(batch, 3)).clip(0, 1)
    colours[:, 3] = random.random(batch)
    colours[random.random(batch) >= share] = np.nan
    return colours


def recoloured(
    lr: Tensor, hr: Tensor, colours: NDArray[np.float64]
) -> tuple[Tensor, Tensor]:
    """Move RGB patches (N, 3, H, W) to other mean colours, linearly, as LR is made from HR.

    Their contrast is made so much smaller that HR stays within 0 to 1; those that are
    moved to saturated colours become flat. ``colours`` are the (N, 4) of
    ``draw_colours``.
    """
    own = upload(colours, hr.device).to(hr.dtype)
    colour, contrast = own[:, :3, None, None], own[:, 3:, None, None]
    mean = hr.mean(dim=(2, 3), keepdim=True)
    above = (hr.amax(dim=(2, 3), keepdim=True) - mean).clamp(min=1e-6)
    below = (mean - hr.amin(dim=(2, 3), keepdim=True)).clamp(min=1e-6)
    room = torch.minimum((1 - colour) / above, colour / below).amin(dim=1, keepdim=True)
    gain = contrast * room.clamp(max=1.0)
    kept = colour.isnan()
    gain, offset = (
        torch.where(kept, 1.0, gain),
        torch.where(kept, 0.0, colour - gain * mean),
    )
    return lr * gain + offset, hr * gain + offset


def to_tensor(patches: Picture, device: torch.device) -> Tensor:
    """Convert (N, H, W, 3) to (N, 3, H, W) floats in [0, 1] on a device, in channels_last layout.

    They are uint8 or uint16.
    """
    deep = patches.dtype == np.uint16
    values = upload(
        patches.astype(np.int32) if deep else patches, device
    )  # as torch has no uint16
    return values.permute(0, 3, 1, 2).float().div_(65535.0 if deep else 255.0)


def turned(patch: Picture, turn: int) -> Picture:
    """Flip and rotate a patch (P, P, 3) in one of eight ways: bits 1, 2 flip, 4 transposes."""
    if turn & 1:
        patch = patch[::-1]
    if turn & 2:
        patch = patch[:, ::-1]
    return patch.swapaxes(0, 1) if turn & 4 else patch
