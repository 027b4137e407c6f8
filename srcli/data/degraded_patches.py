"""Training patches whose LR is degraded on the fly, each by another draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from srcli.data.atlas import HostAtlas, turned
from srcli.data.degrading import degraded_patch, draw
from srcli.data.patches import PatchSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.data.pairs import Pairs
    from srcli.recipes.degradation import Degradation


class DegradedSampler(PatchSampler):
    """Draw batches as ``PatchSampler`` does, from the same places, with degraded LR.

    Every LR patch is made from the HR pixels around it. What is drawn for patch ``index`` of
    iteration ``step`` depends on (seed, step, index) only, so that a resumed training goes on
    exactly. Pictures and batches are in main memory.

    Args:
        pairs: HR pictures with their bicubic LR, which shows where detail is.
        degradation: What is drawn from.
        seed: Seed of the whole training.
        release: Empty the lists of ``pairs``, so that no picture is held twice.
        colour: ``rgb``, or ``y`` for one channel.

    Raises:
        DataError: If there are no pictures.
    """

    def __init__(
        self,
        pairs: Pairs,
        degradation: Degradation,
        *,
        seed: int = 0,
        release: bool = False,
        colour: str = "rgb",
    ) -> None:
        super().__init__(
            pairs, device=torch.device("cpu"), seed=seed, release=release, colour=colour
        )
        self.degradation = degradation

    def _lr_patches(
        self,
        step: int,
        numbers: NDArray[np.int64],
        places: NDArray[np.int64],
        turns: NDArray[np.int64],
        patch: int,
    ) -> Tensor:
        assert isinstance(self._hr, HostAtlas)
        pictures, made = self._hr.pictures, []
        drawn = zip(numbers.tolist(), places.tolist(), turns.tolist(), strict=True)
        for index, (which, y, x), turn in drawn:
            # The last word tells it from (seed, step), which draws the places.
            random = np.random.default_rng((self.seed, step, index, 1))
            chain = draw(self.degradation, self.scale, random)
            made.append(turned(degraded_patch(pictures[which], (y, x), patch, chain, random), turn))
        pixels = torch.from_numpy(np.stack(made))
        return pixels.permute(0, 3, 1, 2).float().div_(255.0)
