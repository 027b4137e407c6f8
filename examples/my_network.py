"""A network of your own: srx train examples/my_network.py:Net -s 2 --data photos/ --out runs/mine

Any torch module enlarges with srx that takes pictures (N, 3, H, W) in [0, 1] and gives them larger.
Keyword arguments are set by --set network.width=32; one called scale gets the scale factor.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """A few convolutions that correct a bicubic enlargement."""

    edge = 4  # mirror so many pixels around pictures: convolutions pad by zeros

    def __init__(self, scale=2, width=24, depth=4):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, padding=1)]
        for _ in range(depth):
            layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        self.scale = scale

    def forward(self, x):
        """Enlarge (N, 3, H, W) to (N, 3, scale H, scale W)."""
        larger = F.interpolate(
            x, scale_factor=self.scale, mode="bicubic", align_corners=False
        )
        return larger + F.pixel_shuffle(self.head(self.body(x)), self.scale)
