"""CFSRCNN: coarse features, fused over all blocks, refined at full size (Tian et al., TMM 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Names, Published, from_zero, rename, shuffled_scale
from srcli.layers.upsampling import ShuffleUpsampling
from srcli.layers.value_range import DIV2K_MEAN, ValueRange

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

REFINEMENTS = 5
"""Convolutions of the enhancement, and of the refinement at full size."""


class CFSRCNN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are the published model.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body.
        num_blocks: Feature extraction blocks: a 1x1 convolution and a 3x3 one.
    """

    edge = 4
    bf16 = False

    def __init__(self, *, scale: int = 4, channels: int = 64, num_blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale

        def conv(taken: int, given: int = channels, kernel: int = 3) -> nn.Conv2d:
            return nn.Conv2d(taken, given, kernel, padding=kernel // 2, bias=False)

        self.range = ValueRange(top=1.0, mean=DIV2K_MEAN)
        self.head = conv(3)
        self.squeeze = nn.ModuleList(
            conv(2 * channels if number else channels, kernel=1) for number in range(num_blocks)
        )
        self.extract = nn.ModuleList(conv(channels) for _ in range(num_blocks))
        self.merge = conv(2 * channels)
        self.enhance = nn.ModuleList(conv(channels) for _ in range(REFINEMENTS))
        self.up = ShuffleUpsampling(channels=channels, scale=scale)
        self.refine = nn.ModuleList(conv(channels) for _ in range(REFINEMENTS))
        self.last = conv(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        head = F.relu(self.head(self.range(x)))
        outputs, joined = [head], head
        for squeeze, extract in zip(self.squeeze, self.extract, strict=True):
            outputs.append(extract(F.relu_(squeeze(joined))))
            joined = F.relu_(torch.cat(outputs[-2:], dim=1))
        features = F.relu_(sum(outputs, start=self.merge(joined)))
        for layer in self.enhance:
            features = F.relu_(layer(features))
        features = F.relu_(self.up(features) + self.up(head))
        for layer in self.refine:
            features = F.relu_(layer(features))
        out: Tensor = self.last(features)
        return self.range.undo(out)


def _layer(match: re.Match[str]) -> str:
    """Name one of the numbered convolutions between the first and the merging one."""
    kind, number = ("squeeze", "extract")[int(match[1]) % 2], int(match[1]) // 2 - 1
    return f"{kind}.{number}."


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files of github.com/hellloxiaotian/CFSRCNN: cfsrcnn_x2.pth, ...

    Those for all scales hold three upsamplings: name the scale.
    """
    if not tensors.keys() >= {"conv1.0.weight", "conv34_1.0.weight", "conv41.0.weight"}:
        return []
    names: Names = {
        r"^(sub|add)_mean\..*": "",
        r"^conv1\.0\.": "head.",
        r"^conv41\.0": "last",
        r"^conv34\.0": "merge",
        r"^conv34_(\d)\.0": from_zero("refine."),
        r"^conv3([5-9])\.0": lambda match: f"enhance.{int(match[1]) - 5}",
        r"^conv(\d+)\.0\.": _layer,
    }
    found = []
    for stem in ("up", "up2", "up3", "up4"):
        own = {rf"^upsample\.{stem}\.body": "up", r"^upsample\..*": "", **names}
        renamed = rename(tensors, own)
        if "up.0.weight" in renamed:
            options = {"channels": len(renamed["head.weight"])}
            scales = (shuffled_scale(renamed, "up."),)
            found.append(Published(tensors=renamed, scales=scales, options=options))
    return found
