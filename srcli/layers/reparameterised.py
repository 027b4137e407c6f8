"""The re-parameterised 3x3 convolution: parallel branches in training, one kernel afterwards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.blocks import conv
from srcli.layers.network import Network


class FoldedKernel(NamedTuple):
    """Weights of a convolution whose output has the size of its input."""

    weight: Tensor
    """(C_out, C_in / groups, k, k) with odd k."""
    bias: Tensor
    """(C_out,)."""


def fold(kernels: Sequence[FoldedKernel]) -> FoldedKernel:
    """Return the one kernel that gives the sum of several convolutions of the same input.

    Smaller kernels, of odd edges, are added to the middle of the largest one (RRLFN
    2025; RepVGG, Ding et al. 2021). One that needs no rim stays as it is: ONNX wants
    plain kernels.
    """
    size = max(weight.shape[-1] for weight, _ in kernels)
    rims = [(size - weight.shape[-1]) // 2 for weight, _ in kernels]
    weights = [
        F.pad(w, [rim] * 4) if rim else w
        for (w, _), rim in zip(kernels, rims, strict=True)
    ]
    return FoldedKernel(
        reduce(torch.add, weights), reduce(torch.add, [b for _, b in kernels])
    )


def absorb(kernel: FoldedKernel, norm: nn.BatchNorm2d) -> FoldedKernel:
    """Return the kernel of a convolution followed by a normalisation in evaluation mode.

    ``W' = gain W / sqrt(var + eps)``,
    ``b' = gain (b - mean) / sqrt(var + eps) + shift``.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return FoldedKernel(
        kernel.weight * gain.view(-1, 1, 1, 1),
        (kernel.bias - norm.running_mean) * gain + norm.bias,
    )


def behind(first: FoldedKernel, second: FoldedKernel) -> FoldedKernel:
    """Return two convolutions in a row, one of which is 1x1, as one kernel.

    A wide one behind a 1x1 pads by the bias of that, as if that had padded by zeros.
    """
    weight = torch.einsum("omhw,mijk->oihwjk", second.weight, first.weight)
    side = max(first.weight.shape[-1], second.weight.shape[-1])
    return FoldedKernel(
        weight.reshape(*weight.shape[:2], side, side),
        second.bias + torch.einsum("omhw,m->o", second.weight, first.bias),
    )


class FoldingConv(nn.Module):
    """A convolution with branches in training that fold into one 3x3 kernel.

    It runs as that kernel in training too: the same sum and gradients for the price of
    one branch.
    """

    def kernel(self) -> FoldedKernel:
        """Return the 3x3 kernel that equals all branches in evaluation mode."""
        raise NotImplementedError

    def unfolded(self, kernel: FoldedKernel) -> dict[str, Tensor]:
        """Return a state with which, in evaluation mode, it equals a kernel."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, taken, H, W) to (N, given, H, W)."""
        weight, bias = self.kernel()
        return F.conv2d(x, weight, bias, padding=1)

    @torch.no_grad()
    def deploy(self) -> nn.Module:
        """Return the plain convolution, a new module."""
        # Folded in float64, so that only the last rounding differs; Metal has none.
        own = next(self.parameters())
        place = "cpu" if own.device.type == "mps" else own.device
        weight, bias = copy.deepcopy(self).to(place).double().kernel()
        with torch.device(
            "meta"
        ):  # no random numbers are drawn for weights that are replaced
            plain = conv(weight.shape[1], weight.shape[0])
        plain.load_state_dict(
            {"weight": weight.to(own), "bias": bias.to(own)}, assign=True
        )
        return plain.train(self.training)


class ReparameterisedConv(FoldingConv):
    """3x3 convolution with further branches, all linear, which fold into the 3x3 kernel.

    Without any extra branch it is a plain 3x3 convolution: its deployed form. Both
    forms call the 3x3 branch ``conv``.

    Args:
        channels: Of input and output.
        pointwise: A 1x1 convolution beside the 3x3 one.
        identity: The input itself beside them.
        bn: Batch normalisation at the end of every branch; their convolutions then have
            no bias.
    """

    def __init__(
        self,
        *,
        channels: int,
        pointwise: bool = True,
        identity: bool = False,
        bn: bool = False,
    ) -> None:
        super().__init__()

        def norm(wanted: bool) -> nn.BatchNorm2d | None:
            return nn.BatchNorm2d(channels) if wanted and bn else None

        self.identity = identity
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=not bn)
        self.point = (
            nn.Conv2d(channels, channels, 1, bias=not bn) if pointwise else None
        )
        self.conv_norm = norm(True)
        self.point_norm = norm(pointwise)
        self.identity_norm = norm(identity)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if self.conv_norm is None:
            return super().forward(x)
        total: Tensor = self.conv_norm(self.conv(x))
        if self.point is not None and self.point_norm is not None:
            total = total + self.point_norm(self.point(x))
        return total if self.identity_norm is None else total + self.identity_norm(x)

    def kernel(self) -> FoldedKernel:
        """Return the 3x3 kernel that equals all branches in evaluation mode."""
        branches = [(kernel_of(self.conv), self.conv_norm)]
        if self.point is not None:
            branches.append((kernel_of(self.point), self.point_norm))
        if self.identity:
            eyes = torch.eye(len(self.conv.weight)).to(self.conv.weight)[
                ..., None, None
            ]
            branches.append(
                (FoldedKernel(eyes, eyes.new_zeros(len(eyes))), self.identity_norm)
            )
        return fold(
            [own if norm is None else absorb(own, norm) for own, norm in branches]
        )

    def deploy(self) -> nn.Module:
        """Return the form without further branches, a new module."""
        with torch.device("meta"):
            plain = ReparameterisedConv(channels=len(self.conv.weight), pointwise=False)
        plain.conv.load_state_dict(super().deploy().state_dict(), assign=True)
        return plain.train(self.training)

    @torch.no_grad()
    def unfolded(self, kernel: FoldedKernel) -> dict[str, Tensor]:
        """Return a state with which, in evaluation mode, it equals a 3x3 kernel.

        Extra convolutions are zero; what an identity branch adds is taken from the 3x3
        one.
        """
        twin = copy.deepcopy(self)
        for parameter in twin.parameters():
            parameter.zero_()
        for module in twin.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        rest = twin.kernel()
        stretch = 1.0 if twin.conv_norm is None else (1.0 + twin.conv_norm.eps) ** 0.5
        bias = twin.conv.bias if twin.conv_norm is None else twin.conv_norm.bias
        assert bias is not None
        twin.conv.weight.copy_((kernel.weight - rest.weight) * stretch)
        bias.copy_(kernel.bias - rest.bias)
        return twin.state_dict()


def kernel_of(conv: nn.Conv2d) -> FoldedKernel:
    """Return the kernel of a plain convolution; a missing bias is zero."""
    bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
    return FoldedKernel(conv.weight, bias)


def _replace(
    network: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]
) -> None:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, kind):
                setattr(module, name, make(child))


class TrainedWithBranches(Network):
    """A network whose convolutions may have further branches in training."""

    def deploy(self) -> Self:
        """Return the deployed form, with plain convolutions."""
        plain = super().deploy()
        _replace(plain, FoldingConv, lambda unit: unit.deploy())
        return plain

    def for_inference(self) -> Self:
        """Return the deployed form, in which convolutions stand by themselves."""
        plain = super().for_inference()
        _replace(plain, ReparameterisedConv, lambda unit: unit.conv)
        return plain

    def training_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn a deployed form's state into one of this network, its extra branches at zero.

        It may be of another scale, in whole or in part, of bare units or not; units in
        training form already stay as they are.
        """
        found = dict(tensors)
        for name, unit in self.named_modules():
            if not isinstance(unit, FoldingConv):
                continue
            if found.keys() >= {f"{name}.{key}" for key in unit.state_dict()}:
                continue
            for stem in (f"{name}.conv", name):
                if {f"{stem}.weight", f"{stem}.bias"} <= found.keys():
                    kernel = FoldedKernel(
                        found.pop(f"{stem}.weight"), found.pop(f"{stem}.bias")
                    )
                    state = unit.unfolded(kernel)
                    found |= {f"{name}.{key}": value for key, value in state.items()}
                    break
        return found
