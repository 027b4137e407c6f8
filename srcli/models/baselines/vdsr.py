"""VDSR: 20 convolutions that correct a bicubic enlargement, on Y (Kim et al., CVPR 2016)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Published, count_blocks, rename
from srcli.layers.resize import BicubicEnlargement

if TYPE_CHECKING:
    from collections.abc import Mapping


class VDSR(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4; the layers are the same for all.
        depth: Convolutions, the first and the last included.
        channels: Maps of every layer.
    """

    colour = "y"
    edge = 4

    def __init__(self, *, scale: int = 4, depth: int = 20, channels: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.enlarge = BicubicEnlargement(scale=scale)
        widths = [1, *[channels] * (depth - 1), 1]
        self.layers = nn.ModuleList()
        for taken, given in pairwise(widths):
            layer = nn.Conv2d(taken, given, 3, padding=1)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        image: Tensor = self.enlarge(x)
        out = image
        for layer in self.layers:
            out = layer(out) if layer is self.layers[-1] else F.relu_(layer(out))
        return image + out.float()


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files by the names of github.com/twtygqyy/pytorch-vdsr, which has no biases.

    They are for every scale: name one. Its own file holds a whole pickled network, which cannot be
    read safely: save its ``state_dict()`` instead.
    """
    if not tensors.keys() >= {"input.weight", "residual_layer.0.conv.weight", "output.weight"}:
        return []
    depth = count_blocks(tensors, r"residual_layer\.(\d+)") + 2
    found = rename(
        tensors,
        {
            r"^input": "layers.0",
            r"^output": f"layers.{depth - 1}",
            r"^residual_layer\.(\d+)\.conv": lambda match: f"layers.{int(match[1]) + 1}",
        },
    )
    for number in range(depth):
        weight = found[f"layers.{number}.weight"]
        found.setdefault(f"layers.{number}.bias", weight.new_zeros(len(weight)))
    channels = len(tensors["input.weight"])
    options = {"depth": depth, "channels": channels}
    return [Published(tensors=found, scales=(2, 3, 4), options=options)]
