"""Validation: mean PSNR-Y of a network over whole held-out pictures."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from srcli.metrics.fidelity import psnr
from srcli.metrics.protocol import PROTOCOLS
from srcli.ports.progress import NoProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from srcli.data.pairs import Pairs
    from srcli.ports.progress import Progress
    from srcli.training.numerics import Numerics


class Validation:
    """Call with a network in evaluation mode; gives the mean PSNR-Y in dB (protocol ``y``).

    Args:
        pairs: Held-out pictures.
        numerics: As in training.
        progress: Told of every picture.
    """

    def __init__(self, pairs: Pairs, numerics: Numerics, progress: Progress | None = None) -> None:
        self.pairs = pairs
        self.numerics = numerics
        self.progress = progress or NoProgress()

    def __call__(self, network: nn.Module) -> float:
        """Enlarge every LR picture whole and compare it with its HR picture."""
        protocol, scale = PROTOCOLS["y"], self.pairs.scale
        values: list[float] = []
        count = len(self.pairs.hr)
        with closing(self.progress.task("validation", total=count, unit="pictures")) as task:
            for lr_image, hr_image in zip(self.pairs.lr, self.pairs.hr, strict=True):
                sr_image = self._enlarge(network, lr_image)
                a, b = protocol.planes(sr_image, scale), protocol.planes(hr_image, scale)
                values.append(psnr(a, b))
                task.advance()
        return float(np.mean(values))

    @torch.inference_mode()
    def _enlarge(self, network: nn.Module, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        numerics = self.numerics
        pixels = torch.from_numpy(picture.copy()).to(numerics.device).permute(2, 0, 1)[None]
        x = pixels.float().div(255.0).contiguous(memory_format=numerics.layout)
        with numerics.autocasting():
            out: Tensor = network(x)
        levels = out[0].float().clamp(0, 1).mul(255.0).round().byte()
        result: NDArray[np.uint8] = levels.permute(1, 2, 0).cpu().numpy()
        return result
