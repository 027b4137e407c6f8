"""Other levels of black and white for training patches, so that networks know values beyond.

Y of pictures fills 16 to 235 of 255 and RGB never leaves 0 to 255, so that a network trained on
them answers as it likes outside: to gray pictures taken as luma, to LR that overshoots at edges
as it is not rounded, to measurements beyond their range. Randomly placed levels teach it the same
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from srcli.imaging.colour import Y_BLACK, Y_WHITE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

BEYOND = 0.1
"""Black comes to within this of 0, white of 1."""
LEVELS = {"rgb": (0.0, 1.0), "y": (Y_BLACK / 255, Y_WHITE / 255)}
"""Black and white of pictures, by the colour of the network."""


def draw_levels(random: np.random.Generator, batch: int, share: float) -> NDArray[np.float64]:
    """Draw (N, 2) levels of black and white for a batch; NaN for patches that keep theirs.

    Args:
        random: Where they are drawn from.
        batch: Patches N.
        share: Of the patches that get other levels, 0..1.
    """
    levels = np.array([0.0, 1.0]) + random.uniform(-BEYOND, BEYOND, size=(batch, 2))
    levels[random.random(batch) >= share] = np.nan
    return levels


def with_levels(patches: Tensor, levels: NDArray[np.float64], colour: str) -> Tensor:
    """Move black and white of patches (N, C, H, W) to their levels, linearly.

    Args:
        patches: With black and white where ``LEVELS`` of ``colour`` has them.
        levels: (N, 2) as drawn by ``draw_levels``.
        colour: ``rgb`` or ``y``.
    """
    black, white = LEVELS[colour]
    gains = (levels[:, 1] - levels[:, 0]) / (white - black)
    lines = np.stack([gains, levels[:, 0] - black * gains])
    lines[:, np.isnan(gains)] = [[1.0], [0.0]]  # these patches stay as they are, bit by bit
    gain, offset = torch.from_numpy(lines).to(patches).view(2, -1, 1, 1, 1).unbind()
    return patches * gain + offset
