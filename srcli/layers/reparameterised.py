"""The re-parameterised 3x3 convolution: parallel branches in training, one kernel afterwards.

To fold is to compute the one kernel from the branches, to unfold to find branches that
equal a kernel, so that training can go on from a deployed form.
"""

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
    """Weight and bias of a convolution whose output has the size of its input."""

    weight: Tensor
    """(C_out, C_in / groups, k, k) with odd k."""
    bias: Tensor
    """(C_out,)."""


def sum_kernels(kernels: Sequence[FoldedKernel]) -> FoldedKernel:
    """Return one kernel equal to several convolutions of the same input, added up.

    Smaller kernels, of odd edges, are added to the middle of the largest one (RRLFN
    2025; RepVGG, Ding et al. 2021).
    """
    size = max(kernel.weight.shape[-1] for kernel in kernels)
    weights = []
    for kernel in kernels:
        rim = (size - kernel.weight.shape[-1]) // 2
        weight = kernel.weight
        if rim:  # none is padded by nothing: ONNX wants plain kernels
            weight = F.pad(weight, [rim] * 4)
        weights.append(weight)
    biases = [kernel.bias for kernel in kernels]
    return FoldedKernel(reduce(torch.add, weights), reduce(torch.add, biases))


def fold_norm(kernel: FoldedKernel, norm: nn.BatchNorm2d | None) -> FoldedKernel:
    """Return one kernel equal to a convolution and the normalisation after it, in evaluation.

    ``W' = gain W / sqrt(var + eps)``,
    ``b' = gain (b - mean) / sqrt(var + eps) + shift``.
    """
    if norm is None:
        return kernel
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return FoldedKernel(
        kernel.weight * gain.view(-1, 1, 1, 1),
        (kernel.bias - norm.running_mean) * gain + norm.bias,
    )


def chain_kernels(first: FoldedKernel, second: FoldedKernel) -> FoldedKernel:
    """Return one kernel equal to two convolutions in a row, one of which is 1x1.

    Zeros around the input become the first one's bias around the map between them: a
    wider second one must pad by that bias for equal borders, not by zeros.
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

    def state_equal_to(self, kernel: FoldedKernel) -> dict[str, Tensor]:
        """Return a state dict with which this convolution, in evaluation, equals a kernel."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) by the folded kernel."""
        weight, bias = self.kernel()
        return F.conv2d(x, weight, bias, padding=1)

    @torch.no_grad()
    def deploy(self) -> nn.Module:
        """Return the folded kernel as a plain convolution, a new module."""
        # Folded in float64, so that only the last rounding differs; Metal has none.
        parameter = next(self.parameters())
        wide = copy.deepcopy(self)
        if parameter.device.type == "mps":
            wide.cpu()
        weight, bias = wide.double().kernel()
        with torch.device("meta"):  # where no random numbers are drawn
            plain = conv(weight.shape[1], weight.shape[0])
        state = {"weight": weight.to(parameter), "bias": bias.to(parameter)}
        plain.load_state_dict(state, assign=True)
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

        def norm(has_branch: bool) -> nn.BatchNorm2d | None:
            return nn.BatchNorm2d(channels) if has_branch and bn else None

        self.identity = identity
        self.conv = conv(channels, channels, bias=not bn)
        self.point = conv(channels, channels, 1, bias=not bn) if pointwise else None
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
        if self.identity_norm is not None:
            total = total + self.identity_norm(x)
        return total

    def kernel(self) -> FoldedKernel:
        """Return the 3x3 kernel that equals all branches in evaluation mode."""
        kernels = [fold_norm(kernel_of(self.conv), self.conv_norm)]
        if self.point is not None:
            kernels.append(fold_norm(kernel_of(self.point), self.point_norm))
        if self.identity:
            eyes = torch.eye(len(self.conv.weight)).to(self.conv.weight)
            unchanged = FoldedKernel(eyes[..., None, None], torch.zeros_like(eyes[0]))
            kernels.append(fold_norm(unchanged, self.identity_norm))
        return sum_kernels(kernels)

    def deploy(self) -> nn.Module:
        """Return the folded kernel as a module of this class without further branches.

        It keeps the name ``conv`` of its tensors; ``for_inference`` of the network
        unwraps it.
        """
        with torch.device("meta"):
            plain = ReparameterisedConv(channels=len(self.conv.weight), pointwise=False)
        plain.conv.load_state_dict(super().deploy().state_dict(), assign=True)
        return plain.train(self.training)

    @torch.no_grad()
    def state_equal_to(self, kernel: FoldedKernel) -> dict[str, Tensor]:
        """Return a state dict with which this convolution, in evaluation, equals a kernel.

        Extra convolutions are zero; what an identity branch adds is subtracted from the
        3x3 one.
        """
        twin = copy.deepcopy(self)
        for parameter in twin.parameters():
            parameter.zero_()
        for module in twin.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        present = twin.kernel()
        weight = kernel.weight - present.weight
        bias = twin.conv.bias
        if twin.conv_norm is not None:
            weight = weight * (1.0 + twin.conv_norm.eps) ** 0.5
            bias = twin.conv_norm.bias
        assert bias is not None
        twin.conv.weight.copy_(weight)
        bias.copy_(kernel.bias - present.bias)
        return twin.state_dict()


def kernel_of(conv: nn.Conv2d) -> FoldedKernel:
    """Return the kernel of a plain convolution; a missing bias is zero."""
    if conv.bias is None:
        return FoldedKernel(conv.weight, conv.weight.new_zeros(conv.out_channels))
    return FoldedKernel(conv.weight, conv.bias)


def _replace(
    network: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]
) -> None:
    """Replace the modules of a kind by what ``make`` returns for each."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, kind):
                setattr(module, name, make(child))


class TrainedWithBranches(Network):
    """A network whose convolutions may have further branches in training."""

    def deploy(self) -> Self:
        """Return the deployed form: every unit with branches is folded to one kernel."""
        plain = super().deploy()
        _replace(plain, FoldingConv, lambda unit: unit.deploy())
        return plain

    def for_inference(self) -> Self:
        """Return the deployed form, in which no folded unit is wrapped any more."""
        plain = super().for_inference()
        _replace(plain, ReparameterisedConv, lambda unit: unit.conv)
        return plain

    def unfold_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn a deployed form's state into one with branches, the extra ones zero.

        It may be of another scale, in whole or in part, with wrapped convolutions
        (``NAME.conv.weight``) or plain ones (``NAME.weight``); units in training form
        already stay as they are.
        """
        state = dict(tensors)
        for name, unit in self.named_modules():
            if isinstance(unit, FoldingConv):
                _unfold(name, unit, state)
        return state


def _unfold(name: str, unit: FoldingConv, state: dict[str, Tensor]) -> None:
    """Put a unit's branches in the place of its folded kernel, if a state has that."""
    if state.keys() >= {f"{name}.{key}" for key in unit.state_dict()}:
        return
    for stem in (f"{name}.conv", name):
        if {f"{stem}.weight", f"{stem}.bias"} <= state.keys():
            weight = state.pop(f"{stem}.weight")
            kernel = FoldedKernel(weight, state.pop(f"{stem}.bias"))
            for key, value in unit.state_equal_to(kernel).items():
                state[f"{name}.{key}"] = value
            return
