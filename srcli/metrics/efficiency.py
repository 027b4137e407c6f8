"""Costs of a network as efficient-SR challenges count them: parameters, work, memory."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from srcli.metrics.memory import forward_memory, memory_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from srcli.layers.network import Network

CPU = torch.device("cpu")
CHALLENGE_SIZE = (256, 256)
"""LR height and width of the efficient-SR challenges."""
HD_SIZE = (720, 1280)
"""SR height and width of the other usual figure."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Work of one forward pass."""

    conv_macs: int
    """Multiply-accumulates of all convolutions; bias not counted."""
    activations: int
    """Output elements of all ReLUs, leaky or parametric too."""


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Figures to compare networks by."""

    parameters: int
    """Learnable numbers, biases included."""
    conv_macs: int
    """Of the convolutions, at the LR size asked for."""
    challenge_flops: int
    """``conv_macs`` plus one for every output element of a (leaky, parametric) ReLU."""
    hd_conv_macs: int
    """Of the convolutions, for an output of 1280x720 (its LR size rounded down)."""


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """Parameters, work and memory of a model at a stated LR size."""

    scale: int
    model: str
    size: tuple[int, int]
    """LR (height, width) of ``conv_macs``, ``challenge_flops`` and ``peak_memory``."""
    parameters: int
    conv_macs: int
    challenge_flops: int
    hd_conv_macs: int
    """For an SR of 1280x720."""
    peak_memory: int | None
    """Bytes that PyTorch allocated at most in one forward pass; None where it was not measured."""
    memory_of: str
    """``host`` or ``device``."""


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnable scalars."""
    return sum(value.numel() for value in network.parameters())


def count_macs(network: Network, height: int, width: int) -> Counts:
    """Count the work of one LR picture; runs on the meta device, so nothing is computed.

    Pooling, interpolation, softmax, matrix products and additions count nothing.

    Args:
        network: Takes (1, 3, H, W), or (1, 1, H, W) where its ``colour`` is ``y``.
        height: LR rows, padded to the next number that the network takes.
        width: LR columns, padded likewise.
    """
    twin = copy.deepcopy(network).to("meta").eval()
    size = network.padded(height), network.padded(width)
    with torch.no_grad(), _Counter() as counter:
        twin(torch.empty(1, network.input_channels, *size, device="meta"))
    return Counts(conv_macs=counter.conv_macs, activations=counter.activations)


def measure_efficiency(network: Network, size: tuple[int, int] = CHALLENGE_SIZE) -> Efficiency:
    """Count parameters, and work at an LR size (height, width) and for an output of 1280x720."""
    work = count_macs(network, *size)
    hd = count_macs(network, *(side // network.scale for side in HD_SIZE))
    return Efficiency(
        parameters=count_parameters(network),
        conv_macs=work.conv_macs,
        challenge_flops=work.conv_macs + work.activations,
        hd_conv_macs=hd.conv_macs,
    )


def model_cost(
    network: Network,
    *,
    model: str,
    size: tuple[int, int] = CHALLENGE_SIZE,
    device: torch.device = CPU,
) -> ModelCost:
    """Count a network's parameters and work, and measure the memory of one forward pass.

    The memory is that of a whole picture in fp32 and PyTorch's default layout. The network itself
    is not changed.

    Args:
        network: From ``load_model``; a network on Y (``colour``) gets one channel.
        model: The label of the result.
        size: LR (height, width), padded to the next size that the network takes.
        device: Memory is measured on it.

    Returns:
        The cost; its memory is None if the device keeps no account, or has too little.
    """
    try:
        memory = forward_memory(network, size, device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        memory = None
    return ModelCost(
        scale=network.scale,
        model=model,
        size=size,
        **asdict(measure_efficiency(network, size)),
        peak_memory=memory,
        memory_of=memory_of(device),
    )


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count every operator below autograd, called by modules and by functions alike."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conv_macs = 0
        self.activations = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's own signature
        """Count an operator and run it."""
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket if isinstance(func, torch._ops.OpOverload) else None
        if name is torch.ops.aten.convolution:
            self.conv_macs += _convolution_macs(args[0], args[1], out, transposed=bool(args[6]))
        elif name in _RELUS:
            self.activations += out.numel()
        return out


_RELUS = (
    torch.ops.aten.relu,
    torch.ops.aten.relu_,
    torch.ops.aten.leaky_relu,
    torch.ops.aten.leaky_relu_,
    torch.ops.aten._prelu_kernel,
)


def _convolution_macs(x: Tensor, weight: Tensor, out: Tensor, *, transposed: bool) -> int:
    # Weights are (C_out, C_in / groups, k, k): every output element takes one product for each
    # number of its filter. Transposed, (C_in, C_out / groups, k, k), it is every input element.
    return (x if transposed else out).numel() * weight[0].numel()
