"""ECBSR: edge-oriented convolutions that fold into plain ones (Zhang et al., ACM MM 2021)."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import Network
from srcli.layers.published import Published, count_blocks
from srcli.layers.reparameterised import EDGE_FILTERS, FoldedKernel, fold

if TYPE_CHECKING:
    from collections.abc import Mapping


class ECBSR(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are ECBSR-M16C64.

    Args:
        scale: 2, 3 or 4.
        channels: Channels of the body (M16C64, M10C32, M10C16, M4C16, M4C8).
        depth: Blocks between the first and the last.
        deployed: The deployed form: plain 3x3 convolutions.
    """

    colour = "y"
    edge = 4

    def __init__(
        self, *, scale: int = 4, channels: int = 64, depth: int = 16, deployed: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale

        def conv(taken: int, given: int) -> nn.Module:
            if deployed:
                return nn.Conv2d(taken, given, 3, padding=1)
            return EdgeOrientedConv(taken, given)

        self.body = nn.Sequential()
        for taken in (1, *[channels] * depth):
            self.body.append(conv(taken, channels))
            self.body.append(nn.PReLU(channels))
        self.body.append(conv(channels, scale * scale))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 1, H, W), Y / 255, to (N, 1, scale H, scale W), not clipped."""
        self.check_input(x)
        out = self.body(x).float() + x.float()  # the picture itself, at each place of a pixel
        return F.pixel_shuffle(out, self.scale)

    def deploy(self) -> Self:
        """Return the deployed form: a new network, in evaluation mode, with equal outputs."""
        plain = super().deploy()
        for number, module in enumerate(plain.body):
            if isinstance(module, EdgeOrientedConv):
                plain.body[number] = module.deploy()
        return plain

    def training_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn a deployed form's state into one of this network with the same outputs."""
        found = dict(tensors)
        for number, module in enumerate(self.body):
            stem = f"body.{number}"
            if isinstance(module, EdgeOrientedConv) and f"{stem}.weight" in found:
                state = module.unfolded(found.pop(f"{stem}.weight"), found.pop(f"{stem}.bias"))
                found |= {f"{stem}.{key}": value for key, value in state.items()}
        return found


class EdgeOrientedConv(nn.Module):
    """ECB: a 3x3 convolution, a wider one behind a 1x1, and three learnt filters of edges.

    It runs as the one 3x3 kernel that equals their sum, in training too. The 1x1 convolutions
    before the filters have no bias: the filters' sums are zero.

    Args:
        taken: Channels in.
        given: Channels out.
    """

    masks: Tensor

    def __init__(self, taken: int, given: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(taken, given, 3, padding=1)
        self.point = nn.Conv2d(taken, 2 * given, 1)
        self.wide = nn.Conv2d(2 * given, given, 3, padding=1)
        self.edges = nn.ModuleList(nn.Conv2d(taken, given, 1, bias=False) for _ in EDGE_FILTERS)
        self.gains = nn.Parameter(1e-3 * torch.randn(len(EDGE_FILTERS), given, 1, 1, 1))
        self.shift = nn.Parameter(1e-3 * torch.randn(given))
        self.register_buffer("masks", torch.tensor(EDGE_FILTERS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, taken, H, W) to (N, given, H, W)."""
        weight, bias = self.kernel()
        return F.conv2d(x, weight, bias, padding=1)

    def kernel(self) -> FoldedKernel:
        """Return the 3x3 kernel that equals all branches."""
        assert self.conv.bias is not None
        kernels = [
            FoldedKernel(self.conv.weight, self.conv.bias + self.shift),
            behind(self.point.weight, self.point.bias, self.wide.weight, self.wide.bias),
        ]
        for edge, mask, gain in zip(self.edges, self.masks, self.gains, strict=True):
            kernels.append(FoldedKernel(edge.weight * mask * gain, torch.zeros_like(self.shift)))
        return fold(kernels)

    @torch.no_grad()
    def deploy(self) -> nn.Conv2d:
        """Return the plain convolution, a new module."""
        plain = nn.Conv2d(self.conv.in_channels, self.conv.out_channels, 3, padding=1)
        plain = plain.to(self.conv.weight)
        weight, bias = self.kernel()
        plain.load_state_dict({"weight": weight, "bias": bias})
        return plain.train(self.training)

    @torch.no_grad()
    def unfolded(self, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
        """Return a state that equals a 3x3 kernel; the other branches stay as they are."""
        twin = copy.deepcopy(self)
        now = twin.kernel()
        twin.conv.weight.add_(weight - now.weight)
        assert twin.conv.bias is not None
        twin.conv.bias.add_(bias - now.bias)
        return twin.state_dict()


def behind(
    point: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None
) -> FoldedKernel:
    """Return a 3x3 convolution behind a 1x1 one as one kernel.

    The 3x3 convolution pads by the 1x1's bias, as if that had padded by zeros.

    Args:
        point: Weight of the 1x1 convolution, (M, taken, 1, 1).
        shift: Its bias, (M,).
        weight: Weight of the 3x3 convolution, (given, M, 3, 3).
        bias: Its bias, (given,).
    """
    assert shift is not None
    assert bias is not None
    return FoldedKernel(
        torch.einsum("omhw,mi->oihw", weight, point[:, :, 0, 0]),
        bias + torch.einsum("omhw,m->o", weight, shift),
    )


def from_published(tensors: Mapping[str, Tensor]) -> list[Published]:
    """Take over files of github.com/xindongzhang/ECBSR for Y, by the names of their branches."""
    blocks = count_blocks(tensors, r"backbone\.(\d+)\.conv3x3\.weight")
    first = tensors.get("backbone.0.conv3x3.weight")
    if first is None or first.shape[1] != 1 or "backbone.0.act.weight" not in tensors:
        return []
    found: dict[str, Tensor] = {}
    for number in range(blocks):
        own = {
            key.removeprefix(f"backbone.{number}."): value
            for key, value in tensors.items()
            if key.startswith(f"backbone.{number}.")
        }
        found |= {
            f"body.{2 * number}.{key}": value for key, value in _folded(own)._asdict().items()
        }
        if "act.weight" in own:
            found[f"body.{2 * number + 1}.weight"] = own["act.weight"]
    last = found[f"body.{2 * blocks - 2}.bias"]
    return [
        Published(
            tensors=found,
            scales=(math.isqrt(len(last)),),
            options={"channels": len(first), "depth": blocks - 2, "deployed": True},
        )
    ]


def _folded(own: Mapping[str, Tensor]) -> FoldedKernel:
    """Fold the branches of one published block, if it has any."""
    kernels = [FoldedKernel(own["conv3x3.weight"], own["conv3x3.bias"])]
    if "conv1x1_3x3.k0" in own:
        kernels.append(behind(*(own[f"conv1x1_3x3.{part}"] for part in ("k0", "b0", "k1", "b1"))))
    for edge in ("conv1x1_sbx", "conv1x1_sby", "conv1x1_lpl"):
        if f"{edge}.k0" in own:
            weight = own[f"{edge}.k0"] * own[f"{edge}.scale"] * own[f"{edge}.mask"]
            kernels.append(FoldedKernel(weight, own[f"{edge}.bias"]))
    return fold(kernels)
