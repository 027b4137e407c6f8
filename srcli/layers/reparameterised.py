"""The re-parameterised 3x3 convolution: parallel branches in training, one kernel afterwards."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Kernel(NamedTuple):
    """The numbers of a convolution whose output has the size of its input."""

    weight: Tensor
    """(C_out, C_in, k, k) with odd k."""
    bias: Tensor
    """(C_out,)."""


def fold(kernels: Sequence[Kernel]) -> Kernel:
    """Return the one kernel that gives the sum of several convolutions of the same input.

    Smaller kernels are added to the middle of the largest one (RRLFN 2025; RepVGG, Ding et al.
    2021).

    Args:
        kernels: Of equal channels, edges odd.
    """
    size = max(kernel.weight.shape[-1] for kernel in kernels)
    weight, bias = _widened(kernels[0].weight, size), kernels[0].bias
    for kernel in kernels[1:]:
        weight = weight + _widened(kernel.weight, size)
        bias = bias + kernel.bias
    return Kernel(weight, bias)


def absorb(kernel: Kernel, norm: nn.BatchNorm2d) -> Kernel:
    """Return the kernel of a convolution followed by a normalisation in evaluation mode.

    ``W' = gain W / sqrt(var + eps)``, ``b' = gain (b - mean) / sqrt(var + eps) + shift``.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    return Kernel(
        kernel.weight * gain.view(-1, 1, 1, 1), (kernel.bias - norm.running_mean) * gain + norm.bias
    )


def _widened(weight: Tensor, size: int) -> Tensor:
    rim = (size - weight.shape[-1]) // 2
    return F.pad(weight, (rim, rim, rim, rim)) if rim else weight


class ReparameterisedConv(nn.Module):
    """3x3 convolution with further branches, all linear, which fold into the 3x3 kernel.

    Without any extra branch it is a plain 3x3 convolution: its deployed form. Both forms call the
    3x3 branch ``conv``.

    Args:
        channels: Channels in and out.
        pointwise: A 1x1 convolution beside the 3x3 one.
        identity: The input itself beside them.
        bn: Batch normalisation at the end of every branch; their convolutions then have no bias.
    """

    def __init__(
        self, *, channels: int, pointwise: bool = True, identity: bool = False, bn: bool = False
    ) -> None:
        super().__init__()

        def norm(wanted: bool) -> nn.BatchNorm2d | None:
            return nn.BatchNorm2d(channels) if wanted and bn else None

        self.identity = identity
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=not bn)
        self.point = nn.Conv2d(channels, channels, 1, bias=not bn) if pointwise else None
        self.conv_norm = norm(True)
        self.point_norm = norm(pointwise)
        self.identity_norm = norm(identity)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if self.conv_norm is None:
            # One convolution with the folded kernel, in training too: the same sum and the same
            # gradients, for the price of the 3x3 branch alone.
            weight, bias = self.kernel()
            return F.conv2d(x, weight, bias, padding=1)
        total: Tensor | None = None
        for conv, norm in self._branches():
            out: Tensor = x if conv is None else conv(x)
            out = out if norm is None else norm(out)
            total = out if total is None else total + out
        assert total is not None
        return total

    def kernel(self) -> Kernel:
        """Return the 3x3 kernel that all branches come to in evaluation mode."""
        kernels = []
        for conv, norm in self._branches():
            own = self._identity() if conv is None else _kernel_of(conv)
            kernels.append(own if norm is None else absorb(own, norm))
        return fold(kernels)

    @torch.no_grad()
    def deploy(self) -> ReparameterisedConv:
        """Return the deployed form, a new module."""
        with torch.device("meta"):  # no random numbers are drawn for weights that are replaced
            plain = ReparameterisedConv(channels=self.conv.out_channels, pointwise=False)
        # Folded in float64, so that nothing but the last rounding differs.
        weight, bias = (part.to(self.conv.weight) for part in copy.deepcopy(self).double().kernel())
        plain.load_state_dict({"conv.weight": weight, "conv.bias": bias}, assign=True)
        return plain.train(self.training)

    @torch.no_grad()
    def unfolded(self, kernel: Kernel) -> dict[str, Tensor]:
        """Return a state of this module with which, in evaluation mode, it equals a 3x3 kernel.

        Extra convolutions are zero; what an identity branch adds is taken from the 3x3 one.
        """
        twin = copy.deepcopy(self)
        for conv, norm in twin._branches():
            if conv is not None:
                conv.weight.zero_()
                if conv.bias is not None:
                    conv.bias.zero_()
            if norm is not None:
                norm.reset_parameters()
        rest = twin.kernel()
        stretch = 1.0 if twin.conv_norm is None else (1.0 + twin.conv_norm.eps) ** 0.5
        bias = twin.conv.bias if twin.conv_norm is None else twin.conv_norm.bias
        assert bias is not None
        twin.conv.weight.copy_((kernel.weight - rest.weight) * stretch)
        bias.copy_(kernel.bias - rest.bias)
        return twin.state_dict()

    def _branches(self) -> Iterator[tuple[nn.Conv2d | None, nn.BatchNorm2d | None]]:
        """Give convolution (none for the identity) and normalisation of every branch."""
        yield self.conv, self.conv_norm
        if self.point is not None:
            yield self.point, self.point_norm
        if self.identity:
            yield None, self.identity_norm

    def _identity(self) -> Kernel:
        weight = self.conv.weight
        channels = weight.shape[0]
        eye = torch.eye(channels, dtype=weight.dtype, device=weight.device)
        return Kernel(eye.view(channels, channels, 1, 1), weight.new_zeros(channels))


def _kernel_of(conv: nn.Conv2d) -> Kernel:
    bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
    return Kernel(conv.weight, bias)


def deploy_units(network: nn.Module) -> nn.Module:
    """Return a copy of a network, in evaluation mode, with all its units in their deployed form."""
    plain = copy.deepcopy(network).eval()
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, ReparameterisedConv):
                setattr(module, name, child.deploy())
    return plain


def unfold_units(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the state of a network's deployed form into one of its own, with the same outputs.

    Args:
        network: In training form; it is left as it is.
        tensors: State of the deployed form, whole or in part. What is in training form already
            stays as it is.

    Returns:
        The tensors with, for every unit of the network, those that its branches need.
    """
    found = dict(tensors)
    for name, unit in network.named_modules():
        if not isinstance(unit, ReparameterisedConv):
            continue
        own = {f"{name}.{key}" for key in unit.state_dict()}
        weight, bias = f"{name}.conv.weight", f"{name}.conv.bias"
        if own <= found.keys() or not {weight, bias} <= found.keys():
            continue
        state = unit.unfolded(Kernel(found.pop(weight), found.pop(bias)))
        found |= {f"{name}.{key}": value for key, value in state.items()}
    return found
