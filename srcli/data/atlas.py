"""Crop square patches out of many pictures, flipped and rotated, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from srcli.layers.upload import upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Numbers = NDArray[np.int64]


class HostAtlas:
    """Pictures in main memory, or mapped into it from a file; none is copied."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = list(pictures)

    def cut(self, which: Numbers, corner: Numbers, turns: Numbers, edge: int) -> Tensor:
        """Return square patches in channels_last layout.

        Args:
            which: (N,) numbers of pictures.
            corner: (N, 2) rows and columns of their first pixels.
            turns: (N,) from 0 to 7, see ``turned``.
            edge: Of the patches, pixels.

        Returns:
            (N, 3, edge, edge) floats in [0, 1].
        """
        patches = np.empty((len(which), edge, edge, 3), np.uint8)
        drawn = zip(which.tolist(), corner.tolist(), turns.tolist(), strict=True)
        for patch, (number, (top, left), turn) in zip(patches, drawn, strict=True):
            there = self.pictures[number][top : top + edge, left : left + edge]
            patch[...] = turned(there, turn)
        return to_tensor(patches)


class DeviceAtlas:
    """Pictures in one flat buffer on a device; a batch is one gather by computed indices."""

    def __init__(
        self, pictures: list[Picture], device: torch.device, *, release: bool = False
    ) -> None:
        sizes = np.array([picture.shape[0] * picture.shape[1] for picture in pictures], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.widths = np.array([picture.shape[1] for picture in pictures], np.int64)
        self.pixels = torch.empty((int(sizes.sum()), 3), dtype=torch.uint8, device=device)
        for i, (start, size) in enumerate(zip(self.starts, sizes, strict=True)):
            # A copy that may be written to, as torch wants it.
            flat = torch.from_numpy(np.array(pictures[i].reshape(-1, 3)))
            self.pixels[start : start + size] = flat.to(device)
            if release:
                pictures[i] = np.empty((0, 0, 3), np.uint8)
        if release:
            pictures.clear()

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
        patches = chosen.reshape(len(which), edge, edge, 3).permute(0, 3, 1, 2)
        return patches.float().div_(255.0)


def to_tensor(patches: NDArray[np.uint8]) -> Tensor:
    """Convert (N, H, W, 3) uint8 to (N, 3, H, W) floats in [0, 1], in channels_last layout."""
    return torch.from_numpy(patches).permute(0, 3, 1, 2).float().div_(255.0)


def turned(patch: Picture, turn: int) -> Picture:
    """Flip and rotate a patch (P, P, 3) in one of eight ways: bits 1, 2 flip, 4 transposes."""
    if turn & 1:
        patch = patch[::-1]
    if turn & 2:
        patch = patch[:, ::-1]
    return patch.swapaxes(0, 1) if turn & 4 else patch
