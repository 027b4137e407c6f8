"""CARN: cascading residual network (Ahn et al., ECCV 2018)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Names, Published, from_zero, rename
from srcli.layers.upsampling import ShuffleUpsampling
from srcli.layers.value_range import DIV2K_MEAN, ValueRange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class CARN(Network):
    """Enlarge RGB in [0, 1] by ``scale``; the defaults are CARN, ``mobile`` is CARN-M.

    The published networks hold the upsampling of all three scales; this one that of its own.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body.
        mobile: Grouped convolutions, a 1x1 convolution behind them, and one residual block that
            each cascade uses three times.
        groups: Groups of these convolutions, and of the upsampling's, where ``mobile`` is set.
    """

    edge = 4
    bf16 = False

    def __init__(
        self, *, scale: int = 4, channels: int = 64, mobile: bool = False, groups: int = 4
    ) -> None:
        super().__init__()
        self.scale = scale
        groups = groups if mobile else 1

        def residual() -> nn.Module:
            return CascadedResidual(channels=channels, groups=groups, pointwise=mobile)

        def cascade() -> nn.Module:
            return Cascade([residual() for _ in range(1 if mobile else 3)], channels)

        self.range = ValueRange(top=1.0, mean=DIV2K_MEAN)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = Cascade([cascade() for _ in range(3)], channels)
        # The ReLU stands before the shuffle in the authors' code: it is the same behind it.
        self.up = ShuffleUpsampling(
            channels=channels, scale=scale, activation=nn.ReLU, groups=groups
        )
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), not clipped."""
        self.check_input(x)
        out: Tensor = self.last(self.up(self.body(self.head(self.range(x)))))
        return self.range.undo(out)


class Cascade(nn.Module):
    """Modules in a row, each before a 1x1 convolution over all that came before it.

    Args:
        modules: Three, or one that is used three times; each maps ``channels`` to ``channels``.
        channels: Channels in and out.
    """

    def __init__(self, modules: list[nn.Module], channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(modules)
        self.fuse = nn.ModuleList(
            nn.Conv2d((number + 2) * channels, channels, 1) for number in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        joined = x
        for number, fuse in enumerate(self.fuse):
            block = self.blocks[number % len(self.blocks)]
            joined = torch.cat([joined, block(x)], dim=1)
            x = F.relu_(fuse(joined))
        return x


class CascadedResidual(nn.Module):
    """Two 3x3 convolutions, the input added, a ReLU; in the mobile form a 1x1 one behind them.

    Args:
        channels: Channels in and out.
        groups: Groups of the 3x3 convolutions.
        pointwise: The mobile form.
    """

    def __init__(self, *, channels: int, groups: int, pointwise: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.point = nn.Conv2d(channels, channels, 1) if pointwise else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = self.conv2(F.relu_(self.conv1(x)))
        if self.point is not None:
            out = self.point(F.relu_(out))
        return F.relu_(out + x)


def _inner(stem: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"body.blocks.{int(match[1]) - 1}.{stem.format(int(match[2]) - 1)}"


_NAMES: Names = {
    r"^(sub|add)_mean\..*": "",
    r"^entry": "head",
    r"^exit": "last",
    r"^b(\d)\.b(\d)\.body\.0": _inner("blocks.{}.conv1"),
    r"^b(\d)\.b(\d)\.body\.2": _inner("blocks.{}.conv2"),
    r"^b(\d)\.b(\d)\.body\.4": _inner("blocks.{}.point"),
    r"^b(\d)\.c(\d)\.body\.0": _inner("fuse.{}"),
    r"^c(\d)\.body\.0": from_zero("body.fuse."),
}


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over the files of github.com/nmhkahn/CARN-pytorch, carn.pth and carn_m.pth.

    They hold the upsampling of all three scales: name one.
    """
    if not tensors.keys() >= {"entry.weight", "b1.b1.body.0.weight", "exit.weight"}:
        return []
    channels, grouped = tensors["b1.b1.body.0.weight"].shape[:2]
    options = {"channels": channels, "mobile": "b1.b1.body.4.weight" in tensors}
    if options["mobile"]:
        options["groups"] = channels // grouped
    found = []
    for scale in (2, 3, 4):
        stem = rf"^upsample\.up{scale}\.body"
        if any(re.match(stem, key) for key in tensors):
            names: Names = {stem: "up", r"^upsample\..*": "", **_NAMES}
            found.append(
                Published(tensors=rename(tensors, names), scales=(scale,), options=options)
            )
    return found
