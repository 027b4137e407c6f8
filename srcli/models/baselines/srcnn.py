"""SRCNN: three convolutions after bicubic interpolation, on Y (Dong et al., TPAMI 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Published, rename
from srcli.layers.resize import BicubicEnlargement

if TYPE_CHECKING:
    from collections.abc import Mapping


class SRCNN(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are the 9-5-5 network whose weights were released.

    Borders are continued by their outermost pixels, as in the authors' demonstration.

    Args:
        scale: 2, 3 or 4; the layers are the same for all.
        middle: Edge of the second layer's kernels: 1, 3 or 5 (9-1-5, 9-3-5, 9-5-5).
        channels: Maps of the first layer; the second has half of them.
    """

    colour = "y"
    bf16 = False

    def __init__(self, *, scale: int = 4, middle: int = 5, channels: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.enlarge = BicubicEnlargement(scale=scale)
        widths = ((1, channels, 9), (channels, channels // 2, middle), (channels // 2, 1, 5))
        self.layers = nn.ModuleList()
        for taken, given, kernel in widths:
            layer = nn.Conv2d(taken, given, kernel, padding=kernel // 2, padding_mode="replicate")
            nn.init.normal_(layer.weight, 0.0, 1e-3)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        first, second, last = self.layers
        out: Tensor = last(F.relu(second(F.relu(first(self.enlarge(x))))))
        return out


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files by the names of github.com/yjn870/SRCNN-pytorch: srcnn_x2.pth, ...

    They do not say their scale: name it.
    """
    if tensors.keys() != {f"conv{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")}:
        return []
    return [
        Published(
            tensors=rename(
                tensors, {r"^conv1": "layers.0", r"^conv2": "layers.1", r"^conv3": "layers.2"}
            ),
            scales=(2, 3, 4),
            options={
                "middle": tensors["conv2.weight"].shape[-1],
                "channels": len(tensors["conv1.weight"]),
            },
        )
    ]
