"""FSRCNN: an hourglass at LR size and a deconvolution, on Y (Dong et al., ECCV 2016)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Names, Published, count_blocks, rename

if TYPE_CHECKING:
    from collections.abc import Mapping


class FSRCNN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are FSRCNN(56, 12, 4), (32, 5, 1) is FSRCNN-s.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the features, the paper's d.
        inner: Channels of the mapping, s.
        depth: 3x3 convolutions of the mapping, m.
        slope: Start value of the PReLUs' slopes, one a channel.
    """

    colour = "y"
    edge = 4
    bf16 = False

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 56,
        inner: int = 12,
        depth: int = 4,
        slope: float = 0.25,
    ) -> None:
        super().__init__()
        self.scale = scale
        widths = [(1, channels, 5), (channels, inner, 1), *[(inner, inner, 3)] * depth]
        self.body = nn.Sequential()
        for taken, given, kernel in (*widths, (inner, channels, 1)):
            self.body.append(nn.Conv2d(taken, given, kernel, padding=kernel // 2))
            self.body.append(nn.PReLU(given, init=slope))
        self.up = nn.ConvTranspose2d(
            channels, 1, 9, stride=scale, padding=4, output_padding=scale - 1
        )
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        out: Tensor = self.up(self.body(x))
        return out

    @torch.no_grad()
    def _initialise(self) -> None:
        """He's normal distribution; the deconvolution's has a standard deviation of 0.001."""
        for conv in self.body:
            if isinstance(conv, nn.Conv2d):
                conv.weight.normal_(0.0, math.sqrt(2 / (conv.weight[:, 0].numel())))
                assert conv.bias is not None
                conv.bias.zero_()
        self.up.weight.normal_(0.0, 1e-3)
        assert self.up.bias is not None
        self.up.bias.zero_()


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files by the names of github.com/yjn870/FSRCNN-pytorch: fsrcnn_x2.pth, ...

    The deconvolution's kernel is 9x9 at every scale: name the scale.
    """
    if not tensors.keys() >= {"first_part.0.weight", "mid_part.0.weight", "last_part.weight"}:
        return []
    names: Names = {
        r"^first_part": "body",
        r"^mid_part\.(\d+)": lambda match: f"body.{int(match[1]) + 2}",
        r"^last_part": "up",
    }
    return [
        Published(
            tensors=rename(tensors, names),
            scales=(2, 3, 4),
            options={
                "channels": len(tensors["first_part.0.weight"]),
                "inner": len(tensors["mid_part.0.weight"]),
                "depth": count_blocks(tensors, r"mid_part\.(\d+)") // 2 - 2,
            },
        )
    ]
