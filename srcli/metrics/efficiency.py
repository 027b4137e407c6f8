"""Costs of a network as efficient-SR challenges count them: parameters, work, memory."""

from __future__ import annotations

import copy
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from srcli.errors import ModelError
from srcli.metrics.memory import forward_memory, memory_of

if TYPE_CHECKING:
    from torch import nn

    from srcli.layers.network import Network

CPU = torch.device("cpu")
CHALLENGE_SIZE = (256, 256)
"""LR height and width of the efficient-SR challenges."""
HD_SIZE = (720, 1280)
"""SR height and width of the other usual figure."""
_LARGEST_COMPUTED = 512 * 512
"""LR pixels up to which a network is run on the processor to count its work."""


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
    conv_macs: int | None
    """None, like the next two, for a network whose work cannot be counted."""
    challenge_flops: int | None
    hd_conv_macs: int | None
    """For an SR of 1280x720."""
    peak_memory: int | None
    """Bytes that PyTorch allocated at most in one forward pass; None where it was not measured."""
    memory_of: str
    """``host`` or ``device``."""


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnable scalars."""
    return sum(value.numel() for value in network.parameters())


def count_macs(network: Network, height: int, width: int) -> Counts:
    """Count the work of one LR picture.

    Nothing is computed, on the meta device; a network that branches on numbers, and so does not run
    there, is run on the processor.

    Pooling, interpolation, softmax, matrix products and additions count nothing.

    Args:
        network: Takes (1, 3, H, W), or (1, 1, H, W) where its ``colour`` is ``y``.
        height: LR rows, padded to the next number that the network takes.
        width: LR columns, padded likewise.

    Raises:
        ModelError: If it runs on neither, or only on the processor and the picture is large.
    """
    size = network.padded(height), network.padded(width)
    try:
        return _count(network, size, torch.device("meta"))
    except Exception as error:  # of a library's network, which may raise anything
        if math.prod(size) > _LARGEST_COMPUTED:
            raise _uncountable(network, error) from error
    try:
        return _count(network, size, CPU)
    except Exception as error:
        raise _uncountable(network, error) from error


def _count(network: Network, size: tuple[int, int], device: torch.device) -> Counts:
    twin = copy.deepcopy(network).to(device).eval()
    counter = FlopCounterMode(display=False, custom_mapping=dict.fromkeys(_RELUS, _elements))
    with torch.no_grad(), counter:
        twin(torch.zeros(1, network.input_channels, *size, device=device))
    found = counter.get_flop_counts().get("Global", {})
    return Counts(
        conv_macs=found.get(_CONVOLUTION, 0) // 2,  # of it, a product and a sum are two
        activations=sum(found.get(name, 0) for name in _RELUS),
    )


def _uncountable(network: Network, error: Exception) -> ModelError:
    reason = str(error).partition("\n")[0]
    return ModelError(f"{type(network).__name__}: its work cannot be counted ({reason})")


def measure_efficiency(network: Network, size: tuple[int, int] = CHALLENGE_SIZE) -> Efficiency:
    """Count parameters, and work at an LR size (height, width) and for an output of 1280x720.

    Raises:
        ModelError: See ``count_macs``.
    """
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
        The cost; its memory is None if the device keeps no account, or has too little, and its work
        if that cannot be counted.
    """
    try:
        memory = forward_memory(network, size, device)
    except RuntimeError:  # full memory; a CPU has no error of its own for that
        torch.cuda.empty_cache()
        memory = None
    conv_macs = challenge_flops = hd_conv_macs = None
    with suppress(ModelError):
        work = measure_efficiency(network, size)
        conv_macs, challenge_flops = work.conv_macs, work.challenge_flops
        hd_conv_macs = work.hd_conv_macs
    return ModelCost(
        scale=network.scale,
        model=model,
        size=size,
        parameters=count_parameters(network),
        conv_macs=conv_macs,
        challenge_flops=challenge_flops,
        hd_conv_macs=hd_conv_macs,
        peak_memory=memory,
        memory_of=memory_of(device),
    )


_CONVOLUTION = torch.ops.aten.convolution
_RELUS = (
    torch.ops.aten.relu,
    torch.ops.aten.relu_,
    torch.ops.aten.leaky_relu,
    torch.ops.aten.leaky_relu_,
    torch.ops.aten._prelu_kernel,
)


def _elements(*args: object, out_shape: tuple[int, ...], **kwargs: object) -> int:
    """Return the number of output elements, in the form that ``FlopCounterMode`` calls."""
    return math.prod(out_shape)
